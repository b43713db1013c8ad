"""HTTP/2 frames by name (RFC 9113), with the request or status of header blocks (RFC 7541)."""

from dataclasses import dataclass, field
from http import HTTPStatus

from hpack import Decoder, HPACKError

from stack.observe.dissect.layer import CLIENT, Named, Side, printable

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0
HEADERS = 1
RST_STREAM = 3
PUSH_PROMISE = 5
CONTINUATION = 9

END_STREAM = 0x01
END_HEADERS = 0x04
PADDED = 0x08
PRIORITY_PRESENT = 0x20

FRAME_NAMES = {
    DATA: "DATA",
    HEADERS: "HEADERS",
    2: "PRIORITY",
    RST_STREAM: "RST_STREAM",
    4: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE",
    6: "PING",
    7: "GOAWAY",
    8: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION",
    10: "ALTSVC",
    12: "ORIGIN",
    16: "PRIORITY_UPDATE",
}

# Beyond these the bytes are taken for something else, or a peer that wants to exhaust us.
FRAME_MAX = 1 << 20
HEADER_BLOCK_MAX = 256 << 10
HEADER_TABLE_MAX = 64 << 10
STREAMS_MAX = 1024


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    flags: int
    stream: int
    length: int

    @property
    def name(self) -> str:
        return f"{FRAME_NAMES.get(self.kind, f'UNKNOWN({self.kind})')}[{self.stream}]"


@dataclass(slots=True)
class _Block:
    """A header block under way, and where the frame that began it is named."""

    frame: _Frame
    named: Named
    index: int
    data: bytearray


def _decoder() -> Decoder:
    decoder = Decoder()
    decoder.max_allowed_table_size = HEADER_TABLE_MAX
    return decoder


@dataclass(slots=True)
class _Direction:
    buffer: bytearray = field(default_factory=bytearray)
    preface: bool = True  # may still come
    data_frame: _Frame | None = None
    data_left: int = 0
    block: _Block | None = None
    decoder: Decoder | None = field(default_factory=_decoder)
    content_types: dict[int, str] = field(default_factory=dict)
    carried: set[int] = field(default_factory=set)  # streams whose body has bytes


