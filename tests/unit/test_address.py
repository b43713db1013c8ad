"""Addresses as 16 bytes."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi
from stack.wire.address import fill_path, pack, raw, text, unpack


@given(st.ip_addresses())
def test_unpack_gives_back_what_was_packed(address):
    packed = pack(address)
    assert len(packed) == 16
    assert unpack(packed, address.version) == address
    assert text(packed, address.version) == str(address)


@pytest.mark.rfc("4291", "§2.5.5.2")
def test_ipv4_is_stored_mapped():
    assert pack(IPv4Address("192.0.2.1")) == IPv6Address("::ffff:192.0.2.1").packed


def test_a_mapped_address_in_an_ipv6_packet_is_an_ipv6_address():
    packed = pack(IPv4Address("192.0.2.1"))
    assert unpack(packed, 6) == IPv6Address("::ffff:192.0.2.1")


def test_a_path_is_filled_and_read_back():
    path = ffi.new("struct path *")
    src, dst = pack(IPv6Address("2001:db8::1")), pack(IPv6Address("2001:db8::2"))
    fill_path(path, 6, src, dst, 1000, 80, ttl=3, traffic_class=0x28)
    assert raw(path.src) == src
    assert raw(path.dst) == dst
    assert (path.version, path.sport, path.dport) == (6, 1000, 80)
    assert (path.ttl, path.traffic_class, path.dont_fragment) == (3, 0x28, 1)
