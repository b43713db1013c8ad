"""One request of an HTTP/1.1 connection, and the WebSocket that it may become."""

from typing import TYPE_CHECKING

from stack.http.asgi import http_scope
from stack.http.exchange import EXTENSIONS, Exchange
from stack.http.http1_head import Request
from stack.http.message import Headers, field, tokens
from stack.http.session import Handler, Session
from stack.http.websocket import WebSocketExchange, accept_headers, websocket_scope

if TYPE_CHECKING:
    from stack.http.http1 import Http1Connection


class Http1Exchange(Exchange):
    """A request on an HTTP/1.1 connection, which answers one at a time."""

    def __init__(self, connection: "Http1Connection", request: Request) -> None:
        session = connection.session
        scope = http_scope(
            request.version,
            request.method,
            request.path,
            request.headers,
            scheme="https" if session.secure else "http",
            client=session.client,
            server=session.server,
            state=session.service.running.state,
            info=session.info,
            extensions=session.extensions | (EXTENSIONS if request.version == "1.1" else {}),
        )
        super().__init__(session, scope)
        self._connection = connection

    def _write_head(self, status: int, headers: Headers, body: bytes, *, end: bool) -> None:
        self._connection.write_head(status, headers, body, end=end)

    def _write_body(self, body: bytes, *, end: bool) -> None:
        self._connection.write_body(body, end=end)

    def _write_trailers(self, headers: Headers) -> None:
        # RFC 9110 §6.5.1: only to a recipient that says it takes them.
        wanted = b"trailers" in tokens(self.scope["headers"], b"te")
        self._connection.write_trailers(headers if wanted else [])

    def _write_informational(self, status: int, headers: Headers) -> None:
        self._connection.write_informational(status, headers)

    def _push(self, path: bytes, headers: Headers) -> None:
        raise AssertionError("HTTP/1.1 does not offer pushing")

    def _crowded(self) -> bool:
        return self.session.write_paused

    async def _drain(self) -> None:
        await self.session.writable()

    def _cut(self) -> None:
        self._connection.cut(self)

    def _body_wanted(self) -> None:
        self._connection.body_wanted(self)

    def _body_consumed(self, size: int) -> None:
        self._connection.body_consumed()


class Http1WebSocket(WebSocketExchange, Http1Exchange):
    """A WebSocket that takes its HTTP/1.1 connection over once it is accepted."""

    def __init__(self, connection: "Http1Connection", request: Request) -> None:
        super().__init__(connection, request)
        self.scope = websocket_scope(self.scope)
        self._key = field(request.headers, b"sec-websocket-key") or b""
        self._request_ended = False

    @property
    def body_ended(self) -> bool:
        """Whether what comes next belongs to the WebSocket."""
        return self._request_ended

    def request_ended(self) -> None:
        """The request that asks for the WebSocket is whole."""
        self._request_ended = True

    def _body_consumed(self, size: int) -> None:
        self.session.resume_reading()

    def _write_accept(self, headers: Headers) -> None:
        self.status = 101
        self._connection.switch_to_websocket(self, accept_headers(headers, self._key))

    def _write_body(self, body: bytes, *, end: bool) -> None:
        if self._wire is None:
            super()._write_body(body, end=end)
            return
        self.sent += len(body)
        self.session.write(body)
        if end:
            self.session.linger()


class WebSocketHandler(Handler):
    """What is left of an HTTP/1.1 connection that became a WebSocket."""

    def __init__(self, session: Session, exchange: Http1WebSocket) -> None:
        self._session = session
        self._exchange = exchange

    def data_received(self, data: bytes) -> None:
        self._exchange.feed(data, len(data))
        if self._exchange.unread > self._session.limits.body_buffer:
            self._session.pause_reading()

    def eof_received(self) -> bool:
        self._exchange.feed_end()
        return False

    def connection_lost(self) -> None:
        self._exchange.disconnect()

    def writing_resumed(self) -> None:
        """The session lets the application go on."""

    def timed_out(self) -> None:
        self._session.abort()

    def drain(self) -> None:
        self._exchange.going_away()
