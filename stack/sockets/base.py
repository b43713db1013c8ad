"""What every socket of a blocking host has: timeouts, options, file objects, an end."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from stack.sockets.arguments import readable_view
from stack.sockets.file import FileObject, SocketFile
from stack.sockets.options import Options
from stack.sockets.waiting import Waiting

if TYPE_CHECKING:
    from stack.sockets.blocking import BlockingHost

Buffer = bytes | bytearray | memoryview


class SocketBase(ABC):
    """The part of socket.socket that does not depend on the protocol."""

    _settings: Options

    def __init__(self, host: "BlockingHost", family: socket.AddressFamily) -> None:
        self.family = family
        self._host = host
        self._driver = host.driver
        self._timeout = socket.getdefaulttimeout()
        self._waiting = Waiting(self._driver)
        self._files = 0  # objects of makefile that are still open
        self._close_wanted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Sends; returns how many bytes were taken."""

    @abstractmethod
    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """Puts up to `nbytes` bytes (0: as many as fit) into `buffer`; returns how many."""

    @abstractmethod
    def _check_open(self) -> None:
        """Raises OSError EBADF after close."""

    @abstractmethod
    def _close_now(self) -> None:
        """Closes, unless that is done; the caller holds the driver's lock."""

    @property
    def host(self) -> "BlockingHost":
        """The host that it is a socket of."""
        return self._host

    def watch(self, changed: Callable[[], None]) -> None:
        """Has `changed` called, with the lock held, whenever `readiness` may be another."""
        self._waiting.watch = changed
        self._driver.prompt = True

    @abstractmethod
    def readiness(self) -> tuple[bool, bool]:
        """Whether receiving (accepting) and sending would return at once, as poll tells it."""

    @property
    def _version(self) -> int:
        return 4 if self.family == socket.AF_INET else 6

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        """As socket.getsockopt. Raises OSError ENOPROTOOPT for what does nothing here."""
        with self._driver.lock:
            self._check_open()
            return self._settings.get(level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: int | bytes) -> None:
        """As socket.setsockopt. Raises OSError ENOPROTOOPT for what does nothing here."""
        if not isinstance(value, int):
            value = bytes(readable_view(value))
        with self._driver.calling():
            self._check_open()
            self._settings.set(level, optname, value)

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may wait; None is for ever, 0 not at all."""
        return self._timeout

    def gettimeout(self) -> float | None:
        """Seconds that a call may wait; None is for ever, 0 not at all."""
        return self._timeout

    def settimeout(self, value: float | None) -> None:
        """Sets it. Raises ValueError below 0."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = None if value is None else float(value)

    def getblocking(self) -> bool:
        """Whether calls wait at all."""
        return self._timeout != 0

    def setblocking(self, flag: bool) -> None:
        """Waits for ever, or not at all."""
        self._timeout = None if flag else 0.0

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> FileObject:
        """A file object on the socket, which stays open until both are closed."""
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        with self._driver.lock:
            self._check_open()
            raw = SocketFile(self, mode if "w" in mode else mode + "r")
            self._files += 1
        return raw.wrapped(mode, buffering, encoding, errors, newline)

    def file_closed(self) -> None:
        """An object of makefile was closed."""
        with self._driver.calling():
            self._files -= 1
            if self._close_wanted and not self._files:
                self._close_now()

    def close(self) -> None:
        """Closes, once the objects of makefile are closed, too. Calls that wait get EBADF."""
        with self._driver.calling():
            self._close_wanted = True
            if not self._files:
                self._close_now()
