"""How a call on a blocking socket waits."""

import errno
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from stack.core.ready import Ready
from stack.run.thread import ThreadDriver
from stack.sockets.names import error_of

_GLANCE = 0.01  # seconds


class Patience:
    """How long one call may wait in all, in seconds: None is for ever, 0 not at all."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds left, None without an end. Raises BlockingIOError or TimeoutError at the end."""
        if self._end is None:
            return None
        if self.timeout == 0:
            raise error_of(errno.EAGAIN)
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


FOREVER = Patience(None)


class Waiting:
    """Owns what a socket waits for, and wakes its callers when something happens there.

    All methods are called with the driver's lock held.
    """

    def __init__(self, driver: ThreadDriver) -> None:
        self._driver = driver
        self._changed: threading.Condition | None = None  # made by the first who follows
        self._closed = False
        self._leading = 0  # callers that sleep on the link: one, or signal handlers above it
        self.watch: Callable[[], None] | None = None
        """Called after each change, by whoever made it."""

    def on_ready(self, _ready: Ready) -> None:
        """The driver tells that something changed; whoever waits looks again."""
        self._wake_all()
        if self.watch is not None:
            self.watch()

    def close(self) -> None:
        """The socket is gone: whoever waits gets EBADF."""
        self._closed = True
        self.watch = None
        self._wake_all()

    def _wake_all(self) -> None:
        if self._changed is not None:
            self._changed.notify_all()
        if self._leading:
            self._driver.lookout.ring()

    def poll(self, ready: Callable[[], bool], patience: Patience) -> None:
        """Waits for what nobody tells of; returns at the end of patience, too."""
        with suppress(BlockingIOError, TimeoutError):
            self._until(ready, patience, _GLANCE)

    def until(self, ready: Callable[[], bool], patience: Patience) -> None:
        """Waits for `ready`. Raises BlockingIOError or TimeoutError when patience is over."""
        if not self._closed and not ready():
            self._until(lambda: self._closed or ready(), patience)
        if self._closed:
            raise error_of(errno.EBADF)

    def _until(
        self, ready: Callable[[], bool], patience: Patience, glance: float | None = None
    ) -> None:
        """Waits, and looks at least every `glance` seconds."""
        waited = False
        try:
            while not ready():
                self._driver.take_turn()  # the answer may be here already
                if ready():
                    break
                left = patience.left()
                waited = True
                self._wait(left if glance is None else min(left or glance, glance))
        finally:
            if waited:
                self._driver.lookout.leave()

    def _wait(self, seconds: float | None) -> None:
        lookout = self._driver.lookout
        if not lookout.free:
            self._changed = self._changed or self._driver.condition()
            lookout.follow(self._changed, seconds)
            return
        self._leading += 1
        try:
            lookout.lead(seconds)
        finally:
            self._leading -= 1
