"""Packets on their way in and out, up to 64 at a time.

Both classes wrap native arrays that the C side fills or reads; no packet becomes a
Python object unless someone asks for its bytes.
"""

import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.wire.address import MAPPED_PREFIX

if TYPE_CHECKING:
    from stack._native import Array, Batch, Bytes, Outgoing, Packet

LOOPED = 0x80
"""Among a packet's `vnet_flags`: it never left this host, and may come from its own address."""
CAPACITY = lib.BATCH_PACKETS
_VIRTIO_NEEDS_CSUM = 1  # virtio-net header, first byte: the device fills in the checksum
PACKET_MAX = 40 + 65535  # an IPv6 header and the longest payload it can announce


def packet_bytes(packet: "Packet") -> bytes:
    """A packet's bytes from its IP header on, as they came, wherever its text lies."""
    if not packet.landed:
        return ffi.buffer(packet.data, packet.length)[:]
    head = ffi.buffer(packet.data, packet.length - packet.text_length)
    return b"".join((head, ffi.buffer(packet.text, packet.text_length)))


class Inbound:
    """Parsed packets that came in together: a native `struct batch`.

    `packets` and what is taken from it point into the batch: they hold as long as the
    Inbound does, and until it is filled again.
    """

    __slots__ = ("_kept", "_slots", "packets", "raw")

    raw: "Batch"
    packets: "Array[Packet]"

    def __init__(self) -> None:
        self._adopt(ffi.gc(lib.batch_new(), lib.batch_free))

    def _adopt(self, raw: "Batch") -> None:
        if raw == ffi.NULL:
            raise MemoryError
        self.raw = raw
        self.packets = raw.packets
        self._slots: list[Packet] = []
        self._kept: list[Bytes] = []

    @classmethod
    def of(cls, packets: Iterable[bytes]) -> "Inbound":
        """Parses packets given as bytes.

        Raises ValueError for more than 64 of them.
        """
        inbound = cls.__new__(cls)
        inbound._adopt(ffi.new("struct batch *"))
        inbound.fill(packets)
        return inbound

    def fill(self, packets: Iterable[bytes], flags: int = 0) -> None:
        """Parses other packets into the places of those before; `flags` as of packet_parse.

        Raises ValueError for more than 64 of them.
        """
        raw, slots = self.raw, self._slots
        kept = self._kept = []
        for data in packets:
            index = len(kept)
            if index == CAPACITY:
                raise ValueError(f"more than {CAPACITY} packets in one batch")
            if index == len(slots):
                self.slot(index)
            view = ffi.from_buffer("uint8_t[]", data)
            kept.append(view)
            lib.packet_parse(slots[index], view, len(data), flags)
        raw.count = len(kept)

    def fill_offloaded(self, packets: Iterable[tuple[bytes, int, int]]) -> None:
        """Like `fill`, with packets as a device hands them over that does a part of the work:
        each with its VNET_ flags and the size (bytes) of the segments it was joined from.
        """
        given = list(packets)
        self.fill(data for data, _, _ in given)
        for index, (data, flags, gso_size) in enumerate(given):
            packet = self._slots[index]
            if flags:
                lib.packet_parse(packet, self._kept[index], len(data), lib.PARSE_TRUST_CHECKSUM)
            packet.vnet_flags = flags
            packet.gso_size = gso_size

    def slot(self, index: int) -> "Packet":
        """A packet by its place, 0…63."""
        slots = self._slots
        while index >= len(slots):  # a cffi pointer costs more than looking one up
            slots.append(ffi.addressof(self.packets, len(slots)))
        return slots[index]

    @property
    def count(self) -> int:
        """How many packets there are."""
        return self.raw.count

    def data(self, index: int) -> bytes:
        """A packet's bytes from its IP header on, with the transport checksum filled in
        where the device left that to us.
        """
        packet = self.packets[index]
        data = packet_bytes(packet)
        if packet.vnet_flags & lib.VNET_NEEDS_CSUM:
            copy = bytearray(data)
            lib.packet_complete_checksum(ffi.addressof(packet), ffi.from_buffer("uint8_t[]", copy))
            return bytes(copy)
        return data

    def __len__(self) -> int:
        return self.raw.count


