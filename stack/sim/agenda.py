"""What is to happen in a network, in the order of times and then of scheduling.

Python's events stand in a heap of tuples, arrivals of packets in one of native code; both count
with one counter. Native code lets arrivals happen one after the other for as long as no turn of
a host needs a decision of Python's (native/network.c), so that most packets of a bulk flow never
come up here.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.wire.batch import Outbound

if TYPE_CHECKING:
    from stack._native import Channel as NativeChannel
    from stack.sim.channel import Channel
    from stack.sim.node import Node

_NEVER = (1 << 63) - 1
_ALL = (1 << 32) - 1


class Agenda:
    """The events of one network, and its time `now` (µs), which begins at `start`."""

    def __init__(self, start: int) -> None:
        self.now = start
        self._native = ffi.gc(ffi.new("struct network *"), lib.network_clear)
        self._native.epoch = 1
        self.outbound = Outbound()
        """What native code sends, one turn at a time."""
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._channels: list[Channel] = []
        self._nodes: list[Node] = []

    # What is to happen.

    def add_channel(self, channel: "Channel") -> int:
        """Takes a channel in, of which packets may be expected; returns its number."""
        self._channels.append(channel)
        return len(self._channels) - 1

    def add_node(self, node: "Node") -> int:
        """Takes a node in, which may take turns in native code; returns its number."""
        self._nodes.append(node)
        return len(self._nodes) - 1

    def schedule(self, when: int, call: Callable[[int], None]) -> int:
        """Has `call` called with the time, in the order of times and then of scheduling. What
        is over is now; returns when it is to be (µs).
        """
        if when < self.now:  # noqa: PLR1730 - once for every packet, and max() takes longer
            when = self.now
        self._native.order += 1
        heappush(self._heap, (when, self._native.order, call))
        return when

    def expect(self, channel: "NativeChannel", when: int) -> None:
        """Has a channel hand over what has arrived at `when` (µs), or now if that is over."""
        if not lib.network_expect(self._native, channel, when, self.now):
            raise MemoryError

    def next_deadline(self) -> int | None:
        """When the next event is due (µs)."""
        due = lib.network_due(self._native)
        if not self._heap:
            return None if due < 0 else due
        return self._heap[0][0] if due < 0 else min(due, self._heap[0][0])

    # Who may take turns in native code.

    @property
    def epoch(self) -> int:
        """Another one begins whenever somebody may have called a host: each has a turn in
        Python first, where nothing stays unseen.
        """
        return self._native.epoch

    def begin_epoch(self) -> None:
        """Somebody may have called a host."""
        self._native.epoch += 1

    # What happens.

    def run(self, until: int | None = None) -> None:
        """Lets happen what is due up to `until` (µs), or all there ever is."""
        end = _NEVER if until is None else until
        while self._happens(end, _ALL):
            pass

    def step(self, until: int) -> bool:
        """Lets one event happen, if one is due up to `until` (µs), and says so."""
        return self._happens(until, 1)

    def _happens(self, until: int, events: int) -> bool:
        heap, native = self._heap, self._native
        when, order = heap[0][:2] if heap else (_NEVER, 0)
        result = lib.network_run(native, until, when, order, events)
        self._follow()
        if result == lib.RUN_NOTHING:
            if not heap or when > until:
                return False
            native.epoch += 1
            self.now, _, call = heappop(heap)
            call(self.now)
        elif result != lib.RUN_ENOUGH:
            self._go_on(result)
        return True

    def _follow(self) -> None:
        """Time is where native code has brought it, for hosts that had their turns as well."""
        native = self._native
        self.now = max(self.now, native.now)
        station = native.touched
        while station != ffi.NULL:
            self._nodes[station.number].host.now = station.now
            station.now = -1
            station = station.next
        native.touched = ffi.NULL

    def _go_on(self, result: int) -> None:
        """Does what native code has left to do."""
        native, now = self._native, self.now
        if result == lib.RUN_ARRIVAL:
            self._channels[native.at].arrive(now)
        elif result == lib.RUN_PACKETS:
            self._nodes[native.at].receive_rest(native.packet, now)
        elif result == lib.RUN_OUTPUT:
            self._nodes[native.at].transmit_rest(native.sender, now)
        elif result == lib.RUN_TIMERS:
            self._nodes[native.at].start_timers()
        else:
            raise MemoryError
