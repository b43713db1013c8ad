"""Who waits for the descriptor of a link, where several threads do calls that block."""

import os
import select
import threading
from contextlib import suppress
from typing import Protocol

_LONGEST = 86_400.0  # seconds; epoll counts milliseconds in 31 bits


class Relief(Protocol):
    """Who looks after the link while no caller waits for it."""

    def stand_down(self) -> None:
        """A caller waits for the link from now on."""

    def take_over(self) -> None:
        """The last caller that waited is gone."""


class Lookout:
    """Lets callers that have to wait do it at the link itself: what arrives for them needs no
    change of threads.

    One of them leads: it sleeps on the link's descriptor and takes in what arrives, for all.
    The others follow: each waits on a condition, and when the leader has got what it waited for
    (`leave`), the one that has waited longest is woken to lead. Without any there is `relief`.

    All methods are called with `lock` held, which a leader lets go of while it sleeps.
    """

    def __init__(self, lock: threading.RLock, descriptor: int, relief: Relief) -> None:
        self._lock = lock
        self._descriptor = descriptor
        self._relief = relief
        self._leader = 0  # a thread's identifier
        self._followers: dict[object, threading.Condition] = {}
        self._closed = False
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = select.epoll()
        self._poller.register(self._alarm, select.EPOLLIN)
        self._has_link = descriptor >= 0
        if self._has_link:
            self._poller.register(descriptor, select.EPOLLIN)

    @property
    def led(self) -> bool:
        """Whether a caller sleeps on the link's descriptor."""
        return self._leader != 0

    @property
    def free(self) -> bool:
        """Whether the calling thread may lead.

        A signal's handler may wait, too, above a leader that it interrupted: nobody else would
        look at the link for it.
        """
        return self._has_link and self._leader in (0, threading.get_ident())

    def lead(self, seconds: float | None) -> None:
        """Sleeps until something arrives at the link, `ring` is called or the time is over, and
        no longer than a day.
        """
        outer, self._leader = self._leader, threading.get_ident()
        if not outer:
            self._relief.stand_down()
        # As threading.Condition does: however often this thread has it, and no signal comes
        # between.
        held = self._lock._release_save()  # type: ignore[attr-defined]
        try:
            for descriptor, _ in self._poller.poll(
                _LONGEST if seconds is None else min(seconds, _LONGEST)
            ):
                if descriptor == self._alarm:
                    with suppress(BlockingIOError):  # a handler's leading may have read it
                        os.eventfd_read(descriptor)
        finally:
            self._lock._acquire_restore(held)  # type: ignore[attr-defined]
            self._leader = outer
            if outer:
                self.ring()  # what was meant for it may have woken us
            elif self._closed:
                self._release()

    def follow(self, condition: threading.Condition, seconds: float | None) -> None:
        """Waits for `condition`, which is also notified when this thread is to lead."""
        place = object()
        self._followers[place] = condition
        try:
            condition.wait(seconds)
        finally:
            del self._followers[place]

    def ring(self) -> None:
        """Wakes the leader."""
        if self._leader:
            os.eventfd_write(self._alarm, 1)

    def leave(self) -> None:
        """A caller waits no more; somebody else shall lead if it did."""
        if self._leader or not self._has_link:
            return
        self._relief.take_over()
        for condition in self._followers.values():
            condition.notify()
            return

    def lose_link(self) -> None:
        """The link carries nothing any more: from now on all follow."""
        if self._has_link:
            self._has_link = False
            self._poller.unregister(self._descriptor)
            self.ring()

    def close(self) -> None:
        """From now on all follow; the link's descriptor may be closed. May be called more than
        once.
        """
        if self._closed:
            return
        self.lose_link()
        self._closed = True
        if not self._leader:
            self._release()

    def _release(self) -> None:
        self._poller.close()
        os.close(self._alarm)
