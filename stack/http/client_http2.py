"""The client's request in HTTP/2, by h2 (RFC 9113)."""

import asyncio
from typing import Any

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from stack.http.engine import Engine
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
        self._trailers: Headers = []
        self._on: dict[type[events.Event], Any] = {
            events.InformationalResponseReceived: self._on_informational,
            events.ResponseReceived: self._on_response,
            events.DataReceived: self._on_data,
            events.TrailersReceived: self._on_trailers,
            events.StreamEnded: self._on_end,
            events.StreamReset: self._on_reset,
            events.ConnectionTerminated: self._on_goaway,
        }

    def upgrade_settings(self) -> bytes:
        """HTTP2-Settings for the request that asks for the upgrade; base64url without padding."""
        settings = self._engine.open_upgraded()
        return settings.rstrip(b"=")

    def start_upgraded(self, data: bytes) -> None:
        """The server has switched: our preface, then what came behind its 101."""
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
            *fields,
        ]
        self.job.note_request("2", block)
        try:
            self._engine.send_headers(STREAM, block, end_stream=request.body is None)
        except ProtocolError as error:
            self.job.fail(FetchError(f"this request cannot be sent: {error}"))
            return
        self._sending = request.body is not None
        self.pump()

    def pump(self) -> None:
        while self._sending and not self.paused:
            if not self._fill():
                break
            self._flush()
        self._flush()

    def _fill(self) -> bool:
        """Frames a batch of the body; returns whether more may follow at once."""
        room = BATCH
        while room > 0:
            window = self._engine.local_flow_control_window(STREAM)
            size = min(len(self._body), window, self._engine.max_outbound_frame_size)
            end = size == len(self._body)
            if size <= 0 and not end:
                return False
            self._engine.send_data(STREAM, self._body[:size], end_stream=end)
            self._body = self._body[size:]
            room -= size
            if end:
                self._sending = False
                return False
        return True

    def _flush(self) -> None:
        data = self._engine.data_to_send()
        if data:
            self.transport.write(memoryview(data))

    def data_received(self, data: bytes) -> None:
        try:
            happened = self._engine.receive_data(data)
        except ProtocolError as error:
            self._flush()
            self.job.fail(FetchError(f"the server's answer is no HTTP/2: {error}"))
            return
        for event in happened:
            handle = self._on.get(type(event))
            if handle is not None:
                handle(event)
            if self.job.done.done():
                break
        self.pump()

    def _on_informational(self, event: events.InformationalResponseReceived) -> None:
        status, headers = _split(event.headers)
        self.job.informational("2", status, "", headers)

    def _on_response(self, event: events.ResponseReceived) -> None:
        status, headers = _split(event.headers)
        self.job.head(Response(status, "", "2", headers))

    def _on_data(self, event: events.DataReceived) -> None:
        self._engine.acknowledge_received_data(event.flow_controlled_length or 0, STREAM)
        if event.data:
            self.job.data(event.data)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        self._trailers = [(bytes(name), bytes(value)) for name, value in event.headers or ()]

    def _on_end(self, _event: events.StreamEnded) -> None:
        self._sending = False
        self.job.finish(self._trailers)

    def _on_reset(self, event: events.StreamReset) -> None:
        self._sending = False
        code = _name(event.error_code)
        self.job.fail(FetchError(f"the server reset the stream ({code})"))

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        """The request goes on when the server has taken it (RFC 9113 §6.8)."""
        taken = event.last_stream_id is not None and event.last_stream_id >= STREAM
        if event.error_code != ErrorCodes.NO_ERROR or not taken:
            code = _name(event.error_code)
            self.job.fail(FetchError(f"the server ended the connection (GOAWAY, {code})"))

    def eof_received(self) -> None:
        """The connection's end says the same, and follows at once."""

    def leave(self) -> None:
        # RFC 9113 §5.4.1, §6.8: who closes says so; no stream of the server's was taken.
        self._engine.go_away(0)
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


def _name(code: Any) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
