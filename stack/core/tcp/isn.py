"""Numbers that an attacker must not guess: initial sequence numbers, ports, timestamps."""

from collections.abc import Iterator
from hashlib import blake2s
from typing import TYPE_CHECKING

from stack._native import ffi

if TYPE_CHECKING:
    from stack._native import Path

MASK = 0xFFFFFFFF


class Secrets:
    """Keyed hashes of a connection's four-tuple under a secret drawn once per host."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._next_port = 0

    def _hash(self, purpose: bytes, path: "Path", ports: tuple[int, ...]) -> int:
        message = bytes(ffi.buffer(path.src, 16)) + bytes(ffi.buffer(path.dst, 16))
        message += b"".join(port.to_bytes(2, "big") for port in ports)
        digest = blake2s(message, key=self._secret, person=purpose, digest_size=4)
        return int.from_bytes(digest.digest(), "big")

    def initial_sequence(self, path: "Path", now: int) -> int:
        """ISN = M + F(four-tuple, secret), M ticking every 4 µs (RFC 6528 §3)."""
        return (now // 4 + self._hash(b"isn", path, (path.sport, path.dport))) & MASK

    def timestamp_offset(self, path: "Path") -> int:
        """Where a connection's timestamp clock starts (RFC 7323 §5.4)."""
        return self._hash(b"tsval", path, (path.sport, path.dport))

    def ports(self, path: "Path", first: int, last: int) -> Iterator[int]:
        """Local ports first…last in the order to try them for the remote end of `path`:
        from a start that only we know (RFC 6056 §3.3.3).
        """
        offset = self._hash(b"port", path, (path.dport,))
        size = last - first + 1
        for _ in range(size):
            port = first + (offset + self._next_port) % size
            self._next_port += 1
            yield port
