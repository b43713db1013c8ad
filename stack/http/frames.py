"""What can be read off HTTP/2 frames without their state: kinds, sizes, priorities (RFC 9113 §4.1).

The session that interprets the frames says nothing of the priorities of RFC 7540, takes floods
of useless frames for traffic, and overlooks a few breaches; so the bytes pass by here first.
"""

from collections import deque
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9


# Frame types (RFC 9113 §6, RFC 9218 §7.1) and flags, plain numbers: every frame is looked at.
DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PING = 6
WINDOW_UPDATE = 8
CONTINUATION = 9
PRIORITY_UPDATE = 16
UNKNOWN = 31  # all that are above

END_STREAM = 0x01
PADDED = 0x08
WITH_PRIORITY = 0x20


@dataclass(frozen=True, slots=True)
class Dependency:
    """A PRIORITY frame, or the same fields in HEADERS (RFC 7540 §6.3); `weight` is 1 to 256."""

    stream: int
    parent: int
    weight: int
    exclusive: bool


@dataclass(frozen=True, slots=True)
class PriorityUpdate:
    """A PRIORITY_UPDATE frame (RFC 9218 §7.1): `value` is a Priority field value."""

    stream: int
    value: bytes


Signal = Dependency | PriorityUpdate

# A longer PRIORITY_UPDATE says nothing that anybody defined.
LONGEST_UPDATE = 512
# What of a frame's payload holds the fields of a dependency, with the length of the padding.
DEPENDENCY = 5


# Ranges of streams that a client skipped. Honest ones skip none; of who skips more often, the
# oldest are forgotten.
MOST_SKIPPED = 100


class FrameReader:
    """Counts the frames of a client by kind and finds priorities in them.

    `empty` counts DATA frames that neither carry anything nor end a stream. `breach` says in
    words which rule was broken, of those that the session does not enforce; all of them are
    connection errors of type PROTOCOL_ERROR.
    """

    def __init__(self, *, skip: int = 0) -> None:
        self.counts = [0] * 32
        self.empty = 0
        self.breach = ""
        self._skip = skip
        self._rest = b""
        self._highest = -1
        self._skipped: deque[range] = deque(maxlen=MOST_SKIPPED)

    def feed(self, data: bytes) -> list[Signal]:
        """Reads on in `data`; returns the priorities in it, in order."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        signals: list[Signal] = []
        at, size, counts = self._skip, len(data), self.counts
        while at + HEADER <= size:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind, flags = data[at + 3], data[at + 4]
            if kind == DATA:
                if not (length or flags & END_STREAM):
                    self.empty += 1
            elif kind == HEADERS:
                self._opens(_stream(data, at))
            if kind in {PRIORITY, PRIORITY_UPDATE} or flags & WITH_PRIORITY:
                wanted = min(length, LONGEST_UPDATE if kind == PRIORITY_UPDATE else 6)
                if at + HEADER + wanted > size:
                    break
                _signal(data, at, length, kind, flags, signals)
                if kind == PRIORITY and not _stream(data, at):
                    self.breach = "PRIORITY on stream 0"  # RFC 9113 §6.3
            counts[min(kind, UNKNOWN)] += 1
            at += HEADER + length
        if at < size:
            self._rest = bytes(data[at:])
            self._skip = 0
        else:
            self._skip = at - size
        return signals

    def _opens(self, stream: int) -> None:
        """HEADERS came on `stream`: one that is not below those before it (RFC 9113 §5.1.1),
        or one that was opened already and gets trailers.
        """
        if stream > self._highest:
            if stream > self._highest + 2:
                self._skipped.append(range(self._highest + 2, stream, 2))
            self._highest = stream
        elif self._skipped and any(stream in skipped for skipped in self._skipped):
            self.breach = f"stream {stream} below one that was opened before"


def _stream(data: bytes, at: int) -> int:
    """The stream of the frame at `at`, without the reserved bit."""
    return int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF


def _signal(
    data: bytes, at: int, length: int, kind: int, flags: int, signals: list[Signal]
) -> None:
    """Appends what the frame at `at` says about priorities, if it says so well."""
    stream = _stream(data, at)
    begin = at + HEADER
    if kind == PRIORITY_UPDATE:
        if 4 <= length <= LONGEST_UPDATE:
            subject = int.from_bytes(data[begin : begin + 4], "big") & 0x7FFFFFFF
            signals.append(PriorityUpdate(subject, bytes(data[begin + 4 : begin + length])))
        return
    if kind == HEADERS:
        if not flags & WITH_PRIORITY:
            return
        padded = 1 if flags & PADDED else 0
        begin, length = begin + padded, length - padded
    elif kind != PRIORITY:
        return
    if length < DEPENDENCY:
        return
    first = int.from_bytes(data[begin : begin + 4], "big")
    parent, exclusive = first & 0x7FFFFFFF, bool(first >> 31)
    if parent != stream and stream:
        signals.append(Dependency(stream, parent, data[begin + 4] + 1, exclusive))
