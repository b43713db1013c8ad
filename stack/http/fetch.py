"""One URL over our stack, whole: httpx does HTTP, redirects and pools; here is what a download
needs beside it.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import h2.events
import h2.exceptions
import httpx

from stack.errors import UsageError
from stack.http.httpcore_backend import AsyncTransport, Watch
from stack.http.message import checked_field, is_token
from stack.http.partial import Partial, validator_of
from stack.http.tls import KeyLogCallback, client_context
from stack.http.url import Url, parse_url
from stack.sockets.aio import AsyncHost

HttpVersion = Literal["auto", "1.1", "2-prior-knowledge"]
REDIRECTS = 10
AGENT = "tunstack"
PART = 65_536
"""Bytes of a request's body that are given to httpx at a time."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")

Fields = list[tuple[str, str]]


class FetchError(OSError):
    """The response could not be had; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask for; a field that is None here is not sent, though it is usual."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str | None], ...] = ()
    body: bytes | None = None

    def target(self) -> Url:
        """The URL, taken apart. Raises UsageError for a request that cannot be."""
        if not is_token(self.method.encode()):
            raise UsageError(f"{self.method!r} is no method; GET, HEAD, PUT or POST are")
        return parse_url(self.url)


class Sink(Protocol):
    """Where a body goes."""

    def write(self, data: bytes, /) -> Any:
        """Takes the next part. Raises OSError."""


class Progress(Protocol):
    """Who is told how far a download is."""

    def begin(self, there: int, total: int | None) -> None:
        """`there` bytes are here already, of `total` if that is known."""

    def advance(self, size: int) -> None:
        """`size` bytes more are here."""


@asynccontextmanager
async def open_client(
    host: AsyncHost,
    *,
    version: HttpVersion = "auto",
    verify: bool = True,
    authorities: bytes | None = None,
    keylog: KeyLogCallback | None = None,
    places: Mapping[tuple[str, int], str] | None = None,
    watch: Callable[[], Watch] | None = None,
    timeout: float = 60.0,
    redirects: int = REDIRECTS,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose connections are `host`'s.

    `version` "auto" lets TLS choose and speaks HTTP/1.1 without it. `authorities` are
    certificates (PEM) to trust instead of the system's. `places` and `watch` are those of
    `AsyncBackend`. A request fails when nothing moves for `timeout` seconds, and behind more
    than `redirects` redirections; with 0 a redirection is a response like others.
    """
    transport = AsyncTransport(
        host,
        verify=client_context(verify=verify, authorities=authorities, keylog=keylog),
        http1=version != "2-prior-knowledge",
        http2=version != "1.1",
        places=places,
        watch=watch,
    )
    async with httpx.AsyncClient(
        transport=transport,
        timeout=timeout,
        follow_redirects=redirects > 0,
        max_redirects=redirects,
        trust_env=False,
        headers={"user-agent": AGENT},
    ) as client:
        # What is asked for is what is written: no compression that would have to be undone.
        del client.headers["accept-encoding"]
        yield client


async def fetch(
    client: httpx.AsyncClient,
    request: Request,
    sink: Sink,
    *,
    on_head: Callable[[httpx.Response], None] | None = None,
    progress: Progress | None = None,
) -> httpx.Response:
    """Sends `request` and writes the body of its response, whatever the status, to `sink`.

    `on_head` is called with the final response before its body. Raises UsageError for a
    request that cannot be sent, and OSError (FetchError where it was HTTP's fault) for
    everything that goes wrong on the way.
    """
    async with _response(client, request, {}) as response:
        if on_head is not None:
            on_head(response)
        await _body(response, sink, progress, 0)
    return response


async def download(
    client: httpx.AsyncClient,
    request: Request,
    partial: Partial,
    *,
    resume: bool = False,
    on_head: Callable[[httpx.Response], None] | None = None,
    progress: Progress | None = None,
) -> httpx.Response:
    """Like `fetch`, into a file; with `resume` only what is missing of it is asked for.

    The server is told what the part at hand was taken from (If-Range), so that it sends all
    when that has changed since (RFC 9110 §13.1.5, §14). What is here when something fails
    stays here.
    """
    url = str(httpx.URL(_plain(request.target())))
    here, validator = partial.found(url) if resume else (0, "")
    extra = {"range": f"bytes={here}-", "if-range": validator} if here else {}
    try:
        async with _response(client, request, extra) as response:
            if here and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return await _nothing_missing(response, partial, here)
            if here and response.status_code >= httpx.codes.BAD_REQUEST:
                raise FetchError(f"the server says {response.status_code} {response.reason_phrase}")
            if on_head is not None:
                on_head(response)
            if here and response.status_code == httpx.codes.PARTIAL_CONTENT:
                _check_part(response, here, validator)
                partial.go_on()
            else:
                here = 0
                partial.begin(url, validator_of(response.headers))
            await _body(response, partial, progress, here)
    finally:
        partial.close()
    partial.finish()
    return response


