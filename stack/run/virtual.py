"""An asyncio event loop in virtual time: it never waits, it jumps to the next deadline."""

import asyncio
import socket
from collections.abc import Callable
from math import ceil
from typing import Any, Protocol, TypeVarTuple

_Ts = TypeVarTuple("_Ts")


class Stalled(RuntimeError):
    """All tasks wait, and nothing is scheduled that could ever wake one."""


class World(Protocol):
    """Something with events of its own in the same virtual time, as a simulated network."""

    @property
    def now(self) -> int:
        """Its time (µs)."""

    def next_deadline(self) -> int | None:
        """When its next event is due (µs)."""

    def advance(self, now: int) -> None:
        """Lets everything happen that is due up to `now`; sets its `now`."""


class _Clock:
    """Stands where a selector would: instead of waiting it moves the time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._loop._jump()
        return []

    def close(self) -> None:
        """Nothing to give back."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs coroutines in virtual time, which begins at `start` µs.

    `loop.time()` stands still while callbacks run. When none is ready it jumps to the next
    timer, or to the next event of `world`; with neither, Stalled is raised out of the run.
    Functions for an executor run at once, in place, and names are never looked up, so that
    a run depends on nothing but its inputs. There are no descriptors to watch.
    """

    def __init__(self, start: int = 0, world: World | None = None) -> None:
        super().__init__()
        self._now = start
        self._world = world
        self._selector = _Clock(self)
        # Times are whole microseconds that went through float: half of one is near enough.
        self._clock_resolution = 0.5e-6

    @property
    def now(self) -> int:
        """The virtual time in µs."""
        return self._now

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now / 1e6

    def run_in_executor(
        self, executor: object, func: Callable[[*_Ts], Any], *args: *_Ts
    ) -> asyncio.Future[Any]:
        """Calls `func` at once: threads would bring chance and real time in."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the standard library's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Takes numeric addresses only; names raise socket.gaierror."""
        return socket.getaddrinfo(
            host, port, family, type, proto, flags | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )

    def _jump(self) -> None:
        """Moves the time to the next thing that is scheduled, and lets the world do its part."""
        due = self._next_timer()
        event = self._world.next_deadline() if self._world else None
        if event is not None and (due is None or event < due):
            due = event
        if due is None:
            raise Stalled(
                f"everything waits at {self._now} µs and nothing is scheduled: "
                "a task awaits something that cannot happen any more"
            )
        self._now = max(self._now, due)
        if self._world is not None:
            self._world.advance(self._now)

    def _next_timer(self) -> int | None:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not scheduled:
            return None
        return ceil(scheduled[0].when() * 1e6 - 0.01)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no descriptors, so there are no events of any."""

    def _write_to_self(self) -> None:
        """The loop never sleeps: a callback from elsewhere needs not wake it."""

    def close(self) -> None:
        """Closes the loop; the time it reached can still be asked."""
        if not self.is_running():
            super().close()
