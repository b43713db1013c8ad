"""What an honest capture never shows of the segments that our side sends.

The capture must have been taken at our end: what it holds of the peer is what we received.
Written against the RFCs, from the packets alone, so that it can judge any TCP.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stack.observe.ranges import Ranges
from stack.wire import segment
from stack.wire.segment import ACK, AE, CWR, ECE, FIN, RST, SYN, URG, Packet, Tcp

DELAYED_ACK_US = 500_000  # RFC 9293 MUST-40
DEFAULT_MSS = {4: 536, 6: 1220}  # RFC 9293 MUST-15
ECN = ECE | CWR | AE
RANGES_MAX = 1 << 20

SYN_ONLY = {segment.MSS, segment.WINDOW_SCALE, segment.SACK_PERMITTED}
PLACELESS = {segment.EOL, segment.NOP, 28, 34, 172, 174}  # user timeout, Fast Open, AccECN


def check(
    packets: Iterable[tuple[int, bytes]],
    ours: set[str],
    loss_free: bool,
    *,
    slow_reader: bool = False,
) -> list[str]:
    """The violations in a capture of (time in µs, IP packet), each with its packet's number.

    `loss_free`: the path neither lost nor reordered anything. `slow_reader`: an application of
    ours leaves data unread, so that zero windows are its doing.
    """
    checker = _Checker(ours, loss_free, slow_reader)
    found: list[str] = []
    number, now = 0, 0
    for number, (now, data) in enumerate(packets, 1):
        found += [f"packet {number}: {words}" for words in checker.packet(now, data)]
    if loss_free:
        for flow in checker.flows.values():
            for side in flow.values():
                if side.ours and side.owes_ack_since + DELAYED_ACK_US < now:
                    found.append(f"packet {number}: {side.name} never acknowledged the last data")
    return found


NEVER = 1 << 62


@dataclass(slots=True)
class _Side:
    """What one end of a connection has sent; numbers are relative to its first."""

    name: str
    ours: bool
    base: int = -1
    syn: Tcp | None = None
    ecn: int = 0  # flags for ECN that any SYN of the connection had
    candidate: Tcp | None = None  # a SYN that may begin another connection
    end: int = 0  # behind the highest number sent, window probes aside
    fin: int | None = None
    reset: bool = False
    text_from: int = 0  # number of the first byte in `text`
    text: bytearray = field(default_factory=bytearray)  # sent and not yet acknowledged
    sound: Ranges = field(default_factory=lambda: Ranges(RANGES_MAX))  # what arrives, if ours not
    contiguous: int = 0
    ack: int = -1
    edge: int = -1  # the right edge announced, in the peer's numbers
    last_ack: tuple[int, int, int] | None = None  # where it stood, ACK number, window
    provoked: bool = False  # the peer sent something that brings nothing new since
    tsval: int | None = None
    tsvals: set[int] = field(default_factory=set)
    owes_ack_since: int = NEVER

    def relative(self, number: int) -> int:
        distance = (number - self.base - self.end) & 0xFFFF_FFFF
        return self.end + (distance - (1 << 32) if distance >> 31 else distance)

    def begin(self, tcp: Tcp) -> None:
        if tcp.flags & SYN:
            self.ecn = tcp.flags & ECN | (self.ecn if tcp.seq == self.base else 0)
            self.syn, self.base = tcp, tcp.seq
        elif self.base < 0:
            self.base, self.end, self.contiguous = (tcp.seq - 1) & 0xFFFF_FFFF, 1, 1

    def begin_unseen(self, tcp: Tcp) -> None:
        """Takes from an ACK where a side is that has not been heard of."""
        if tcp.flags & ACK and self.base < 0:
            self.base, self.end, self.contiguous = (tcp.ack - 1) & 0xFFFF_FFFF, 1, 1


class _Checker:
    def __init__(self, ours: set[str], loss_free: bool, slow_reader: bool) -> None:
        self.ours, self.loss_free, self.slow_reader = ours, loss_free, slow_reader
        self.flows: dict[frozenset[str], dict[str, _Side]] = {}

    def packet(self, now: int, data: bytes) -> Iterator[str]:
        packet = segment.parse(data)
        sound = not packet.fault and packet.ip_checksum_ok and packet.transport_checksum_ok
        if str(packet.src) in self.ours:
            yield from _form(packet)
        tcp = packet.tcp
        if tcp is None or not sound:
            return
        side, peer = self._sides(packet, tcp)
        if tcp.flags & RST:
            # A RST that refuses an ACK, and not a connection, has that ACK's number.
            if side.base < 0 or tcp.seq == 0 or side.relative(tcp.seq) == side.end:
                side.reset = True
            side.owes_ack_since = peer.owes_ack_since = NEVER
        elif tcp.flags & SYN and side.base not in (-1, tcp.seq):
            side.candidate = tcp  # a new connection, should its receiver accept it
        else:
            side.begin(tcp)
            peer.begin_unseen(tcp)
            if side.ours:
                yield from self._judge(side, peer, packet, tcp, now)
            self._take(side, peer, tcp, now)

    def _sides(self, packet: Packet, tcp: Tcp) -> tuple[_Side, _Side]:
        """The sender and the receiver; both are new where the sender begins a connection."""
        here, there = f"{packet.src}:{tcp.sport}", f"{packet.dst}:{tcp.dport}"
        flow = self.flows.setdefault(frozenset((here, there)), {})
        side = flow.setdefault(here, _Side(here, str(packet.src) in self.ours))
        peer = flow.setdefault(there, _Side(there, str(packet.dst) in self.ours))
        if tcp.flags & (SYN | RST) != SYN or not side.ours or side.base == tcp.seq:
            return side, peer
        answered = [
            syn
            for syn in (peer.candidate, peer.syn)
            if syn is not None and tcp.flags & ACK and tcp.ack == (syn.seq + 1) & 0xFFFF_FFFF
        ]
        if side.base >= 0 or side.reset or answered[:1] == [peer.candidate]:
            side = flow[here] = _Side(here, side.ours)
            peer = flow[there] = _Side(there, peer.ours, tsvals=peer.tsvals)
            for syn in answered[:1]:
                peer.begin(syn)
                self._take(peer, side, syn, 0)
        return side, peer

    # ---- rules ---------------------------------------------------------------------------

    def _judge(self, side: _Side, peer: _Side, packet: Packet, tcp: Tcp, now: int) -> Iterator[str]:
        seq = side.relative(tcp.seq)
        if side.reset:
            yield "something else than a RST behind our RST"
        yield from _options(side, peer, tcp)
        yield from _timestamps(side, peer, tcp)
        yield from _ecn(side, peer, packet, tcp)
        yield from _text(side, peer, packet, tcp, seq)
        if tcp.flags & ACK:
            yield from _acknowledgement(side, peer, tcp)
        if self.loss_free:
            yield from self._loss_free(side, peer, tcp, seq, now)

    def _loss_free(self, side: _Side, peer: _Side, tcp: Tcp, seq: int, now: int) -> Iterator[str]:
        plain = not tcp.flags & (SYN | FIN)
        keepalive = plain and len(tcp.text) <= 1 and seq == side.end - 1 and seq >= 1
        if tcp.length and seq < side.end and not keepalive:
            yield "retransmission on a loss-free path"
        pure = plain and not tcp.text and not keepalive
        where = seq, tcp.ack, _window(side, peer, tcp)
        if pure and where == side.last_ack and not side.provoked:
            yield "duplicate ACK on a loss-free path"
        if tcp.window == 0 and not self.slow_reader:
            yield "zero window though the application reads"
        if side.owes_ack_since + DELAYED_ACK_US < now:
            yield f"ACK {(now - side.owes_ack_since) // 1000} ms after the data"

    # ---- state ---------------------------------------------------------------------------

    @staticmethod
    def _take(side: _Side, peer: _Side, tcp: Tcp, now: int) -> None:
        seq = side.relative(tcp.seq)
        end = seq + tcp.length
        fresh = end > side.contiguous
        side.sound.add(seq, end)
        while side.sound.contains(side.contiguous, side.contiguous + 1):
            side.contiguous = side.sound.right_of(side.contiguous)
        if _is_probe(side, peer, tcp, seq):
            peer.provoked = True
        else:
            _keep_text(side, seq + bool(tcp.flags & SYN), tcp.text)
            side.end = max(side.end, end)
        if fresh and end <= min(side.contiguous, peer.edge) and not tcp.flags & SYN:
            peer.owes_ack_since = min(peer.owes_ack_since, now)
        if not fresh and (tcp.length or seq < side.contiguous):
            peer.provoked = True
        if tcp.flags & FIN:
            side.fin = end - 1
        if stamps := tcp.timestamps:
            side.tsval = stamps[0]
            side.tsvals.add(stamps[0])
        if tcp.flags & ACK:
            _take_acknowledgement(side, peer, tcp, end, now)


def _take_acknowledgement(side: _Side, peer: _Side, tcp: Tcp, end: int, now: int) -> None:
    ack = peer.relative(tcp.ack)
    if side.owes_ack_since != NEVER and ack > side.ack:
        side.owes_ack_since = now if ack < min(peer.contiguous, side.edge) else NEVER
    side.ack = max(side.ack, ack)
    side.edge = max(side.edge, ack + _window(side, peer, tcp))
    side.last_ack = end, tcp.ack, _window(side, peer, tcp)
    side.provoked = False
    done = max(0, min(side.ack - peer.text_from, len(peer.text)))
    del peer.text[:done]
    peer.text_from += done


def _window(side: _Side, peer: _Side, tcp: Tcp) -> int:
    """The window in bytes: SYNs are unscaled, and both ends must offer (RFC 7323 §2.2)."""
    shift = side.syn.window_scale if side.syn else None
    offered = peer.syn is None or peer.syn.window_scale is not None
    return tcp.window << (min(shift, 14) if shift and offered and not tcp.flags & SYN else 0)


def _is_probe(side: _Side, peer: _Side, tcp: Tcp, seq: int) -> bool:
    """One byte, or none, against the right edge (RFC 9293 §3.8.6.1)."""
    return len(tcp.text) == 1 and peer.edge >= 0 and seq >= peer.edge and seq == side.end


def _keep_text(side: _Side, seq: int, text: bytes) -> None:
    end = side.text_from + len(side.text)
    if seq > end or not side.text:
        side.text_from, side.text = max(seq, side.text_from), bytearray()
        end = side.text_from
    side.text += text[max(0, end - seq) :]


def _form(packet: Packet) -> Iterator[str]:
    """What holds of every packet by itself."""
    if packet.fault:
        yield f"malformed: {packet.fault}"
    if not packet.ip_checksum_ok:
        yield "wrong IP checksum"
    if not packet.transport_checksum_ok:
        yield f"wrong {type(packet.transport).__name__.upper()} checksum"
    if packet.ip_reserved:
        yield "reserved bit of the IPv4 header set"
    tcp = packet.tcp
    if tcp is None:
        return
    if tcp.reserved:
        yield "reserved bits of the TCP header set"
    if tcp.urgent and not tcp.flags & URG:
        yield "urgent pointer without URG"
    if tcp.ack and not tcp.flags & ACK:
        yield "ACK number without ACK"
    if any(option.fault for option in tcp.options):
        yield "illegal option length"
    walked = sum(len(option.encode()) for option in tcp.options if not option.fault)
    if any(tcp.option_bytes[walked:]) and not any(option.fault for option in tcp.options):
        yield "padding that is not zero"


def _options(side: _Side, peer: _Side, tcp: Tcp) -> Iterator[str]:
    kinds = {option.kind for option in tcp.options} - PLACELESS
    if tcp.flags & SYN:
        if tcp.mss is None:
            yield "SYN without MSS"
        if tcp.flags & ACK and peer.syn is not None:
            offered = {option.kind for option in peer.syn.options} | {segment.MSS}
            for kind in sorted(kinds - offered):
                yield f"option {kind} in the SYN-ACK, which the SYN did not offer"
        return
    for kind in sorted(kinds & SYN_ONLY):
        yield f"option {kind} outside a SYN"
    if peer.syn is None or side.syn is None:
        return
    if segment.SACK in kinds and not peer.syn.sack_permitted:
        yield "SACK that the peer did not permit"
    if segment.TIMESTAMPS in kinds and not _timestamps_agreed(side, peer):
        yield "timestamps that were not negotiated"
    for kind in sorted(kinds - SYN_ONLY - {segment.SACK, segment.TIMESTAMPS}):
        yield f"option {kind}, which was not negotiated"


def _timestamps_agreed(side: _Side, peer: _Side) -> bool:
    syns = (side.syn, peer.syn)
    return all(syn is not None and syn.timestamps is not None for syn in syns)


def _timestamps(side: _Side, peer: _Side, tcp: Tcp) -> Iterator[str]:
    stamps = tcp.timestamps
    if stamps is None:
        if _timestamps_agreed(side, peer) and not tcp.flags & SYN:
            yield "timestamps are missing though negotiated"
        return
    tsval, tsecr = stamps
    if side.tsval is not None and (tsval - side.tsval) & 0x8000_0000:
        yield f"TSval {tsval} behind {side.tsval}"
    if tcp.flags & ACK and peer.syn is not None and tsecr not in peer.tsvals:
        yield f"TSecr {tsecr}, which the peer never sent"


def _ecn(side: _Side, peer: _Side, packet: Packet, tcp: Tcp) -> Iterator[str]:
    if side.syn is None or peer.syn is None:  # before the answer, the SYN may offer it
        return
    agreed = bool(peer.ecn)
    if not tcp.flags & SYN:
        agreed = agreed and bool(side.ecn)
    if tcp.flags & ECN and not agreed:
        yield "ECE, CWR or AE without ECN"
    if packet.tclass & 3 and not agreed:
        yield "ECN-capable IP packet without ECN"


def _text(side: _Side, peer: _Side, packet: Packet, tcp: Tcp, seq: int) -> Iterator[str]:
    start = seq + bool(tcp.flags & SYN)
    end = start + len(tcp.text)
    if tcp.text and peer.edge >= 0 and end > peer.edge and not _is_probe(side, peer, tcp, seq):
        yield f"{end - peer.edge} bytes beyond the peer's right edge"
    if peer.syn is not None and not tcp.flags & SYN:
        mss = DEFAULT_MSS[packet.version] if peer.syn.mss is None else peer.syn.mss
        size = len(tcp.text) + len(tcp.option_bytes) + len(packet.ip_options)
        if tcp.text and size > mss:
            yield f"{size} bytes of text and options against the peer's MSS of {mss}"
    if side.fin is not None and seq + tcp.length > side.fin + 1:
        yield "data or a new sequence number behind our FIN"
    if side.fin is not None and tcp.flags & FIN and seq + tcp.length < side.fin + 1:
        yield "a FIN before where our FIN was"
    at = max(start, side.text_from)
    sent = side.text[at - side.text_from :][: max(0, end - at)]
    if at >= start and sent != tcp.text[at - start :][: len(sent)]:
        yield "retransmission with other bytes"


def _acknowledgement(side: _Side, peer: _Side, tcp: Tcp) -> Iterator[str]:
    ack = peer.relative(tcp.ack)
    if ack < side.ack:
        yield f"ACK goes back by {side.ack - ack}"
    if ack > peer.contiguous:
        yield f"ACK {ack - peer.contiguous} beyond what was received"
    edge = ack + _window(side, peer, tcp)
    if edge < side.edge:
        yield f"right edge moves left by {side.edge - edge}"
    for left, right in tcp.sack_blocks:
        left, right = peer.relative(left), peer.relative(right)
        if left >= right or not peer.sound.contains(left, right):
            yield f"SACK block {left}–{right} outside what was received"
