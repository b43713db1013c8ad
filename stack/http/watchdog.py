"""A timer that is moved far more often than it runs out."""

import asyncio
from collections.abc import Callable


class Watchdog:
    """Calls `expired` when the time last given has passed.

    Moving the time later only stores a number: the timer that is already running looks
    again when it fires, which is cheaper than a new timer for every request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._deadline: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> None:
        """Runs out `seconds` from now, whatever was said before."""
        self._deadline = self._loop.time() + seconds
        if self._handle is not None:
            if self._handle.when() <= self._deadline:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(self._deadline, self._fire)

    def off(self) -> None:
        """Does not run out any more until the next `within`."""
        self._deadline = None

    def close(self) -> None:
        """Leaves no timer behind in the loop."""
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._handle = self._loop.call_at(self._deadline, self._fire)
            return
        self._deadline = None
        self._expired()
