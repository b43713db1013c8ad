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
from stack.run.pump import Pump

_OUT_OF_THE_WAY = 0.0002  # seconds


class ThreadDriver:
    """Serves `host` on `link` from a daemon thread.

    Every call into the host happens under `lock`, by whichever thread; `calling` takes it
    and sends what became due before it lets go, so that a caller's bytes leave without a
    change of threads. `condition()` makes conditions on that lock for callers to wait on.
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
        self._pump = Pump(host, link, failed or self._raise_in_thread)
        self._calling = _Calling(self)
        self._closed = False
        self._later: deque[Callable[[], None]] = deque()
        self._sleeping_until: int | None = None
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = select.epoll()
        self._poller.register(self._wakeup, select.EPOLLIN)
        if link.fileno() >= 0:
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
        if not (self._closed or self.error) and self.link.fileno() >= 0:
            try:
                self._pump.receive(self.now())
            except OSError as error:
                self._link_failed(error)
        self.flush()

    def flush(self) -> None:
        """Sends what is due. The caller holds the lock."""
        if self._closed or self.error:
            return
        try:
            again = self._pump.flush(self.now())
        except OSError as error:
            self._link_failed(error)
            return
        if again or self._is_due_before_waking():
            self.wake()

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
        self._thread.join()
        self._pump.stop()
        self._poller.close()
        os.close(self._wakeup)

    def _is_due_before_waking(self) -> bool:
        deadline = self._pump.next_wake()
        return deadline is not None and (
            self._sleeping_until is None or deadline < self._sleeping_until
        )

    def _run(self) -> None:
        timeout: float | None = 0.0
        while True:
            for descriptor, _ in self._poller.poll(timeout):
                if descriptor == self._wakeup:
                    os.eventfd_read(self._wakeup)
            self._sleeping_until = 0  # awake: nobody needs to wake this thread
            self._enter()
            try:
                if self._closed:
                    return
                self._work()
                timeout = self._time_to_sleep()
            finally:
                self.lock.release()

    def _enter(self) -> None:
        """Takes the lock. Where an application has it, that takes in what has arrived, too: two
        threads that took turns for every packet would do little else.
        """
        if not self.lock.acquire(blocking=False):
            time.sleep(_OUT_OF_THE_WAY)
            self.lock.acquire()

    def _time_to_sleep(self) -> float | None:
        """Seconds until the next deadline; None without one."""
        self._sleeping_until = None if self.error else self._pump.next_deadline()
        if self._sleeping_until is None:
            return None
        return max(0.0, (self._sleeping_until - self.now()) / 1e6)

    def _work(self) -> None:
        now = self.now()
        while self._later:
            self._later.popleft()()
        try:
            if self.error is None:
                self._pump.expire(now)
        except OSError as error:
            self._link_failed(error)
        self.flush()

    def _link_failed(self, error: OSError) -> None:
        """Nothing can come from this link any more: no connection shall wait for it."""
        self.error = error
        if self.link.fileno() >= 0:
            self._poller.unregister(self.link.fileno())
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
            self._driver.take_turn()
        finally:
            self._driver.lock.release()
