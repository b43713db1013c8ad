"""What all connections of one server share."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from stack.http.asgi import Application
from stack.http.counters import HttpCounters
from stack.http.limits import Limits
from stack.http.message import SERVER, DateCache, Headers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One finished request: `sent` in bytes of body, `duration` in seconds.

    `complete` is false when the response was cut off, by the peer or by an error.
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


@dataclass(slots=True)
class Service:
    """The application, the limits and the tasks of a server.

    `clock` gives seconds since 1970 for the Date header field; a server in virtual time gets
    one that runs with its loop.
    """

    app: Application
    limits: Limits
    clock: Callable[[], float]
    access_log: Callable[[AccessRecord], None] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    counters: HttpCounters = field(default_factory=HttpCounters)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    dates: DateCache = field(default_factory=DateCache)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs an application's coroutine; the server ends it, at the latest, when it closes."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

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
