"""A small HTTP client: one request over a host's `create_connection`, HTTP/1.1 or HTTP/2."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

from stack.errors import UsageError
from stack.http.client_http1 import Http1Request
from stack.http.client_http2 import Http2Request
from stack.http.fetching import ENDED, FetchError, Job, Request, Response, Wire
from stack.http.message import Headers
from stack.http.tls import ALPN, KeyLogCallback, client_context
from stack.http.url import parse_url

__all__ = ["FetchError", "HttpVersion", "Response", "fetch"]

HttpVersion = Literal["auto", "1.1", "2", "2-prior-knowledge"]

# How long the connection may take to close once the response is here, in seconds.
CLOSING_TIME = 1.0


class ClientHost(Protocol):
    """What the client needs of a host: asyncio's `create_connection`."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        address: str,
        port: int,
        *,
        ssl: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> Any:
        """Connects and returns (transport, protocol)."""


async def fetch(
    host: ClientHost,
    url: str,
    *,
    method: str = "GET",
    headers: Headers | None = None,
    body: bytes | None = None,
    http_version: HttpVersion = "auto",
    verify: bool = True,
    authorities: bytes | None = None,
    address: str | None = None,
    keylog: KeyLogCallback | None = None,
    on_head: Callable[[Response], None] | None = None,
    on_data: Callable[[bytes], None] | None = None,
    verbose: Callable[[str], None] | None = None,
) -> Response:
    """Sends one request and returns its response.

    `http_version`: "auto" lets TLS choose and speaks HTTP/1.1 without it; "2" without TLS asks
    for an upgrade (h2c). `authorities` are certificates (PEM) to trust instead of the
    system's, `address` is where to connect instead of the URL's host. `on_head` is called
    with the response before its body, `on_data` with each part of the body, which otherwise
    is collected in the response; `verbose` with lines as curl -v prints them.

    Raises UsageError for a URL that cannot be used, and OSError (FetchError where HTTP or the
    certificate was the reason) for everything that goes wrong on the way.
    """
    target = parse_url(url)
    if address is None:
        if not target.numeric:
            raise UsageError(
                f"{target.host!r} is a name, and this stack looks no names up: give the "
                "server's address, as in http://192.0.2.1/"
            )
        address = target.host
    if http_version not in {"auto", "1.1", "2", "2-prior-knowledge"}:
        raise UsageError(
            f"{http_version!r} is no version of HTTP here; choose auto, 1.1, 2 or 2-prior-knowledge"
        )
    request = Request(target, method, headers or [], body)
    request.fields()
    job = Job(request, on_head, on_data, verbose)
    protocol = _ClientProtocol(job, http_version)
    context = _context(http_version, verify, authorities, keylog) if target.secure else None
    try:
        await host.create_connection(
            lambda: protocol,
            address,
            target.port,
            ssl=context,
            server_hostname=target.host if context else None,
        )
    except ssl.SSLCertVerificationError as error:
        raise FetchError(
            f"the certificate of {target.host} cannot be verified: {error.verify_message}"
        ) from None
    return await _finish(job, protocol)


async def _finish(job: Job, protocol: "_ClientProtocol") -> Response:
    try:
        response = await job.done
    except BaseException:
        protocol.abort()
        raise
    protocol.close()
    try:
        async with asyncio.timeout(CLOSING_TIME):
            await protocol.closed.wait()
    except TimeoutError:
        protocol.abort()
    return response


def _context(
    version: HttpVersion,
    verify: bool,
    authorities: bytes | None,
    keylog: KeyLogCallback | None,
) -> ssl.SSLContext:
    alpn = {"auto": ALPN, "1.1": ("http/1.1",)}.get(version, ("h2",))
    return client_context(verify=verify, authorities=authorities, alpn=alpn, keylog=keylog)


class _ClientProtocol(asyncio.Protocol):
    """The client's end of the connection; what the request is written in, a `Wire` knows."""

    def __init__(self, job: Job, version: HttpVersion) -> None:
        self.closed = asyncio.Event()
        self._job = job
        self._version = version
        self._wire: Wire | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        try:
            self._begin(self._transport)
        except Exception as error:
            self._job.fail(error)

    def _begin(self, transport: asyncio.Transport) -> None:
        job = self._job
        target = job.request.target
        job.note(f"* Connected to {target.host} port {target.port}")
        tls = transport.get_extra_info("ssl_object")
        alpn = None
        if tls is not None:
            alpn = tls.selected_alpn_protocol()
            job.note(f"* {tls.version()}, {tls.cipher()[0]}, ALPN {alpn or 'none'}")
        if alpn == "h2" or (tls is None and self._version == "2-prior-knowledge"):
            self._wire = Http2Request(job, transport)
        elif tls is not None and self._version not in {"auto", "1.1"}:
            job.fail(FetchError("the server does not speak HTTP/2 over TLS (ALPN h2)"))
            return
        else:
            upgrade = tls is None and self._version == "2"
            self._wire = Http1Request(job, transport, upgrade=upgrade)
        self._wire.start()

    def data_received(self, data: bytes) -> None:
        if self._job.done.done() or self._wire is None:
            return
        try:
            self._wire.data_received(data)
        except Exception as error:
            # What the caller's callbacks raise belongs to the caller.
            self._job.fail(error)
        if self._wire.successor is not None:
            self._wire = self._wire.successor

    def eof_received(self) -> bool:
        if self._wire is not None and not self._job.done.done():
            self._wire.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        reason = f": {exc}" if exc else ""
        self._job.fail(FetchError(ENDED + reason))

    def pause_writing(self) -> None:
        if self._wire is not None:
            self._wire.paused = True

    def resume_writing(self) -> None:
        if self._wire is not None:
            self._wire.paused = False
            if not self._job.done.done():
                self._wire.pump()

    def close(self) -> None:
        """Takes leave, and closes."""
        if self._wire is not None:
            self._wire.leave()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()
