"""pcapng blocks written and read (draft-ietf-opsawg-pcapng), classic pcap read.

What is written: one section, one interface that carries bare IP packets with microsecond
time stamps, packets with comments, TLS secrets, and statistics at the end. What is read:
any byte order and resolution, and the link types that IP packets commonly come in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import pack, unpack_from
from typing import BinaryIO

from stack.wire.frame import RAW, ip_packet

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
PACKET = 2  # obsolete, but found in old files
SIMPLE_PACKET = 3
INTERFACE_STATISTICS = 5
ENHANCED_PACKET = 6
DECRYPTION_SECRETS = 0x0A

BYTE_ORDER_MAGIC = 0x1A2B3C4D
TLS_KEY_LOG = 0x544C534B

OPT_COMMENT = 1
SHB_USERAPPL = 4
IF_NAME = 2
IF_TSRESOL = 9
IF_TSOFFSET = 14
EPB_FLAGS = 2
ISB_IFRECV = 4

# Wireshark refuses larger blocks too; a hostile length must not make us allocate it.
BLOCK_MAX = 16 << 20

# ---- writing -----------------------------------------------------------------


def _option(code: int, data: bytes) -> bytes:
    data = data[:0xFFFF]
    return pack("<HH", code, len(data)) + data + bytes(-len(data) % 4)


def _text_option(code: int, text: str) -> bytes:
    """The text in UTF-8, cut before a character that does not fit; nothing when empty."""
    data = text.encode("utf-8", "replace")[:0xFFFF]
    return _option(code, data.decode("utf-8", "ignore").encode()) if data else b""


def _options(options: bytes) -> bytes:
    return options + bytes(4) if options else b""


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = pack("<I", len(body) + 12)
    return pack("<I", kind) + length + body + length


def section_header(application: str = "tunstack") -> bytes:
    """Begins a little-endian section of unknown length."""
    body = pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
    return _block(SECTION_HEADER, body + _options(_text_option(SHB_USERAPPL, application)))


def interface_description(name: str = "", link_type: int = RAW) -> bytes:
    """Describes the next interface: its packets are never cut and have µs time stamps."""
    options = _text_option(IF_NAME, name) + _option(IF_TSRESOL, b"\x06")
    return _block(INTERFACE_DESCRIPTION, pack("<HHI", link_type, 0, 0) + _options(options))


def enhanced_packet(
    time_us: int, data: bytes, comment: str = "", outbound: bool | None = None
) -> bytes:
    """A packet of interface 0 at `time_us` (µs since 1970)."""
    options = _text_option(OPT_COMMENT, comment)
    if outbound is not None:
        options += _option(EPB_FLAGS, pack("<I", 2 if outbound else 1))
    head = pack("<IIIII", 0, time_us >> 32, time_us & 0xFFFFFFFF, len(data), len(data))
    return _block(ENHANCED_PACKET, head + data + bytes(-len(data) % 4) + _options(options))


def decryption_secrets(key_log: str) -> bytes:
    """TLS secrets in the format of key log files, for the packets that follow."""
    data = key_log.encode("utf-8", "replace")
    return _block(DECRYPTION_SECRETS, pack("<II", TLS_KEY_LOG, len(data)) + data)


def interface_statistics(time_us: int, packets: int) -> bytes:
    """How many packets interface 0 saw up to `time_us` (µs since 1970)."""
    head = pack("<III", 0, time_us >> 32, time_us & 0xFFFFFFFF)
    return _block(INTERFACE_STATISTICS, head + _options(_option(ISB_IFRECV, pack("<Q", packets))))


class Writer:
    """Writes a capture to a binary stream, each block flushed at once: a crash loses nothing.

    `epoch_us` is added to every time to make it µs since 1970.
    """

    def __init__(self, stream: BinaryIO, *, name: str = "tunstack", epoch_us: int = 0) -> None:
        self.epoch_us = epoch_us
        self.packets = 0
        self._stream = stream
        self._last_us = 0
        self._closed = False
        self._write(section_header() + interface_description(name))

    def packet(
        self, time_us: int, data: bytes, comment: str = "", outbound: bool | None = None
    ) -> None:
        """Writes an IP packet; the comment says why it is there."""
        self._last_us = time_us + self.epoch_us
        self.packets += 1
        self._write(enhanced_packet(self._last_us, data, comment, outbound))

    def secrets(self, key_log: str) -> None:
        """Writes TLS secrets: lines of a key log file."""
        self._write(decryption_secrets(key_log.rstrip("\n") + "\n"))

    def close(self) -> None:
        """Ends the capture with its statistics and closes the stream; again is harmless."""
        if self._closed:
            return
        try:
            self._write(interface_statistics(self._last_us, self.packets))
        finally:
            self._closed = True
            self._stream.close()

    def _write(self, block: bytes) -> None:
        if not self._closed:
            self._stream.write(block)
            self._stream.flush()


# ---- reading -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """A frame of a capture: its IP packet, or in `note` what else it is.

    `time_us` is in µs since 1970; `outbound` is None when the capture does not say.
    """

    time_us: int
    data: bytes
    comments: tuple[str, ...] = ()
    outbound: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CapturedSecrets:
    """TLS secrets found in a capture, as lines of a key log file."""

    key_log: str


Captured = CapturedPacket | CapturedSecrets


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    snap_length: int
    ticks_per_second: int
    offset_s: int

    def time_us(self, ticks: int) -> int:
        return ticks * 1_000_000 // self.ticks_per_second + self.offset_s * 1_000_000


@dataclass(slots=True)
class _Section:
    order: str
    interfaces: list[_Interface] = field(default_factory=list)


def read(stream: BinaryIO) -> Iterator[Captured]:
    """The packets and secrets of a pcap or pcapng stream, in file order.

    ValueError: what the file is, or where it is broken; what stood before was yielded.
    """
    source = _Source(stream)
    magic = source.take(4, "the file is empty")
    if magic == b"\x0a\x0d\x0d\x0a":
        yield from _read_pcapng(source)
    elif magic in _PCAP_MAGICS:
        yield from _read_pcap(source, *_PCAP_MAGICS[magic])
    elif magic[:2] == b"\x1f\x8b":
        raise ValueError("the file is compressed: unpack it with gunzip first")
    else:
        raise ValueError("neither a pcap nor a pcapng file")


class _Source:
    """Reads exact amounts and knows where it is."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.at = 0

    def take(self, count: int, missing: str = "") -> bytes:
        """Exactly `count` bytes. ValueError: the stream ends before."""
        data = self._stream.read(count)
        while 0 < len(data) < count and (more := self._stream.read(count - len(data))):
            data += more
        if len(data) < count:
            raise ValueError(missing or f"the file ends in the middle of a packet, byte {self.at}")
        self.at += count
        return data

    def take_or_end(self, count: int) -> bytes:
        """As `take`, but nothing when the stream ends right here."""
        first = self._stream.read(1)
        if not first:
            return b""
        self.at += 1
        return first + self.take(count - 1)


