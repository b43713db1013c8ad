"""Drives a host from an asyncio event loop, without a thread or a queue between."""

import asyncio
from collections.abc import Callable
from typing import Any

from stack._native import lib
from stack.core.host import Host
from stack.link.base import Link
from stack.run.pump import Pump

# Times that packets are taken in before other callbacks of the loop get their turn.
BATCHES = 4


class AsyncioDriver:
    """Serves `host` on `link` from `loop`; everything happens in the loop's own thread.

    The loop's clock is the host's clock, so it works on a loop in virtual time, too.

    With `busy_poll` the thread does not sleep for so many µs after packets came, as with
    Linux's SO_BUSY_POLL: what follows soon is answered sooner, and one processor is kept
    busy meanwhile. Other callbacks of the loop wait at most as long.
    """

    def __init__(
        self,
        host: Host,
        link: Link,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        busy_poll: int = 0,
    ) -> None:
        self.host = host
        self.link = link
        self.loop = loop or asyncio.get_running_loop()
        self._pump = Pump(host, link, self._failed)
        self._inside = False  # in a callback of ours: it ends with a flush anyway
        self._time = 0  # µs, what such a callback takes for now
        self._woken = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._fd = link.fileno()
        self._busy_poll = busy_poll if self._fd >= 0 else 0
        self._polling = False
        if self._fd >= 0:
            self.loop.add_reader(self._fd, self._on_readable)
        link.on_change(self._rearm)
        self.wake()

    def now(self) -> int:
        """The loop's time in µs; while packets or timers are worked on, the time at which that
        began, so that all that applications do then happens at once.
        """
        return self._time if self._inside else self._clock()

    def _clock(self) -> int:
        """Rounded, so that a time in µs survives the way through float."""
        return round(self.loop.time() * 1e6)

    def wake(self) -> None:
        """Schedules one flush, for any number of calls before it."""
        if not (self._inside or self._woken or self._closed):
            self._woken = True
            self.loop.call_soon(self._on_woken)

    def close(self) -> None:
        """Sends what is due and stops; the link stays open. May be called more than once."""
        if not self._closed:
            self._call(self._flush)
            self._stop()

    def _on_readable(self) -> None:
        self._call(self._take_in)

    def _on_woken(self) -> None:
        self._woken = False
        self._call(self._flush)

    def _on_timer(self) -> None:
        self._timer = None
        self._call(self._expire)

    def _call(self, work: Callable[[], bool]) -> None:
        """Does `work`, which sends what it made due and says whether there is more to send."""
        if self._closed:
            return
        again = False
        self._time = self._clock()
        self._inside = True
        try:
            again = work()
        except OSError as error:
            self._link_failed(error)
        finally:
            self._inside = False
        if again:
            self.wake()
        self._rearm()

    def _flush(self) -> bool:
        """Sends what is due, at a time that is not before what applications did."""
        self._time = now = self._clock()
        return self._pump.flush(now)

    def _take_in(self) -> bool:
        # A look at the device costs less than a turn of the loop, and a peer that was answered
        # has often sent more by then.
        again = False
        for _ in range(BATCHES):
            if not self._pump.receive(self._time):
                break
            again = self._flush()
        if self._busy_poll and not self._polling:
            self._polling = True
            self.loop.call_soon(self._poll)
        return again

    def _poll(self) -> None:
        """Comes behind the callbacks that the packets caused."""
        self._polling = False
        if not self._closed and lib.tun_poll(self._fd, self._busy_poll) > 0:
            self._call(self._take_in)

    def _expire(self) -> bool:
        deadline = self._pump.next_deadline()
        if deadline is not None and deadline <= self._time:
            self._pump.expire(self._time)
        return self._flush()

    def _rearm(self) -> None:
        """Sees to it that the timer fires in time. One that fires too early looks again,
        which is cheaper than a new timer for every acknowledgement.
        """
        deadline = self._pump.next_wake()
        if deadline is None or self._closed:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline / 1e6, self._on_timer)

    def _stop(self) -> None:
        self._closed = True
        self._pump.stop()
        if self._fd >= 0:
            self.loop.remove_reader(self._fd)
        if self._timer:
            self._timer.cancel()

    def _failed(self, source: Any, error: Exception) -> None:
        self.loop.call_exception_handler(
            {"message": f"error while telling the owner of {source!r}", "exception": error}
        )

    def _link_failed(self, error: OSError) -> None:
        """Nothing can come from this link any more: no connection shall wait for it."""
        self._stop()
        self.loop.call_exception_handler(
            {"message": "the link of a tunstack host failed", "exception": error}
        )
        self._pump.abandon(self._time)
