"""The client's request in HTTP/2 (RFC 9113)."""

import asyncio
from typing import Any

import ngh2
from ngh2 import ErrorCode, NGH2Error

from stack.http.engine import Broken, Engine, protected
from stack.http.fetching import FetchError, Job, Response, Wire
from stack.http.limits import Limits
from stack.http.message import HTTP1_ONLY, Headers

STREAM = 1
BATCH = 262_144


class Http2Request(Wire):
    """One request, on stream 1 of a connection of its own."""

    def __init__(self, job: Job, transport: asyncio.Transport) -> None:
        super().__init__(job, transport)
        # One response at a time: its stream may use the whole window of the connection.
        limits = Limits(stream_window=8 << 20)
        self._engine = Engine(limits, client=True)
        self._body = memoryview(job.request.body or b"")
        self._sending = False
        self._on: dict[type[ngh2.Event], Any] = {
            ngh2.InformationalResponseReceived: self._on_informational,
            ngh2.ResponseReceived: self._on_response,
            ngh2.DataReceived: self._on_data,
            ngh2.TrailersReceived: self._on_trailers,
            ngh2.StreamClosed: self._on_closed,
            ngh2.GoAwayReceived: self._on_goaway,
            ngh2.ConnectionClosed: self._on_connection_closed,
        }

    def upgrade_settings(self) -> bytes:
        """HTTP2-Settings for the request that asks for the upgrade; base64url without padding."""
        return self._engine.upgrade_settings()

    def start_upgraded(self, data: bytes) -> None:
        """The server has switched: our preface, then what came behind its 101."""
        self._engine.open_upgraded(head=self.job.request.method == "HEAD")
        self._flush()
        if data:
            self.data_received(data)

    def start(self) -> None:
        request = self.job.request
        target = request.target
        self._engine.open()
        fields = [item for item in request.fields() if item[0] not in HTTP1_ONLY | {b"host"}]
        block = [
            (b":method", request.method.encode()),
            (b":scheme", target.scheme.encode()),
            (b":authority", target.authority.encode()),
            (b":path", target.path.encode()),
            *protected(fields),
        ]
        self.job.note_request("2", block)
        try:
            self._engine.send_request(block, end_stream=request.body is None)
        except NGH2Error as error:
            self.job.fail(FetchError(f"this request cannot be sent: {error}"))
            return
        # The stream exists from when its HEADERS are framed.
        self._flush()
        self._sending = request.body is not None
        self.pump()

    def pump(self) -> None:
        while self._sending and not self.paused:
            if not self._fill():
                break
            self._flush()
        self._flush()

    def _fill(self) -> bool:
        """Gives the engine a batch of the body; returns whether more may follow at once."""
        size = min(len(self._body), self._engine.window(STREAM), BATCH)
        end = size == len(self._body)
        if size <= 0 and not end:
            return False
        try:
            self._engine.send_data(STREAM, self._body[:size], end_stream=end)
        except NGH2Error:
            # The server has reset the stream, which the response will say.
            end = True
        self._body = self._body[size:]
        self._sending = not end
        return self._sending

    def _flush(self) -> None:
        data = self._engine.output()
        if data:
            self.transport.write(memoryview(data))
        self._hear(self._engine.events())

    def data_received(self, data: bytes) -> None:
        try:
            happened = self._engine.take(data)
        except Broken as error:
            self._flush()
            self.job.fail(FetchError(f"the server's answer is no HTTP/2: {error}"))
            return
        self._hear(happened)
        self.pump()

    def _hear(self, happened: list[ngh2.Event]) -> None:
        for event in happened:
            handle = self._on.get(type(event))
            if handle is not None and not self.job.done.done():
                handle(event)

    def _on_informational(self, event: ngh2.InformationalResponseReceived) -> None:
        status, headers = _split(event.headers)
        self.job.informational("2", status, "", headers)

    def _on_response(self, event: ngh2.ResponseReceived) -> None:
        status, headers = _split(event.headers)
        self.job.head(Response(status, "", "2", headers))
        if event.end_stream:
            self._finish([])

    def _on_data(self, event: ngh2.DataReceived) -> None:
        if event.data:
            self._engine.acknowledge_received_data(len(event.data), STREAM)
            self.job.data(event.data)
        if event.end_stream:
            self._finish([])

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        self._finish([(item[0], item[1]) for item in event.headers])

    def _finish(self, trailers: Headers) -> None:
        self._sending = False
        self.job.finish(trailers)

    def _on_closed(self, event: ngh2.StreamClosed) -> None:
        self._sending = False
        code = _name(event.error_code)
        self.job.fail(FetchError(f"the server reset the stream ({code})"))

    def _on_goaway(self, event: ngh2.GoAwayReceived) -> None:
        """The request goes on when the server has taken it (RFC 9113 §6.8)."""
        if event.error_code != ErrorCode.NO_ERROR or event.last_stream_id < STREAM:
            code = _name(event.error_code)
            self.job.fail(FetchError(f"the server ended the connection (GOAWAY, {code})"))

    def _on_connection_closed(self, event: ngh2.ConnectionClosed) -> None:
        """The engine gave the connection up for what the server sent."""
        reason = event.debug_data.decode("ascii", "replace") or _name(event.error_code)
        self.job.fail(FetchError(f"the server's answer is no HTTP/2: {reason}"))

    def eof_received(self) -> None:
        """The connection's end says the same, and follows at once."""

    def leave(self) -> None:
        # RFC 9113 §5.4.1, §6.8: who closes says so; no stream of the server's was taken.
        self._engine.end(ErrorCode.NO_ERROR)
        self._flush()


def _split(headers: Any) -> tuple[int, Headers]:
    """The status and the fields behind it."""
    status, rest = 0, []
    for name, value in headers or ():
        if name == b":status":
            status = int(value)
        else:
            rest.append((bytes(name), bytes(value)))
    return status, rest


def _name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"