def _read_pcapng(source: _Source) -> Iterator[Captured]:
    section = _Section("<")
    kind_bytes = b"\x0a\x0d\x0d\x0a"
    while kind_bytes:
        if kind_bytes == b"\x0a\x0d\x0d\x0a":
            section = _section_start(source)
        else:
            (kind,) = unpack_from(section.order + "I", kind_bytes)
            body = _block_body(source, section.order, source.take(4))
            captured = _take_block(section, kind, body)
            if captured is not None:
                yield captured
        kind_bytes = source.take_or_end(4)


def _section_start(source: _Source) -> _Section:
    """Reads a section header; only its byte-order magic tells how to read its length."""
    length, magic = source.take(4), source.take(4)
    for order in "<>":
        if unpack_from(order + "I", magic)[0] == BYTE_ORDER_MAGIC:
            _block_body(source, order, length, magic)
            return _Section(order)
    raise ValueError(f"section header without byte-order magic, byte {source.at - 12}")


def _block_body(source: _Source, order: str, length_bytes: bytes, begun: bytes = b"") -> bytes:
    """The rest of a block of which kind, length and the bytes `begun` were read."""
    start = source.at - 8 - len(begun)
    (length,) = unpack_from(order + "I", length_bytes)
    if length < 12 + len(begun) or length % 4 or length > BLOCK_MAX:
        raise ValueError(f"block of {length} bytes, byte {start}")
    body = begun + source.take(length - 12 - len(begun))
    if source.take(4) != length_bytes:
        raise ValueError(f"block whose two lengths differ, byte {start}")
    return body


