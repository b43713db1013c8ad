"""Our packet list says what Wireshark's says of the kernel's own traffic."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tshark
from tests.support.packet_lists import disagreements, our_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("loopback")
    namespace = (
        ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    )
    command = [*namespace, sys.executable, "-m", "tests.support.loopback", str(directory)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return directory / "capture.pcapng"


def test_the_kernels_traffic_is_shown_alike(capture):
    assert disagreements(capture) == []


def test_everything_that_was_said_is_named(capture):
    infos = [f"{row.protocol} {row.info}" for row in our_rows(capture)]
    for expected in (
        "HTTP GET / HTTP/1.1",
        "HTTP HTTP/1.1 200 OK  (text/html)",
        "HTTP HEAD /a.txt HTTP/1.1",
        "HTTP HTTP/1.1 404 File not found  (text/html)",
        "HTTP GET /a.txt HTTP/1.1",
        "HTTP HTTP/1.1 200 OK  (text/plain)",
        "TLSv1.3 Change Cipher Spec, Finished",
        "TLSv1.2 Client Key Exchange, Change Cipher Spec, Finished",
        "ICMP Destination unreachable (Port unreachable)",
    ):
        assert expected in infos
    assert not any("INCORRECT" in info for info in infos)


def test_tshark_finds_nothing_malformed_in_it(capture):
    assert tshark.findings(capture).malformed == []
