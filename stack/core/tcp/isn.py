"""Numbers that an attacker must not guess: initial sequence numbers, ports, timestamps."""

from collections.abc import Iterator
from hashlib import blake2s
from struct import Struct
from typing import TYPE_CHECKING

from stack._native import ffi, lib

if TYPE_CHECKING:
    from stack._native import Path


_PORTS = Struct("!HH")
_ADDRESSES = slice(ffi.offsetof("struct path", "src"), ffi.offsetof("struct path", "sport"))


def _hash(keyed: "blake2s", path: "Path", sport: int) -> int:
    """Of the addresses and ports of a path; `sport` 0 where ours is not part of it."""
    digest = keyed.copy()
    digest.update(ffi.buffer(path)[_ADDRESSES] + _PORTS.pack(sport, path.dport))
    return int.from_bytes(digest.digest(), "big")


class Secrets:
    """Keyed hashes of a connection's four-tuple under a secret drawn once per host.

    What every connection needs is SipHash-2-4 in C, where the segment path needs it, too.
    """

    def __init__(self, secret: bytes) -> None:
        self.raw = ffi.new("struct secrets *")
        for name, key in (("sequence", self.raw.sequence), ("timestamp", self.raw.timestamp)):
            derived = blake2s(key=secret, person=name[:8].encode(), digest_size=16).digest()
            key[0], key[1] = (int.from_bytes(derived[at : at + 8], "big") for at in (0, 8))
        # The key is a block of its own: worked in once, and copied for each hash.
        self._port = blake2s(key=secret, person=b"port", digest_size=4)
        self._group = blake2s(key=secret, person=b"group", digest_size=4)
        self._next_port = 0

    def initial_sequence(self, path: "Path", now: int) -> int:
        """ISN = M + F(four-tuple, secret), M ticking every 4 µs (RFC 6528 §3)."""
        return lib.initial_sequence(self.raw, path, now)

    def timestamp_offset(self, path: "Path") -> int:
        """Where a connection's timestamp clock starts (RFC 7323 §5.4)."""
        return lib.timestamp_offset(self.raw, path)

    def spread(self, path: "Path", places: int) -> int:
        """One of so many places, for this four-tuple always the same."""
        return _hash(self._group, path, path.sport) % places

    def ports(self, path: "Path", first: int, last: int) -> Iterator[int]:
        """Local ports first…last in the order to try them for the remote end of `path`:
        from a start that only we know (RFC 6056 §3.3.3).
        """
        offset = _hash(self._port, path, 0)
        size = last - first + 1
        for _ in range(size):
            port = first + (offset + self._next_port) % size
            self._next_port += 1
            yield port