class Http2:
    """Names frames as they complete: `HEADERS[1]: GET /`, `DATA[1] (text/plain)`."""

    def __init__(self) -> None:
        self._directions = _Direction(), _Direction()

    def feed(self, side: Side, data: bytes) -> Named | None:
        direction = self._directions[side]
        named = Named("HTTP2")
        direction.buffer += data
        if direction.preface and not self._take_preface(side, direction, named):
            named.open = True
            return named
        while self._take(direction, named):
            pass
        if len(direction.buffer) > FRAME_MAX + 9:
            return None
        named.open = bool(direction.buffer) or direction.data_frame is not None
        return named

    def finish(self, side: Side) -> Named | None:
        """Frames say where they end: nothing is completed by the end of the stream."""
        return None

    def _take_preface(self, side: Side, direction: _Direction, named: Named) -> bool:
        """Takes the client's magic octets (RFC 9113 §3.4); False while they are incomplete."""
        begun = bytes(direction.buffer[: len(MAGIC)])
        if side == CLIENT and begun != MAGIC and MAGIC.startswith(begun):
            return False
        direction.preface = False
        if begun == MAGIC:
            del direction.buffer[: len(MAGIC)]
            named.items.append("Magic")
        return True

    def _take(self, direction: _Direction, named: Named) -> bool:
        """Takes one frame, or what is there of a DATA frame; False when more must come."""
        buffer = direction.buffer
        if direction.data_frame is not None:
            return self._take_data(direction, direction.data_frame, named)
        if len(buffer) < 9:
            return False
        frame = _Frame(
            kind=buffer[3],
            flags=buffer[4],
            stream=int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF,
            length=int.from_bytes(buffer[:3], "big"),
        )
        if frame.kind == DATA:  # bodies are counted, not kept
            direction.data_frame, direction.data_left = frame, frame.length
            del buffer[:9]
            return True
        if len(buffer) < 9 + frame.length:
            return False
        payload = bytes(buffer[9 : 9 + frame.length])
        del buffer[: 9 + frame.length]
        self._take_frame(direction, frame, payload, named)
        return True

    def _take_data(self, direction: _Direction, frame: _Frame, named: Named) -> bool:
        taken = min(direction.data_left, len(direction.buffer))
        del direction.buffer[:taken]
        direction.data_left -= taken
        if direction.data_left:
            return False
        direction.data_frame = None
        if frame.length and len(direction.carried) < STREAMS_MAX:
            direction.carried.add(frame.stream)
        content_type = ""
        if frame.flags & END_STREAM:
            content_type = self._end(direction, frame.stream)
        named.items.append(f"{frame.name} ({content_type})" if content_type else frame.name)
        return True

    def _end(self, direction: _Direction, stream: int) -> str:
        """Forgets a stream that ended; returns the content type when it had a body."""
        content_type = direction.content_types.pop(stream, "")
        carried = stream in direction.carried
        direction.carried.discard(stream)
        return content_type if carried else ""

    def _take_frame(
        self, direction: _Direction, frame: _Frame, payload: bytes, named: Named
    ) -> None:
        named.items.append(frame.name)
        if frame.kind == RST_STREAM:
            for each in self._directions:
                self._end(each, frame.stream)
        if frame.kind in (HEADERS, PUSH_PROMISE):
            fragment = bytearray(_header_fragment(frame, payload))
            direction.block = _Block(frame, named, len(named.items) - 1, fragment)
        elif frame.kind == CONTINUATION and direction.block is not None:
            direction.block.data += payload
            if len(direction.block.data) > HEADER_BLOCK_MAX:
                direction.block, direction.decoder = None, None
        if frame.kind in (HEADERS, PUSH_PROMISE, CONTINUATION) and frame.flags & END_HEADERS:
            self._end_block(direction, named)

    def _end_block(self, direction: _Direction, named: Named) -> None:
        """Decodes a complete header block and says what it asks or answers."""
        block, direction.block = direction.block, None
        if block is None or direction.decoder is None:
            return
        try:
            fields = dict(direction.decoder.decode(bytes(block.data), raw=True))
        except HPACKError:
            direction.decoder = None  # its table is no longer the sender's
            return
        if frame_says := _describe(fields):
            # Where the block began in an earlier packet, the frame that ended it gets the text.
            index = block.index if block.named is named else len(named.items) - 1
            named.items[index] += f": {frame_says}"
        if block.frame.kind == HEADERS:
            self._remember_type(direction, block.frame, fields)

    def _remember_type(
        self, direction: _Direction, frame: _Frame, fields: dict[bytes, bytes]
    ) -> None:
        content_type = fields.get(b"content-type", b"").split(b";")[0].strip()
        if frame.flags & END_STREAM:
            self._end(direction, frame.stream)
        elif content_type and len(direction.content_types) < STREAMS_MAX:
            direction.content_types[frame.stream] = printable(content_type)


def _header_fragment(frame: _Frame, payload: bytes) -> bytes:
    """The part of the header block in a HEADERS or PUSH_PROMISE frame (RFC 9113 §6.2, §6.6)."""
    padding = 0
    if frame.flags & PADDED and payload:
        padding, payload = payload[0], payload[1:]
    if frame.kind == PUSH_PROMISE:
        payload = payload[4:]
    elif frame.flags & PRIORITY_PRESENT:
        payload = payload[5:]
    return payload[: max(0, len(payload) - padding)]


def _describe(fields: dict[bytes, bytes]) -> str:
    """A request as `GET /`, a response as `200 OK`, trailers as nothing."""
    if status := fields.get(b":status"):
        return f"{printable(status)} {reason_phrase(status)}".rstrip()
    if method := fields.get(b":method"):
        target = fields.get(b":path") or fields.get(b":authority", b"")
        return f"{printable(method)} {printable(target)}".rstrip()
    return ""


def reason_phrase(status: bytes) -> str:
    """What a status code is called (RFC 9110 §15), "" for an unknown one."""
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return ""
