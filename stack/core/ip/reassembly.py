"""Reassembly of IPv4 and IPv6 fragments, with limits on time and memory."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stack._native import ffi
from stack.core.counters import Counters
from stack.core.ip.headers import (
    FRAGMENT_HEADER,
    IPV6_HEADER,
    MAX_PACKET,
    has_whole_chain,
    ipv4_header,
    next_header_field,
)
from stack.wire.address import raw

if TYPE_CHECKING:
    from stack._native import Packet

# RFC 1122 §3.3.2 asks for 60 to 120 seconds, RFC 8200 §4.5 for 60.
TIMEOUT_US = 60_000_000

# What a fragment and a datagram cost beside their bytes, so that a flood of tiny ones meets
# the memory limit, too.
_PIECE_COST = 160
_DATAGRAM_COST = 512

# The smallest MTU of IPv4, 68, leaves 48 bytes a fragment beside a header without options
# (RFC 791 §3.2): no honest sender needs more pieces than this.
_MAX_PIECES = 1400

_CE = 0b11
_NOT_ECT = 0b00

_Key = tuple[int, bytes, bytes, int, int]


class Expired(NamedTuple):
    """A reassembly whose time ran out.

    `first` is the IP packet that was the first fragment, when that one came: Time Exceeded
    is only sent then (RFC 792, RFC 8200 §4.5).
    """

    version: int
    first: bytes | None


class Problem(NamedTuple):
    """The ICMPv6 Parameter Problem that a fragment calls for (RFC 8200 §4.5)."""

    code: int
    pointer: int


class _Refused(Exception):
    """Ends the work on a fragment; carries the counter, and whether its datagram is lost."""

    def __init__(self, counter: str, *, spoils: bool = True) -> None:
        super().__init__(counter)
        self.counter = counter
        self.spoils = spoils


@dataclass(slots=True)
class _Datagram:
    """The pieces of one packet: sorted, disjoint, each as it came."""

    deadline: int
    head: bytes | None = None
    next_header: int = 0
    total: int | None = None
    received: int = 0
    cost: int = _DATAGRAM_COST
    codepoints: int = 0
    spoiled: bool = False
    starts: list[int] = field(default_factory=list)
    pieces: dict[int, bytes] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        # Pieces are disjoint and none lies beyond the end, so the count decides.
        return self.head is not None and self.received == self.total

    def is_copy(self, start: int, piece: bytes, *, last: bool) -> bool:
        ends_alike = last == (self.total == start + len(piece))
        return self.pieces.get(start) == piece and ends_alike

    def check(self, start: int, end: int, *, last: bool) -> None:
        """Refuses a piece that overlaps another or moves the end (RFC 5722 §4)."""
        index = bisect_left(self.starts, start)
        before = self.starts[index - 1] if index else None
        if before is not None and before + len(self.pieces[before]) > start:
            raise _Refused("IpReasmOverlaps")
        if index < len(self.starts) and (last or self.starts[index] < end):
            raise _Refused("IpReasmOverlaps")
        if self.total is not None and (last or end >= self.total):
            raise _Refused("IpReasmOverlaps")
        if len(self.starts) >= _MAX_PIECES:
            raise _Refused("IpReasmTooMany")

    def insert(self, start: int, piece: bytes) -> None:
        self.starts.insert(bisect_left(self.starts, start), start)
        self.pieces[start] = piece
        self.received += len(piece)

    def spoil(self) -> None:
        """Drops what is held; what still comes is dropped, too, until the time is over."""
        self.spoiled = True
        self.head = self.total = None
        self.cost = _DATAGRAM_COST
        self.starts.clear()
        self.pieces.clear()

    def payload(self) -> bytes:
        return b"".join(self.pieces[start] for start in self.starts)


class Reassembly:
    """Rebuilds packets from their fragments (RFC 791 §3.2, RFC 815, RFC 8200 §4.5).

    A fragment that overlaps another makes the whole packet void, those of its fragments that
    are still to come included (RFC 5722 §4; for IPv4 likewise, since no honest sender does it);
    an exact copy is ignored. At most `limit_bytes` bytes, bookkeeping included, and
    `limit_datagrams` packets are held: the oldest makes room. Times are µs.
    """

    def __init__(
        self,
        limit_bytes: int = 4 << 20,
        limit_datagrams: int = 1024,
        timeout_us: int = TIMEOUT_US,
        counters: Counters | None = None,
    ) -> None:
        self.problem: Problem | None = None
        """What `add` found wrong with the last fragment, if its sender must be told."""
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._limit_datagrams = limit_datagrams
        self._timeout = timeout_us
        self._counters = counters if counters is not None else Counters()
        # In order of arrival, hence of deadlines.
        self.held: dict[_Key, _Datagram] = {}

    def __len__(self) -> int:
        return len(self.held)

    def add(self, packet: "Packet", now: int) -> bytes | None:
        """Takes a fragment; returns the IP packet that it completes, as if never fragmented."""
        self.problem = None
        self._counters.count("IpReasmReqds")
        data = ffi.buffer(packet.data, packet.length)[:]
        start = packet.fragment_offset
        last = not packet.more_fragments
        if start == 0 and last:
            # An atomic fragment has nothing to do with others of its identification (RFC 6946 §4).
            return _rebuild(
                data[: packet.ip_header_length],
                packet.fragment_next_header,
                data[packet.ip_header_length :],
                packet.version,
                0,
            )
        key = _key(packet)
        try:
            return self._take(packet, key, data, now)
        except _Refused as refused:
            self._refuse(key, refused)
            return None

    def _take(self, packet: "Packet", key: _Key, data: bytes, now: int) -> bytes | None:
        self._check_alone(packet, data)
        datagram = self.held.get(key)
        if datagram is None:
            datagram = self.held[key] = _Datagram(now + self._timeout)
            self.held_bytes += datagram.cost
        if datagram.spoiled:
            return None
        piece = data[packet.ip_header_length :]
        start = int(packet.fragment_offset)
        last = not packet.more_fragments
        if datagram.is_copy(start, piece, last=last):
            self._counters.count("IpReasmDuplicates")
            return None
        datagram.check(start, start + len(piece), last=last)
        datagram.insert(start, piece)
        if last:
            datagram.total = start + len(piece)
        if start == 0:
            datagram.head = data[: packet.ip_header_length]
            datagram.next_header = packet.fragment_next_header
        datagram.codepoints |= 1 << (packet.traffic_class & 0b11)
        self._charge(datagram, len(piece) + _PIECE_COST)
        if datagram.complete:
            return self._finish(key, datagram)
        self._trim()
        return None

    def _check_alone(self, packet: "Packet", data: bytes) -> None:
        """What is wrong with a fragment whatever the others say."""
        length = len(data) - packet.ip_header_length
        is_v6 = packet.version == 6
        if packet.more_fragments and length % 8:
            if is_v6:
                self.problem = Problem(0, 4)  # the Payload Length field
            raise _Refused("IpReasmMalformed", spoils=False)
        if length == 0:
            raise _Refused("IpReasmMalformed", spoils=False)
        headers = packet.unfragmentable_length - IPV6_HEADER if is_v6 else packet.ip_header_length
        if headers + packet.fragment_offset + length > MAX_PACKET:
            if is_v6:
                # The Fragment Offset field.
                self.problem = Problem(0, packet.unfragmentable_length + 2)
            raise _Refused("IpReasmOversized", spoils=False)
        if (
            is_v6
            and packet.fragment_offset == 0
            and not has_whole_chain(data, packet.fragment_next_header, packet.ip_header_length)
        ):
            # RFC 7112 §5: the first fragment must hold all headers.
            self.problem = Problem(3, 0)
            raise _Refused("IpReasmMalformed", spoils=False)

    def _finish(self, key: _Key, datagram: _Datagram) -> bytes | None:
        self._remove(key)
        version, head = key[0], datagram.head
        assert head is not None
        payload = datagram.payload()
        headers = len(head) if version == 4 else len(head) - FRAGMENT_HEADER - IPV6_HEADER
        if headers + len(payload) > MAX_PACKET:
            self._fail("IpReasmOversized")
            return None
        ecn = datagram.codepoints
        if ecn & 1 << _CE and ecn & 1 << _NOT_ECT:
            # RFC 3168 §5.3: the mark would be lost, or invented.
            self._fail("IpReasmEcnErrors")
            return None
        self._counters.count("IpReasmOKs")
        return _rebuild(head, datagram.next_header, payload, version, _CE if ecn & 1 << _CE else 0)

    def _refuse(self, key: _Key, refused: _Refused) -> None:
        datagram = self.held.get(key)
        if refused.spoils and datagram is not None:
            self.held_bytes += _DATAGRAM_COST - datagram.cost
            datagram.spoil()
            self._fail(refused.counter)
        else:
            self._counters.count(refused.counter)

    def _fail(self, counter: str) -> None:
        self._counters.count("IpReasmFails")
        self._counters.count(counter)

    def _charge(self, datagram: _Datagram, cost: int) -> None:
        datagram.cost += cost
        self.held_bytes += cost

    def _remove(self, key: _Key) -> _Datagram:
        datagram = self.held.pop(key)
        self.held_bytes -= datagram.cost
        return datagram

    def _trim(self) -> None:
        while len(self.held) > self._limit_datagrams or self.held_bytes > self._limit_bytes:
            if not self._remove(next(iter(self.held))).spoiled:
                self._fail("IpReasmEvicted")

    def next_deadline(self) -> int | None:
        """When the oldest reassembly is to be given up (µs)."""
        for datagram in self.held.values():
            return datagram.deadline
        return None

    def expire(self, now: int) -> list[Expired]:
        """Gives up what is too old; returns what failed for want of fragments."""
        expired = []
        while self.held:
            key, datagram = next(iter(self.held.items()))
            if datagram.deadline > now:
                break
            self._remove(key)
            if datagram.spoiled:
                continue
            self._fail("IpReasmTimeout")
            head = datagram.head
            first = None if head is None else head + datagram.pieces[0]
            expired.append(Expired(key[0], first))
        return expired


def _key(packet: "Packet") -> _Key:
    """RFC 791 §3.2 takes the protocol into account, RFC 8200 §4.5 does not."""
    protocol = packet.protocol if packet.version == 4 else 0
    return (
        packet.version,
        raw(packet.src),
        raw(packet.dst),
        protocol,
        packet.fragment_id,
    )


def _rebuild(head: bytes, next_header: int, payload: bytes, version: int, ecn: int) -> bytes:
    """The whole packet: the first fragment's headers, corrected; `ecn` bits are added."""
    return (_ipv4_head if version == 4 else _ipv6_head)(head, next_header, len(payload), ecn) + (
        payload
    )


def _ipv4_head(head: bytes, _next_header: int, length: int, ecn: int) -> bytes:
    marked = head[:1] + bytes((head[1] | ecn,)) + head[2:]
    return ipv4_header(marked, length, int.from_bytes(head[4:6], "big"), 0)


def _ipv6_head(head: bytes, next_header: int, length: int, ecn: int) -> bytes:
    fresh = bytearray(head[:-FRAGMENT_HEADER])
    fresh[1] |= ecn << 4
    fresh[4:6] = (len(fresh) - IPV6_HEADER + length).to_bytes(2, "big")
    fresh[next_header_field(head, len(fresh))] = next_header
    return bytes(fresh)
