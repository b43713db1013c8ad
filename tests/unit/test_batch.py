"""Batches of packets on their way in and out."""

from ipaddress import ip_address

import pytest

from stack._native import ffi, lib
from stack.wire.address import fill_path, pack
from stack.wire.batch import CAPACITY, Inbound, Outbound


@pytest.fixture
def path():
    path = ffi.new("struct path *")
    fill_path(path, 4, pack(ip_address("192.0.2.1")), pack(ip_address("192.0.2.2")), 1000, 80)
    return path


@pytest.fixture
def segment(path):
    """Builds an empty ACK into the next slot."""

    def build(out: Outbound, seq: int, *, checksum_offload: bool = False) -> None:
        emit = ffi.new("struct emit *", {"seq": seq, "flags": lib.FLAG_ACK})
        emit.checksum_offload = checksum_offload
        assert lib.outgoing_tcp(out.next_slot(), path, emit, ffi.NULL, 0, 0) == 40

    return build


def test_pushed_packets_come_out_in_order_with_their_reasons(segment):
    out = Outbound()
    for seq in range(3):
        segment(out, seq)
        out.push(f"why {seq}", f"detail {seq}")
    out.push_raw(b"raw packet", "raw")
    assert len(out) == out.count == 4
    assert out.whys == ["why 0", "why 1", "why 2", "raw"]
    assert out.details == ["detail 0", "detail 1", "detail 2", ""]
    packets = list(out)
    assert packets[3] == b"raw packet" == out.bytes(3)
    inbound = Inbound.of(packets[:3])
    assert [packet.seq for packet in inbound.packets[0:3]] == [0, 1, 2]


def test_an_outbound_batch_holds_its_capacity_and_no_more():
    out = Outbound()
    for _ in range(CAPACITY):
        assert not out.full
        out.push_raw(b"x", None)
    assert out.full
    with pytest.raises(IndexError):
        out.next_slot()
    with pytest.raises(IndexError):
        out.push_raw(b"x", None)
    assert out.count == CAPACITY


def test_clear_makes_room_again():
    out = Outbound()
    out.push_raw(b"first", "why")
    out.clear()
    assert (out.count, out.whys, out.details, list(out)) == (0, [], [], [])
    out.push_raw(b"second", "why")
    assert list(out) == [b"second"]


@pytest.mark.parametrize("index", [-1, 1])
def test_there_are_no_bytes_beyond_the_last_packet(index):
    out = Outbound()
    out.push_raw(b"x", None)
    with pytest.raises(IndexError):
        out.bytes(index)


def test_inbound_takes_a_full_batch_and_no_more():
    assert len(Inbound.of([b"x"] * CAPACITY)) == CAPACITY
    with pytest.raises(ValueError, match="64"):
        Inbound.of([b"x"] * (CAPACITY + 1))


def test_inbound_keeps_the_bytes_alive_and_gives_them_back(segment):
    out = Outbound()
    segment(out, 7)
    out.push(None)
    inbound = Inbound.of(bytes(out.bytes(0)) + bytes(trailing) for trailing in range(3))
    assert [inbound.data(i) for i in range(3)] == [out.bytes(0)] * 3
    assert inbound.count == 3


def test_inbound_data_has_the_checksum_that_the_device_left_open(segment):
    out = Outbound()
    segment(out, 7)
    out.push(None)
    segment(out, 7, checksum_offload=True)
    out.push(None)
    right, open_ = out
    assert open_ != right
    inbound = Inbound.of([open_])
    assert inbound.packets[0].fault == lib.FAULT_TRANSPORT_CHECKSUM
    lib.packet_parse(
        ffi.addressof(inbound.packets, 0), inbound.packets[0].data, 40, lib.PARSE_TRUST_CHECKSUM
    )
    inbound.packets[0].vnet_flags = lib.VNET_NEEDS_CSUM
    assert inbound.data(0) == right


def test_an_empty_packet_is_a_short_one():
    inbound = Inbound.of([b""])
    assert inbound.packets[0].fault == lib.FAULT_SHORT
    assert inbound.data(0) == b""


def test_a_batch_for_a_device_starts_empty():
    inbound = Inbound()
    assert len(inbound) == 0
    assert inbound.raw.arena_size > 1 << 20
