"""WebSockets for ASGI, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441), framed by wsproto.

Messages are not compressed: what unpacks to a thousand times its size has no place in a
server that gives each peer a limit.
"""

from collections import deque
from typing import Any

from stack.http.asgi import ClientGone, Message, Scope
from stack.http.exchange import Exchange
from stack.http.message import Headers, field, is_token, response_headers, tokens

try:
    from wsproto.connection import Connection, ConnectionState, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
    from wsproto.frame_protocol import CloseReason
    from wsproto.utilities import LocalProtocolError, generate_accept_token
except ImportError:
    # The extra `websocket` is not installed: nobody is offered what we cannot do.
    AVAILABLE = False
else:
    AVAILABLE = True

VERSION = b"13"
ABNORMAL = 1006
EXTENSIONS: dict[str, Any] = {"websocket.http.response": {}}


def wants_websocket(method: bytes, headers: Headers) -> bool:
    """Whether an HTTP/1.1 request opens a WebSocket as RFC 6455 §4.2.1 asks for it."""
    return (
        AVAILABLE
        and method == b"GET"
        and b"websocket" in tokens(headers, b"upgrade")
        and b"upgrade" in tokens(headers, b"connection")
        and field(headers, b"sec-websocket-version") == VERSION
        and field(headers, b"sec-websocket-key") is not None
    )


