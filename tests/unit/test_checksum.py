"""The Internet checksum: the vectorised one equals the reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.wire import checksum

addresses = st.binary(min_size=16, max_size=16)


def by_the_book(data: bytes, total: int = 0) -> int:
    """RFC 1071 §1 in arithmetic: the sum modulo 2^16 - 1, zero only when all is zero."""
    padded = data + b"\0" * (len(data) % 2)
    words = (int.from_bytes(padded[i : i + 2]) for i in range(0, len(padded), 2))
    total += sum(words)
    return total % 0xFFFF or (0xFFFF if total else 0)


@pytest.mark.rfc("1071", "§4.1")
@given(st.binary(max_size=2000), st.integers(0, 0xFFFFFFFF), st.integers(0, 40))
def test_vectorised_sum_equals_the_scalar_one(data, total, start):
    part = memoryview(data)[start:]
    expected = by_the_book(bytes(part), total)
    assert checksum.scalar(part, total) == expected
    assert checksum.add(part, total) == expected


@pytest.mark.parametrize("length", [65535, 65536, 1 << 20])
@pytest.mark.parametrize("byte", [b"\xff", b"\x80", b"\x01"])
def test_long_runs_do_not_overflow(length, byte):
    data = byte * length
    assert checksum.add(data) == checksum.scalar(data) == by_the_book(data)


@given(st.binary(max_size=500), st.binary(max_size=500))
def test_a_sum_goes_on_behind_an_even_part(first, second):
    first = first[: len(first) & ~1]
    assert checksum.add(second, checksum.add(first)) == checksum.add(first + second)


@pytest.mark.rfc("1071", "§1")
@given(st.binary(max_size=100))
def test_data_with_its_checksum_sums_to_all_ones(data):
    data = data[: len(data) & ~1]
    field = checksum.field(checksum.add(data)).to_bytes(2)
    assert checksum.is_valid(checksum.add(data + field))


@pytest.mark.rfc("9293", "§3.1")
@given(addresses, addresses, st.integers(0, 255), st.integers(0, 65535))
def test_ipv4_pseudo_header(src, dst, protocol, length):
    header = src[12:] + dst[12:] + bytes([0, protocol]) + length.to_bytes(2)
    assert checksum.pseudo(src, dst, 4, protocol, length) == by_the_book(header)


@pytest.mark.rfc("8200", "§8.1")
@given(addresses, addresses, st.integers(0, 255), st.integers(0, 0xFFFFFFFF))
def test_ipv6_pseudo_header(src, dst, protocol, length):
    header = src + dst + length.to_bytes(4) + bytes([0, 0, 0, protocol])
    assert checksum.pseudo(src, dst, 6, protocol, length) == by_the_book(header)
