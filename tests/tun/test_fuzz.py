"""Bad packets leave the stack answering, and its counters show what was refused."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.playground import Playground

STORM = Path(__file__).parents[1] / "support" / "packet_storm.py"
LONG = os.environ.get("TUNSTACK_FUZZ") == "long"
COUNT = 10_000_000 if LONG else 1_000_000
SECONDS = 3600 if LONG else 240

REFUSALS = (
    "IpInHdrErrors",
    "IpInTruncatedPkts",
    "IpInCsumErrors",
    "IpInAddrErrors",
    "TcpInErrs",
    "TcpInCsumErrors",
    "IcmpInErrors",
    "TcpNoPorts",
)


def storm(playground, count, seed):
    """Sends the packets from inside and returns how many the device took."""
    done = playground.call(
        sys.executable,
        str(STORM),
        "tun0",
        str(count),
        str(seed),
        str(SECONDS),
        timeout=SECONDS + 60,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def answers(playground):
    for url in ("http://192.0.2.2/", "https://192.0.2.2/", "http://[2001:db8::2]/"):
        done = playground.call("curl", "-sSk", "--max-time", "20", url)
        assert done.returncode == 0, done.stderr
    for address in ("192.0.2.2", "2001:db8::2"):
        assert playground.call("ping", "-c", "3", "-i", "0.2", address).returncode == 0


@pytest.mark.timeout(SECONDS + 120)
def test_a_million_bad_packets_leave_it_answering():
    seed = int(os.environ.get("TUNSTACK_SEED", "2"))
    with Playground("--seed", "1") as playground:
        sent = storm(playground, COUNT, seed)
        assert sent >= COUNT, f"only {sent} packets in {SECONDS} s"
        assert playground.process.poll() is None
        answers(playground)
        counters = playground.counters()
        status = Path(f"/proc/{playground.process.pid}/status").read_text(encoding="ascii")
    assert counters["IpInReceives"] >= COUNT
    assert "Traceback" not in playground.stderr
    assert playground.stderr == "", playground.stderr
    for name in REFUSALS:
        assert counters[name] > 0, f"{name} is 0 of {counters}"
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 600_000, f"memory rose to {peak}"


def test_the_storm_hits_a_download_that_still_arrives_whole():
    url, rate = "http://192.0.2.2/bytes/50000000", "25M"  # slow enough to be there all the time
    measure = ("-o", "/dev/null", "-w", "%{size_download}")
    with Playground() as playground:
        download = playground.start(
            "curl", "-sS", "--max-time", "60", "--limit-rate", rate, *measure, url
        )
        storm(playground, 50_000, 3)
        output, error = download.communicate(timeout=120)
        assert output == "50000000", f"{error}{playground.counters()}"
        answers(playground)


def test_a_traced_stack_survives_the_storm():
    with Playground("--capture", "/dev/null") as playground:
        storm(playground, 20_000, 4)
        answers(playground)
    assert "Traceback" not in playground.stderr
