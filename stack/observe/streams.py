"""What TCP segments mean in their connection: relative numbers, scaled windows, marks.

The marks are the ones that Wireshark's packet list shows, found by the rules that its manual
gives, so that a reader can lay both side by side. Sequence numbers are kept relative and
unwrapped: plain integers that never turn over.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from stack.observe.ranges import Ranges
from stack.wire.segment import ACK, FIN, RST, SYN, Address, Packet, Tcp

FLOWS_MAX = 1024

# A retransmission that close behind the last duplicate ACK (µs) is a fast one.
FAST_RETRANSMISSION_US = 20_000
# What comes that late (µs) after the highest byte is retransmitted, not reordered, while the
# round-trip time is unknown.
REORDERING_US = 3_000

WINDOW_UPDATE = "TCP Window Update"
RETRANSMISSION = "TCP Retransmission"
FAST_RETRANSMISSION = "TCP Fast Retransmission"
SPURIOUS_RETRANSMISSION = "TCP Spurious Retransmission"
OUT_OF_ORDER = "TCP Out-Of-Order"
PREVIOUS_MISSING = "TCP Previous segment not captured"
ACKED_UNSEEN = "TCP ACKed unseen segment"
KEEP_ALIVE = "TCP Keep-Alive"
KEEP_ALIVE_ACK = "TCP Keep-Alive ACK"
ZERO_WINDOW = "TCP ZeroWindow"
ZERO_WINDOW_PROBE = "TCP ZeroWindowProbe"
ZERO_WINDOW_PROBE_ACK = "TCP ZeroWindowProbeAck"
WINDOW_FULL = "TCP Window Full"
DUPLICATE = "TCP Dup ACK"
PORTS_REUSED = "TCP Port numbers reused"

RETRANSMISSIONS = frozenset({RETRANSMISSION, FAST_RETRANSMISSION, SPURIOUS_RETRANSMISSION})

Endpoint = tuple[Address, int]


@dataclass(slots=True)
class Half:
    """One direction of a connection; numbers are relative to its first, which is `base`."""

    base: int = -1
    edge: int = 0  # behind the highest number sent
    edge_at: int = 0  # µs, when it was reached
    window: int = -1  # as last announced, unscaled
    ack: int = -1  # the other half's number, as last acknowledged
    ack_at: int = 0
    shift: int | None = None  # the scale its SYN offered
    syn_seen: bool = False
    duplicates: int = 0  # of its last acknowledgement
    acked_by: int = 0  # number of the packet that acknowledged it first
    last_mark: str = ""
    seen: Ranges = field(default_factory=Ranges)

    @property
    def known(self) -> bool:
        return self.base >= 0

    def relative(self, number: int) -> int:
        """A number of the wire, relative and unwrapped to where it is nearest the edge."""
        distance = (number - self.base - self.edge) & 0xFFFF_FFFF
        return self.edge + (distance - (1 << 32) if distance >> 31 else distance)


@dataclass(slots=True)
class Flow:
    """A TCP connection; `client` is the end that sent the SYN, or else the first packet."""

    client: Endpoint
    server: Endpoint
    to_server: Half = field(default_factory=Half)
    to_client: Half = field(default_factory=Half)
    syn_at: int = -1
    first_rtt: int = 0
    attached: object = None  # what else a listener keeps for the connection

    def halves(self, source: Endpoint) -> tuple[Half, Half]:
        """The half that `source` sends, and the other."""
        if source == self.client:
            return self.to_server, self.to_client
        return self.to_client, self.to_server


@dataclass(slots=True)
class Place:
    """A segment's place in its connection; `seq` and `ack` are relative, `window` is scaled.

    `length` counts the bytes of text, those too that a capture has cut off.
    """

    flow: Flow
    from_client: bool
    seq: int
    ack: int
    window: int
    length: int
    sacked: tuple[tuple[int, int], ...]
    marks: list[str]

    @property
    def retransmitted(self) -> bool:
        return any(mark in RETRANSMISSIONS for mark in self.marks)


class Streams:
    """Follows the connections of a trace, the most recently active ones if they are many."""

    def __init__(self, flows_max: int = FLOWS_MAX) -> None:
        self._flows: OrderedDict[tuple[Endpoint, Endpoint], Flow] = OrderedDict()
        self._flows_max = flows_max

    def place(
        self, packet: Packet, tcp: Tcp, number: int, now: int, *, sound: bool = True
    ) -> Place:
        """Finds a segment's place and takes it in.

        `number` is the packet's in the trace, `now` its time in µs. One that is not `sound`
        (its checksum is wrong) is placed, but changes nothing.
        """
        assert packet.src is not None
        assert packet.dst is not None
        source, destination = (packet.src, tcp.sport), (packet.dst, tcp.dport)
        flow, marks = self._find(source, destination, tcp, keep=sound)
        half, other = flow.halves(source)
        _learn_bases(half, other, tcp)
        seq = half.relative(tcp.seq)
        ack = other.relative(tcp.ack) if tcp.flags & ACK else 0
        length = len(tcp.text) + packet.missing
        sacked = tuple(
            (other.relative(left), other.relative(right)) for left, right in tcp.sack_blocks
        )
        segment = _Segment(tcp, seq, ack, length, number, now)
        if sound:
            _time_handshake(flow, tcp, now)
            marks += _analyse(flow, half, other, segment)
            _advance(half, segment)
        window = tcp.window << _shift(half, other, tcp)
        return Place(flow, source == flow.client, seq, ack, window, length, sacked, marks)

    def _find(
        self, source: Endpoint, destination: Endpoint, tcp: Tcp, *, keep: bool
    ) -> tuple[Flow, list[str]]:
        """The connection of a segment, new or known; a copy of it unless it is to `keep`."""
        ends = [source, destination]
        ends.sort(key=lambda end: (end[0].packed, end[1]))
        key = ends[0], ends[1]
        flow = self._flows.get(key)
        if not keep:
            return _copy(flow) if flow else Flow(source, destination), []
        marks: list[str] = []
        if flow is not None and tcp.flags & (SYN | ACK) == SYN:
            half, _ = flow.halves(source)
            if half.known and half.base != tcp.seq:
                flow, marks = None, [PORTS_REUSED]
        if flow is None:
            answer = tcp.flags & (SYN | ACK) == SYN | ACK
            flow = Flow(destination, source) if answer else Flow(source, destination)
            self._flows[key] = flow
            if len(self._flows) > self._flows_max:
                self._flows.popitem(last=False)
        self._flows.move_to_end(key)
        return flow, marks


def _copy(flow: Flow) -> Flow:
    return replace(flow, to_server=replace(flow.to_server), to_client=replace(flow.to_client))


@dataclass(slots=True)
class _Segment:
    """A segment with its numbers made relative."""

    tcp: Tcp
    seq: int
    ack: int
    length: int
    number: int
    now: int

    @property
    def end(self) -> int:
        return self.seq + self.length + bool(self.flags(SYN)) + bool(self.flags(FIN))

    def flags(self, mask: int) -> int:
        return self.tcp.flags & mask


def _learn_bases(half: Half, other: Half, tcp: Tcp) -> None:
    """A connection whose SYN was not captured begins with number 1."""
    if not half.known:
        half.base = tcp.seq if tcp.flags & SYN else (tcp.seq - 1) & 0xFFFF_FFFF
        half.edge = 0 if tcp.flags & SYN else 1
    if not other.known and tcp.flags & ACK:
        other.base = (tcp.ack - 1) & 0xFFFF_FFFF
        other.edge = 1
    if tcp.flags & SYN:
        half.syn_seen, half.shift = True, tcp.window_scale


def _shift(half: Half, other: Half, tcp: Tcp) -> int:
    """The window scale: a SYN's window is unscaled, and both ends must offer (RFC 7323 §2.2)."""
    refused = other.syn_seen and other.shift is None
    if tcp.flags & SYN or half.shift is None or refused:
        return 0
    return min(half.shift, 14)


