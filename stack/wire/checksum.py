"""The Internet checksum (RFC 1071).

Sums are folded to 16 bits and not inverted; `field` turns one into what a header carries.
"""

from stack._native import ffi, lib

Data = bytes | bytearray | memoryview


def add(data: Data, total: int = 0) -> int:
    """Adds bytes to a sum; every part of a message but the last has an even length."""
    return lib.checksum_add(ffi.from_buffer("uint8_t[]", data), len(data), total)


def scalar(data: Data, total: int = 0) -> int:
    """The same as `add`, word by word as RFC 1071 §4.1 has it."""
    return lib.checksum_scalar(ffi.from_buffer("uint8_t[]", data), len(data), total)


def pseudo(src: bytes, dst: bytes, version: int, protocol: int, length: int) -> int:
    """The pseudo header's sum, from 16-byte addresses (RFC 9293 §3.1, RFC 8200 §8.1)."""
    return lib.checksum_pseudo(src, dst, version, protocol, length)


def field(total: int) -> int:
    """What the checksum field holds for a sum."""
    return ~total & 0xFFFF


def is_valid(total: int) -> bool:
    """Whether a sum that took in the checksum field too says that nothing changed."""
    return total == 0xFFFF
