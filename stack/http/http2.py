"""HTTP/2 on a connection (RFC 9113): which requests get in, and how it ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import ngh2
from ngh2 import ErrorCode, NGH2Error, Setting

from stack.http.asgi import Scope, http_scope
from stack.http.engine import MAX_STREAM_ID, Broken, Engine
from stack.http.exchange import EXTENSIONS
from stack.http.flood import FloodGuard
from stack.http.frames import PREFACE, FrameReader
from stack.http.message import BadRequest, Headers, check_host, field, split_target
from stack.http.schedule import Schedule
from stack.http.sending import Sender
from stack.http.session import Handler, Session
from stack.http.streams import Stream, WebSocketStream
from stack.http.upgrade import UpgradedRequest
from stack.http.websocket import AVAILABLE
from stack.http.windows import MARK, ReceiveWindows

PING = b"tunstack"

PUSH: dict[str, Any] = {"http.response.push": {}}

# What the engine resets a stream with when its peer breaks a rule. We never reset with these.
BREACHES = frozenset(
    (
        ErrorCode.PROTOCOL_ERROR,
        ErrorCode.FLOW_CONTROL_ERROR,
        ErrorCode.STREAM_CLOSED,
        ErrorCode.FRAME_SIZE_ERROR,
    )
)


class Http2Connection(Handler):
    """Streams in, each an exchange; what they answer goes to the `sender`."""

    def __init__(
        self,
        session: Session,
        *,
        upgraded: UpgradedRequest | None = None,
        greeting: bytes = b"",
    ) -> None:
        self.session = session
        self._limits = session.limits
        self._engine = Engine(session.limits, extended_connect=AVAILABLE)
        self._counters = session.service.counters
        self._frames = FrameReader(skip=len(PREFACE))
        self._flood = FloodGuard(self._frames, session.limits, session.loop.time())
        self._windows = ReceiveWindows(self._engine, session.limits)
        self._schedule = Schedule(tree_allowed=session.limits.rfc7540_priorities)
        self.sender = Sender(
            session, self._engine, self._schedule, heard=self._heard, sent_all=self._sent_all
        )
        self._streams: dict[int, Stream] = {}
        self._refusals = 0
        self._draining = False
        self._last_accepted = MAX_STREAM_ID
        self._last_goaway: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._ending = False
        self._look: asyncio.TimerHandle | None = None
        self._extensions = {**session.extensions, **EXTENSIONS, **PUSH}
        self._pushes = 0  # streams of ours that are open
        self._most_pushes = session.limits.pushes
        self._reset_by_peer = 0  # the stream that it reset last
        # The upgraded request, until the client's preface is here: curl up to 8.0 fails when
        # more than its buffer of 32 KiB follows the 101 (RFC 7540 §3.2 lets a server wait).
        self._upgraded: Stream | None = None
        self._on: dict[type[ngh2.Event], Callable[[Any], None]] = {
            ngh2.RequestReceived: self._on_request,
            ngh2.DataReceived: self._on_data,
            ngh2.TrailersReceived: self._on_trailers,
            ngh2.StreamReset: self._on_stream_reset,
            ngh2.StreamClosed: self._on_stream_closed,
            ngh2.WindowUpdated: self._on_window,
            ngh2.SettingsReceived: self._on_settings,
            ngh2.PingAcknowledged: self._on_ping_ack,
            ngh2.GoAwayReceived: self._on_goaway,
            ngh2.ConnectionClosed: self._on_connection_closed,
        }
        session.watchdog.within(session.limits.header_timeout)
        self._open(upgraded, greeting)

    def _open(self, upgraded: UpgradedRequest | None, greeting: bytes) -> None:
        self.session.write(greeting)
        if upgraded is None:
            self._engine.open()
            self.sender.flush()
            return
        self._engine.open(upgraded.settings, head=upgraded.method == b"HEAD")
        # Settings that hold a value which none may have end the connection here.
        self.sender.flush()
        if self.session.closing:
            return
        stream = self._stream(1, upgraded.method, upgraded.path, upgraded.headers)
        stream.feed(upgraded.body, 0)
        stream.feed_end()
        self._upgraded = stream

    # ---- input

    def data_received(self, data: bytes) -> None:
        signals = self._frames.feed(data)
        for signal in signals:
            self._schedule.signal(signal, self._streams.get(signal.stream))
        try:
            happened = self._engine.take(data)
        except Broken as broken:
            self._counters[broken.counter] += 1
            self._end()
            return
        for event in happened:
            self._heard(event)
            if self.session.closing:
                return
        if self._frames.breach:
            self._counters["http2_breaches"] += 1
            self._fail(ErrorCode.PROTOCOL_ERROR)
            return
        flood = self._flood.exceeded(self.session.loop.time(), self.sender.sent)
        if flood is not None:
            self._counters[flood] += 1
            self._fail(ErrorCode.ENHANCE_YOUR_CALM)
            return
        self.sender.flush()
        if self.session.write_paused:
            self._hold_control_frames()

    def _heard(self, event: ngh2.Event) -> None:
        handle = self._on.get(type(event))
        if handle is not None:
            handle(event)

    def _hold_control_frames(self) -> None:
        """Answers to PING, SETTINGS and resets may not pile up for a peer that never reads."""
        pending = self.session.transport.get_write_buffer_size()
        if pending > self._limits.write_buffer + self._limits.control_bytes:
            self._reading_paused = True
            self.session.pause_reading()

    def _on_request(self, event: ngh2.RequestReceived) -> None:
        stream_id = event.stream_id
        if len(self._streams) >= self._limits.streams or stream_id > self._last_accepted:
            self._refuse(stream_id)
            return
        self._engine.note_request(stream_id)
        pseudo: dict[bytes, bytes] = {}
        headers: Headers = []
        for item in event.headers:
            if item[0][:1] == b":":
                pseudo[item[0]] = item[1]
            else:
                headers.append((item[0], item[1]))
        headers = _joined(headers, pseudo.get(b":authority"))
        kind = WebSocketStream if pseudo.get(b":protocol") == b"websocket" else Stream
        stream = self._stream(
            stream_id, pseudo[b":method"], pseudo.get(b":path", b""), headers, kind
        )
        if event.end_stream:
            stream.feed_end()
        self._schedule.admit(stream, field(headers, b"priority"))
        self._start(stream)

    def _start(self, stream: Stream) -> None:
        self._streams[stream.id] = stream
        self.session.watchdog.off()
        if self._look is None:
            self._look_later()
        try:
            _check(stream.scope)
        except BadRequest as error:
            # Not before all that has arrived was looked at: a reset may follow the request.
            self.session.loop.call_soon(self._answer, stream, error)
        else:
            stream.start()

    def _answer(self, stream: Stream, error: BadRequest) -> None:
        if not stream.gone:
            stream.answer(error.status, error.reason)

    def _stream(
        self,
        stream_id: int,
        method: bytes,
        target: bytes,
        headers: Headers,
        kind: type[Stream] = Stream,
    ) -> Stream:
        session = self.session
        scope = http_scope(
            "2",
            method,
            target,
            headers,
            scheme="https" if session.secure else "http",
            client=session.client,
            server=session.server,
            state=session.service.running.state,
            info=session.info,
            extensions=self._extensions,
        )
        return kind(self, session, stream_id, scope)

    def _look_later(self) -> None:
        shortest = min(self._limits.stall_timeout, self._limits.body_timeout)
        self._look = self.session.loop.call_later(shortest / 4, self._look_for_stalls)

    def _look_for_stalls(self) -> None:
        """A peer that gives no window, or no body, for too long, gets its stream reset."""
        self._look = None
        patience = self.session.loop.time() - self._limits.stall_timeout
        for stream in list(self._streams.values()):
            if stream.starving or (stream.pending and stream.moved <= patience):
                self._counters["http2_stalled_streams"] += 1
                self.sender.reset(stream.id, ErrorCode.CANCEL)
                self._forget(stream)
                stream.disconnect()
        if self._streams:
            self._look_later()

    def _refuse(self, stream_id: int) -> None:
        self._counters["http2_refused"] += 1
        self.sender.reset(stream_id, ErrorCode.REFUSED_STREAM)
        self._count_refusal()

    def _count_refusal(self) -> None:
        """Who opens and resets streams as fast as he can gets nothing more (CVE-2023-44487)."""
        self._refusals += 1
        if self._refusals > self._limits.refusals and not self.session.closing:
            self._counters["http2_rapid_resets"] += 1
            self._fail(ErrorCode.ENHANCE_YOUR_CALM)

    def _on_data(self, event: ngh2.DataReceived) -> None:
        data = event.data
        stream = self._streams.get(event.stream_id)
        if stream is None:
            # Answered or reset already; the connection's window is for the others.
            self._acknowledge(event.stream_id, len(data))
            return
        if data:
            self._windows.arrived(len(data))
            stream.feed(data, len(data))
        if event.end_stream:
            stream.feed_end()

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.feed_end([(item[0], item[1]) for item in event.headers])

    def body_consumed(self, stream: Stream, size: int) -> None:
        """The application took `size` bytes: as much may come, once it is worth a frame."""
        self._acknowledge(stream.id, size)
        if not self.session.closing:
            self._windows.taken(stream, size)
        self.sender.flush_soon()

    def _acknowledge(self, stream_id: int, size: int) -> None:
        if not self.session.closing:
            self._engine.acknowledge_received_data(size, stream_id)

    def _on_stream_reset(self, event: ngh2.StreamReset) -> None:
        self._reset_by_peer = event.stream_id
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            stream.disconnect()
            self._count_refusal()

    def _on_stream_closed(self, event: ngh2.StreamClosed) -> None:
        """A stream that ended for a reason of the engine's: its peer broke a rule.

        RFC 9113 §5.4.2 has the stream reset; who gets requests wrong is not worth more.
        """
        if not event.error_code:
            return
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            stream.disconnect()
        if event.error_code in BREACHES and event.stream_id != self._reset_by_peer:
            self._counters["http2_breaches"] += 1
            self._fail(ErrorCode(event.error_code))

    def _on_window(self, event: ngh2.WindowUpdated) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self.sender.push(stream)

    def _on_settings(self, event: ngh2.SettingsReceived) -> None:
        settings = event.settings
        if settings.get(Setting.ENABLE_PUSH) == 0:
            self._extensions.pop("http.response.push", None)
        if Setting.MAX_CONCURRENT_STREAMS in settings:
            announced = settings[Setting.MAX_CONCURRENT_STREAMS]
            self._most_pushes = min(announced, self._limits.pushes)
        if settings.get(Setting.NO_RFC7540_PRIORITIES) == 1:
            self._schedule.disallow_tree()
        if self._upgraded is not None:
            self._start(self._upgraded)
            self._upgraded = None
        # A larger initial window opens that of every stream (RFC 9113 §6.9.2).
        for stream in self._streams.values():
            self.sender.push(stream)

    # ---- for the exchange

    def push(self, parent: Stream, path: bytes, headers: Headers) -> None:
        """Promises the answer to a GET of `path`, and has the application give it (§8.4).

        Nothing happens when the peer takes no (more) pushed streams.
        """
        if self._pushes >= self._most_pushes or parent.id % 2 == 0 or self._draining:
            return
        if "http.response.push" not in self._extensions:
            return
        authority = field(parent.scope["headers"], b"host") or b""
        block = [
            (b":method", b"GET"),
            (b":scheme", parent.scope["scheme"].encode()),
            (b":authority", authority),
            (b":path", path),
            *headers,
        ]
        try:
            promised = self._engine.send_push_promise(parent.id, block)
        except NGH2Error:
            return
        # The promise leaves before anything that refers to it can (RFC 9113 §8.4.1).
        self.sender.collect()
        stream = self._stream(promised, b"GET", path, [(b"host", authority), *headers])
        stream.feed_end()
        self._pushes += 1
        self._counters["http_pushes"] += 1
        self._start(stream)

    def _sent_all(self, stream: Stream) -> None:
        """The response is out; a request that nobody reads to its end is stopped."""
        if not stream.body_ended:
            # RFC 9113 §8.1: a complete response, and no need for the rest of the request.
            self.sender.reset(stream.id, ErrorCode.NO_ERROR)
        self._refusals = max(0, self._refusals - 1)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.id, None) is None:
            return
        self._schedule.forget(stream)
        if stream.id % 2 == 0:
            self._pushes -= 1
        if stream.waiting:
            self._windows.dropped(stream.waiting)
            self._acknowledge(stream.id, stream.waiting)
            stream.waiting = 0
        if self._streams:
            return
        if self._draining:
            self.session.loop.call_soon(self._close_if_drained)
        else:
            self.session.watchdog.within(self._limits.idle_timeout)

    def cut(self, stream: Stream) -> None:
        """Ends a response that the application broke off."""
        if stream.id in self._streams:
            self.sender.reset(stream.id, ErrorCode.INTERNAL_ERROR)
            self._forget(stream)

    # ---- ends

    def _on_goaway(self, event: ngh2.GoAwayReceived) -> None:
        """The peer opens no more streams; those that are open are finished (RFC 9113 §6.8)."""
        self._draining = True
        if event.error_code != ErrorCode.NO_ERROR:
            self._end()
        else:
            self._close_if_drained()

    def _on_connection_closed(self, event: ngh2.ConnectionClosed) -> None:
        """The engine has said GOAWAY, or has nothing more to do."""
        if self.session.closing or self._ending:
            return
        if event.error_code != ErrorCode.NO_ERROR:
            self._counters["http2_breaches"] += 1
            self._end()
        elif not self._streams:
            self.sender.write_collected()
            self.session.close()

    def drain(self) -> None:
        """First a GOAWAY that refuses nothing yet, for requests that are under way; when the
        peer has seen it, which its answer to a PING shows, the one that counts.
        """
        if not self._draining and not self.session.closing:
            self._draining = True
            for stream in list(self._streams.values()):
                if isinstance(stream, WebSocketStream):
                    stream.going_away()
            self._engine.send_shutdown_notice()
            # In this order: the engine would send the PING first.
            self.sender.collect()
            self._engine.ping(PING)
            self.sender.flush()
            # A peer that does not answer a PING gets no more requests in, all the same.
            self._last_goaway = self.session.loop.call_later(
                self._limits.linger_timeout, self._go_away_finally
            )

    def _on_ping_ack(self, event: ngh2.PingAcknowledged) -> None:
        if event.opaque_data == MARK:
            self._windows.measured(self._streams)
        elif self._draining and event.opaque_data == PING:
            # Requests may stand right behind the answer: they are taken, too.
            self.session.loop.call_soon(self._go_away_finally)

    def _go_away_finally(self) -> None:
        if self._last_accepted == MAX_STREAM_ID and not self.session.closing:
            self._last_accepted = self._engine.last_request
            self._engine.send_goaway(last_stream_id=self._last_accepted)
            self.sender.flush()
            self._close_if_drained()

    def _close_if_drained(self) -> None:
        if not self._streams and not self.session.closing:
            self.sender.flush()
            self.session.close()

    def _fail(self, error: ErrorCode) -> None:
        if not self.session.closing:
            self.sender.collect()
            self._engine.end(error)
            self._end()

    def _end(self) -> None:
        """Nothing more can be done on this connection: a last word, then it closes."""
        if self.session.closing or self._ending:
            return
        self._ending = True
        self.sender.collect()
        self.sender.write_collected()
        self.session.linger()
        self.connection_lost()

    def eof_received(self) -> bool:
        # Without the peer's WINDOW_UPDATEs no response could go on for long.
        return False

    def connection_lost(self) -> None:
        for timer in (self._last_goaway, self._look):
            if timer is not None:
                timer.cancel()
        streams = list(self._streams.values())
        self._streams.clear()
        self._schedule.clear()
        for stream in streams:
            stream.disconnect()

    def writing_resumed(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.session.resume_reading()
        self.sender.flush()

    def timed_out(self) -> None:
        """No stream was open for a while."""
        self._fail(ErrorCode.NO_ERROR)


def _check(scope: Scope) -> None:
    """What the engine leaves to us of a request (RFC 9113 §8.3.1). Raises BadRequest."""
    _, authority = split_target(scope.get("method", "GET").encode(), scope["raw_path"])
    if authority is not None:
        raise BadRequest(400, "the authority belongs into :authority, not into :path")
    check_host(field(scope["headers"], b"host") or b"")


def _joined(headers: Headers, authority: bytes | None) -> Headers:
    """The fields as an application expects them: Host from :authority (RFC 9113 §8.3.1), and
    one Cookie of the crumbs that compress better apart (§8.2.3).
    """
    if authority is not None:
        headers = [(b"host", authority), *(item for item in headers if item[0] != b"host")]
    crumbs = [value for name, value in headers if name == b"cookie"]
    if len(crumbs) > 1:
        headers = [item for item in headers if item[0] != b"cookie"]
        headers.append((b"cookie", b"; ".join(crumbs)))
    return headers
