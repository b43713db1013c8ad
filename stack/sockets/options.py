"""What getsockopt and setsockopt of every kind of socket share."""

import errno
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from stack.sockets.names import error_of

SMALLEST_BUFFER = 4096
LARGEST_BUFFER = 64 << 20

_INT = struct.Struct("i")
_LONGEST = 1024  # bytes that getsockopt of the standard library returns at most


class Options:
    """getsockopt and setsockopt by a table, with the rules and errors that all options share."""

    __slots__ = ()
    version: int
    table: ClassVar[Mapping[tuple[int, int], "Option"]] = {}

    def get(self, level: int, name: int, size: int = 0) -> int | bytes:
        """Like socket.getsockopt. Raises OSError ENOPROTOOPT for what does nothing here."""
        if not 0 <= size <= _LONGEST:
            raise OSError("getsockopt buflen out of range")
        value = self._option(level, name).get(self)
        packed = value if isinstance(value, bytes) else _INT.pack(value)
        return packed[:size] if size else int(_INT.unpack_from(packed.ljust(_INT.size, b"\0"))[0])

    def set(self, level: int, name: int, value: int | bytes) -> None:
        """Like socket.setsockopt. Raises OSError ENOPROTOOPT, or EINVAL for a bad value."""
        option = self._option(level, name)
        if option.set is None:
            raise error_of(errno.ENOPROTOOPT)
        if isinstance(value, int):
            value = _INT.pack(value)
        if len(value) < option.size:
            raise error_of(errno.EINVAL)
        option.set(self, bytes(value))

    def _option(self, level: int, name: int) -> "Option":
        try:
            return self.table[level, name]
        except KeyError:
            raise error_of(errno.ENOPROTOOPT) from None


class Option(NamedTuple):
    """How one option is read and, if it can be, written; `size` is the fewest bytes it takes.

    The first argument of both is the Options whose table it is in.
    """

    get: Callable[[Any], int | bytes]
    set: Callable[[Any, bytes], None] | None = None
    size: int = _INT.size


def number(value: bytes) -> int:
    """The int that an option was set to."""
    return int(_INT.unpack_from(value)[0])


def switch(name: str) -> Option:
    """An option that is on or off and kept under `name` in the settings."""
    return Option(
        lambda settings: int(getattr(settings, name)),
        lambda settings, value: setattr(settings, name, bool(number(value))),
    )


def within_bounds(size: int) -> int:
    """A size of a buffer that is neither useless nor dangerous, in bytes."""
    return min(max(size, SMALLEST_BUFFER), LARGEST_BUFFER)
