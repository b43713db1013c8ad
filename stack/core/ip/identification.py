"""Identification values for fragments of IPv4 and IPv6."""

import hashlib

from stack.core.ip.addresses import is_ipv4

_BUCKETS = 1024


class Identification:
    """Numbers that fragments of one packet share: unique for source, destination, protocol.

    A keyed hash gives each such triple its own starting point and one of many counters, so
    that no one can learn from the numbers he gets which ones another destination gets
    (RFC 7739 §5.3), and numbers repeat as late as possible (RFC 6864 §4.3). An atomic IPv4
    packet needs none: its field may hold anything (RFC 6864 §4.1).

    `secret` is up to 64 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._counters = [0] * _BUCKETS

    def next(self, src: bytes, dst: bytes, protocol: int) -> int:
        """The next value, of 16 bits for IPv4 and 32 bits for IPv6, for 16-byte addresses."""
        digest = hashlib.blake2b(
            src + dst + bytes((protocol,)), digest_size=8, key=self._secret
        ).digest()
        bucket = int.from_bytes(digest[:4], "big") % _BUCKETS
        self._counters[bucket] += 1
        value = int.from_bytes(digest[4:], "big") + self._counters[bucket]
        return value & (0xFFFF if is_ipv4(dst) else 0xFFFFFFFF)
