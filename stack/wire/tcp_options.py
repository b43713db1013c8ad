"""TCP options as values, in the order in which the wire has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import pack, unpack_from

EOL = 0
NOP = 1
MSS = 2
WINDOW_SCALE = 3
SACK_PERMITTED = 4
SACK = 5
TIMESTAMPS = 8


@dataclass(frozen=True, slots=True)
class Option:
    """A TCP option; `data` is what follows kind and length (RFC 9293 §3.2)."""

    kind: int
    data: bytes = b""
    fault: str = ""

    def encode(self) -> bytes:
        """The option's bytes; EOL and NOP have no length byte."""
        if self.kind in (EOL, NOP):
            return bytes((self.kind,))
        return bytes((self.kind, len(self.data) + 2)) + self.data


def mss(value: int) -> Option:
    """Maximum segment size in bytes (RFC 9293 §3.7.1)."""
    return Option(MSS, pack("!H", value))


def window_scale(shift: int) -> Option:
    """Bits that every later window is shifted left by (RFC 7323 §2.2)."""
    return Option(WINDOW_SCALE, bytes((shift,)))


def sack_permitted() -> Option:
    """The sender understands SACK (RFC 2018 §2)."""
    return Option(SACK_PERMITTED)


def sack(*blocks: tuple[int, int]) -> Option:
    """Received blocks, each its left edge and the number behind its last byte (RFC 2018 §3)."""
    return Option(SACK, b"".join(pack("!II", left, right) for left, right in blocks))


def timestamps(tsval: int, tsecr: int) -> Option:
    """The sender's clock and the echo of the peer's (RFC 7323 §3.2)."""
    return Option(TIMESTAMPS, pack("!II", tsval, tsecr))


def walk_tcp_options(data: bytes) -> Iterator[Option]:
    """The options in wire order, with NOP, up to and with EOL; an illegal one ends the walk."""
    at = 0
    while at < len(data):
        kind = data[at]
        if kind in (EOL, NOP):
            yield Option(kind)
            at += 1
            if kind == EOL:
                return
            continue
        length = data[at + 1] if at + 1 < len(data) else len(data)
        if length < 2 or at + length > len(data):
            fault = "length below 2" if length < 2 else "runs past the header"
            yield Option(kind, data[at + 2 :], fault)
            return
        yield Option(kind, data[at + 2 : at + length])
        at += length


def sack_edges(data: bytes) -> tuple[tuple[int, int], ...]:
    """The whole blocks of a SACK option's data."""
    return tuple(unpack_from("!II", data, at) for at in range(0, len(data) - 7, 8))
