"""`scripts/demo` as a newcomer runs it, and what its capture shows to tshark."""

import subprocess
from pathlib import Path

import pytest

from tests.support.playground import call, require

ROOT = Path(__file__).parents[2]
HEADINGS = (
    "HTTP/1.1 over IPv4",
    "HTTP/1.1 over IPv6",
    "HTTPS with HTTP/1.1",
    "HTTPS with HTTP/2, agreed on by ALPN",
    "HTTP/2 without TLS, by upgrade (h2c)",
    "HTTP/2 without TLS, with prior knowledge",
    "ping",
    "ping over IPv6",
)


@pytest.fixture(scope="module")
def demo():
    done = call([str(ROOT / "scripts" / "demo")], timeout=200, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_heading_has_packets_with_reasons_and_then_what_the_program_printed(demo):
    sections = dict(part.split("\n", 1) for part in demo.split("━━ ")[1:])
    for heading in HEADINGS:
        packets, _, printed = sections[heading].partition("\n  │ ")
        assert "↳" in packets, heading
        assert ("bytes from" if "ping" in heading else "Hello from tunstack!") in printed, heading
        assert "↳" not in printed, heading


def test_it_ends_with_the_capture_and_the_command_to_go_on_with(demo):
    assert demo.endswith("  .venv/bin/tunstack run -- bash\n")
    assert "wireshark demo.pcapng" in demo


def test_tshark_reads_the_capture_decrypted_and_with_our_comments(demo):
    require("tshark")
    answers = "tls && http2.headers.status == 200"
    fields = ("-T", "fields", "-e", "tcp.srcport", "-e", "frame.comment")
    done = call(["tshark", "-r", "demo.pcapng", "-Y", answers, *fields], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("443\t")
    assert "RFC 9293" in done.stdout


def test_tshark_finds_nothing_wrong_with_the_capture(demo):
    require("tshark")
    # Of retransmissions only ours count: on a busy machine we may answer the kernel's FIN so
    # late that it probes.
    wrong = (
        "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0 || "
        "icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || "
        "((ip.src == 192.0.2.2 || ipv6.src == 2001:db8::2) && "
        "(tcp.analysis.retransmission || tcp.analysis.lost_segment))"
    )
    check = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    done = call(["tshark", "-r", "demo.pcapng", *check, "-Y", wrong], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_its_scripts_are_sound_shell():
    for name in ("demo", "test", "setup-env"):
        subprocess.run(["bash", "-n", str(ROOT / "scripts" / name)], check=True)
