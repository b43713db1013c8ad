"""One request of the client on its way, whichever version of HTTP carries it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from stack.errors import UsageError
from stack.http.message import Headers, checked_field, is_token
from stack.http.url import Url

AGENT = b"tunstack"


class FetchError(OSError):
    """The response could not be had; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask for."""

    target: Url
    method: str
    headers: Headers
    body: bytes | None

    def fields(self) -> Headers:
        """The header fields in lower case, completed, without Host. Raises UsageError."""
        if not is_token(self.method.encode()):
            raise UsageError(f"{self.method!r} is no method; GET, HEAD, PUT or POST are")
        try:
            given = [checked_field(item) for item in self.headers]
        except ValueError as error:
            raise UsageError(f"this request cannot be sent: {error}") from None
        names = {name for name, _ in given}
        defaults = [(b"user-agent", AGENT), (b"accept", b"*/*")]
        if self.body is not None:
            defaults.append((b"content-length", b"%d" % len(self.body)))
        return [item for item in defaults if item[0] not in names] + given


@dataclass(slots=True)
class Response:
    """What came back: `body` stays empty when the caller took it in parts."""

    status: int
    reason: str
    http_version: str
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)


ENDED = "the connection ended before the response was complete"


class Job:
    """A request, who waits for its response, and who is told on the way."""

    def __init__(
        self,
        request: Request,
        on_head: Callable[[Response], None] | None,
        on_data: Callable[[bytes], None] | None,
        verbose: Callable[[str], None] | None,
    ) -> None:
        self.request = request
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._on_head = on_head
        self._on_data = on_data
        self._verbose = verbose
        self._response: Response | None = None
        self._parts: list[bytes] = []

    def note(self, line: str) -> None:
        """A line for people who want to watch."""
        if self._verbose is not None:
            self._verbose(line)

    def note_request(self, version: str, headers: Headers) -> None:
        """The request as it goes out."""
        if self._verbose is not None:
            self.note(f"> {self.request.method} {self.request.target.path} HTTP/{version}")
            self._note_headers(">", headers)

    def informational(self, version: str, status: int, reason: str, headers: Headers) -> None:
        """A 1xx response, which is not the one that was asked for."""
        self.note(f"< HTTP/{version} {status} {reason}".rstrip())
        self._note_headers("<", headers)

    def head(self, response: Response) -> None:
        """The response's header section is here."""
        self._response = response
        self.informational(
            response.http_version, response.status, response.reason, response.headers
        )
        if self._on_head is not None:
            self._on_head(response)

    def data(self, part: bytes) -> None:
        """A part of the body is here."""
        if self._on_data is not None:
            self._on_data(part)
        else:
            self._parts.append(part)

    def finish(self, trailers: Headers) -> None:
        """The response is whole."""
        assert self._response is not None
        self._response.body = b"".join(self._parts)
        self._response.trailers = trailers
        if not self.done.done():
            self.done.set_result(self._response)

    def fail(self, error: Exception) -> None:
        """There will be no (whole) response."""
        if not self.done.done():
            self.done.set_exception(error)

    def _note_headers(self, mark: str, headers: Headers) -> None:
        if self._verbose is not None:
            for name, value in headers:
                self.note(f"{mark} {name.decode('latin-1')}: {value.decode('latin-1')}")
            self.note(mark)


class Wire(ABC):
    """A version of HTTP on the client's connection."""

    def __init__(self, job: Job, transport: asyncio.Transport) -> None:
        self.job = job
        self.transport = transport
        self.paused = False  # the transport takes no more for now
        self.successor: Wire | None = None  # what the connection was upgraded to

    @abstractmethod
    def start(self) -> None:
        """Sends the request."""

    @abstractmethod
    def pump(self) -> None:
        """Sends more of the request's body, as far as the transport takes it."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Bytes arrived. Raises only what the caller's callbacks raise."""

    @abstractmethod
    def eof_received(self) -> None:
        """The server sends no more."""

    @abstractmethod
    def leave(self) -> None:
        """Says goodbye, where the protocol has a word for it."""