def _time_handshake(flow: Flow, tcp: Tcp, now: int) -> None:
    if tcp.flags & (SYN | ACK) == SYN and flow.syn_at < 0:
        flow.syn_at = now
    elif not tcp.flags & SYN and tcp.flags & ACK and flow.first_rtt == 0 and flow.syn_at >= 0:
        flow.first_rtt = now - flow.syn_at


def _analyse(flow: Flow, half: Half, other: Half, segment: _Segment) -> list[str]:
    """The marks of a segment, in the order in which they are shown."""
    if not half.edge:
        half.acked_by = segment.number
        return []
    mark = _acknowledgement_mark(half, other, segment)
    half.last_mark = mark
    if segment.ack != half.ack:
        half.duplicates, half.acked_by = 0, segment.number
    if mark == DUPLICATE:
        half.duplicates += 1
        mark = f"{DUPLICATE} {half.acked_by}#{half.duplicates}"
    marks = [mark] if mark else []
    if mark == ZERO_WINDOW_PROBE_ACK:
        marks.append(ZERO_WINDOW)
    if segment.ack > half.ack >= 0 and not other.seen.contains(half.ack, segment.ack):
        marks.append(ACKED_UNSEEN)
    if mark != KEEP_ALIVE:
        marks += _sequence_marks(flow, half, other, segment)
    if mark != ZERO_WINDOW_PROBE and _fills_window(half, other, segment):
        marks.insert(0, WINDOW_FULL)
    return marks


