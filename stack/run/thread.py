"""Drives a host from a thread of its own, for applications that block."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from stack.core.host import Host
from stack.link.base import Link
from stack.run.lookout import Lookout
from stack.run.pump import Pump

_OUT_OF_THE_WAY = 0.0002  # seconds
_GRACE = 5000  # µs in which whoever called is expected to call again
_LOOK_EVERY = 1000  # µs between looks at the link by callers that need not wait


class ThreadDriver:
    """Serves `host` on `link`, with a daemon thread of its own for when no caller does.

    Every call into the host happens under `lock`, by whichever thread; `calling` takes it
    and sends what became due before it lets go, so that a caller's bytes leave without a
    change of threads. `condition()` makes conditions on that lock for callers to wait on.

    Timers are the thread's, always. What arrives is for callers that wait (`lookout`), and
    for the thread when none does, or has done for a moment: a program that goes from one call
    to the next never meets it.
    """

    def __init__(
        self,
        host: Host,
        link: Link,
        failed: Callable[[Any, Exception], None] | None = None,
    ) -> None:
        self.host = host
        self.link = link
        self.lock = threading.RLock()
        self.error: OSError | None = None
        """Why the link cannot be used any more."""
        self.prompt = link.fileno() < 0
        """Whether the thread must take in at once what arrives while no caller waits: somebody
        is told what is ready without waiting in a call, or there is no descriptor to wait for."""
        self.lookout = Lookout(self.lock, link.fileno(), self)
        self._pump = Pump(host, link, failed or self._raise_in_thread)
        self._calling = _Calling(self)
        self._closed = False
        self._later: deque[Callable[[], None]] = deque()
        self._sleeping_until: int | None = None
        self._looked = 0  # µs, when somebody looked at the link
        self._look_wanted = False  # by the thread, which found the lock taken
        self._trusted_until = 0  # µs, how long callers are expected to look at the link
        self._watching = link.fileno() >= 0  # whether the thread wakes for the link
        self._resting = False  # whether it only waits for callers to call no more
        self._timer: int | None = None  # µs, when the earliest one may be due
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = select.epoll()
        self._poller.register(self._wakeup, select.EPOLLIN)
        if self._watching:
            self._poller.register(link.fileno(), select.EPOLLIN)
        link.on_change(self.wake)
        self._thread = threading.Thread(target=self._run, name="tunstack", daemon=True)
        self._thread.start()

    def now(self) -> int:
        """The monotonic clock in µs."""
        return time.monotonic_ns() // 1000

    def wake(self) -> None:
        """Has the thread flush; `calling` does the same without a change of threads."""
        if not self._closed:
            os.eventfd_write(self._wakeup, 1)

    def later(self, call: Callable[[], None]) -> None:
        """Has the thread do `call` with the lock held: for those who must not wait for the
        lock, such as finalizers.
        """
        self._later.append(call)
        self.wake()

    def condition(self) -> threading.Condition:
        """A condition on the lock of the host."""
        return threading.Condition(self.lock)

    def calling(self) -> "_Calling":
        """Holds the lock around calls into the host, and sends at the end; gives the time in µs."""
        return self._calling

    def take_turn(self) -> None:
        """Takes in what has arrived and sends what is due, without a change of threads. The
        caller holds the lock.
        """
        self.look()
        self.flush()

    def look(self) -> None:
        """Takes in what has arrived. The caller holds the lock."""
        self._look(self.now())

    def flush(self) -> None:
        """Sends what is due. The caller holds the lock."""
        self._flush(self.now())

    def end_call(self) -> None:
        """Sends what is due, and takes in what has arrived if nobody has looked for a while.
        The caller holds the lock.
        """
        now = self.now()
        if self._look_wanted or now - self._looked >= _LOOK_EVERY:
            self._look(now)
        self._flush(now)
        if not self.prompt:
            self._trusted_until = now + _GRACE

    def close(self) -> None:
        """Sends what is due and ends the thread; the link stays open. May be called more
        than once, but not from a callback of the host.
        """
        with self.lock:
            if self._closed:
                return
            self.flush()
            self.wake()
            self._closed = True
            self.lookout.close()
        self._thread.join()
        self._pump.stop()
        self._poller.close()
        os.close(self._wakeup)

    # For the lookout.

    def stand_down(self) -> None:
        """A caller waits for the link from now on."""
        if self._watching:
            self._watch(on=False)

    def take_over(self) -> None:
        """No caller waits any more. It is left in peace for a moment, since mostly the next
        call follows; the thread need not be told of that if it wakes by then anyway.
        """
        if self._closed or self.error:
            return
        if not self.prompt:
            self._trusted_until = self.now() + _GRACE
        wakes = self._sleeping_until
        if not self._watching and (wakes is None or wakes > self._trusted_until):
            self._watch(on=True)

    def _watch(self, *, on: bool) -> None:
        """Has the thread wake for the link, or not."""
        self._watching = on
        self._poller.modify(self.link.fileno(), select.EPOLLIN if on else 0)

    # What everybody does.

    def _look(self, now: int) -> None:
        self._looked = now
        self._look_wanted = False
        if self._closed or self.error or self.link.fileno() < 0:
            return
        try:
            self._pump.receive(now)
        except OSError as error:
            self._link_failed(error)

    def _flush(self, now: int) -> None:
        if self._closed or self.error:
            return
        try:
            again = self._pump.flush(now)
        except OSError as error:
            self._link_failed(error)
            return
        if self._is_due_before_waking() or again:
            self.wake()

    def _is_due_before_waking(self) -> bool:
        deadline = self._pump.next_wake()
        if deadline is None:
            return False
        if self._timer is None or deadline < self._timer:
            self._timer = deadline
        return self._sleeping_until is None or deadline < self._sleeping_until

    # The thread.

    def _run(self) -> None:
        timeout: float | None = 0.0
        while True:
            woken = self._poller.poll(timeout)
            for descriptor, _ in woken:
                if descriptor == self._wakeup:
                    os.eventfd_read(self._wakeup)
            if not woken and self._rests_on():
                timeout = self._until_rested()
                continue
            self._sleeping_until = 0  # awake: nobody needs to wake this thread
            self._enter()
            try:
                if self._closed:
                    return
                self._work()
                timeout = self._time_to_sleep()
            finally:
                self.lock.release()

    def _rests_on(self) -> bool:
        """Whether callers have called meanwhile and no timer is due, so that the thread can go on
        sleeping. This is asked without the lock: whoever has it would have to wait for a thread
        that has nothing to do.
        """
        if not self._resting or self.lookout.led:
            return False
        # In this order: whoever starts a timer now writes it down before he looks how long the
        # thread sleeps, so one of the two sees the other.
        self._sleeping_until = until = self._trusted_until
        timer = self._timer
        if timer is not None and timer < until:
            self._sleeping_until = until = timer
        return until > self.now()

    def _until_rested(self) -> float:
        """Seconds until the thread looks whether callers still call."""
        return max(0.0, ((self._sleeping_until or 0) - self.now()) / 1e6)

    def _enter(self) -> None:
        """Takes the lock. Where an application has it, that takes in what has arrived, too: two
        threads that took turns for every packet would do little else.
        """
        if not self.lock.acquire(blocking=False):
            self._look_wanted = not self._trusts_callers(self.now())
            time.sleep(_OUT_OF_THE_WAY)
            self.lock.acquire()

    def _trusts_callers(self, now: int) -> bool:
        """Whether what arrives is the business of callers."""
        return self.lookout.led or now < self._trusted_until

    def _time_to_sleep(self) -> float | None:
        """Seconds until the thread is needed again; None if only others can tell that."""
        if self.error:
            self._sleeping_until = None
            return None
        now = self.now()
        until = self._timer = self._pump.next_deadline()
        if self.link.fileno() >= 0:
            self._watch(on=not self._trusts_callers(now))
            self._resting = not self._watching and not self.lookout.led
            if self._resting:
                until = self._trusted_until if until is None else min(until, self._trusted_until)
        self._sleeping_until = until
        return None if until is None else max(0.0, (until - now) / 1e6)

    def _work(self) -> None:
        now = self.now()
        while self._later:
            self._later.popleft()()
        try:
            if self.error is None and self._is_needed(now):
                self._looked = now
                self._look_wanted = False
                self._pump.expire(now)
        except OSError as error:
            self._link_failed(error)
        self._flush(now)

    def _is_needed(self, now: int) -> bool:
        """Whether a timer is due, or the link is the thread's."""
        if not self._trusts_callers(now):
            return True
        deadline = self._pump.next_deadline()
        return deadline is not None and deadline <= now

    def _link_failed(self, error: OSError) -> None:
        """Nothing can come from this link any more: no connection shall wait for it."""
        self.error = error
        if self.link.fileno() >= 0:
            self._poller.unregister(self.link.fileno())
        self.lookout.lose_link()
        self._pump.abandon(self.now())

    def _raise_in_thread(self, source: Any, error: Exception) -> None:
        """Shows the traceback as for an exception that ended a thread; this one goes on."""
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread))
        )


class _Calling:
    """What `ThreadDriver.calling` returns: one for all calls, since it keeps nothing of any."""

    __slots__ = ("_driver",)

    def __init__(self, driver: ThreadDriver) -> None:
        self._driver = driver

    def __enter__(self) -> int:
        self._driver.lock.acquire()
        return self._driver.now()

    def __exit__(self, *_: object) -> None:
        try:
            self._driver.end_call()
        finally:
            self._driver.lock.release()