def websocket_scope(scope: Scope) -> Scope:
    """The scope of a request as that of a WebSocket (ASGI's WebSocket 2.4)."""
    offered = b",".join(
        value for name, value in scope["headers"] if name == b"sec-websocket-protocol"
    )
    protocols = [item.strip().decode("latin-1") for item in offered.split(b",") if item.strip()]
    made = {name: value for name, value in scope.items() if name != "method"}
    made["type"] = "websocket"
    made["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    made["subprotocols"] = protocols
    kept = {
        key: scope["extensions"][key] for key in ("tunstack", "tls") if key in scope["extensions"]
    }
    made["extensions"] = {**kept, **EXTENSIONS}
    return made


class WebSocketExchange(Exchange):
    """A WebSocket between a connection, which carries its bytes, and the application.

    It is mixed with the kind of exchange that writes heads and bodies.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._wire: Connection | None = None
        self._inbox: deque[Message] = deque([{"type": "websocket.connect"}])
        self._inbox_bytes = 0
        self._early: list[bytes] = []  # came before the application had accepted
        self._parts: list[Any] = []
        self._parts_bytes = 0
        self._unread = 0  # bytes that hold the peer back until the application takes messages
        self._code = ABNORMAL
        self._reason = ""
        self._closed = False  # one side has sent its Close
        self.running.on_leave.add(self)

    # ---- what the versions of HTTP do differently

    def _write_accept(self, headers: Headers) -> None:
        """Sends the head that opens the WebSocket."""
        raise NotImplementedError

    # ---- from the connection

    @property
    def unread(self) -> int:
        """Bytes that the application has not made room for."""
        return self._unread

    @property
    def starving(self) -> bool:
        """Never: a WebSocket may be silent for as long as it likes."""
        return False

    def feed(self, data: bytes, size: int) -> None:
        self._unread += size
        if self._closed:
            return
        if self._wire is None:
            self._early.append(data)
            self._body_consumed_if_small()
            return
        self._take(data)
        self._body_consumed_if_small()

    def _body_consumed_if_small(self) -> None:
        """Lets the peer go on while the application keeps up with its messages."""
        limits = self.session.limits
        backlog = self._inbox_bytes + (sum(map(len, self._early)) if self._early else 0)
        if self._unread and backlog <= limits.body_buffer:
            size, self._unread = self._unread, 0
            self._body_consumed(size)

    def feed_end(self, trailers: Headers | None = None) -> None:
        """The peer sends no more: with or without a Close, that is the end."""
        self._body_ended = True
        if self._wire is not None:
            self._finish()

    def _listens(self) -> bool:
        return True

    def _take(self, data: bytes) -> None:
        assert self._wire is not None
        self._wire.receive_data(data)
        for event in self._wire.events():
            self._on_event(event)
            if self._closed:
                return

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._on_part(event)
        elif isinstance(event, Ping):
            self._send_event(event.response())
        elif isinstance(event, CloseConnection):
            if self._wire is not None and self._wire.state is ConnectionState.OPEN:
                # The peer has not closed: wsproto has, for what the peer sent.
                self.session.service.counters["websocket_breaches"] += 1
            self._code = int(event.code)
            self._reason = event.reason or ""
            self._send_event(event.response())
            self._finish()

    def _on_part(self, event: TextMessage | BytesMessage) -> None:
        self._parts.append(event.data)
        self._parts_bytes += len(event.data)
        if self._parts_bytes > self.session.limits.websocket_message:
            self._close(CloseReason.MESSAGE_TOO_BIG, "the message is too long")
            return
        if not event.message_finished:
            return
        message: Message = {"type": "websocket.receive"}
        if isinstance(event, TextMessage):
            message["text"] = "".join(self._parts)
        else:
            message["bytes"] = b"".join(self._parts)
        self._inbox.append(message)
        self._inbox_bytes += self._parts_bytes
        self._parts, self._parts_bytes = [], 0
        self._changed.set()

    def _send_event(self, event: Any) -> None:
        assert self._wire is not None
        try:
            data = self._wire.send(event)
        except LocalProtocolError:
            return  # behind a Close nothing more is said
        self._write_body(data, end=False)

    def _close(self, code: int, reason: str) -> None:
        """Says Close, with which the connection has done its part."""
        self._code, self._reason = code, reason
        self._send_event(CloseConnection(code=code, reason=reason or None))
        self._finish()

    def _finish(self) -> None:
        """The WebSocket is over for the peer."""
        if not self._closed:
            self._closed = True
            self._changed.set()
            if not self.gone:
                self.complete = True
                self._write_body(b"", end=True)
            self._log()

    def going_away(self) -> None:
        """The server closes, or its application does (RFC 6455 §7.4.1)."""
        if self._wire is None or self._closed:
            return
        if self.running is self.session.service.running:
            self._close(CloseReason.GOING_AWAY, "the server closes")
        else:
            self._close(CloseReason.SERVICE_RESTART, "the application restarts")

    # ---- for the application

    async def receive(self) -> Message:
        """`websocket.connect`, then each message, at last `websocket.disconnect`."""
        self._receiving += 1
        try:
            while not self._inbox:
                if self.gone or self._closed or self.complete:
                    return {
                        "type": "websocket.disconnect",
                        "code": self._code,
                        "reason": self._reason,
                    }
                self._changed.clear()
                await self._changed.wait()
            message = self._inbox.popleft()
            self._inbox_bytes -= len(message.get("text") or message.get("bytes") or b"")
            if not self._inbox:
                self._inbox_bytes = 0
            self._body_consumed_if_small()
            return message
        finally:
            self._receiving -= 1

    async def send(self, message: Message) -> None:
        """Takes `websocket.accept`, `.send` and `.close`, or a response that denies.

        Raises ClientGone when the WebSocket is over, RuntimeError for what comes at the wrong
        time.
        """
        if self.gone or self._closed:
            raise ClientGone("the WebSocket is closed")
        kind = message["type"]
        if self._wire is None:
            self._on_opening(kind, message)
        elif kind == "websocket.send":
            self._on_send(message)
            if self._crowded():
                await self._wait_for_room()
        elif kind == "websocket.close":
            self._close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"unexpected message {kind!r}")

    def _on_opening(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept" and self._head is None:
            self._accept(message)
        elif kind == "websocket.close" and self._head is None:
            self.answer(403, "the application refused the WebSocket")
        elif kind == "websocket.http.response.start":
            self._on_start(message)
        elif kind == "websocket.http.response.body":
            self._on_body(message)
        else:
            raise RuntimeError(f"unexpected message {kind!r}")

    def _accept(self, message: Message) -> None:
        headers = response_headers(message.get("headers", ()))
        protocol = message.get("subprotocol")
        if protocol is not None:
            if not is_token(protocol.encode()):
                raise ValueError(f"{protocol!r} is not a subprotocol")
            headers.append((b"sec-websocket-protocol", protocol.encode()))
        self.session.service.add_own_headers(headers)
        self._wire = Connection(ConnectionType.SERVER)
        self._begun = True
        self._write_accept(headers)
        early, self._early = b"".join(self._early), []
        if early:
            self._take(early)
        if self._body_ended:
            self._finish()

    def _on_send(self, message: Message) -> None:
        text, data = message.get("text"), message.get("bytes")
        if text is not None:
            self._send_event(TextMessage(data=text))
        elif data is not None:
            self._send_event(BytesMessage(data=bytes(data)))
        else:
            raise RuntimeError("websocket.send without text and bytes")

    def _end(self) -> None:
        if self._wire is None:
            super()._end()
        elif not (self._closed or self.gone):
            self._close(self._ending_code, "")

    @property
    def _ending_code(self) -> int:
        """Where an application ends without a Close: whether that was by an error."""
        return CloseReason.INTERNAL_ERROR if self.failed else CloseReason.NORMAL_CLOSURE


def accept_headers(headers: Headers, key: bytes) -> Headers:
    """The fields of the 101 that opens a WebSocket (RFC 6455 §4.2.2)."""
    return [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", generate_accept_token(key)),
        *headers,
    ]