async def _nothing_missing(response: httpx.Response, partial: Partial, here: int) -> httpx.Response:
    """416: there is nothing behind what we have, which then must be all there is."""
    found = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != here:
        raise FetchError(
            f"{partial.part} does not fit what the server has now: remove it to begin anew"
        )
    partial.finish()
    return response


def _check_part(response: httpx.Response, here: int, validator: str) -> None:
    """Raises FetchError unless the response goes on where we are, with the same file."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != here:
        raise FetchError("the server sent another part than the one that was asked for")
    tag = response.headers.get("etag")
    if tag is not None and validator.startswith('"') and tag != validator:
        raise FetchError("the server sent a part of something that has changed meanwhile")


@asynccontextmanager
async def _response(
    client: httpx.AsyncClient, request: Request, extra: Mapping[str, str]
) -> AsyncIterator[httpx.Response]:
    """The final response, its body not yet read; what goes wrong inside, too, is an OSError."""
    try:
        built = _build(client, request, extra)
        response = await client.send(built, stream=True)
        try:
            yield response
        finally:
            await response.aclose()
    except httpx.TooManyRedirects:
        raise FetchError(f"more than {client.max_redirects} redirections") from None
    except httpx.TimeoutException as error:
        raise TimeoutError(str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, h2.exceptions.H2Error) as error:
        raise _explained(error) from error


def _build(client: httpx.AsyncClient, request: Request, extra: Mapping[str, str]) -> httpx.Request:
    given = [(name, value) for name, value in request.headers if value is not None]
    try:
        fields = [checked_field((name.encode(), value.encode())) for name, value in given]
    except ValueError as error:
        raise UsageError(f"this request cannot be sent: {error}") from None
    more = [(name.encode(), value.encode()) for name, value in extra.items()]
    if request.body is not None and b"content-length" not in dict(fields):
        more.append((b"content-length", b"%d" % len(request.body)))
    body = None if request.body is None else _Parts(request.body)
    built = client.build_request(
        request.method, _plain(request.target()), headers=fields + more, content=body
    )
    for name, value in request.headers:
        if value is None:
            built.headers.pop(name, None)
    return built


class _Parts:
    """A body in pieces: of a whole one, httpcore would copy what is left for every frame."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PART):
            yield bytes(self._body[start : start + PART])


def _plain(target: Url) -> str:
    return f"{target.scheme}://{target.authority}{target.path}"


async def _body(response: httpx.Response, sink: Sink, progress: Progress | None, here: int) -> None:
    if progress is not None:
        length = response.headers.get("content-length", "")
        progress.begin(here, here + int(length) if length.isdigit() else None)
    async for part in response.aiter_raw():
        sink.write(part)
        if progress is not None:
            progress.advance(len(part))


def _explained(error: Exception) -> OSError:
    """The reason behind an exception of httpx, h2 or the stack, for people."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FetchError(f"the certificate cannot be verified: {cause.verify_message}")
        if isinstance(cause, OSError):
            return cause
        event = cause.args[0] if cause.args else None
        if isinstance(event, h2.events.StreamReset):
            return FetchError(f"the server reset the stream ({_name(event.error_code)})")
        if isinstance(event, h2.events.ConnectionTerminated):
            code = _name(event.error_code)
            return FetchError(f"the server ended the connection (GOAWAY, {code})")
        if isinstance(cause, h2.exceptions.StreamClosedError):
            return FetchError("the server stopped the request before its body was whole")
        if isinstance(cause, h2.exceptions.H2Error):
            return FetchError(f"the server's answer is no HTTP/2: {cause}")
    words = str(error).splitlines()
    return FetchError(words[0] if words else type(error).__name__)


def _causes(error: BaseException | None) -> list[BaseException]:
    """What led to `error`, the first reason first; pools cut the chain of causes, not of contexts."""
    causes: list[BaseException] = []
    while error is not None:
        causes.insert(0, error)
        error = error.__cause__ or error.__context__
    return causes


def _name(code: Any) -> str:
    return getattr(code, "name", None) or f"error {code}"
