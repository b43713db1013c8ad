"""One TCP connection taken out of a capture file, seen from our side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stack.errors import UsageError
from stack.wire import pcapng
from stack.wire.segment import ACK, SYN, Packet, Tcp, parse

# The addresses that our stack has unless it is told otherwise.
_USUAL = frozenset({"192.0.2.2", "2001:db8::2"})

End = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment at `time` (µs since the first one of its connection)."""

    time: int
    ours: bool
    packet: Packet
    tcp: Tcp


@dataclass(frozen=True, slots=True)
class Captured:
    """A connection from its first SYN on; `local` is our end of it."""

    local: End
    remote: End
    version: int
    segments: tuple[Segment, ...]

    @property
    def active(self) -> bool:
        """Whether our side opened it."""
        return self.segments[0].ours


@dataclass(slots=True)
class _Stream:
    """The packets between two ends, in the order of the file, with their direction if known."""

    packets: list[tuple[int, Packet, Tcp, bool | None]]

    @property
    def ends(self) -> tuple[End, End]:
        """Source and destination of the first packet."""
        _, packet, tcp, _ = self.packets[0]
        return (str(packet.src), tcp.sport), (str(packet.dst), tcp.dport)

    def __str__(self) -> str:
        (source, sport), (destination, dport) = self.ends
        return f"{source} port {sport} > {destination} port {dport}"


def captured(path: Path, address: str | None, number: int | None) -> Captured:
    """The connection `number` (from 1) of a capture file, or the only one.

    `address` says which side is ours; without it the capture, or custom, tells. Raises
    UsageError when the file holds no such connection.
    """
    streams = _streams(_read(path), path)
    stream = _chosen(streams, path, number)
    local, remote = _sides(stream, path, address)
    first = stream.packets[0][0]
    segments = tuple(
        Segment(time - first, (str(packet.src), tcp.sport) == local, packet, tcp)
        for time, packet, tcp, _ in stream.packets
    )
    return Captured(local, remote, segments[0].packet.version, segments)


def _read(path: Path) -> list[pcapng.CapturedPacket]:
    try:
        with path.open("rb") as stream:
            found = list(pcapng.read(stream))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return [one for one in found if isinstance(one, pcapng.CapturedPacket) and one.data]


def _streams(frames: Iterable[pcapng.CapturedPacket], path: Path) -> list[_Stream]:
    """The TCP connections of a capture that begin with a SYN, in its order."""
    known: dict[frozenset[End], _Stream] = {}
    for frame in sorted(frames, key=lambda frame: frame.time_us):
        packet = parse(frame.data)
        tcp = packet.tcp
        if tcp is None or packet.fault:
            continue
        ends = frozenset({(str(packet.src), tcp.sport), (str(packet.dst), tcp.dport)})
        if ends not in known and tcp.flags & (SYN | ACK) == SYN:
            known[ends] = _Stream([])
        if ends in known:
            known[ends].packets.append((frame.time_us, packet, tcp, frame.outbound))
    if not known:
        raise UsageError(
            f"{path} holds no TCP connection with its SYN: begin the capture before it opens"
        )
    return list(known.values())


def _chosen(streams: list[_Stream], path: Path, number: int | None) -> _Stream:
    if number is None and len(streams) == 1:
        return streams[0]
    if number is not None and 1 <= number <= len(streams):
        return streams[number - 1]
    shown = "; ".join(f"{index} is {stream}" for index, stream in enumerate(streams[:10], 1))
    more = f"; and {len(streams) - 10} more" if len(streams) > 10 else ""
    raise UsageError(
        f"{path} holds {len(streams)} TCP connections: choose one with --connection N: {shown}{more}"
    )


def _sides(stream: _Stream, path: Path, address: str | None) -> tuple[End, End]:
    """Our end and the other one."""
    first, second = stream.ends
    if address is not None:
        if address not in (first[0], second[0]):
            raise UsageError(f"--address {address}: the connection in {path} is {stream}")
        return (first, second) if first[0] == address else (second, first)
    outbound = [direction for *_, direction in stream.packets[:1] if direction is not None]
    if outbound:
        return (first, second) if outbound[0] else (second, first)
    if first[0] in _USUAL and second[0] not in _USUAL:
        return first, second
    return second, first  # a server is what people watch