def _acknowledgement_mark(half: Half, other: Half, segment: _Segment) -> str:
    """What a segment is that brings no new data, or brings it against a closed window."""
    tcp, plain = segment.tcp, not segment.flags(SYN | FIN | RST)
    if segment.length == 1 and segment.seq == half.edge and other.window == 0:
        return ZERO_WINDOW_PROBE
    if not plain:
        return ""
    if segment.length <= 1 and segment.seq == half.edge - 1:
        return KEEP_ALIVE
    same_place = segment.length == 0 and segment.seq == half.edge
    if same_place and tcp.window == 0 == half.window and other.last_mark == ZERO_WINDOW_PROBE:
        return ZERO_WINDOW_PROBE_ACK
    if tcp.window == 0:
        return ZERO_WINDOW
    if not same_place or segment.ack != half.ack:
        return ""
    if tcp.window != half.window:
        return WINDOW_UPDATE
    return KEEP_ALIVE_ACK if other.last_mark == KEEP_ALIVE else DUPLICATE


def _fills_window(half: Half, other: Half, segment: _Segment) -> bool:
    """Whether the text ends exactly where the window ends that the peer announced."""
    if not segment.length or segment.flags(SYN | FIN | RST) or not other.syn_seen:
        return False
    shift = _shift(other, half, segment.tcp)
    return segment.seq + segment.length == other.ack + (other.window << shift)


def _sequence_marks(flow: Flow, half: Half, other: Half, segment: _Segment) -> list[str]:
    """Where a segment's text stands against what was sent before."""
    if segment.seq > half.edge and not segment.flags(RST):
        return [PREVIOUS_MISSING]
    if not segment.length and not segment.flags(SYN | FIN):
        return []
    if segment.seq < half.edge and not (segment.length > 1 and segment.seq == half.edge - 1):
        return [_repetition(flow, half, other, segment)]
    return []


def _repetition(flow: Flow, half: Half, other: Half, segment: _Segment) -> str:
    """Names a segment that begins before the edge of what was sent."""
    end = segment.seq + segment.length
    if segment.length and other.ack >= end:
        return SPURIOUS_RETRANSMISSION
    recent = segment.now - other.ack_at < FAST_RETRANSMISSION_US
    if recent and other.duplicates >= 2 and other.ack == segment.seq:
        return FAST_RETRANSMISSION
    limit = flow.first_rtt or REORDERING_US
    reordered = segment.now - half.edge_at < limit and segment.end != half.edge
    if reordered and not half.seen.contains(segment.seq, segment.end):
        return OUT_OF_ORDER
    return RETRANSMISSION


def _advance(half: Half, segment: _Segment) -> None:
    """Takes in what a segment says of its own half."""
    probe = half.last_mark == ZERO_WINDOW_PROBE
    if segment.end > half.edge and not probe:
        half.edge, half.edge_at = segment.end, segment.now
    half.seen.add(segment.seq, segment.end)
    half.window = segment.tcp.window
    if segment.flags(ACK):
        half.ack, half.ack_at = segment.ack, segment.now
