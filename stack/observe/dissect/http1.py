"""HTTP/1.1 messages by their first line (RFC 9112), up to an upgrade to HTTP/2."""

import re
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from stack.observe.dissect.http2 import Http2
from stack.observe.dissect.layer import CLIENT, SERVER, Layer, Named, Side, printable

HEAD_MAX = 64 << 10
LINE_MAX = 4096
REQUESTS_MAX = 1024

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIRST_LINE = (
    re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} \S+ HTTP/1\.[01]$"),
    re.compile(rb"HTTP/1\.[01] \d{3}( |$)"),
)


class _Step(Enum):
    HEAD = auto()
    LENGTH = auto()  # a body of known length
    CHUNK_SIZE = auto()
    CHUNK = auto()
    TRAILERS = auto()
    UNTIL_CLOSE = auto()


@dataclass(slots=True)
class _Head:
    first_line: bytes
    fields: dict[bytes, bytes]

    @property
    def status(self) -> int:
        return int(self.first_line[9:12])

    @property
    def method(self) -> bytes:
        return self.first_line.split(b" ", 1)[0]

    @property
    def text(self) -> str:
        return printable(self.first_line.rstrip())


@dataclass(slots=True)
class _Direction:
    step: _Step = _Step.HEAD
    buffer: bytearray = field(default_factory=bytearray)
    left: int = 0  # bytes of the body or chunk to come
    head: _Head | None = None
    body: bool = False  # some of it came


