"""HTTP/1.1 on a connection, parsed and written by h11 (RFC 9112)."""

import h11

from stack.http.http1_exchange import Http1Exchange, Http1WebSocket, WebSocketHandler
from stack.http.http1_head import HeadLines, Request
from stack.http.http2 import Http2Connection
from stack.http.message import BadRequest, Headers, content_length, reason_phrase
from stack.http.service import AccessRecord
from stack.http.session import Handler, Session
from stack.http.upgrade import UpgradedRequest, wanted_settings, without_upgrade
from stack.http.websocket import wants_websocket

SWITCH = h11.InformationalResponse(
    status_code=101,
    reason=b"Switching Protocols",
    headers=[(b"connection", b"Upgrade"), (b"upgrade", b"h2c")],
)
CONTINUE = h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])


class _Upgrading:
    """A request that will become stream 1 as soon as its body is here."""

    def __init__(self, request: Request, settings: bytes) -> None:
        self.request = request
        self.settings = settings
        self.chunks: list[bytes] = []
        self.size = 0


class Http1Connection(Handler):
    """Requests in, responses out, in order; the next request is parsed behind the response."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._limits = session.limits
        self._h11 = h11.Connection(
            h11.SERVER, max_incomplete_event_size=session.limits.header_bytes
        )
        self._lines = HeadLines()
        self._exchange: Http1Exchange | None = None
        self._upgrading: _Upgrading | None = None
        self._fresh = True  # nothing of the next request has arrived
        self._last = False  # no request after this one
        self._cycle_due = False  # the next request is looked at in the next turn of the loop
        self._peer_closed = False
        self._bodiless = False  # the request is a HEAD
        self._speaks_chunked = True
        self._chunked = False  # the response's body is in chunks
        self._ahead = 0  # bytes that arrived behind the current request
        self._discarded = 0  # bytes of a body that nobody reads
        self._read_paused_for_body = False
        session.watchdog.within(session.limits.header_timeout)

    # ---- input

    def data_received(self, data: bytes) -> None:
        if self._fresh:
            # RFC 9112 §2.2: empty lines before a request are to be ignored.
            data = data.lstrip(b"\r\n")
            if not data:
                return
            self._fresh = False
            self.session.watchdog.within(self._limits.header_timeout)
        self._h11.receive_data(data)
        if self._exchange is None and self._h11.their_state is h11.IDLE:
            self._lines.feed(data)
        if self._exchange is not None and self._exchange.body_ended:
            self._ahead += len(data)
            if self._ahead > self._limits.pipeline_bytes:
                self.session.pause_reading()
            return
        self._advance()

    def _advance(self) -> None:
        """Handles what h11 makes of the bytes that are here."""
        while not self.session.closing:
            if self._lines.ambiguous and self._h11.their_state is h11.IDLE:
                self._refuse(400, "a line is folded, or ends without CR")
                return
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.ConnectionClosed):
                self._on_closed()
                return
            try:
                self._handle(event)
            except BadRequest as error:
                self._refuse(error.status, error.reason)
                return
            if self.session.handler is not self:
                return

    def _handle(self, event: object) -> None:
        if isinstance(event, h11.Data):
            self._on_data(bytes(event.data))
        elif isinstance(event, h11.Request):
            self._bodiless = event.method == b"HEAD"
            self._speaks_chunked = event.http_version != b"1.0"
            self._on_request(Request(event, self._limits.header_bytes))
        elif isinstance(event, h11.EndOfMessage):
            self._on_end(list(event.headers))

    def _on_request(self, request: Request) -> None:
        self.session.watchdog.off()
        settings = None
        if not self.session.secure and request.version == "1.1":
            settings = wanted_settings(request.headers)
        if settings is None or (content_length(request.headers) or 0) > self._limits.upgrade_body:
            self._start(request)
            return
        self._upgrading = _Upgrading(request, settings)
        self._send_continue()

    def _start(self, request: Request) -> Http1Exchange:
        kind = Http1Exchange
        if wants_websocket(request.method, request.headers):
            kind = Http1WebSocket
        self._exchange = kind(self, request)
        self._exchange.start()
        return self._exchange

    def _on_data(self, data: bytes) -> None:
        if self._upgrading is not None:
            self._collect(self._upgrading, data)
        elif self._exchange is None:
            self._discard(len(data))
        else:
            self._exchange.feed(data, len(data))
            self.session.watchdog.off()
            if self._exchange.waiting > self._limits.body_buffer:
                self._read_paused_for_body = True
                self.session.pause_reading()

    def _collect(self, upgrading: _Upgrading, data: bytes) -> None:
        """The body of an upgraded request belongs to HTTP/1.1, and comes before all else."""
        upgrading.chunks.append(data)
        upgrading.size += len(data)
        if upgrading.size > self._limits.upgrade_body:
            self._upgrading = None
            exchange = self._start(upgrading.request)
            for chunk in upgrading.chunks:
                exchange.feed(chunk, len(chunk))

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.discard_bytes:
            self.session.linger()

    def _on_end(self, trailers: Headers) -> None:
        if self._upgrading is not None:
            self._switch(self._upgrading)
        elif self._exchange is None:
            self._next_cycle()
        else:
            self.session.watchdog.off()
            if isinstance(self._exchange, Http1WebSocket):
                self._exchange.request_ended()
            else:
                self._exchange.feed_end(trailers)

    def _on_closed(self) -> None:
        """The peer sends no further request; the one that is here is still answered."""
        if self._exchange is None:
            self.session.close()
        else:
            self.session.watchdog.within(self._limits.half_close_timeout)

    def _switch(self, upgrading: _Upgrading) -> None:
        """101, and on with HTTP/2; what is behind the request is the client's preface."""
        request = upgrading.request
        answer = self._h11.send(SWITCH)
        rest, _ = self._h11.trailing_data
        upgraded = UpgradedRequest(
            upgrading.settings,
            request.method,
            request.path,
            without_upgrade(request.headers),
            b"".join(upgrading.chunks),
        )
        self.session.note_h2c("upgrade")
        connection = Http2Connection(self.session, upgraded=upgraded, greeting=answer)
        self.session.handler = connection
        if rest:
            connection.data_received(rest)

    # ---- for the exchange

    def body_wanted(self, exchange: Http1Exchange) -> None:
        """The application waits for a body that the peer may be holding back."""
        if exchange is self._exchange:
            self._send_continue()
            self.session.watchdog.within(self._limits.body_timeout)

    def _send_continue(self) -> None:
        if self._h11.they_are_waiting_for_100_continue:
            self.session.write(self._h11.send(CONTINUE))

    def body_consumed(self) -> None:
        """The application took the body that had arrived."""
        if self._read_paused_for_body:
            self._read_paused_for_body = False
            self.session.resume_reading()

    def write_head(self, status: int, headers: Headers, body: bytes, *, end: bool) -> None:
        """Sends a header section and the first part of its body in one piece."""
        if self._last or self._h11.they_are_waiting_for_100_continue:
            # RFC 9110 §10.1.1: whether the held-back body comes now nobody can know.
            headers = [item for item in headers if item[0] != b"connection"]
            headers.append((b"connection", b"close"))
        self._chunked = not (self._bodiless or status in {204, 304}) and (
            content_length(headers) is None and self._speaks_chunked
        )
        response = h11.Response(status_code=status, headers=headers, reason=reason_phrase(status))
        self._send([response, *self._body_events(body, end=end)], end=end)

    def write_body(self, body: bytes, *, end: bool) -> None:
        """Sends more of a body."""
        self._send(self._body_events(body, end=end), end=end)

    def write_trailers(self, headers: Headers) -> None:
        """Ends a body; only a chunked one has room for trailers (RFC 9112 §7.1.2)."""
        if not self._chunked:
            headers = []
        self._send([h11.EndOfMessage(headers=headers)], end=True)

    def switch_to_websocket(self, exchange: Http1WebSocket, headers: Headers) -> None:
        """101, after which the connection carries the WebSocket's frames (RFC 6455 §4.2.2)."""
        event = h11.InformationalResponse(
            status_code=101, headers=headers, reason=reason_phrase(101)
        )
        self.session.write(self._h11.send(event))
        rest, _ = self._h11.trailing_data
        self._exchange = None
        handler = WebSocketHandler(self.session, exchange)
        self.session.handler = handler
        self.session.watchdog.off()
        self.session.resume_reading()
        if rest:
            # Behind what the application is doing now: the exchange is not open yet.
            self.session.loop.call_soon(handler.data_received, rest)

    def write_informational(self, status: int, headers: Headers) -> None:
        """Sends a response of the 100 class ahead of the final one (RFC 9110 §15.2)."""
        event = h11.InformationalResponse(
            status_code=status, headers=headers, reason=reason_phrase(status)
        )
        self.session.write(self._h11.send(event))

    def _body_events(self, body: bytes, *, end: bool) -> list[h11.Event]:
        events: list[h11.Event] = [h11.Data(data=body)] if body else []
        if end:
            events.append(h11.EndOfMessage())
        return events

    def _send(self, events: list[h11.Event], *, end: bool) -> None:
        pieces: list[bytes] = []
        for event in events:
            pieces += self._h11.send_with_data_passthrough(event) or ()
        self.session.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._peer_closed:
            self.session.watchdog.within(self._limits.half_close_timeout)
        if end:
            self._response_done()

    def cut(self, exchange: Http1Exchange) -> None:
        """Ends the connection so that nobody takes the response for complete."""
        if exchange is self._exchange:
            self._exchange = None
            self.session.abort()

    # ---- between requests

    def _response_done(self) -> None:
        self._exchange = None
        self._read_paused_for_body = False
        self.session.resume_reading()
        if self._h11.our_state is not h11.DONE:
            self._finish()
        elif self._h11.their_state is h11.DONE:
            # Not from here: the caller is the application, the next request is not its affair.
            self._cycle_due = True
            self.session.loop.call_soon(self._next_cycle)
        elif self._h11.their_state is h11.SEND_BODY:
            self._discarded = 0
            self.session.watchdog.within(self._limits.header_timeout)
            self.session.loop.call_soon(self._advance)

    def _finish(self) -> None:
        """The last response is out."""
        if self._h11.their_state is h11.SEND_BODY or self._ahead:
            self.session.linger()
        else:
            self.session.close()

    def _next_cycle(self) -> None:
        self._cycle_due = False
        if self.session.closing:
            return
        self._h11.start_next_cycle()
        rest, closed = self._h11.trailing_data
        self._lines = HeadLines()
        self._lines.feed(rest)
        self._fresh = not rest
        self._ahead = 0
        if self._last or (closed and not rest):
            self.session.close()
            return
        limits = self._limits
        self.session.watchdog.within(limits.header_timeout if rest else limits.idle_timeout)
        if rest:
            self._advance()

    # ---- ends

    def _refuse(self, status: int, reason: str) -> None:
        """Answers what is no request with one clear line, and closes (RFC 9112 §2.2)."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
        if self._h11.our_state is h11.SEND_BODY:
            self.session.abort()
            return
        if self._h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.session.linger()
            return
        self._last = True
        if status != 408:
            self.session.service.counters["http_bad_requests"] += 1
        self._log_refusal(status)
        body = b"%d %s: %s\n" % (status, reason_phrase(status), reason.encode())
        headers: Headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        self.session.service.add_own_headers(headers)
        response = h11.Response(status_code=status, headers=headers, reason=reason_phrase(status))
        self.session.write(self._h11.send(response) + (b"" if self._bodiless else body))
        self.session.linger()

    def _log_refusal(self, status: int) -> None:
        session = self.session
        session.service.log(
            AccessRecord(
                connection=session.number,
                client=session.client,
                http_version="1.1",
                method="-",
                target="-",
                status=status,
                sent=0,
                duration=0.0,
                complete=True,
            )
        )

    def eof_received(self) -> bool:
        """A peer may close its side behind its last request (RFC 9112 §9.6)."""
        self._peer_closed = True
        self._h11.receive_data(b"")
        if self._cycle_due or (self._exchange is not None and self._exchange.body_ended):
            self.session.watchdog.within(self._limits.half_close_timeout)
            return True
        self._advance()
        return False

    def connection_lost(self) -> None:
        if self._exchange is not None:
            self._exchange.disconnect()

    def writing_resumed(self) -> None:
        if self._peer_closed:
            self.session.watchdog.within(self._limits.half_close_timeout)

    def timed_out(self) -> None:
        if self._peer_closed:
            self.session.abort()
        elif self._fresh and self._h11.our_state is h11.IDLE:
            self.session.close()
        else:
            self.session.service.counters["http_slow_requests"] += 1
            self._refuse(408, "the request did not arrive in time")

    def drain(self) -> None:
        self._last = True
        if self._exchange is None and self._fresh:
            self.session.close()
