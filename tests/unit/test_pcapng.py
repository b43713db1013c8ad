"""Capture files written and read, sound and hostile ones."""

import contextlib
import io
import random
import shutil
import subprocess
from struct import pack

import pytest

from stack.wire import pcapng, segment
from stack.wire.pcapng import CapturedPacket, CapturedSecrets, Writer
from tests.support import tshark

PACKET = segment.build_tcp("192.0.2.1", "192.0.2.2", 40000, 80, text=b"text")
PACKET6 = segment.build_udp("2001:db8::1", "2001:db8::2", 40000, 40001, b"text")
NOW = 1_700_000_000_123_456
KEY_LOG = f"CLIENT_RANDOM {'11' * 32} {'22' * 48}\n"


def read(data: bytes) -> list[pcapng.Captured]:
    return list(pcapng.read(io.BytesIO(data)))


def section(order: str, *blocks: tuple[int, bytes]) -> bytes:
    """A pcapng section in either byte order."""
    written = b""
    header = pack(order + "IHHq", pcapng.BYTE_ORDER_MAGIC, 1, 0, -1)
    for kind, body in ((pcapng.SECTION_HEADER, header), *blocks):
        padded = body + bytes(-len(body) % 4)
        length = pack(order + "I", len(padded) + 12)
        written += pack(order + "I", kind) + length + padded + length
    return written


def interface(order: str, link_type: int = 101, options: bytes = b"") -> tuple[int, bytes]:
    return pcapng.INTERFACE_DESCRIPTION, pack(order + "HHI", link_type, 0, 0) + options


def option(order: str, code: int, data: bytes) -> bytes:
    return pack(order + "HH", code, len(data)) + data + bytes(-len(data) % 4)


def enhanced(order: str, ticks: int, data: bytes, options: bytes = b"") -> tuple[int, bytes]:
    head = pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return pcapng.ENHANCED_PACKET, head + data + bytes(-len(data) % 4) + options


def classic(magic: bytes, order: str, link_type: int, *records: tuple[int, int, bytes]) -> bytes:
    data = magic + pack(order + "HHIIII", 2, 4, 0, 0, 65535, link_type)
    for seconds, ticks, frame in records:
        data += pack(order + "IIII", seconds, ticks, len(frame), len(frame)) + frame
    return data


# ---- written ---------------------------------------------------------------------------


def test_what_is_written_reads_back():
    stream = io.BytesIO()
    writer = Writer(stream, epoch_us=1_000_000)
    writer.secrets(KEY_LOG)
    writer.packet(NOW, PACKET, "grüße: ↳ …", outbound=True)
    writer.packet(NOW + 1, PACKET6, outbound=False)
    writer.packet(NOW + 2, PACKET)
    written = stream.getvalue()
    writer.close()
    assert stream.closed
    assert read(written) == [
        CapturedSecrets(KEY_LOG),
        CapturedPacket(NOW + 1_000_000, PACKET, ("grüße: ↳ …",), outbound=True),
        CapturedPacket(NOW + 1_000_001, PACKET6, (), outbound=False),
        CapturedPacket(NOW + 1_000_002, PACKET),
    ]


def test_every_block_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "capture.pcapng"
    writer = Writer(path.open("wb"))
    for count in range(1, 4):
        writer.packet(NOW, PACKET)
        assert len(read(path.read_bytes())) == count
    writer.close()
    writer.close()
    assert len(read(path.read_bytes())) == 3


def test_a_comment_too_long_for_its_field_is_cut_between_characters():
    data = pcapng.section_header() + pcapng.interface_description()
    data += pcapng.enhanced_packet(NOW, PACKET, "ü" * 40_000)
    (packet,) = read(data)
    assert packet.comments == ("ü" * 32_767,)


def test_wireshark_reads_times_comments_and_direction(tmp_path):
    path = tmp_path / "capture.pcapng"
    writer = Writer(path.open("wb"))
    writer.packet(NOW, PACKET, "first ↳", outbound=True)
    writer.packet(NOW + 1, PACKET6, outbound=False)
    writer.close()
    names = ("frame.time_epoch", "frame.comment", "frame.packet_flags_direction")
    first, second = tshark.fields(path, *names)
    assert first[:2] == ("1700000000.123456000", "first ↳")
    assert int(first[2], 0) == 2
    assert second[0] == "1700000000.123457000"
    assert int(second[2], 0) == 1
    assert tshark.findings(path).all == []


def test_the_statistics_at_the_end_count_the_packets(tmp_path):
    path = tmp_path / "capture.pcapng"
    writer = Writer(path.open("wb"))
    writer.packet(NOW, PACKET)
    writer.close()
    program = shutil.which("capinfos")
    assert program, "capinfos is missing: sudo apt-get install wireshark-common"
    said = subprocess.run([program, path], capture_output=True, text=True, check=True).stdout
    assert "Number of packets:   1" in said
    assert "Encapsulation = Raw IP (7 - rawip)" in said


# ---- read --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("resolution", "ticks"),
    [(6, NOW), (9, NOW * 1000 + 999), (3, NOW // 1000), (0x80 | 20, (NOW << 20) // 1_000_000)],
)
def test_any_byte_order_and_time_resolution_is_read(order, resolution, ticks):
    options = option(order, pcapng.IF_TSRESOL, bytes((resolution,)))
    data = section(order, interface(order, options=options), enhanced(order, ticks, PACKET))
    (packet,) = read(data)
    assert packet.data == PACKET
    assert abs(packet.time_us - NOW) < 1000
    if resolution in (6, 9):
        assert packet.time_us == NOW


def test_a_time_offset_of_the_interface_counts():
    options = option("<", pcapng.IF_TSOFFSET, pack("<q", 100))
    (packet,) = read(section("<", interface("<", options=options), enhanced("<", 5, PACKET)))
    assert packet.time_us == 100_000_005


def test_a_second_section_has_its_own_byte_order_and_interfaces():
    data = section("<", interface("<"), enhanced("<", 1, PACKET))
    data += section(
        ">", interface(">", link_type=1), enhanced(">", 2, bytes(12) + b"\x08\0" + PACKET)
    )
    assert [(packet.time_us, packet.data) for packet in read(data)] == [(1, PACKET), (2, PACKET)]


def test_simple_and_obsolete_packet_blocks_are_read():
    simple = pcapng.SIMPLE_PACKET, pack("<I", len(PACKET)) + PACKET
    old_head = pack("<HHIIII", 0, 0, 0, 7, len(PACKET), len(PACKET))
    obsolete = pcapng.PACKET, old_head + PACKET
    packets = read(section("<", interface("<"), simple, obsolete))
    assert [(packet.time_us, packet.data) for packet in packets] == [(0, PACKET), (7, PACKET)]


def test_blocks_and_options_that_are_unknown_are_passed_over():
    unknown = 0x0BAD, b"whatever"
    secrets = pcapng.DECRYPTION_SECRETS, pack("<II", 0x57474B4C, 4) + b"wgkl"
    options = option("<", 999, b"xyz") + option("<", 1, b"said")
    data = section("<", unknown, interface("<"), secrets, enhanced("<", 1, PACKET, options))
    assert [packet.comments for packet in read(data)] == [("said",)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "ticks"), [(0xA1B2C3D4, 123_456), (0xA1B23C4D, 123_456_789)])
def test_classic_captures_are_read(order, magic, ticks):
    data = classic(pack(order + "I", magic), order, 101, (1_700_000_000, ticks, PACKET))
    assert read(data) == [CapturedPacket(NOW, PACKET)]


VLAN = b"\x81\x00\x00\x07"


@pytest.mark.parametrize(
    ("link_type", "frame", "note"),
    [
        (101, PACKET, ""),
        (12, PACKET, ""),
        (228, PACKET, ""),
        (1, bytes(12) + b"\x08\x00" + PACKET, ""),
        (1, bytes(12) + VLAN + b"\x08\x00" + PACKET, ""),
        (1, bytes(12) + b"\x88\xa8\x00\x01" + VLAN + b"\x08\x00" + PACKET, ""),
        (1, bytes(12) + b"\x08\x06" + bytes(28), "ARP"),
        (1, bytes(12) + b"\x12\x34" + bytes(28), "EtherType 0x1234"),
        (1, b"short", "EtherType 0x0000"),
        (0, b"\x02\0\0\0" + PACKET, ""),
        (108, b"\0\0\0\x02" + PACKET, ""),
        (113, bytes(14) + b"\x08\x00" + PACKET, ""),
        (276, b"\x08\x00" + bytes(18) + PACKET, ""),
        (101, b"", "not IP"),
        (101, b"\x15", "not IP"),
        (147, PACKET, "link type 147"),
    ],
)
def test_ip_packets_are_found_in_the_frames_of_common_links(link_type, frame, note):
    (packet,) = read(section("<", interface("<", link_type), enhanced("<", 1, frame)))
    assert (packet.data, packet.note) == (b"" if note else PACKET, note)


# ---- hostile -------------------------------------------------------------------------------

GOOD = section("<", interface("<"), enhanced("<", 1, PACKET))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"root:x:0:0:", "neither a pcap nor a pcapng file"),
        (b"\x1f\x8b\x08\x00rest", "gunzip"),
        (GOOD[:8] + b"\0\0\0\0" + GOOD[12:], "byte-order magic"),
        (GOOD[:4] + pack("<I", 13) + GOOD[8:], "block of 13 bytes"),
        (GOOD[:4] + pack("<I", 0) + GOOD[8:], "block of 0 bytes"),
        (GOOD[:4] + pack("<I", 0xFFFFFFFC) + GOOD[8:], "block of 4294967292 bytes"),
        (GOOD[:-4] + pack("<I", 8), "two lengths differ"),
        (GOOD[:-5], "ends in the middle of a packet"),
        (section("<", enhanced("<", 1, PACKET)), "interface 0, which the file does not describe"),
        (b"\xd4\xc3\xb2\xa1" + bytes(10), "ends in the middle"),
        (
            classic(b"\xd4\xc3\xb2\xa1", "<", 101) + pack("<IIII", 0, 0, 1 << 30, 1 << 30),
            "packet of 1073741824 bytes",
        ),
    ],
)
def test_a_broken_file_is_one_clear_error(data, message):
    with pytest.raises(ValueError, match=message):
        read(data)


def test_what_stands_before_the_broken_place_is_read():
    reader = pcapng.read(io.BytesIO(GOOD + b"\x06\0\0\0"))
    assert next(reader).data == PACKET
    with pytest.raises(ValueError, match="ends in the middle"):
        next(reader)


def test_no_bytes_make_the_reader_do_anything_else():
    source = random.Random(4)
    pcap = classic(b"\xd4\xc3\xb2\xa1", "<", 1, (1, 2, bytes(12) + b"\x08\0" + PACKET))
    for _ in range(5_000):
        data = bytearray(source.choice((GOOD * 2, pcap)))
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        with contextlib.suppress(ValueError):
            read(bytes(data))
