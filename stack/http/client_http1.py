"""The client's request in HTTP/1.1, by h11; with `Upgrade: h2c` perhaps its last (RFC 7540 §3.2)."""

import asyncio

import h11

from stack.http.client_http2 import Http2Request
from stack.http.fetching import ENDED, FetchError, Job, Response, Wire
from stack.http.message import Headers

BLOCK = 262_144


class Http1Request(Wire):
    """One request on a connection of its own."""

    def __init__(self, job: Job, transport: asyncio.Transport, *, upgrade: bool) -> None:
        super().__init__(job, transport)
        self._h11 = h11.Connection(h11.CLIENT)
        self._body = memoryview(job.request.body or b"")
        self._ended = False  # the server sends no more
        self._upgrade = Http2Request(job, transport) if upgrade else None

    def start(self) -> None:
        request = self.job.request
        headers: Headers = [(b"host", request.target.authority.encode()), *request.fields()]
        if self._upgrade is not None:
            headers += [
                (b"connection", b"Upgrade, HTTP2-Settings"),
                (b"upgrade", b"h2c"),
                (b"http2-settings", self._upgrade.upgrade_settings()),
            ]
        self.job.note_request("1.1", headers)
        try:
            event = h11.Request(method=request.method, target=request.target.path, headers=headers)
            self._write(event)
        except h11.LocalProtocolError as error:
            self.job.fail(FetchError(f"this request cannot be sent: {error}"))
        else:
            self.pump()

    def pump(self) -> None:
        while self._h11.our_state is h11.SEND_BODY and not self.paused:
            part, self._body = self._body[:BLOCK], self._body[BLOCK:]
            if part:
                self._write(h11.Data(data=bytes(part)))
            else:
                self._write(h11.EndOfMessage())

    def _write(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            self.transport.write(memoryview(data))

    def data_received(self, data: bytes) -> None:
        self._h11.receive_data(data)
        self._advance()

    def eof_received(self) -> None:
        self._ended = True
        self._h11.receive_data(b"")
        self._advance()

    def _advance(self) -> None:
        while not self.job.done.done() and self.successor is None:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                wrong = f"the server's answer is no HTTP/1.1: {error}"
                self.job.fail(FetchError(ENDED if self._ended else wrong))
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, h11.Data):
            self.job.data(bytes(event.data))
        elif isinstance(event, h11.InformationalResponse):
            self._on_informational(event)
        elif isinstance(event, h11.Response):
            self.job.head(
                Response(
                    event.status_code,
                    bytes(event.reason).decode("latin-1"),
                    event.http_version.decode(),
                    list(event.headers),
                )
            )
        elif isinstance(event, h11.EndOfMessage):
            self.job.finish(list(event.headers))

    def _on_informational(self, event: h11.InformationalResponse) -> None:
        reason = bytes(event.reason).decode("latin-1")
        self.job.informational("1.1", event.status_code, reason, list(event.headers))
        if event.status_code == 101 and self._upgrade is not None:
            self.successor = self._upgrade
            self._upgrade.paused = self.paused
            rest, _ = self._h11.trailing_data
            self._upgrade.start_upgraded(rest)

    def leave(self) -> None:
        """HTTP/1.1 just closes."""
