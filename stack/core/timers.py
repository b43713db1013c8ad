"""One queue for all timers of a host, in virtual or real time (native/timers.c)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from stack._native import ffi, lib

if TYPE_CHECKING:
    from stack._native import Tcb


class TimerOwner(Protocol):
    """What has timers: `tcb.deadlines` tells when each runs out, 0 when it is off."""

    tcb: "Tcb"

    def on_timer(self, timer: int, now: int) -> None:
        """Timer `timer` ran out."""


class TimerQueue:
    """All running timers, the earliest first; `owners` finds an owner by its TCB's number."""

    def __init__(self, owners: Mapping[int, TimerOwner]) -> None:
        self.raw = ffi.gc(lib.timer_queue_new(), lib.timer_queue_free)
        if self.raw == ffi.NULL:
            raise MemoryError
        self._owners = owners
        self._timer = ffi.new("uint32_t *")

    def start(self, owner: TimerOwner, timer: int, deadline: int) -> None:
        """(Re)starts a timer of `owner` to run out at `deadline` (µs, above 0). Raises
        MemoryError.
        """
        if not lib.timer_start(self.raw, owner.tcb, timer, deadline):
            raise MemoryError

    def next_deadline(self) -> int | None:
        """When the earliest timer runs out (µs), or None."""
        return lib.timer_next(self.raw) or None

    def earliest_place(self) -> int | None:
        """No timer runs out before this time (µs); costs less than `next_deadline`, since
        timers that moved later keep their places.
        """
        return lib.timer_earliest(self.raw) or None

    @property
    def places(self) -> int:
        """How many places the queue has; some are of timers that moved or stopped."""
        return lib.timer_places(self.raw)

    def expire(self, now: int) -> None:
        """Calls `on_timer` for each timer that is due at `now`."""
        timer = self._timer
        while tcb := lib.timer_due(self.raw, now, timer):
            self._owners[tcb.number].on_timer(timer[0], now)
