"""Long transfers and many connections between the kernel's TCP and ours, over a real device.

What arrives is compared by SHA-256. The faulty links have losses, reordering, duplication and
corruption in each direction at once.
"""

import hashlib
import time

import pytest

from stack.http.demo import content
from tests.support.playground import HOSTS, Playground, require

SIZE = 200 << 20
FAULTS = "loss=2%,reorder=2%,duplicate=1%,corrupt=0.5%"
PROTOCOLS = {"HTTP/1.1": "--http1.1", "HTTP/2": "--http2-prior-knowledge"}
protocols = pytest.mark.parametrize("option", PROTOCOLS.values(), ids=PROTOCOLS.keys())


@pytest.fixture(scope="module", params=["clean", "faulty"])
def link(request):
    """A playground, and the seconds that a transfer over it may take."""
    faults = ["--impair", FAULTS, "--seed", "1"] if request.param == "faulty" else []
    with Playground(*faults) as running:
        yield running, 150 if faults else 60


@pytest.fixture(scope="module")
def upload(tmp_path_factory):
    """A file of SIZE bytes and its SHA-256."""
    path = tmp_path_factory.mktemp("upload") / "body"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in content(0, SIZE):
            digest.update(block)
            file.write(block)
    return str(path), digest.hexdigest()


@protocols
def test_200_megabytes_come_down_byte_for_byte(link, upload, option):
    playground, seconds = link
    script = f"curl -sSf {option} http://{HOSTS[4]}/bytes/200M | sha256sum"
    done = playground.call("sh", "-c", script, timeout=seconds)
    assert done.stdout.split()[0] == upload[1], done.stderr


@protocols
def test_200_megabytes_go_up_byte_for_byte(link, upload, option):
    playground, seconds = link
    url = f"http://{HOSTS[6]}/sha256"
    done = playground.call(
        "curl", "-sSf", option, "-X", "POST", "-T", upload[0], url, timeout=seconds
    )
    assert done.stdout.strip() == upload[1], done.stderr


def test_5_percent_of_loss_slow_a_transfer_down_and_spoil_nothing(tmp_path):
    """Both ways, so that acknowledgements are lost as well."""
    size = 4 << 20
    body = b"".join(content(0, size))
    digest = hashlib.sha256(body).hexdigest()
    (tmp_path / "body").write_bytes(body)
    with Playground("--impair", "loss=5%", "--seed", "5") as playground:
        script = f"curl -sSf http://{HOSTS[4]}/bytes/4M | sha256sum"
        done = playground.call("sh", "-c", script, timeout=40)
        assert done.stdout.split()[0] == digest, done.stderr
        url = f"http://{HOSTS[6]}/sha256"
        upload = ("curl", "-sSf", "-X", "POST", "-T", str(tmp_path / "body"), url)
        assert playground.call(*upload, timeout=40).stdout.strip() == digest
        assert playground.counters()["TcpRetransSegs"] > 100


def test_200_connections_at_once_are_all_served(link):
    playground, seconds = link
    begun = time.monotonic()
    done = playground.call(
        "curl",
        "-sSf",
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        "200",
        "-w",
        "%{http_code} %{num_connects}\n",
        "-o",
        "/dev/null",
        f"http://{HOSTS[4]}/slow?seconds=2#[1-200]",
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["200 1"] * 200
    assert time.monotonic() - begun >= 2


@pytest.mark.parametrize("url", ["http://192.0.2.2/", "https://192.0.2.2/"])
def test_h2load_sees_no_failed_request(link, url):
    require("h2load")
    playground, seconds = link
    done = playground.call("h2load", "-n", "2000", "-c", "10", "-m", "20", url, timeout=seconds)
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout
