"""What `tunstack fetch -v` prints: heads of messages as curl shows them, and HTTP/2 frame by frame."""

import ssl
from collections.abc import Callable, Iterable
from enum import IntEnum

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Decoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
)

from stack.http.frames import HEADER, PREFACE
from stack.http.httpcore_backend import Watch

HEAD_END = b"\r\n\r\n"
LONGEST_HEAD = 1 << 16


class Narrator(Watch):
    """Tells one connection, a line a call."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._directions: tuple[_Direction, _Direction] | None = None

    def connected(self, peer: tuple[str, int]) -> None:
        self._say(f"* Connected to {peer[0]} port {peer[1]}")

    def secured(self, connection: ssl.SSLObject) -> None:
        cipher = connection.cipher()
        alpn = connection.selected_alpn_protocol() or "none"
        self._say(f"* {connection.version()}, {cipher[0] if cipher else 'no cipher'}, ALPN {alpn}")

    def sent(self, data: bytes) -> None:
        if self._directions is None:
            kind = _Frames if data.startswith(PREFACE) else _Heads
            self._directions = kind(self._say, ">"), kind(self._say, "<")
        self._directions[0].feed(data)

    def received(self, data: bytes) -> None:
        if self._directions is not None:
            self._directions[1].feed(data)


class _Direction:
    """One side's bytes."""

    def __init__(self, say: Callable[[str], None], mark: str) -> None:
        self._say = say
        self._mark = mark
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """More of them."""
        raise NotImplementedError

    def _line(self, text: str) -> None:
        self._say(f"{self._mark} {text}".rstrip())


class _Heads(_Direction):
    """HTTP/1.1: the head of a message that begins with a chunk of data, never a body.

    A client writes a head by itself, and asks for nothing before the last answer is whole,
    so this misses none.
    """

    def feed(self, data: bytes) -> None:
        if not self._rest and not self._begins(data):
            return
        self._rest += data
        while self._begins(self._rest):
            head, end, after = self._rest.partition(HEAD_END)
            if not end:
                if len(self._rest) < LONGEST_HEAD:
                    return
                break
            for line in head.split(b"\r\n"):
                self._line(line.decode("latin-1"))
            self._line("")
            self._rest = after
        self._rest = b""

    def _begins(self, data: bytes) -> bool:
        if self._mark == "<":
            return data.startswith(b"HTTP/1.")
        return b" HTTP/1.1\r\n" in data[:LONGEST_HEAD].partition(b"\n")[0] + b"\n"


class _Frames(_Direction):
    """HTTP/2: every frame, and the fields of header sections."""

    def __init__(self, say: Callable[[str], None], mark: str) -> None:
        super().__init__(say, mark)
        self._decoder: Decoder | None = Decoder()
        self._block = b""

    def feed(self, data: bytes) -> None:
        self._rest += data
        self._rest = self._rest.removeprefix(PREFACE)
        while len(self._rest) >= HEADER:
            frame, length = Frame.parse_frame_header(memoryview(self._rest)[:HEADER])
            if len(self._rest) < HEADER + length:
                return
            payload = self._rest[HEADER : HEADER + length]
            self._rest = self._rest[HEADER + length :]
            self._tell(frame, payload)

    def _tell(self, frame: Frame, payload: bytes) -> None:
        try:
            frame.parse_body(memoryview(payload))
        except HyperframeError as error:
            self._line(f"{_kind(frame)} stream={frame.stream_id}: {error}")
            return
        self._line(f"{_kind(frame)} stream={frame.stream_id}{_details(frame, len(payload))}")
        if isinstance(frame, HeadersFrame | PushPromiseFrame | ContinuationFrame):
            self._block += frame.data
            if "END_HEADERS" in frame.flags:
                self._fields()

    def _fields(self) -> None:
        block, self._block = self._block, b""
        if self._decoder is None:
            return
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError:
            self._decoder = None
            return
        for name, value in fields:
            self._line(f"    {_text(name)}: {_text(value)}")


def _kind(frame: Frame) -> str:
    """PING for PingFrame, WINDOW_UPDATE for WindowUpdateFrame."""
    name = type(frame).__name__.removesuffix("Frame")
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()


def _details(frame: Frame, size: int) -> str:
    """Flags, and what the payload says."""
    parts = [*_flags(frame.flags)]
    if isinstance(frame, DataFrame):
        parts.append(f"{size} bytes")
    for number, value in getattr(frame, "settings", {}).items():
        parts.append(f"{_word(SettingCodes, number)}={value}")
    for name in ("window_increment", "last_stream_id", "promised_stream_id"):
        value = getattr(frame, name, None)
        if value is not None:
            parts.append(f"{name}={value}")
    if isinstance(frame, RstStreamFrame | GoAwayFrame):
        parts.append(_word(ErrorCodes, frame.error_code))
    return "".join(f" {part}" for part in parts)


def _word(kind: type[IntEnum], number: int) -> str:
    """What the RFC calls it; a number that it does not know stays one."""
    try:
        return kind(number).name
    except ValueError:
        return f"{number:#x}"


def _flags(flags: Iterable[str]) -> list[str]:
    return sorted(str(flag) for flag in flags)


def _text(data: bytes | str) -> str:
    return data.decode("latin-1") if isinstance(data, bytes) else data
