"""What an HTTP/2 connection sends, and in which order (RFC 9113 §5.2, RFC 9218 §10)."""

from collections.abc import Callable

from ngh2 import ErrorCode, Event, NGH2Error

from stack.http.engine import Engine, protected
from stack.http.message import HTTP1_ONLY, Headers
from stack.http.schedule import Schedule
from stack.http.session import Session
from stack.http.streams import Stream

# DATA is handed to the transport in batches of about this many bytes.
BATCH = 262_144
# A response of up to this many bytes goes out directly, when nothing is in its way.
SMALL = 16_384
# What libnghttp2 puts into a DATA frame at most: one stream's turn while others wait.
TURN = 16_384


class Sender:
    """Takes what applications send, and gives it to the transport as peer and order allow.

    Applications only queue; everything leaves in `flush`, once for all that was queued in one
    turn of the loop. A stream stands in the schedule while it has something to send and its
    own window is open, so one that is stuck costs the others nothing.
    """

    def __init__(
        self,
        session: Session,
        engine: Engine,
        schedule: Schedule,
        *,
        heard: Callable[[Event], None],
        sent_all: Callable[[Stream], None],
    ) -> None:
        self.schedule = schedule
        self._session = session
        self._engine = engine
        self._heard = heard
        self._sent_all = sent_all
        self.sent = 0  # bytes given to the transport
        self._collected: list[bytes] = []
        self._flushing_soon = False
        self._direct = 0  # bytes of body given to the engine past the schedule since a flush

    def head(
        self, stream: Stream, status: int, headers: Headers, body: bytes, *, end: bool
    ) -> None:
        """Sends a response's header section and queues the first part of its body."""
        fields = [item for item in headers if item[0] not in HTTP1_ONLY]
        block = [(b":status", b"%d" % status), *protected(fields)]
        empty = end and not body
        try:
            self._engine.send_response(stream.id, block, end_stream=empty)
        except NGH2Error:
            return
        if empty:
            self._sent_all(stream)
        elif body:
            self.body(stream, body, end=end)
        self.flush_soon()

    def informational(self, stream: Stream, status: int, headers: Headers) -> None:
        """A response of the 100 class, ahead of the final one (RFC 9110 §15.2)."""
        try:
            self._engine.send_informational_response(
                stream.id, [(b":status", b"%d" % status), *headers]
            )
        except NGH2Error:
            return
        self.flush_soon()

    def trailers(self, stream: Stream, headers: Headers) -> None:
        """Ends a response whose body is given with these fields."""
        stream.trailers = protected(headers)
        stream.output_ended = True
        self.push(stream)
        self.flush_soon()

    def body(self, stream: Stream, body: bytes, *, end: bool) -> None:
        """Queues more of a body, or sends it at once when it is small and nothing waits."""
        size = len(body)
        if size <= SMALL and not stream.output.size and self._free(stream, size):
            if self._give(stream, body, end=end):
                self._direct += size
        else:
            if not stream.output.size:
                stream.moved = self._session.loop.time()
            stream.output.append(body)
            stream.output_ended = end
            self.push(stream)
        self.flush_soon()

    def _free(self, stream: Stream, size: int) -> bool:
        return (
            not self._session.write_paused
            and self._direct + size <= BATCH
            and self.schedule.may_pass(stream)
            # The engine's windows shrink only when it frames.
            and (not size or self._direct + size <= self._engine.window(stream.id))
        )

    def _give(self, stream: Stream, body: bytes | memoryview, *, end: bool) -> bool:
        """Whether the engine took it; a stream that the peer reset meanwhile takes nothing."""
        try:
            self._engine.send_data(stream.id, body, end_stream=end)
        except NGH2Error:
            return False
        if end:
            self._sent_all(stream)
        return True

    def push(self, stream: Stream) -> None:
        """The stream may have something to send."""
        if not stream.scheduled and (stream.output.size or stream.output_ended):
            self.schedule.push(stream)

    def flush_soon(self) -> None:
        """All that applications do in this turn of the loop leaves together."""
        if not self._flushing_soon:
            self._flushing_soon = True
            self._session.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing_soon = False
        self.flush()

    def flush(self) -> None:
        """Sends what is queued, as far as windows and transport take it."""
        if self._direct:
            self._direct = 0
            self.collect()
        while True:
            more = not self._session.write_paused and self._fill()
            self.collect()
            self.write_collected()
            if not more:
                return

    def collect(self) -> None:
        """Turns what the engine was given into bytes, before what is said next can overtake it."""
        data = self._engine.output()
        if data:
            self._collected.append(data)
        for event in self._engine.events():
            self._heard(event)

    def write_collected(self) -> None:
        """Hands the bytes to the transport."""
        if self._collected:
            collected, self._collected = self._collected, []
            data = collected[0] if len(collected) == 1 else b"".join(collected)
            self.sent += len(data)
            self._session.write(data)

    def _fill(self) -> bool:
        """Frames about a batch of DATA; returns whether it ended because the batch was full."""
        room = BATCH
        while self.schedule and room > 0:
            stream = self.schedule.pop()
            assert isinstance(stream, Stream)
            if stream.output.size and self._engine.remote_window_size <= 0:
                self.schedule.push(stream)
                return False
            room -= self._turn(stream, TURN if self.schedule else room)
        return room <= 0 and bool(self.schedule)

    def _turn(self, stream: Stream, most: int) -> int:
        """One stream's turn; returns the bytes of body that left."""
        output = stream.output
        if not output.size:
            self._end(stream)
            return 0
        size = min(output.size, most, self._engine.window(stream.id))
        if size <= 0:
            return 0
        end = stream.output_ended and size == output.size and not stream.trailing
        if not self._give(stream, output.take(size), end=end):
            return 0
        self.collect()
        if not end:
            stream.progress()
            self.push_again(stream)
        return size

    def push_again(self, stream: Stream) -> None:
        """The stream had its turn and stays in the schedule while its window is open."""
        if stream.output.size:
            if self._engine.window(stream.id) > 0 or self._engine.remote_window_size <= 0:
                self.push(stream)
        else:
            self.push(stream)

    def _end(self, stream: Stream) -> None:
        if not stream.output_ended:
            return
        try:
            if stream.trailing:
                self._engine.send_trailers(stream.id, stream.trailers)
            else:
                self._engine.end_stream(stream.id)
        except NGH2Error:
            return
        self._sent_all(stream)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream, behind everything that was sent on it so far."""
        self.collect()
        try:
            self._engine.reset_stream(stream_id, code)
        except NGH2Error:
            return
        self.flush_soon()
