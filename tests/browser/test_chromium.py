"""A browser in the playground: TLS, HTTP/2, and a page that wants everything at once."""

import json
import re

import pytest

from tests.support.browser_app import IMAGES
from tests.support.playground import IPV4, Playground, require

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # The certificate is self-signed, and nobody else is in this network.
    "--ignore-certificate-errors",
    "--timeout=60000",
)


@pytest.mark.rfc("9113", "5")
@pytest.mark.rfc("9113", "3.3")
def test_a_hundred_images_come_over_one_connection(tmp_path):
    require("chromium")
    with Playground("--app", "tests.support.browser_app:app") as playground:
        shown = playground.call(
            "chromium",
            *FLAGS,
            f"--user-data-dir={tmp_path}",
            "--dump-dom",
            f"https://{IPV4}/",
            timeout=120,
        )
    found = re.search(rf"loaded {IMAGES} (.*) end", shown.stdout)
    assert found, shown.stdout[-2000:] + shown.stderr[-2000:]
    requests = [tuple(one) for image in json.loads(found[1]) for one in image]
    assert len(requests) == IMAGES
    assert {(version, scheme) for _, version, scheme in requests} == {("2", "https")}
    assert len({connection for connection, _, _ in requests}) == 1
