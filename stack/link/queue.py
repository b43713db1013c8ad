"""The bottleneck of a link: packets wait for their turn, and leave at a rate."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stack.wire import ecn


@dataclass(slots=True)
class QueueCounters:
    """What a queue did: packets refused because it was full, dropped by its own judgement
    (active queue management), and marked "congestion experienced".
    """

    queue_dropped: int = 0
    aqm_dropped: int = 0
    marked: int = 0


class Sender:
    """The sending side of a bottleneck: one packet after the other at `rate` bit/s.

    `sent(packet, when)` is told when the last bit of each packet leaves (µs).
    """

    __slots__ = ("_exactly", "_rate", "_sent", "free_at")

    def __init__(self, rate: int, sent: Callable[[bytes, int], None]) -> None:
        self.free_at = 0  # µs, when the packet before has left
        self._exactly = 0  # the same in ns, so that rounding does not add up
        self._rate = rate
        self._sent = sent

    def send(self, data: bytes, begin: int) -> None:
        """Sends a packet from `begin` on (µs), not before the one before has left."""
        if begin > self.free_at:
            self._exactly = begin * 1000
        self._exactly += len(data) * 8_000_000_000 // self._rate
        self.free_at = -(-self._exactly // 1000)
        self._sent(data, self.free_at)


class Bottleneck(Protocol):
    """A queue and its sender. It keeps no timer: the past is worked out when it is asked.

    With `decides_late`, what becomes of a packet is open until its turn.
    """

    decides_late: bool

    def push(self, data: bytes, now: int) -> None:
        """A packet comes at `now` (µs, never going back)."""

    def advance(self, now: int) -> None:
        """Has left what had its turn up to `now`."""

    def waiting(self, now: int) -> int:
        """Packets that wait for their turn."""

    @property
    def next_turn(self) -> int | None:
        """When the first packet has its turn whose way is not settled yet; None: there is
        none.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, in packets and in bytes; 0 is no limit. A packet that finds nothing
    waiting is taken whatever its size.
    """

    packets: int
    octets: int

    def refuse(self, length: int, waiting: int, octets: int) -> bool:
        """Whether a packet finds no room beside those that wait."""
        if waiting == 0:
            return False
        return 0 < self.packets <= waiting or 0 < self.octets < octets + length


@dataclass(frozen=True, slots=True)
class DropTail:
    """A queue that drops what it has no room for.

    `packets` and `octets` limit it, 0 is no limit. With `mark_above`, a packet of an
    ECN-capable transport that finds more packets waiting is marked (RFC 3168 §5), as
    data centres do it (RFC 8257 §3.1).
    """

    packets: int = 0
    octets: int = 0
    mark_above: int = 0

    def make(
        self, rate: int, counters: QueueCounters, sent: Callable[[bytes, int], None]
    ) -> Bottleneck:
        """A bottleneck of `rate` bit/s with this queue, empty."""
        return _DropTailBottleneck(self, counters, Sender(rate, sent))


class _DropTailBottleneck:
    """Everything about a packet is settled when it comes, so it goes on its way at once; of
    those that wait only the times are kept.
    """

    decides_late = False

    def __init__(self, spec: DropTail, counters: QueueCounters, sender: Sender) -> None:
        self._limits = Limits(spec.packets, spec.octets)
        self._mark_above = spec.mark_above
        self._counters = counters
        self._sender = sender
        self._waiting: deque[tuple[int, int]] = deque()  # (when it has its turn, length)
        self._octets = 0

    @property
    def next_turn(self) -> int | None:
        return None

    def push(self, data: bytes, now: int) -> None:
        sender = self._sender
        if sender.free_at <= now:
            sender.send(data, now)
            return
        self.advance(now)
        waiting, length = self._waiting, len(data)
        if self._limits.refuse(length, len(waiting), self._octets):
            self._counters.queue_dropped += 1
            return
        if 0 < self._mark_above < len(waiting) and (marked := ecn.marked(data)):
            self._counters.marked += 1
            data = marked
        waiting.append((sender.free_at, length))
        self._octets += length
        sender.send(data, now)

    def advance(self, now: int) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self._octets -= waiting.popleft()[1]

    def waiting(self, now: int) -> int:
        self.advance(now)
        return len(self._waiting)
