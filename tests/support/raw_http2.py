"""HTTP/2 octet by octet: frames made and taken apart without any implementation of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpack import Decoder, Encoder

from stack.http.limits import Limits
from tests.support.http_world import FakeTransport, Wired, run_virtual, settle

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
) = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
) = range(10)
# What each frame may have set, of the bits that mean something (RFC 9113 §6).
FLAGS = {
    DATA: END_STREAM | PADDED,
    HEADERS: END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY,
    PRIORITY: 0,
    RST_STREAM: 0,
    SETTINGS: ACK,
    PUSH_PROMISE: END_HEADERS | PADDED,
    PING: ACK,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: END_HEADERS,
}


@dataclass(frozen=True)
class Frame:
    """A frame that was sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    reserved: int = 0

    @property
    def code(self) -> int:
        """The error code of RST_STREAM and GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")

    @property
    def last_stream(self) -> int:
        """GOAWAY's."""
        return int.from_bytes(self.payload[:4], "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame's octets; `stream` may have the reserved bit."""
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )


def settings(**values: int) -> bytes:
    """SETTINGS with identifiers as s4=65535."""
    parts = (
        int(name[1:]).to_bytes(2, "big") + value.to_bytes(4, "big")
        for name, value in values.items()
    )
    return frame(SETTINGS, 0, 0, b"".join(parts))


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def frames(data: bytes) -> Iterator[Frame]:
    """The frames in `data`, which holds whole ones only."""
    while data:
        size = int.from_bytes(data[:3], "big")
        word = int.from_bytes(data[5:9], "big")
        yield Frame(data[3], data[4], word & 0x7FFFFFFF, data[9 : 9 + size], word >> 31)
        assert len(data) >= 9 + size
        data = data[9 + size :]


def fields(path: str = "/", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """A request's."""
    start = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)]
    return [*start, *more]


class Raw:
    """A client that keeps every frame the server sends, in `heard`."""

    def __init__(self, wired: Wired, *, secure: bool = False) -> None:
        self.wired = wired
        self.wire: FakeTransport = wired.connect(secure=secure)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.heard: list[Frame] = []

    async def send(self, *parts: bytes) -> list[Frame]:
        """Sends octets; what the server sent then."""
        for part in parts:
            if part and not (self.wire.closed or self.wire.eof):
                self.wire.feed(part)
                await settle()
        new = list(frames(self.wire.take()))
        self.heard += new
        return new

    def block(self, headers: list[tuple[Any, Any]]) -> bytes:
        """A header section, never Huffman-coded or indexed in a new way by accident."""
        return self.encoder.encode(headers, huffman=False)

    def request(
        self, stream: int, path: str = "/", *, end: bool = True, method: str = "GET"
    ) -> bytes:
        flags = END_HEADERS | (END_STREAM if end else 0)
        return frame(HEADERS, flags, stream, self.block(fields(path, method)))

    def of(self, kind: int, stream: int | None = None) -> list[Frame]:
        """The frames of a kind that were heard."""
        return [f for f in self.heard if f.kind == kind and stream in {None, f.stream}]

    def body(self, stream: int) -> bytes:
        return b"".join(f.payload for f in self.of(DATA, stream))

    def ended(self, stream: int) -> bool:
        return any(f.flags & END_STREAM for f in self.heard if f.stream == stream and f.kind < 2)

    def sections(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The header sections heard, decoded in order; to be called once."""
        block = b""
        for each in self.heard:
            if each.kind in {HEADERS, CONTINUATION, PUSH_PROMISE}:
                block += each.payload[4:] if each.kind == PUSH_PROMISE else each.payload
                if each.flags & END_HEADERS:
                    yield each.stream, dict(self.decoder.decode(block))
                    block = b""

    @property
    def goaway(self) -> int | None:
        """The code that the connection ended with."""
        found = self.of(GOAWAY)
        return found[-1].code if found else None


def talk(app, test, limits: Limits | None = None, *, greet: bool = True, **options: Any):
    """Runs `test(raw)` on a fresh connection, its settings exchanged if `greet`."""

    async def main():
        async with Wired(app, limits) as wired:
            raw = Raw(wired, **options)
            if greet:
                await raw.send(MAGIC + settings() + frame(SETTINGS, ACK, 0))
            return await test(raw)

    return run_virtual(main)


def headers(
    raw: Raw, stream: int, section: list[tuple[str, str]], flags: int = END_HEADERS | END_STREAM
) -> bytes:
    """HEADERS with these fields."""
    return frame(HEADERS, flags, stream, raw.block(section))
