"""Fragmentation of what this host sends."""

import random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.ip.fragment import fragment
from stack.core.ip.reassembly import Reassembly
from stack.wire.batch import Inbound
from tests.support.packets import echo, ipv4, ipv4_header_ok, ipv6, parsed, udp


def body(length):
    return random.Random(length).randbytes(length)


def rebuilt(pieces):
    reassembly = Reassembly()
    whole = None
    for data in pieces:
        arrived = Inbound.of([data])
        assert arrived.packets[0].fault == 0
        assert whole is None, "only the last completes it"
        whole = reassembly.add(arrived.packets[0], 0)
    return whole


@pytest.mark.rfc("791", "3.2")
@pytest.mark.rfc("8200", "4.5")
@given(
    version=st.sampled_from([4, 6]),
    length=st.integers(0, 6000),
    mtu=st.integers(68, 2000),
    identification=st.integers(0, 2**32 - 1),
)
def test_fragments_fit_the_mtu_and_give_the_packet_back(version, length, mtu, identification):
    packet = echo(version, body(length))
    pieces = fragment(packet, mtu, identification)
    assert all(len(data) <= mtu for data in pieces)
    if len(packet) <= mtu:
        assert pieces == [packet]
        return
    whole = rebuilt(pieces)
    if version == 6:
        assert whole == packet
    else:
        assert whole[20:] == packet[20:]
        assert all(ipv4_header_ok(data) for data in pieces)
    ids = {parsed(data).fragment_id for data in pieces}
    assert ids == {identification & (0xFFFF if version == 4 else 0xFFFFFFFF)}


@pytest.mark.rfc("791", "3.2")
@pytest.mark.parametrize("version", [4, 6])
def test_all_fragments_but_the_last_fill_the_mtu_in_units_of_8(version):
    pieces = fragment(udp(version, 1, 2, body(4000)), 1500, 1)
    arrived = [Inbound.of([data]) for data in pieces]
    lengths = [a.packets[0].length - a.packets[0].ip_header_length for a in arrived]
    assert all(length == (1480 if version == 4 else 1448) for length in lengths[:-1])
    assert [a.packets[0].more_fragments for a in arrived] == [1] * (len(pieces) - 1) + [0]


@pytest.mark.rfc("791", "3.1")
def test_only_copied_options_go_into_later_fragments():
    record_route = b"\x07\x07\x04\0\0\0\0"  # not copied
    router_alert = b"\x94\x04\0\0"  # copied
    packet = ipv4(body(200), options=record_route + router_alert + b"\0", protocol=253)
    pieces = fragment(packet, 124, 7)
    assert pieces[0][20:32] == record_route + router_alert + b"\0"
    for later in pieces[1:]:
        assert later[0] == 0x46
        assert later[20:24] == router_alert
        assert ipv4_header_ok(later)
    assert rebuilt(pieces)[32:] == body(200)


@pytest.mark.rfc("791", "3.1")
def test_a_packet_with_df_or_a_fragment_is_not_cut():
    for flags, offset in ((2, 0), (1, 0), (0, 64)):
        with pytest.raises(ValueError, match="fragment"):
            fragment(ipv4(body(2000), flags=flags, offset=offset), 1500, 1)
    with pytest.raises(ValueError, match="fragment"):
        fragment(ipv6(pack(">BBHI", 253, 0, 1, 9) + body(2000), next_header=44), 1500, 1)


@pytest.mark.parametrize(("version", "mtu"), [(4, 27), (6, 55)])
def test_an_mtu_without_room_for_8_bytes_is_an_error(version, mtu):
    with pytest.raises(ValueError, match="room"):
        fragment(echo(version, body(100)), mtu, 1)
    assert fragment(echo(4, body(100)), 28, 1)


@pytest.mark.rfc("8200", "4.5")
def test_per_fragment_headers_are_in_every_fragment():
    hop_by_hop = bytes((60, 0, 1, 4, 0, 0, 0, 0))
    before_routing = bytes((43, 0, 1, 4, 0, 0, 0, 0))
    routing = bytes((60, 0, 0, 0, 0, 0, 0, 0))
    for_the_end = bytes((253, 0, 1, 4, 0, 0, 0, 0))
    common = hop_by_hop + before_routing + routing
    packet = ipv6(common + for_the_end + body(300), next_header=0)
    pieces = fragment(packet, 200, 9)
    for data in pieces:
        assert data[40:56] == common[:16]
        assert data[56] == 44, "the routing header names the fragment header"
        assert data[64] == 60, "which names the fragmentable part's first header"
    assert rebuilt(pieces) == packet


@pytest.mark.rfc("7112", "5")
def test_the_first_fragment_must_hold_all_headers():
    options = bytes((6, 12)) + bytes((1, 100)) + bytes(100)
    packet = ipv6(options + bytes(20) + body(200), next_header=60)
    with pytest.raises(ValueError, match="headers"):
        fragment(packet, 128, 1)
    assert rebuilt(fragment(packet, 256, 1)) == packet