class Http1:
    """Names messages when they are complete: `GET / HTTP/1.1`, `HTTP/1.1 200 OK  (text/plain)`."""

    def __init__(self) -> None:
        self._directions = _Direction(), _Direction()
        self._methods: deque[bytes] = deque(maxlen=REQUESTS_MAX)
        self._successor: Layer | None = None
        self._over = False

    def feed(self, side: Side, data: bytes) -> Named | None:
        if self._successor is not None:
            return self._successor.feed(side, data)
        if self._over:
            return None
        named = Named("HTTP")
        direction = self._directions[side]
        direction.buffer += data
        while self._take(side, direction, named):
            pass
        self._hand_on(side, direction, named)
        if direction.step is _Step.HEAD and not _plausible(side, direction.buffer):
            self._over = True
            return named if named.items else None
        named.open = bool(direction.buffer) or direction.step is not _Step.HEAD
        return named

    def finish(self, side: Side) -> Named | None:
        direction = self._directions[side]
        if self._successor is not None:
            return self._successor.finish(side)
        if direction.step is not _Step.UNTIL_CLOSE:
            return None
        named = Named("HTTP")
        self._complete(direction, named)
        return named

    def _hand_on(self, side: Side, direction: _Direction, named: Named) -> None:
        """Gives what follows an upgrade to the protocol that took over."""
        rest = bytes(direction.buffer)
        if self._successor is None or not rest:
            return
        direction.buffer.clear()
        if after := self._successor.feed(side, rest):
            named.absorb(after)

    def _take(self, side: Side, direction: _Direction, named: Named) -> bool:
        """Takes the next part of a message; False when more must come."""
        if self._over or self._successor is not None or not direction.buffer:
            return False
        match direction.step:
            case _Step.HEAD:
                return self._take_head(side, direction, named)
            case _Step.LENGTH | _Step.CHUNK:
                return self._take_body(direction, named)
            case _Step.UNTIL_CLOSE:
                direction.body = True
                direction.buffer.clear()
                return False
            case _:
                return self._take_line(direction, named)

    def _take_head(self, side: Side, direction: _Direction, named: Named) -> bool:
        while direction.buffer[:2] == b"\r\n":  # RFC 9112 §2.2: empty lines may precede
            del direction.buffer[:2]
        end = _HEAD_END.search(direction.buffer)
        if end is None or not _plausible(side, direction.buffer):
            return False
        direction.head = head = _parse_head(bytes(direction.buffer[: end.start()]))
        del direction.buffer[: end.end()]
        direction.body = False
        named.head = head.text + "  "
        if side == CLIENT:
            self._methods.append(head.method)
            direction.step, direction.left = _body_step(head) or (_Step.HEAD, 0)
        else:
            direction.step, direction.left = self._response_step(head)
        if direction.step is _Step.HEAD:
            self._complete(direction, named)
        return True

    def _response_step(self, head: _Head) -> tuple[_Step, int]:
        """How the body of a response is delimited (RFC 9112 §6.3); takes its request away."""
        if head.status == 101:
            self._over = True
            if head.fields.get(b"upgrade", b"").strip().lower() == b"h2c":
                self._over, self._successor = False, Http2()
        if 100 <= head.status < 200:
            return _Step.HEAD, 0
        method = self._methods.popleft() if self._methods else b""
        if method == b"CONNECT" and 200 <= head.status < 300:
            self._over = True
        if method in (b"HEAD", b"CONNECT") or head.status in (204, 304):
            return _Step.HEAD, 0
        return _body_step(head) or (_Step.UNTIL_CLOSE, 0)

    def _take_body(self, direction: _Direction, named: Named) -> bool:
        taken = min(direction.left, len(direction.buffer))
        del direction.buffer[:taken]
        direction.left -= taken
        direction.body = direction.body or taken > 0
        if direction.left:
            return False
        if direction.step is _Step.CHUNK:
            direction.step = _Step.CHUNK_SIZE
        else:
            self._complete(direction, named)
        return True

    def _take_line(self, direction: _Direction, named: Named) -> bool:
        """Takes a chunk size or a trailer line (RFC 9112 §7.1)."""
        line, newline, _ = direction.buffer.partition(b"\n")
        if not newline:
            self._over = self._over or len(direction.buffer) > LINE_MAX
            return False
        del direction.buffer[: len(line) + 1]
        text = bytes(line).split(b";")[0].strip()
        if direction.step is _Step.TRAILERS:
            if not text:
                self._complete(direction, named)
        elif re.fullmatch(rb"[0-9A-Fa-f]{1,15}", text):
            size = int(text, 16)
            # The line end behind a chunk counts as a part of it.
            direction.step, direction.left = _Step.CHUNK, size + 2
            if not size:
                direction.step = _Step.TRAILERS
        else:
            self._over = True
        return True

    def _complete(self, direction: _Direction, named: Named) -> None:
        """Names the message that is now whole; the next one may begin."""
        assert direction.head is not None
        head, direction.head, direction.step = direction.head, None, _Step.HEAD
        content_type = head.fields.get(b"content-type", b"").split(b";")[0].strip()
        kind = f"  ({printable(content_type)})" if direction.body and content_type else ""
        named.items.append(head.text + kind)
        named.head = ""


def _plausible(side: Side, buffer: bytearray) -> bool:
    """Whether a head may begin so."""
    line, newline, _ = bytes(buffer[:HEAD_MAX]).partition(b"\n")
    if newline:
        return len(buffer) <= HEAD_MAX and bool(_FIRST_LINE[side].match(line.rstrip(b"\r")))
    if side == SERVER:
        return len(line) < LINE_MAX and b"HTTP/1.".startswith(line[:7])
    return len(line) < HEAD_MAX and line.split(b" ", 1)[0][:32].isascii()


def _parse_head(data: bytes) -> _Head:
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    fields: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields.setdefault(name.strip().lower(), value.strip())
    return _Head(lines[0], fields)


def _body_step(head: _Head) -> tuple[_Step, int] | None:
    """How the header delimits the body, with its length in bytes; None: it does not."""
    if head.fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
        return _Step.CHUNK_SIZE, 0
    length = head.fields.get(b"content-length", b"")
    if re.fullmatch(rb"\d{1,18}", length):
        return (_Step.LENGTH, int(length)) if int(length) else (_Step.HEAD, 0)
    return None
