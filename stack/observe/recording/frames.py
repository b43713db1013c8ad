"""The file of a recording: a line that says what it is, then frames, the header first.

A frame is its length (4 bytes), a check of that (2), a check of its content (4), and the
content, whose first byte says what it is. Integers are little endian. The host's process may
end at any byte: then a part of a frame is the end, and everything before it counts.
"""

import os
from binascii import crc32
from enum import Enum
from io import BufferedReader
from json import dumps, loads
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from stack.errors import UsageError
from stack.observe.recording.values import Cursor

MAGIC = b"tunstack recording 1\n"
_ANY_VERSION = b"tunstack recording "
_HEAD = Struct("<IHI")
_LENGTH = Struct("<I")


class Kind(Enum):
    """What a frame is about."""

    HEADER = b"h"
    RANDOM = b"d"
    """random bytes that the host drew"""
    CALL = b"c"
    RESULT = b"r"
    FAILURE = b"e"
    """an exception in the place of a result"""
    ENTERED = b"<"
    """the host calls the application back, which may call the host in turn"""
    LEFT = b">"
    FORGOTTEN = b"g"
    """objects that the application has let go of: nothing names them any more"""
    END = b"z"


class Frame(NamedTuple):
    """A frame as read; `offset` is where it begins in the file."""

    kind: Kind
    cursor: Cursor
    offset: int


class Damaged(Exception):
    """The file is not what was written."""


class FrameWriter:
    """Writes frames; each is in the hands of the kernel when `put` returns.

    Raises UsageError when the file cannot be made. A disk that runs full ends the recording,
    not the host: `error` says so from then on.
    """

    def __init__(self, path: Path) -> None:
        self.error = ""
        try:
            # What it holds is for its owner only: random secrets, and keys of TLS.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise UsageError(
                f"cannot write the recording {path}: {error.strerror}; name a file in a folder"
                " that you can write to"
            ) from error
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._waiting = bytearray(MAGIC)

    def header(self, values: dict[str, Any]) -> None:
        """The first frame."""
        self.put(Kind.HEADER, dumps(values).encode())
        self.flush()

    def put(self, kind: Kind, content: bytes | bytearray) -> None:
        """Appends a frame, which leaves with the next `flush`."""
        length = _LENGTH.pack(len(content) + 1)
        check = crc32(content, crc32(kind.value))
        self._waiting += _HEAD.pack(len(content) + 1, crc32(length) & 0xFFFF, check)
        self._waiting += kind.value
        self._waiting += content

    def flush(self) -> None:
        """Hands what waits to the kernel: the end of this process cannot undo it."""
        waiting, self._waiting = self._waiting, bytearray()
        if self.error:
            return
        try:
            rest = memoryview(waiting)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = f"the recording ends early: {error.strerror}"

    def close(self) -> None:
        """Writes what waits and closes the file; again is harmless."""
        if not self._file.closed:
            self.flush()
            self._file.close()


class FrameReader:
    """Reads frames. Raises UsageError for a file that is no recording of this format.

    `left_out` is how many bytes at the end are a part of a frame, known once all are read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BufferedReader = path.open("rb")
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        self.left_out = 0
        try:
            self.header = self._read_header(path)
        except BaseException:
            self._file.close()
            raise

    def _read_header(self, path: Path) -> dict[str, Any]:
        try:
            line = self._file.readline(len(MAGIC) + 8)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if line != MAGIC:
            if line.startswith(_ANY_VERSION):
                made_for = line.removeprefix(_ANY_VERSION).decode("ascii", "replace").strip()
                raise UsageError(f"{path}: this version reads format 1, and this is {made_for!r}")
            raise UsageError(f"{path}: no recording; `tunstack run --record FILE` makes one")
        try:
            frame = self.next()
        except Damaged as error:
            raise UsageError(f"{path}: {error}") from None
        if frame is None or frame.kind is not Kind.HEADER:
            raise UsageError(f"{path}: the recording has no header: it was cut off at its start")
        values: dict[str, Any] = loads(frame.cursor.rest)
        return values

    def next(self) -> Frame | None:
        """The next frame, None at the end. Raises Damaged."""
        if self.left_out:
            return None
        offset = self._file.tell()
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            self.left_out = len(head)
            return None
        length, length_check, check = _HEAD.unpack(head)
        if crc32(head[: _LENGTH.size]) & 0xFFFF != length_check:
            raise Damaged(f"the record at byte {offset} is damaged: the check of its length fails")
        content = self._file.read(length)
        if len(content) < length:
            self.left_out = _HEAD.size + len(content)
            return None
        if crc32(content) != check:
            raise Damaged(f"the record at byte {offset} is damaged: its check fails")
        try:
            return Frame(Kind(content[:1]), Cursor(content[1:]), offset)
        except ValueError:
            raise Damaged(f"the record at byte {offset} is of an unknown kind") from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
