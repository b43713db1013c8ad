"""One queue for all timers of a host, in virtual or real time.

A TCP restarts its retransmission timer with nearly every acknowledgement. So the
queue is lazy: a timer that moves later keeps its old place in the heap and is put
back when that place comes up; a stopped timer's place is thrown away then.
"""

from heapq import heappop, heappush
from typing import Protocol


class Times(Protocol):
    """Numbers in µs by timer: a list, or an array of the TCB."""

    def __getitem__(self, timer: int, /) -> int: ...
    def __setitem__(self, timer: int, time: int, /) -> None: ...
    def __len__(self) -> int: ...


class TimerOwner(Protocol):
    """What has timers. `timer_handle` is the queue's: how the heap knows its owner, None before
    the first timer.
    """

    timer_handle: "Handle | None"

    @property
    def deadlines(self) -> Times:
        """The time at which each timer runs out, 0 when it is off."""

    @property
    def places(self) -> Times:
        """Where each timer stands in the heap, 0 when it does not."""

    def on_timer(self, timer: int, now: int) -> None:
        """Timer `timer` ran out."""


class Handle:
    """Stands for an owner in the heap, so that places which nobody needs any more do not keep
    all of its memory until they come up.
    """

    __slots__ = ("owner",)

    def __init__(self, owner: TimerOwner) -> None:
        self.owner: TimerOwner | None = owner


class TimerQueue:
    """All running timers, the earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Handle, int]] = []
        self._order = 0

    def start(self, owner: TimerOwner, timer: int, deadline: int) -> None:
        """(Re)starts a timer of `owner` to run out at `deadline` (µs, above 0)."""
        owner.deadlines[timer] = deadline
        place = owner.places[timer]
        if place == 0 or place > deadline:
            self.push(owner, timer, deadline)

    def push(self, owner: TimerOwner, timer: int, deadline: int) -> None:
        """Gives a timer of `owner` a place in the heap."""
        owner.places[timer] = deadline
        self._order += 1
        handle = owner.timer_handle
        if handle is None:
            handle = owner.timer_handle = Handle(owner)
        heappush(self._heap, (deadline, self._order, handle, timer))

    def forget(self, owner: TimerOwner) -> None:
        """Stops all timers of `owner`; its places in the heap go as they come up."""
        for timer in range(len(owner.deadlines)):
            owner.deadlines[timer] = owner.places[timer] = 0
        self.let_go(owner)

    def let_go(self, owner: TimerOwner) -> None:
        """The same, where the owner's times are 0 already."""
        if owner.timer_handle is not None:
            owner.timer_handle.owner = None
            owner.timer_handle = None

    def next_deadline(self) -> int | None:
        """When the earliest timer runs out (µs), or None."""
        self._settle()
        return self._heap[0][0] if self._heap else None

    def earliest_place(self) -> int | None:
        """No timer runs out before this time (µs); costs less than `next_deadline`, since
        timers that moved later keep their places.
        """
        return self._heap[0][0] if self._heap else None

    def _settle(self) -> None:
        """Brings the top of the heap up to date with what its owner says."""
        heap = self._heap
        while heap:
            when, _, handle, timer = heap[0]
            owner = handle.owner
            if owner is None:
                heappop(heap)
                continue
            deadline = owner.deadlines[timer]
            if owner.places[timer] == when and deadline == when:
                return
            heappop(heap)
            if owner.places[timer] != when:
                continue
            owner.places[timer] = 0
            if deadline:
                self.push(owner, timer, deadline)

    def expire(self, now: int) -> None:
        """Calls `on_timer` for each timer that is due at `now`."""
        while True:
            self._settle()
            if not self._heap or self._heap[0][0] > now:
                return
            _, _, handle, timer = heappop(self._heap)
            owner = handle.owner
            assert owner is not None  # or `_settle` had thrown it away
            owner.places[timer] = 0
            owner.deadlines[timer] = 0
            owner.on_timer(timer, now)
