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
    """An address and port that a socket holds. `shared` says that SO_REUSEADDR was set."""

    address: str
    port: int
    shared: bool


class Ports:
    """The bindings of one host."""

    def __init__(self, first: int, last: int) -> None:
        self._range = range(first, last + 1)
        self._bindings: dict[int, list[Binding]] = {}

    def bind(self, address: str, port: int, *, shared: bool) -> Binding:
        """Takes a port, any free one for 0. Raises OSError EADDRINUSE."""
        binding = Binding(address, port or self._free_port(address), shared)
        if self._is_taken(binding):
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

    def _free_port(self, address: str) -> int:
        start = random.randrange(len(self._range))
        for offset in range(len(self._range)):
            port = self._range[(start + offset) % len(self._range)]
            if not self._is_taken(Binding(address, port, shared=False)):
                return port
        raise error_of(errno.EADDRINUSE)

    def _is_taken(self, wanted: Binding) -> bool:
        return any(
            _overlap(wanted.address, held.address) and not (wanted.shared and held.shared)
            for held in self._bindings.get(wanted.port, ())
        )


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses would compete for a port; "::" takes IPv4 in, too."""
    if "::" in (one, other):
        return True
    if (":" in one) != (":" in other):
        return False
    return one == other or one in WILDCARDS or other in WILDCARDS
