"""HTTP/2 on a connection, framed by h2 (RFC 9113)."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError

from stack.http.asgi import Scope, http_scope
from stack.http.engine import MAX_STREAM_ID, Engine
from stack.http.message import HTTP1_ONLY, BadRequest, Headers, check_host, field, split_target
from stack.http.session import Handler, Session
from stack.http.streams import Stream
from stack.http.upgrade import UpgradedRequest

# DATA frames are handed to the transport in batches of about this many bytes.
BATCH = 262_144
# A response of up to this many bytes goes out directly, when nothing is in its way.
SMALL = 16_384

PING = b"tunstack"


class Http2Connection(Handler):
    """Streams in, each an exchange; their responses out, one frame of each in turn.

    Applications only queue; the connection sends in `_flush`, once for all that was queued in
    one turn of the loop. A stream stands in `_ready` while it has something to send and its
    own window is open, so one that is stuck costs the others nothing.
    """

    def __init__(
        self,
        session: Session,
        *,
        upgraded: UpgradedRequest | None = None,
        greeting: bytes = b"",
    ) -> None:
        self.session = session
        self._limits = session.limits
        self._engine = Engine(session.limits, client=False)
        self._streams: dict[int, Stream] = {}
        self._ready: deque[Stream] = deque()
        self._flushing_soon = False
        self._direct = 0  # bytes of body put into the engine past the queue since the last flush
        self._refusals = 0
        self._draining = False
        self._last_accepted = MAX_STREAM_ID
        self._last_goaway: asyncio.TimerHandle | None = None
        self._reading_paused = False
        # The upgraded request, until the client's preface is here: curl up to 8.0 fails when
        # more than its buffer of 32 KiB follows the 101 (RFC 7540 §3.2 lets a server wait).
        self._upgraded: Stream | None = None
        self._on: dict[type[events.Event], Callable[[Any], None]] = {
            events.RequestReceived: self._on_request,
            events.DataReceived: self._on_data,
            events.StreamEnded: self._on_stream_ended,
            events.StreamReset: self._on_stream_reset,
            events.WindowUpdated: self._on_window,
            events.RemoteSettingsChanged: self._on_settings,
            events.PingAckReceived: self._on_ping_ack,
            events.ConnectionTerminated: self._on_goaway,
        }
        session.watchdog.within(session.limits.header_timeout)
        self._open(upgraded, greeting)

    def _open(self, upgraded: UpgradedRequest | None, greeting: bytes) -> None:
        if upgraded is None:
            self._engine.open()
            self.session.write(self._engine.data_to_send())
            return
        try:
            self._engine.open(upgraded.settings)
        except ProtocolError:
            # The settings decode but hold a value that none may have (RFC 9113 §6.5.2).
            self.session.write(greeting)
            self._fail(ErrorCodes.PROTOCOL_ERROR)
            return
        self.session.write(greeting + self._engine.data_to_send())
        stream = self._stream(1, upgraded.method, upgraded.path, upgraded.headers)
        stream.feed(upgraded.body, 0)
        stream.feed_end()
        self._upgraded = stream

    # ---- input

    def data_received(self, data: bytes) -> None:
        try:
            happened = self._engine.receive_data(data)
        except ProtocolError:
            # h2 has queued the GOAWAY with the error's code (RFC 9113 §5.4.1).
            self._end()
            return
        for event in happened:
            handle = self._on.get(type(event))
            if handle is not None:
                handle(event)
            if self.session.closing:
                return
        self._flush()
        if self.session.write_paused:
            self._hold_control_frames()

    def _hold_control_frames(self) -> None:
        """Answers to PING, SETTINGS and resets may not pile up for a peer that never reads."""
        pending = self.session.transport.get_write_buffer_size()
        if pending > self._limits.write_buffer + self._limits.control_bytes:
            self._reading_paused = True
            self.session.pause_reading()

    def _on_request(self, event: events.RequestReceived) -> None:
        stream_id = event.stream_id
        assert stream_id is not None
        if len(self._streams) >= self._limits.streams or stream_id > self._last_accepted:
            self._refuse(stream_id)
            return
        pseudo: dict[bytes, bytes] = {}
        headers: Headers = []
        for name, value in event.headers or ():
            if name[:1] == b":":
                pseudo[bytes(name)] = bytes(value)
            else:
                headers.append((bytes(name), bytes(value)))
        authority = pseudo.get(b":authority")
        if authority is not None:
            headers = [(b"host", authority), *(item for item in headers if item[0] != b"host")]
        stream = self._stream(stream_id, pseudo[b":method"], pseudo.get(b":path", b""), headers)
        if event.stream_ended is not None:
            stream.feed_end()
        self._start(stream)

    def _start(self, stream: Stream) -> None:
        self._streams[stream.id] = stream
        self.session.watchdog.off()
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

    def _stream(self, stream_id: int, method: bytes, target: bytes, headers: Headers) -> Stream:
        session = self.session
        scope = http_scope(
            "2",
            method,
            target,
            headers,
            scheme="https" if session.secure else "http",
            client=session.client,
            server=session.server,
            state=session.service.state,
            info=session.info,
        )
        return Stream(self, session, stream_id, scope)

    def _refuse(self, stream_id: int) -> None:
        # A reset of the peer's may have come right behind the request.
        with contextlib.suppress(StreamClosedError):
            self._engine.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        self._count_refusal()

    def _count_refusal(self) -> None:
        """Who opens and resets streams as fast as he can gets nothing more (CVE-2023-44487)."""
        self._refusals += 1
        if self._refusals > self._limits.refusals:
            self._fail(ErrorCodes.ENHANCE_YOUR_CALM)

    def _on_data(self, event: events.DataReceived) -> None:
        stream_id, size = event.stream_id, event.flow_controlled_length
        assert stream_id is not None
        assert size is not None
        stream = self._streams.get(stream_id)
        if stream is None:
            # Answered or reset already; the connection's window is for the others.
            self._engine.acknowledge_received_data(size, stream_id)
        else:
            stream.feed(event.data or b"", size)

    def body_consumed(self, stream: Stream, size: int) -> None:
        """The application took `size` bytes: as much may come, once it is worth a frame."""
        self._engine.acknowledge_received_data(size, stream.id)
        self._flush_soon()

    def _on_stream_ended(self, event: events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.feed_end()

    def _on_stream_reset(self, event: events.StreamReset) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            self._forget(stream)
            stream.disconnect()
            self._count_refusal()

    def _on_window(self, event: events.WindowUpdated) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            self._schedule(stream)

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        if self._upgraded is not None:
            self._start(self._upgraded)
            self._upgraded = None
        # A larger initial window opens that of every stream (RFC 9113 §6.9.2).
        for stream in self._streams.values():
            self._schedule(stream)

    # ---- output

    def write_head(
        self, stream: Stream, status: int, headers: Headers, body: bytes, *, end: bool
    ) -> None:
        """Sends a response's header section and queues the first part of its body."""
        block = [(b":status", b"%d" % status)]
        block += [item for item in headers if item[0] not in HTTP1_ONLY]
        self._engine.send_headers(stream.id, block, end_stream=end and not body)
        if end and not body:
            self._sent_all(stream)
        elif body:
            self.write_body(stream, body, end=end)
        self._flush_soon()

    def write_continue(self, stream: Stream) -> None:
        """Asks for a body that the peer holds back (RFC 9110 §10.1.1)."""
        self._engine.send_headers(stream.id, [(b":status", b"100")])
        self._flush_soon()

    def write_body(self, stream: Stream, body: bytes, *, end: bool) -> None:
        """Queues more of a body, or sends it at once when it is small and nothing waits."""
        size = len(body)
        free = not (stream.output.size or self.session.write_paused)
        if free and size <= SMALL and self._direct + size <= BATCH and self._fits(stream, size):
            self._engine.send_data(stream.id, body, end_stream=end)
            self._direct += size
            if end:
                self._sent_all(stream)
        else:
            stream.output.append(body)
            stream.output_ended = end
            self._schedule(stream)
        self._flush_soon()

    def _fits(self, stream: Stream, size: int) -> bool:
        return not size or (
            size <= self._engine.local_flow_control_window(stream.id)
            and size <= self._engine.max_outbound_frame_size
        )

    def _schedule(self, stream: Stream) -> None:
        if not stream.scheduled and (stream.output.size or stream.output_ended):
            stream.scheduled = True
            self._ready.append(stream)

    def _flush_soon(self) -> None:
        """All that applications do in this turn of the loop leaves together."""
        if not self._flushing_soon:
            self._flushing_soon = True
            self.session.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing_soon = False
        self._flush()

    def _flush(self) -> None:
        """Sends what is queued, as far as windows and transport take it."""
        self._direct = 0
        while True:
            more = not self.session.write_paused and self._fill()
            self.session.write(self._engine.data_to_send())
            if not more:
                return

    def _fill(self) -> bool:
        """Frames about a batch of DATA, a frame per stream in turn; returns whether it ended
        because the batch was full.
        """
        engine, ready, room = self._engine, self._ready, BATCH
        frame_size = min(engine.max_outbound_frame_size, self._limits.frame_size)
        while ready and room > 0:
            stream = ready[0]
            if stream.output.size and engine.outbound_flow_control_window <= 0:
                return False
            ready.popleft()
            stream.scheduled = False
            room -= self._send_frame(stream, frame_size)
            if self._streams.get(stream.id) is stream and self._may_send(stream):
                self._schedule(stream)
        return room <= 0 and bool(ready)

    def _may_send(self, stream: Stream) -> bool:
        return bool(stream.output.size) and (
            self._engine.streams[stream.id].outbound_flow_control_window > 0
        )

    def _send_frame(self, stream: Stream, frame_size: int) -> int:
        output, engine = stream.output, self._engine
        if not output.size:
            if stream.output_ended:
                engine.end_stream(stream.id)
                self._sent_all(stream)
            return 0
        size = min(output.size, frame_size, engine.local_flow_control_window(stream.id))
        if size <= 0:
            return 0
        data = output.take(size)
        end = stream.output_ended and not output.size
        engine.send_data(stream.id, data, end_stream=end)
        if end:
            self._sent_all(stream)
        else:
            stream.make_room()
        return size

    def _sent_all(self, stream: Stream) -> None:
        """The response is out; a request that nobody reads to its end is stopped."""
        if not stream.body_ended:
            # RFC 9113 §8.1: a complete response, and no need for the rest of the request.
            self._engine.reset_stream(stream.id, ErrorCodes.NO_ERROR)
        self._refusals = max(0, self._refusals - 1)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        if stream.scheduled:
            stream.scheduled = False
            self._ready.remove(stream)
        if stream.waiting:
            self._engine.acknowledge_received_data(stream.waiting, stream.id)
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
            self._engine.reset_stream(stream.id, ErrorCodes.INTERNAL_ERROR)
            self._forget(stream)
            self._flush_soon()

    # ---- ends

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        """The peer opens no more streams; those that are open are finished (RFC 9113 §6.8)."""
        self._draining = True
        if event.error_code != ErrorCodes.NO_ERROR:
            self._end()
        else:
            self._close_if_drained()

    def drain(self) -> None:
        """First a GOAWAY that refuses nothing yet, for requests that are under way; when the
        peer has seen it, which its answer to a PING shows, the one that counts.
        """
        if not self._draining and not self.session.closing:
            self._draining = True
            self._engine.go_away(MAX_STREAM_ID)
            self._engine.ping(PING)
            self._flush()
            # A peer that does not answer a PING gets no more requests in, all the same.
            self._last_goaway = self.session.loop.call_later(
                self._limits.linger_timeout, self._go_away_finally
            )

    def _on_ping_ack(self, event: events.PingAckReceived) -> None:
        if self._draining and event.ping_data == PING:
            self._go_away_finally()

    def _go_away_finally(self) -> None:
        if self._last_accepted == MAX_STREAM_ID and not self.session.closing:
            self._last_accepted = self._engine.highest_inbound_stream_id
            self._engine.go_away(self._last_accepted)
            self._flush()
            self._close_if_drained()

    def _close_if_drained(self) -> None:
        if not self._streams and not self.session.closing:
            self._flush()
            self.session.close()

    def _fail(self, error: ErrorCodes) -> None:
        if not self.session.closing:
            self._engine.go_away(self._engine.highest_inbound_stream_id, error)
            self._end()

    def _end(self) -> None:
        """Nothing more can be done on this connection: a last word, then it closes."""
        self.session.write(self._engine.data_to_send())
        self.session.linger()
        self.connection_lost()

    def eof_received(self) -> bool:
        # Without the peer's WINDOW_UPDATEs no response could go on for long.
        return False

    def connection_lost(self) -> None:
        if self._last_goaway is not None:
            self._last_goaway.cancel()
        streams = list(self._streams.values())
        self._streams.clear()
        self._ready.clear()
        for stream in streams:
            stream.disconnect()

    def writing_resumed(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.session.resume_reading()
        self._flush()

    def timed_out(self) -> None:
        """No stream was open for a while."""
        self._fail(ErrorCodes.NO_ERROR)


def _check(scope: Scope) -> None:
    """What h2 leaves to us of a request (RFC 9113 §8.3.1). Raises BadRequest."""
    _, authority = split_target(scope["method"].encode(), scope["raw_path"])
    if authority is not None:
        raise BadRequest(400, "the authority belongs into :authority, not into :path")
    check_host(field(scope["headers"], b"host") or b"")
