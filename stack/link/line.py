"""What most wires are: a rate with its queue, a delay, and loss. Native code carries packets
along, so that none becomes a Python object on its way.
"""

import random
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.link.impair import Faults, ImpairmentCounters, Impairments
from stack.link.queue import DropTail
from stack.wire.batch import CAPACITY, Inbound, Outbound

if TYPE_CHECKING:
    from stack._native import Line as Native

_TIME_MAX = 1 << 53
_RATE_MAX = 1 << 63
_LIMIT_MAX = 1 << 32


def impairments(faults: Faults, rng: random.Random) -> Impairments:
    """One direction of a link with these faults, a `Line` where they allow one. The packets
    that come out, their times and the chances that are drawn are the same.
    """
    return Line(faults, rng) if _suits(faults) else Impairments(faults, rng)


def _suits(faults: Faults) -> bool:
    """Whether packets stay as they are and in their order, each settled when it comes."""
    if faults.duplicate or faults.reorder or faults.corrupt or faults.jitter:
        return False
    queue = _queue(faults)
    if queue is None or queue.mark_above > 0:
        return False
    numbers = (
        (faults.delay, _TIME_MAX),
        (faults.rate, _RATE_MAX),
        (queue.packets, _LIMIT_MAX),
        (queue.octets, _LIMIT_MAX),
    )
    return all(isinstance(number, int) and 0 <= number < most for number, most in numbers)


def _queue(faults: Faults) -> DropTail | None:
    if not faults.rate:
        return DropTail()  # where nothing waits
    if isinstance(faults.queue, int):
        return DropTail(packets=faults.queue)
    return faults.queue if isinstance(faults.queue, DropTail) else None


class _Counters(ImpairmentCounters):
    """The native line counts what it takes and what it refuses."""

    __slots__ = ("_native",)

    def __init__(self, native: "Native") -> None:
        self._native = native
        super().__init__()

    @property
    def passed(self) -> int:
        return self._native.passed

    @passed.setter
    def passed(self, value: int) -> None:
        self._native.passed = value

    @property
    def queue_dropped(self) -> int:
        return self._native.refused

    @queue_dropped.setter
    def queue_dropped(self, value: int) -> None:
        self._native.refused = value


class Line(Impairments):
    """Impairments that damage nothing and keep the order.

    Beside what all have, whole batches go in and out; both calls return when the next packet
    arrives (µs), or a number below 0 when none is on its way.
    """

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        super().__init__(faults, rng)
        queue = _queue(faults)
        assert queue is not None
        new = lib.line_new(faults.rate, faults.delay, queue.packets, queue.octets)
        if new == ffi.NULL:
            raise MemoryError
        self.native = ffi.gc(new, lib.line_free)
        self.counters = _Counters(self.native)

    @property
    def loses_nothing(self) -> bool:
        """Whether packets are lost for want of room only."""
        return self._lost is None

    def _make_bottleneck(self) -> None:
        return None  # `native` is that

    def __len__(self) -> int:
        return self.native.travelling

    def waiting(self, now: int) -> int:
        return lib.line_waiting(self.native, now)

    def pop(self, now: int, limit: int | None = None) -> list[bytes]:
        spans = ffi.new("struct span[]", CAPACITY)
        arrived: list[bytes] = []
        while limit is None or len(arrived) < limit:
            room = CAPACITY if limit is None else min(limit - len(arrived), CAPACITY)
            count = lib.line_pop(self.native, spans, room, now)
            views = (ffi.buffer(spans[i].data, spans[i].length) for i in range(count))
            arrived.extend(view[:] for view in views)
            if count < room:
                break
        return arrived

    def next_deadline(self) -> int | None:
        due = lib.line_due(self.native)
        return None if due < 0 else due

    def _travel(self, data: bytes, departure: int) -> None:
        due = lib.line_push(self.native, ffi.from_buffer(data), len(data), departure)
        _check(due)

    def carry(self, out: Outbound, mtu: int, now: int) -> int:
        """Takes in the packets of `out` at `now`, but those that are longer than `mtu`."""
        lost = 0 if self._lost is None else self._losses(out, mtu)
        due = lib.line_carry(self.native, out.raw, out.count, mtu, lost, now)
        return due if due >= 0 else _check(due)

    def _losses(self, out: Outbound, mtu: int) -> int:
        """Which packets are lost, as a bit for each."""
        decide, bits = self._lost, 0
        assert decide is not None
        for index in range(out.count):
            if out.slot(index).length <= mtu and decide():
                bits |= 1 << index
        if bits:
            self.counters.lost += bits.bit_count()
        return bits

    def lend(self, out: Outbound, now: int) -> int:
        """Fills `out` with what has arrived by `now`, to be sent on; the packets hold as with
        `deliver`. Returns when the next one arrives, as that does.
        """
        out.take(lib.line_lend(self.native, out.raw, now))
        return lib.line_due(self.native)

    def deliver(self, inbound: Inbound, now: int) -> int:
        """Fills `inbound` with what has arrived by `now`; the packets hold until the next
        call, or one of `pop`.
        """
        return lib.line_deliver(self.native, inbound.raw, now)


def _check(due: int) -> int:
    if due == lib.LINE_NO_MEMORY:
        raise MemoryError
    return due
