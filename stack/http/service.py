"""What all connections of one server share."""

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from stack.http.asgi import Application, Lifespan
from stack.http.counters import HttpCounters
from stack.http.limits import Limits
from stack.http.message import SERVER, DateCache, Headers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One finished request: `sent` in bytes of body, `duration` in seconds.

    `complete` is false when the response was cut off, by the peer or by an error; `referer`
    and `agent` are what the request says about itself, "" for nothing.
    """

    connection: int
    client: tuple[str, int]
    http_version: str
    method: str
    target: str
    status: int
    sent: int
    duration: float
    complete: bool
    referer: str = ""
    agent: str = ""


class Running:
    """An application that serves, from its start to its end: a restart puts another in its place."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self.lifespan = Lifespan(app, self.state)
        self.tasks: set[asyncio.Task[None]] = set()
        self.on_leave: weakref.WeakSet[Any] = weakref.WeakSet()
        """Exchanges that do not end by themselves, and so are told (`going_away`)."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a coroutine of the application's; `leave` ends it at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def leave(self, grace: float) -> None:
        """Lets what is under way end within `grace` seconds, cancels the rest, and says goodbye."""
        for exchange in list(self.on_leave):
            exchange.going_away()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace)
        self.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.lifespan.shutdown()

    def cancel(self) -> None:
        """Ends what is under way."""
        for task in self.tasks:
            task.cancel()


@dataclass(slots=True)
class Service:
    """The application, the limits and the counters of a server.

    `clock` gives seconds since 1970 for the Date header field; a server in virtual time gets
    one that runs with its loop.
    """

    running: Running
    limits: Limits
    clock: Callable[[], float]
    access_log: Callable[[AccessRecord], None] | None = None
    counters: HttpCounters = field(default_factory=HttpCounters)
    dates: DateCache = field(default_factory=DateCache)

    def add_own_headers(self, headers: Headers) -> None:
        """Adds Date and Server unless the application gave its own (RFC 9110 §6.6.1, §10.2.4)."""
        names = [name for name, _ in headers]
        if b"date" not in names:
            headers.append((b"date", self.dates.at(self.clock())))
        if b"server" not in names:
            headers.append((b"server", SERVER))

    def log(self, record: AccessRecord) -> None:
        """Hands a finished request to the access log; an error in there stays there."""
        if self.access_log is not None:
            try:
                self.access_log(record)
            except Exception:
                logger.exception("error in the access log")
