"""What the captures of real runs show: judged by tshark, by the kernel, and by the checker."""

from pathlib import Path

import pytest

from stack.wire.pcapng import CapturedPacket, read
from stack.wire.segment import parse
from tests.support import tshark
from tests.support.playground import HOSTS, IPV4, IPV6, Playground
from tests.support.wirecheck import check

OURS = {IPV4, IPV6}
FAULTS = "loss=2%,reorder=2%,duplicate=1%,corrupt=0.5%"
FORMS = (
    ("--http1.1", "http"),
    ("--http2", "http"),
    ("--http2-prior-knowledge", "http"),
    ("--http1.1", "https"),
    ("--http2", "https"),
)


def converse(playground: Playground, size: str) -> None:
    """Every way to ask, both directions in bulk, many at once, pings, and a closed port."""
    curl = ("curl", "-sSk", "--max-time", "60", "-o", "/dev/null")
    for host in HOSTS.values():
        for option, scheme in FORMS:
            playground.call(*curl, option, f"{scheme}://{host}/")
            playground.call(*curl, option, f"{scheme}://{host}/bytes/{size}")
        upload = f"head -c {size} /dev/zero | curl -sSk -T - -X POST http://{host}/sha256"
        playground.call("sh", "-c", upload)
        playground.call(*curl, f"http://{host}:81/")
    playground.call(
        *curl, "--parallel", "--parallel-max", "30", "http://192.0.2.2/bytes/50k#[1-30]"
    )
    playground.call("ping", "-c", "3", "-i", "0.05", IPV4)
    playground.call("ping", "-c", "2", "-i", "0.05", "-s", "4000", IPV4)
    playground.call("ping", "-6", "-c", "2", "-i", "0.05", "-s", "4000", IPV6)


def kernel_errors(playground: Playground) -> dict[str, int]:
    """The counters of the kernel's TCP, our peer."""
    lines = playground.call("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Tcp:"))
    counters = dict(zip(names, map(int, values), strict=True))
    return {name: counters[name] for name in ("InErrs", "InCsumErrors")}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A capture of a run without losses, and what the kernel counted in it."""
    path = tmp_path_factory.mktemp("wire") / "clean.pcapng"
    with Playground("--capture", str(path)) as playground:
        converse(playground, "3M")
        errors = kernel_errors(playground)
    return path, errors


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A capture, taken at our side, of a run over a link with faults both ways."""
    path = tmp_path_factory.mktemp("wire") / "faulty.pcapng"
    with Playground("--capture", str(path), "--impair", FAULTS, "--seed", "3") as playground:
        converse(playground, "2M")
    return path


def packets(path: Path) -> list[tuple[int, bytes]]:
    with path.open("rb") as file:
        captured = [one for one in read(file) if isinstance(one, CapturedPacket)]
    return [(one.time_us, one.data) for one in captured if not is_damaged(one)]


def is_damaged(packet: CapturedPacket) -> bool:
    """Whether the faults of the link turned a source address into ours: IPv6 has no checksum
    over it, and 2001:db8::1 is a bit or two away from 2001:db8::2.
    """
    return packet.outbound is False and str(parse(packet.data).src) in OURS


def test_the_checker_finds_nothing_on_a_clean_link(clean):
    assert check(packets(clean[0]), OURS, loss_free=True) == []


def test_the_checker_finds_nothing_on_a_faulty_link(faulty):
    assert check(packets(faulty), OURS, loss_free=False) == []


def test_tshark_finds_nothing_on_a_clean_link(clean):
    found = tshark.findings(clean[0])
    assert found.malformed + found.bad_checksums == []
    # Of the kernel's there may be one: a busy machine wakes us late, and it probes.
    assert tshark.findings(clean[0], OURS).retransmissions == []


def test_tshark_finds_nothing_malformed_from_us_on_a_faulty_link(faulty):
    found = tshark.findings(faulty, OURS, reassemble=False)
    assert found.malformed + found.bad_checksums == []


def test_the_kernel_counts_no_bad_segment(clean):
    assert clean[1] == {"InErrs": 0, "InCsumErrors": 0}


def test_tshark_reads_http2_out_of_tls_without_a_key_file(clean):
    rows = tshark.fields(clean[0], "http2.type", display_filter="tls && http2 && tcp.port == 443")
    kinds = {kind for (row,) in rows for kind in row.split(",")}
    assert {"0", "1", "4", "8"} <= kinds  # DATA, HEADERS, SETTINGS, WINDOW_UPDATE


def test_tshark_shows_why_each_of_our_segments_was_sent(clean):
    sent = "ip.src == 192.0.2.2 || ipv6.src == 2001:db8::2"
    rows = tshark.fields(clean[0], "frame.number", "frame.comment", display_filter=sent)
    assert len(rows) > 1000
    assert [number for number, comment in rows if "RFC" not in comment] == []