def _take_block(section: _Section, kind: int, body: bytes) -> Captured | None:
    """What a block carries; blocks of other kinds, or too short for theirs, carry nothing."""
    if kind == INTERFACE_DESCRIPTION and len(body) >= 8:
        section.interfaces.append(_interface(section.order, body))
    elif kind == ENHANCED_PACKET and len(body) >= 20:
        return _enhanced_packet(section, body, *unpack_from(section.order + "I", body))
    elif kind == PACKET and len(body) >= 20:
        return _enhanced_packet(section, body, *unpack_from(section.order + "H", body))
    elif kind == SIMPLE_PACKET and len(body) >= 4:
        return _simple_packet(section, body)
    elif kind == DECRYPTION_SECRETS and len(body) >= 8:
        secrets_kind, length = unpack_from(section.order + "II", body)
        if secrets_kind == TLS_KEY_LOG:
            return CapturedSecrets(body[8 : 8 + length].decode("ascii", "replace"))
    return None


def _interface(order: str, body: bytes) -> _Interface:
    link_type, _, snap_length = unpack_from(order + "HHI", body)
    ticks_per_second, offset_s = 1_000_000, 0
    for code, data in _walk_options(order, body[8:]):
        if code == IF_TSRESOL and data:
            base = 2 if data[0] & 0x80 else 10
            ticks_per_second = base ** (data[0] & 0x7F)
        elif code == IF_TSOFFSET and len(data) == 8:
            (offset_s,) = unpack_from(order + "q", data)
    return _Interface(link_type, snap_length, ticks_per_second, offset_s)


def _walk_options(order: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = unpack_from(order + "HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _find_interface(section: _Section, number: int) -> _Interface:
    if number >= len(section.interfaces):
        raise ValueError(f"a packet of interface {number}, which the file does not describe")
    return section.interfaces[number]


def _enhanced_packet(section: _Section, body: bytes, number: int) -> CapturedPacket:
    interface = _find_interface(section, number)
    high, low, captured = unpack_from(section.order + "III", body, 4)
    frame = body[20 : 20 + captured]
    comments: list[str] = []
    outbound: bool | None = None
    for code, data in _walk_options(section.order, body[20 + captured + -captured % 4 :]):
        if code == OPT_COMMENT:
            comments.append(data.decode("utf-8", "replace").rstrip("\0"))
        elif code == EPB_FLAGS and len(data) == 4:
            direction = unpack_from(section.order + "I", data)[0] & 3
            outbound = {1: False, 2: True}.get(direction)
    packet, note = ip_packet(interface.link_type, frame)
    time_us = interface.time_us(high << 32 | low)
    return CapturedPacket(time_us, packet, tuple(comments), outbound, note)


def _simple_packet(section: _Section, body: bytes) -> CapturedPacket:
    interface = _find_interface(section, 0)
    (length,) = unpack_from(section.order + "I", body)
    length = min(length, interface.snap_length or length)
    packet, note = ip_packet(interface.link_type, body[4 : 4 + length])
    return CapturedPacket(0, packet, note=note)


# Magic number as in the file: byte order, time stamps per second.
_PCAP_MAGICS = {
    pack(order + "I", magic): (order, ticks)
    for order in "<>"
    for magic, ticks in ((0xA1B2C3D4, 1_000_000), (0xA1B23C4D, 1_000_000_000))
}


def _read_pcap(source: _Source, order: str, ticks_per_second: int) -> Iterator[Captured]:
    (link_type,) = unpack_from(order + "I", source.take(20), 16)
    while head := source.take_or_end(16):
        seconds, ticks, captured, _ = unpack_from(order + "IIII", head)
        if captured > BLOCK_MAX:
            raise ValueError(f"packet of {captured} bytes, byte {source.at - 16}")
        # The upper half of the field says how long a frame check sequence is.
        packet, note = ip_packet(link_type & 0xFFFF, source.take(captured))
        time_us = seconds * 1_000_000 + ticks * 1_000_000 // ticks_per_second
        yield CapturedPacket(time_us, packet, note=note)