class Outbound:
    """Packets ready to leave, each with the reason why and a detail for the trace.

    Text is borrowed from send rings, so the packets hold until one of them changes.
    """

    __slots__ = ("_kept", "_reasons", "_scratch", "_slots", "_whys", "count", "details", "raw")

    capacity = CAPACITY

    def __init__(self) -> None:
        self.raw: Array[Outgoing] = ffi.new("struct outgoing[]", CAPACITY)
        self.count = 0
        self._whys: list[object] = []
        self._reasons: Mapping[int, object] = {}
        self.details: list[str] = []
        # Made once: a cffi pointer per packet costs more than looking one up.
        self._slots = [ffi.addressof(self.raw, index) for index in range(CAPACITY)]
        self._kept: list[Bytes] = []
        self._scratch: Bytes | None = None

    @property
    def full(self) -> bool:
        """Whether no further packet can be taken."""
        return self.count == CAPACITY

    @property
    def whys(self) -> list[object]:
        """Why each packet leaves. They are looked up here, since mostly nobody asks."""
        return [
            self._reasons.get(self._slots[index].why) if why is None else why
            for index, why in enumerate(self._whys)
        ]

    def clear(self) -> None:
        """Empties the batch and lets go of the bytes that `push_raw` kept."""
        self.count = 0
        self._whys.clear()
        self.details.clear()
        if self._kept:
            self._kept.clear()

    def next_slot(self) -> "Outgoing":
        """The packet to build next; `push` takes it in. Raises IndexError when full."""
        return self._slots[self.count]

    def push(self, why: object, detail: str = "") -> None:
        """Takes in the packet that was built in `next_slot()`."""
        self.count += 1
        self._whys.append(why)
        self.details.append(detail)

    def built(self, count: int, reasons: Mapping[int, object]) -> None:
        """Takes in packets that the native side built; `reasons` names those that it numbers."""
        self._reasons = reasons
        self.count += count
        self._whys += [None] * count
        self.details += [""] * count

    def take(self, count: int) -> None:
        """Holds the `count` packets that native code built from the first place on, for
        reasons that are not ours.
        """
        self.count = count

    def push_raw(self, data: bytes, why: object, detail: str = "") -> None:
        """Takes in a finished IP packet. Raises IndexError when full."""
        slot = self._slots[self.count]
        view = ffi.from_buffer("uint8_t[]", data)
        self._kept.append(view)
        lib.outgoing_raw(slot, view, len(data))
        self.push(why, detail)

    def slot(self, index: int) -> "Outgoing":
        """A packet by its place, 0…63."""
        return self._slots[index]

    def destination(self, index: int) -> builtins.bytes:
        """Where the packet goes, as 16 bytes: an IPv4 address mapped."""
        slot = self._slots[index]
        head = slot.head if slot.head_length else slot.text[0].data
        if head[0] >> 4 == 4:
            return MAPPED_PREFIX + ffi.buffer(head + 16, 4)[:]
        return ffi.buffer(head + 24, 16)[:]

    def bytes(self, index: int) -> builtins.bytes:
        """A copy of the whole IP packet. Raises IndexError beyond the last."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self._copies(index, index + 1)[0]

    def copies(self) -> list[builtins.bytes]:
        """A copy of every packet."""
        return self._copies(0, self.count)

    def _copies(self, begin: int, end: int) -> list[builtins.bytes]:
        if self._scratch is None:
            self._scratch = ffi.new("uint8_t[]", PACKET_MAX)
        copy, scratch = lib.outgoing_copy, self._scratch
        view = ffi.buffer(scratch)
        return [view[: copy(slot, scratch, PACKET_MAX)] for slot in self._slots[begin:end]]

    def whole(self) -> list[builtins.bytes]:
        """A copy of every packet, with the checksum filled in that was left to a device."""
        return [
            _with_checksum(data) if slot.vnet[0] & _VIRTIO_NEEDS_CSUM else data
            for slot, data in zip(self._slots, self.copies(), strict=False)
        ]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[builtins.bytes]:
        return iter(self.copies())


def _with_checksum(data: bytes) -> bytes:
    packet = ffi.new("struct packet *")
    buffer = ffi.new("uint8_t[]", data)
    if lib.packet_parse(packet, buffer, len(data), lib.PARSE_TRUST_CHECKSUM) == 0:
        lib.packet_complete_checksum(packet, buffer)
    return ffi.buffer(buffer, len(data))[:]
