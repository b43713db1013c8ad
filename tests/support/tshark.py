"""tshark as a judge: what Wireshark's dissectors say of a capture."""

import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

VALIDATION = (
    "ip.check_checksum",
    "tcp.check_checksum",
    "udp.check_checksum",
)
BAD = "0"  # of the checksum status fields

HTTP2_FRAMES = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)
MAGIC = "Magic"


def run(capture: Path | str, *arguments: str, validate: bool = True) -> list[str]:
    """tshark's output lines for a capture, with checksum validation on unless told otherwise."""
    program = shutil.which("tshark")
    assert program, "tshark is missing: sudo apt-get install tshark"
    options = [word for name in VALIDATION for word in ("-o", f"{name}:{str(validate).upper()}")]
    done = subprocess.run(
        [program, "-n", "-r", str(capture), *options, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    complaints = [
        line for line in done.stderr.splitlines() if line and not line.startswith("Running as")
    ]
    assert done.returncode == 0, f"tshark cannot read {capture}: {complaints}"
    return done.stdout.splitlines()


def fields(
    capture: Path | str,
    *names: str,
    display_filter: str = "",
    validate: bool = True,
    preferences: Sequence[str] = (),
) -> list[tuple[str, ...]]:
    """The named fields of each packet that the filter lets through."""
    arguments = [*preferences, "-T", "fields", "-E", "separator=/t"]
    for name in names:
        arguments += ["-e", name]
    if display_filter:
        arguments += ["-Y", display_filter]
    return [tuple(line.split("\t")) for line in run(capture, *arguments, validate=validate)]


@dataclass(frozen=True)
class Findings:
    """What is wrong with a capture, by kind, each with its frame number."""

    malformed: list[str]
    bad_checksums: list[str]
    retransmissions: list[str]

    @property
    def all(self) -> list[str]:
        return self.malformed + self.bad_checksums + self.retransmissions


QUOTING = "icmp.type == 3 || icmp.type == 11 || icmp.type == 12 || icmpv6.type < 128"


def _bad(*protocols: str) -> str:
    """A sum of 0 is sent as 0xffff by Linux, also in TCP, which has no need to: it is as right
    to whoever adds up, and tshark complains of it.
    """
    return " || ".join(
        f"({protocol}.checksum.status == {BAD} && !({protocol}.checksum == 0xffff))"
        for protocol in protocols
    )


def findings(
    capture: Path | str, ours: Collection[str] = (), *, reassemble: bool = True
) -> Findings:
    """What tshark finds wrong, in the packets from `ours` when addresses are given.

    Where segments were lost or corrupted, putting streams together again makes complaints of
    its own: `reassemble` off has each packet judged alone.
    """
    sources = [f"{'ipv6' if ':' in address else 'ip'}.src == {address}" for address in ours]
    # ICMP errors quote packets that the link may have damaged: ours in those that we get, the
    # peer's in those that we send.
    outbound = "!(frame.packet_flags_direction == 1)"
    from_ours = f"({' || '.join(sources)}) && {outbound} && " if sources else ""
    whole = f"!({QUOTING})"
    checksums = f"{_bad('icmp', 'icmpv6')} || ({whole} && ({_bad('ip', 'tcp', 'udp')}))"

    alone = () if reassemble else ("-o", "tcp.desegment_tcp_streams:FALSE")

    def find(condition: str) -> list[str]:
        found = fields(
            capture,
            "frame.number",
            "_ws.col.Info",
            display_filter=f"{from_ours}({condition})",
            preferences=alone,
        )
        return [f"frame {number}: {info}" for number, info in found]

    return Findings(
        malformed=find(f"_ws.malformed && {whole}"),
        bad_checksums=find(checksums),
        retransmissions=find("tcp.analysis.retransmission"),
    )


def packet_list(capture: Path | str) -> list[tuple[str, str]]:
    """The protocol and info columns of each packet, checksums left alone."""
    rows = fields(capture, "_ws.col.Protocol", "_ws.col.Info", validate=False)
    return [(protocol, info.strip()) for protocol, info in rows]


def http2_frames(capture: Path | str) -> list[str]:
    """The HTTP/2 frames in a capture, as `SETTINGS[0]`; of TLS those whose secrets it holds."""
    found: list[str] = []
    rows = fields(capture, "http2.magic", "http2.type", "http2.streamid", display_filter="http2")
    for magic, kinds, streams in rows:
        found += [MAGIC] if magic else []
        pairs = zip(kinds.split(","), streams.split(","), strict=True)
        found += [f"{HTTP2_FRAMES[int(kind)]}[{stream}]" for kind, stream in pairs if kind]
    return found


def comments(capture: Path | str) -> list[str]:
    """The packet comments of a capture."""
    rows = fields(capture, "frame.comment", display_filter="frame.comment")
    return [comment for (comment,) in rows]
