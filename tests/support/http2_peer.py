"""A client of HTTP/2 for tests: plain h2 on a FakeTransport, everything it hears kept."""

from collections import defaultdict
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.settings import SettingCodes

from stack.http.limits import Limits
from tests.support.http_world import FakeTransport, Wired, run_virtual, settle


def request_headers(path: str = "/", method: str = "GET", *extra: tuple[str, str]) -> list[Any]:
    """The header section of a request."""
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
        *extra,
    ]


class _GoesOn(h2.connection.H2ConnectionStateMachine):
    """A client that still listens after GOAWAY, as real ones do and h2 alone does not."""

    def process_input(self, input_):
        if input_ is h2.connection.ConnectionInputs.RECV_GOAWAY:
            return []
        if input_ is h2.connection.ConnectionInputs.RECV_RST_STREAM:
            # Also of streams that a test opened behind h2's back.
            return []
        return super().process_input(input_)


class Peer:
    """`bodies`, `heads`, `ended`, `resets` by stream; `goaways` and `events` in order."""

    def __init__(
        self,
        wire: FakeTransport,
        *,
        window: int = 65_535,
        frame_size: int = 16_384,
        upgraded: bool = False,
        auto_window: bool = True,
    ) -> None:
        self.wire = wire
        self.auto_window = auto_window
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.state_machine = _GoesOn()
        self.h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_FRAME_SIZE: frame_size,
            },
        )
        self.h2.max_inbound_frame_size = frame_size
        self.events: list[Any] = []
        self.heads: dict[int, dict[str, str]] = {}
        self.statuses: dict[int, list[str]] = defaultdict(list)
        self.bodies: dict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.resets: dict[int, Any] = {}
        self.goaways: list[tuple[int, Any]] = []
        self.order: list[int] = []  # streams of DATA frames as they came
        if not upgraded:
            self.h2.initiate_connection()

    async def turn(self) -> None:
        """Sends what is queued, lets the server work, takes what it sent."""
        for _ in range(4):
            data = self.h2.data_to_send()
            if data:
                self.wire.feed(data)
            await settle()
            self.hear(self.wire.take())

    def hear(self, data: bytes) -> None:
        """Takes bytes of the server's."""
        for event in self.h2.receive_data(data):
            self.events.append(event)
            self._note(event)

    def _note(self, event: Any) -> None:
        stream = getattr(event, "stream_id", 0) or 0
        if isinstance(event, h2.events.ResponseReceived | h2.events.InformationalResponseReceived):
            self.heads[stream] = dict(event.headers)
            self.statuses[stream].append(self.heads[stream][":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[stream] += event.data
            self.order.append(stream)
            if self.auto_window:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(stream)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[stream] = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, event.error_code))

    def get(self, stream: int, path: str = "/", *extra: tuple[str, str]) -> None:
        """A request without a body."""
        self.h2.send_headers(stream, request_headers(path, "GET", *extra), end_stream=True)

    def put(self, stream: int, path: str = "/", *extra: tuple[str, str]) -> None:
        """The header section of a request with a body."""
        self.h2.send_headers(stream, request_headers(path, "PUT", *extra))


async def connected(wired: Wired, **options: Any) -> tuple[Peer, FakeTransport]:
    """A connection with prior knowledge whose settings have been exchanged."""
    wire = wired.connect()
    peer = Peer(wire, **options)
    await peer.turn()
    return peer, wire


def with_peer(app, test, limits: Limits | None = None, **options):
    """Runs `test(peer, wire, wired)` on a fresh connection."""

    async def main():
        async with Wired(app, limits) as wired:
            peer, wire = await connected(wired, **options)
            return await test(peer, wire, wired)

    return run_virtual(main)


def sized(size: int, chunk: int | None = None):
    """An application that sends `size` bytes, in chunks."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        left = size
        while left:
            part = min(left, chunk or size)
            left -= part
            message = {"type": "http.response.body", "body": bytes(part), "more_body": left > 0}
            await send(message)

    return app
