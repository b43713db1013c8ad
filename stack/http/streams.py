"""One HTTP/2 stream on the server: an exchange and what of its response waits for a window."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from stack.http.asgi import Scope
from stack.http.exchange import Exchange
from stack.http.message import Headers, field
from stack.http.schedule import Ranked
from stack.http.session import Session
from stack.http.websocket import WebSocketExchange, websocket_scope

if TYPE_CHECKING:
    from stack.http.http2 import Http2Connection


class OutputQueue:
    """Bytes in the order they were given, taken out in pieces of any size, copied at most once."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[bytes | memoryview] = deque()

    def append(self, data: bytes) -> None:
        """Adds to the end; empty data adds nothing."""
        if data:
            self._pieces.append(data)
            self.size += len(data)

    def take(self, limit: int) -> bytes | memoryview:
        """Takes up to `limit` bytes off the front; less only when there are no more."""
        pieces = self._pieces
        head = pieces[0]
        if len(head) >= limit:
            self.size -= limit
            return self._cut_head(limit)
        taken: list[bytes | memoryview] = []
        room = limit
        while pieces and room:
            piece = pieces.popleft() if len(pieces[0]) <= room else self._cut_head(room)
            taken.append(piece)
            room -= len(piece)
        self.size -= limit - room
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _cut_head(self, size: int) -> memoryview:
        view = memoryview(self._pieces[0])
        if len(view) == size:
            self._pieces.popleft()
        else:
            self._pieces[0] = view[size:]
        return view[:size]

    def clear(self) -> None:
        """Drops everything."""
        self._pieces.clear()
        self.size = 0


class Stream(Exchange, Ranked):
    """A request that arrived as HTTP/2 stream `id`."""

    def __init__(
        self, connection: "Http2Connection", session: Session, id_: int, scope: Scope
    ) -> None:
        Exchange.__init__(self, session, scope)
        Ranked.__init__(self, id_)
        self.output = OutputQueue()
        self.output_ended = False  # what is queued is the end of the response
        self.continue_due = field(scope["headers"], b"expect") == b"100-continue"
        self.trailers: Headers = []
        self.moved = session.loop.time()  # when the response last moved
        self.window = session.limits.stream_window  # for the request's body
        self.taken = 0  # of the body, since round trips were last measured
        self._connection = connection
        self._room: asyncio.Future[None] | None = None

    @property
    def pending(self) -> bool:
        """Whether some of the response waits to be sent."""
        return bool(self.output.size) or (self.output_ended and not self.gone)

    def progress(self) -> None:
        """Some of the response left."""
        self.moved = self.session.loop.time()
        self.make_room()

    def make_room(self) -> None:
        """Lets the application go on, when enough of what it gave has been sent."""
        if self._room is not None and (self.gone or not self._crowded()):
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def disconnect(self) -> None:
        super().disconnect()
        self.output.clear()
        self.make_room()

    def _crowded(self) -> bool:
        return self.output.size > self.session.limits.stream_buffer

    async def _drain(self) -> None:
        while self._crowded() and not self.gone:
            self._room = self.session.loop.create_future()
            await self._room

    def _write_head(self, status: int, headers: Headers, body: bytes, *, end: bool) -> None:
        self._connection.sender.head(self, status, headers, body, end=end)

    def _write_body(self, body: bytes, *, end: bool) -> None:
        self._connection.sender.body(self, body, end=end)

    def _write_trailers(self, headers: Headers) -> None:
        self._connection.sender.trailers(self, headers)

    def _write_informational(self, status: int, headers: Headers) -> None:
        self._connection.sender.informational(self, status, headers)

    def _push(self, path: bytes, headers: Headers) -> None:
        self._connection.push(self, path, headers)

    def _cut(self) -> None:
        self._connection.cut(self)

    def _body_wanted(self) -> None:
        if self.continue_due and not self.begun:
            # The peer holds the body back until it is asked for (RFC 9110 §10.1.1).
            self.continue_due = False
            self._connection.sender.informational(self, 100, [])

    def _body_consumed(self, size: int) -> None:
        self._connection.body_consumed(self, size)


class WebSocketStream(WebSocketExchange, Stream):
    """A WebSocket that an extended CONNECT asked for (RFC 8441)."""

    def __init__(
        self, connection: "Http2Connection", session: Session, id_: int, scope: Scope
    ) -> None:
        super().__init__(connection, session, id_, websocket_scope(scope))

    def _write_accept(self, headers: Headers) -> None:
        # RFC 8441 §5: 200 stands for the 101 of HTTP/1.1, and no key is proved.
        self.status = 200
        self._connection.sender.head(self, 200, headers, b"", end=False)
