"""A packet as the predicates of faults see it, with its place in its flow."""

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from stack.wire import segment
from stack.wire.segment import Packet, Tcp
from stack.wire.sequence import sub


@dataclass
class Passing:
    """A packet that enters one direction of a wire.

    `number` counts the packets of this direction from 1. `segment` counts the data
    segments of its flow from 1, a retransmission keeping the number of the original (0:
    it has no data); `sending` says how often those bytes were sent by now, 1 being the
    original. `now` is in µs, `direction` like "a>b".
    """

    data: bytes
    direction: str
    now: int
    number: int
    segment: int = 0
    sending: int = 0

    @cached_property
    def packet(self) -> Packet:
        """All that can be read in it."""
        return segment.parse(self.data)

    @property
    def tcp(self) -> Tcp | None:
        """The TCP segment, if it is one."""
        return self.packet.tcp

    def has(self, flags: int) -> bool:
        """Whether it is a TCP segment with all these flags set."""
        return self.tcp is not None and self.tcp.flags & flags == flags


@dataclass
class _Sent:
    """What one side of a TCP connection sent: offsets from its first data segment."""

    base: int
    end: int = 0
    starts: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def count(self, seq: int, length: int) -> tuple[int, int]:
        """(number of the data segment, how often it was sent by now)."""
        # The right edge is where sequence numbers are followed beyond 32 bits.
        offset = self.end + sub(seq, (self.base + self.end) & 0xFFFFFFFF)
        if offset >= self.end:
            self.starts.append(offset)
            self.times.append(1)
            self.end = offset + length
            return len(self.starts), 1
        first = max(bisect_right(self.starts, offset) - 1, 0)
        self.end = max(self.end, offset + length)
        last = bisect_right(self.starts, offset + length - 1)
        for index in range(first, last):
            self.times[index] += 1
        return first + 1, self.times[first]


class Flows:
    """Follows the TCP flows of one direction, to number what they send."""

    def __init__(self) -> None:
        self._packets = 0
        self._sent: dict[tuple[object, ...], _Sent] = {}

    def see(self, data: bytes, direction: str, now: int) -> Passing:
        """The next packet."""
        self._packets += 1
        passing = Passing(data, direction, now, self._packets)
        tcp = passing.tcp
        if tcp is not None:
            self._follow(passing, tcp)
        return passing

    def _follow(self, passing: Passing, tcp: Tcp) -> None:
        packet = passing.packet
        key = (packet.src, packet.dst, tcp.sport, tcp.dport)
        if not tcp.text:
            if tcp.flags & segment.SYN:
                self._sent.pop(key, None)  # a new connection between the same ports
            return
        seq = (tcp.seq + bool(tcp.flags & segment.SYN)) & 0xFFFFFFFF
        sent = self._sent.setdefault(key, _Sent(seq))
        passing.segment, passing.sending = sent.count(seq, len(tcp.text))
