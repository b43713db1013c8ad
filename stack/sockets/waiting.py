"""How a call on a blocking socket waits."""

import errno
import threading
import time
from collections.abc import Callable

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
        self._changed: threading.Condition | None = None  # made by the first who waits
        self._closed = False
        self._changes = 0
        self.watch: Callable[[], None] | None = None
        """Called after each change, by whoever made it."""

    def on_ready(self, _ready: Ready) -> None:
        """The driver tells that something changed; whoever waits looks again."""
        self._changes += 1
        self._wake_all()
        if self.watch is not None:
            self.watch()

    def close(self) -> None:
        """The socket is gone: whoever waits gets EBADF."""
        self._closed = True
        self.watch = None
        self._changes += 1
        self._wake_all()

    def _wake_all(self) -> None:
        if self._changed is not None:
            self._changed.notify_all()

    def _wait(self, seconds: float | None) -> None:
        if self._changed is None:
            self._changed = self._driver.condition()
        self._changed.wait(seconds)

    def poll(self, ready: Callable[[], bool], patience: Patience) -> None:
        """Waits for what nobody tells of; returns at the end of patience, too."""
        while not ready():
            try:
                left = patience.left()
            except (BlockingIOError, TimeoutError):
                return
            self._driver.take_turn()
            self._wait(_GLANCE if left is None else min(left, _GLANCE))

    def until(self, ready: Callable[[], bool], patience: Patience) -> None:
        """Waits for `ready`. Raises BlockingIOError or TimeoutError when patience is over."""
        while not self._closed and not ready():
            left = patience.left()
            seen = self._changes
            self._driver.take_turn()
            if seen == self._changes:  # on a loopback the answer may be here already
                self._wait(left)
        if self._closed:
            raise error_of(errno.EBADF)
