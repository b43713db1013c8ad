"""Our packet list beside Wireshark's."""

import re
from pathlib import Path

from stack.observe.rows import Row, Rows
from stack.wire import pcapng
from stack.wire.pcapng import CapturedSecrets, Writer
from tests.support import tshark

SEGMENT = "[TCP segment of a reassembled PDU]"
# What only one of both says: ours the server's name, Wireshark where an echo was asked for.
ONE_SIDED = re.compile(r" ?\((SNI=[^)]*|request in \d+|reply in \d+)\)")


def write_capture(path: Path, packets, key_log: str = "") -> Path:
    """A capture of (time, packet) pairs, with secrets in front."""
    writer = Writer(path.open("wb"))
    if key_log:
        writer.secrets(key_log)
    for now, data in packets:
        writer.packet(now, data)
    writer.close()
    return path


def our_rows(path: Path) -> list[Row]:
    rows, found = Rows(), []
    with path.open("rb") as stream:
        for captured in pcapng.read(stream):
            if isinstance(captured, CapturedSecrets):
                for line in captured.key_log.splitlines():
                    list(rows.add_secret(line))
            else:
                found.append(rows.take(captured.time_us, captured.data, note=captured.note))
    return found


def plain(info: str) -> str:
    return " ".join(ONE_SIDED.sub("", info).replace(" ,", ",").split())


def agree(ours: Row, protocol: str, info: str) -> bool:
    mine, theirs = plain(ours.info), plain(info)
    # Wireshark leaves the numbers out where a message begins, and for each of its chunks.
    if theirs == SEGMENT or (theirs.startswith("HTTP/") and theirs.endswith(SEGMENT)):
        return mine.endswith(SEGMENT)
    if mine.startswith("Client Hello"):  # what its answer settles, we tell from what it offers
        return mine == theirs and protocol.startswith("TLS")
    if ours.protocol != protocol:
        return False
    # HTTP that comes behind handshake messages makes Wireshark forget those.
    return mine == theirs or (protocol.startswith("HTTP") and mine.endswith(f", {theirs}"))


def disagreements(path: Path) -> list[str]:
    """The packets of which our list says something else than Wireshark's."""
    rows, theirs = our_rows(path), tshark.packet_list(path)
    assert len(rows) == len(theirs)
    return [
        f"packet {row.number}: {row.protocol} {row.info!r}, tshark: {protocol} {info!r}"
        for row, (protocol, info) in zip(rows, theirs, strict=True)
        if not agree(row, protocol, info)
    ]
