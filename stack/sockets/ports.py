"""Which ports of a host are bound by blocking sockets that do not listen yet.

The core knows listeners and connections; `bind` comes before either.
"""

import errno
import random
from dataclasses import dataclass

from stack.sockets.names import error_of

WILDCARDS = ("0.0.0.0", "::")


@dataclass(eq=False, slots=True)
class Binding:
    """An address and port that a socket holds.

    `common` says that SO_REUSEPORT was set: all who say so may hold and even listen on the same.
    `shared` says that SO_REUSEADDR was set: such sockets may hold the same, until one of
    them listens. `dual` says that an IPv6 socket takes IPv4 in, too (RFC 3493 §5.3).
    """

    address: str
    port: int
    shared: bool
    dual: bool
    common: bool = False
    listening: bool = False

    def tolerates(self, other: "Binding") -> bool:
        """Whether both may be bound to their port at once."""
        if not self._overlaps(other) or (self.common and other.common):
            return True
        return self.shared and other.shared and not (self.listening or other.listening)

    def _overlaps(self, other: "Binding") -> bool:
        if self.dual or other.dual:
            return True
        if (":" in self.address) != (":" in other.address):
            return False
        return (
            self.address == other.address or self.address in WILDCARDS or other.address in WILDCARDS
        )


class Ports:
    """The bindings of one host; ports that are free to choose go from `first` to `last`."""

    def __init__(self, first: int, last: int) -> None:
        self._range = range(first, last + 1)
        self._bindings: dict[int, list[Binding]] = {}

    def bind(self, binding: Binding) -> Binding:
        """Takes a port, any free one for 0. Raises OSError EADDRINUSE."""
        if not binding.port:
            binding.port = self._free_port(binding)
        if self._is_taken(binding, binding.port):
            raise error_of(errno.EADDRINUSE)
        self._bindings.setdefault(binding.port, []).append(binding)
        return binding

    def release(self, binding: Binding) -> None:
        """Gives a port back."""
        held = self._bindings.get(binding.port, [])
        if binding in held:
            held.remove(binding)
        if not held:
            self._bindings.pop(binding.port, None)

    def _free_port(self, wanted: Binding) -> int:
        start = random.randrange(len(self._range))
        for offset in range(len(self._range)):
            port = self._range[(start + offset) % len(self._range)]
            if port not in self._bindings or not self._is_taken(wanted, port):
                return port
        raise error_of(errno.EADDRINUSE)

    def _is_taken(self, wanted: Binding, port: int) -> bool:
        return not all(wanted.tolerates(other) for other in self._bindings.get(port, ()))
