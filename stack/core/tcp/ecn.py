"""Explicit congestion notification: classic (RFC 3168) and accurate (RFC 9768).

Classic ECN echoes "there was a mark" once a round trip; AccECN counts marks in three bits
(AE, CWR, ECE, together the ACE field) and bytes in a TCP option (`accecn_option`), which
middleboxes may not let through.
"""

from enum import Enum
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp.accecn_option import AccEcnOption
from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from stack.wire.sequence import geq, lt

if TYPE_CHECKING:
    from stack._native import Emit, Packet
    from stack.core.tcp.connection import Connection

AE, CWR, ECE = lib.FLAG_AE, lib.FLAG_CWR, lib.FLAG_ECE
ACE = AE | CWR | ECE
_CLASSIC_SYN = ECE | CWR

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
_CODEPOINT = 0b11

# RFC 9768 tables 2 and 3: how an AccECN SYN-ACK, and the ACK behind it, tell the codepoint
# that the packet before it came with.
_HANDSHAKE = {NOT_ECT: CWR, ECT_1: CWR | ECE, ECT_0: AE, CE: AE | CWR}
_RESERVED = AE | ECE  # in a SYN-ACK: some AccECN of the future (§3.1.3)
_FIRST_COUNT = 5  # §3.2.1: so that a middlebox which clears the bits shows
_UNREPORTED_MAX = 2  # marks until an ACK leaves at once (§3.2.2.5.1) …
_UNREPORTED_MAX_OF_ACKS = 3  # … and so many where nothing else asks for one


class Mode(Enum):
    """What the two ends agreed upon."""

    OFF = 0
    CLASSIC = 1
    ACCURATE = 2


class Ecn:
    """ECN of one connection; `wanted` is "off", "passive", "classic" or "accurate"."""

    __slots__ = (
        "_asked",
        "_ce_in",
        "_ce_out",
        "_cwr_due",
        "_echo",
        "_reduced_until",
        "_responds",
        "_syn_ack",
        "_told",
        "_unreported",
        "_wanted",
        "_was_marked",
        "handshake_due",
        "mode",
        "option",
        "sends_ect",
    )

    def __init__(self, wanted: str) -> None:
        self.mode = Mode.OFF
        self.option: AccEcnOption | None = None  # with accurate ECN
        self.sends_ect = True  # new data goes out as capable of ECN
        self.handshake_due: int | None = None  # flags of the ACK that answers a SYN-ACK
        self._wanted = wanted
        self._asked = {"classic": _CLASSIC_SYN, "accurate": ACE}.get(wanted, 0)
        self._syn_ack = 0  # flags of our SYN-ACK
        self._told = False  # the segment at hand told how our SYN-ACK came
        self._echo = False  # classic: ECE on every ACK until CWR comes
        self._cwr_due = False  # classic: the next new segment says that we slowed down
        self._ce_in = _FIRST_COUNT  # accurate: marks received, r.cep
        self._ce_out = _FIRST_COUNT  # accurate: marks that the peer reported, s.cep
        self._responds = True
        self._unreported = 0
        self._was_marked = False  # the packet before this one
        self._reduced_until: int | None = None

    @property
    def marks_reported(self) -> int:
        """How many segments of ours the peer says were marked; 0 where it cannot count."""
        return self._ce_out - _FIRST_COUNT

    # The handshake.

    def syn_flags(self) -> int:
        """Flags of our SYN."""
        return 0 if self._wanted == "off" else self._asked

    def give_up(self) -> None:
        """Our SYN was lost: a path may drop it for its flags (RFC 3168 §6.1.1.1)."""
        self._wanted = "off"

    def on_syn(self, seg: "Packet") -> bool:
        """The peer's SYN, perhaps again: what it asks for is granted unless ECN is off.

        Returns False when it asks for another kind than before: no peer does that, and the
        connection must end (RFC 9768 §3.1.5).
        """
        asked = seg.flags & ACE
        if self.mode is Mode.OFF:
            if asked and self._wanted != "off":
                self.mode = Mode.CLASSIC if asked == _CLASSIC_SYN else Mode.ACCURATE
                self._syn_ack = ECE
        elif asked == 0:
            self.sends_ect = False  # the client may be without ECN by now (§3.1.5)
            self._syn_ack = 0
        elif (asked == _CLASSIC_SYN) != (self.mode is Mode.CLASSIC):
            return False
        if self.mode is Mode.ACCURATE:
            self._syn_ack = _HANDSHAKE[seg.traffic_class & _CODEPOINT]
            self.option = self.option or AccEcnOption()
        return True

    def syn_ack_flags(self) -> int:
        """Flags of our SYN-ACK."""
        return self._syn_ack

    def offer(self, connection: "Connection", emit: "Emit") -> None:
        """Adds the option to our SYN-ACK, but not to a repeated one."""
        if self.option is not None and self._wanted != "off":
            self.option.offer(connection, emit)

    def on_syn_ack(self, seg: "Packet") -> None:
        """The answer to our SYN (RFC 9768 table 2); a plain copy of it means no ECN."""
        answer = seg.flags & ACE
        if self._asked == ACE and (answer in _HANDSHAKE.values() or answer == _RESERVED):
            self.mode = Mode.ACCURATE
            # Our SYN was not capable of ECN: whoever saw another codepoint saw it mangled.
            self.sends_ect = answer in (_HANDSHAKE[NOT_ECT], _RESERVED)
            self._note_syn_ack(seg.traffic_class & _CODEPOINT)
            self.option = AccEcnOption()
            if seg.options & lib.OPTION_ACCECN:
                self.option.arrives(seg)
        elif answer == ECE and self.syn_flags():
            self.mode = Mode.CLASSIC

    def on_syn_ack_again(self, seg: "Packet") -> None:
        """Our ACK was lost, and with it what it told of the SYN-ACK (RFC 9768 §3.2.2.1)."""
        if self.mode is Mode.ACCURATE:
            self._note_syn_ack(seg.traffic_class & _CODEPOINT)

    def _note_syn_ack(self, codepoint: int) -> None:
        """The ACK that follows tells the codepoint, and a mark counts once."""
        if codepoint == CE and self._ce_in == _FIRST_COUNT:
            self._ce_in += 1
        self.handshake_due = _HANDSHAKE[codepoint]

    def on_handshake_ack(self, connection: "Connection", seg: "Packet", now: int) -> None:
        """The ACK of our SYN-ACK: in AccECN mode a bare one tells how the SYN-ACK came
        (RFC 9768 table 4).
        """
        if self.mode is not Mode.ACCURATE or seg.text_length or seg.sack_count:
            return
        self._told = True
        told = seg.flags & ACE
        if told == 0:
            self.sends_ect = self._responds = False  # the bits were cleared, or mean nothing
        elif told in _HANDSHAKE.values() and told != _HANDSHAKE[NOT_ECT]:
            self.sends_ect = False  # our SYN-ACK was not capable of ECN: mangled
        if told == _HANDSHAKE[CE]:
            self._ce_out += 1
            self._reduce(connection, now)

    # Segments that come.

    def on_segment(self, connection: "Connection", seg: "Packet") -> None:
        """An acceptable segment came: its mark is to be reported."""
        marked = seg.traffic_class & _CODEPOINT == CE
        if self.mode is Mode.ACCURATE:
            if marked:
                self._count_marks(connection, seg)
            self._was_marked = marked
            if self.option is not None and seg.text_length:
                codepoint = seg.traffic_class & _CODEPOINT
                self.option.on_data(connection, codepoint, seg.text_length)
        elif marked and seg.text_length:
            self._echo = True
        elif seg.flags & CWR:
            self._echo = False

    def _count_marks(self, connection: "Connection", seg: "Packet") -> None:
        """Reports at once where marks begin, and every second one (RFC 9768 §3.2.2.5.1)."""
        packets = -(-seg.text_length // seg.gso_size) if seg.gso_size else 1
        self._ce_in += packets
        self._unreported += packets
        has_data = bool(seg.text_length)
        begins = has_data and not self._was_marked
        waits_for_ack = has_data or connection.acks.waiting
        limit = _UNREPORTED_MAX if waits_for_ack else _UNREPORTED_MAX_OF_ACKS
        if begins or self._unreported >= limit:
            connection.acks.now(connection, Why.CONGESTION_MARKS)

    def on_ack(self, connection: "Connection", seg: "Packet", now: int) -> bool:
        """The echo in an acknowledgement: slows down at most once a round trip.

        Returns whether there was one: cwnd does not grow with that (RFC 3168 §6.1.2).
        """
        if self._told:
            self._told = False
            if self.option is not None and seg.options & lib.OPTION_ACCECN:
                self.option.arrives(seg)
            return False
        if self.mode is Mode.ACCURATE:
            marks = 0 if _superseded(connection, seg) else self._all_marks(seg)
        else:
            marks = bool(seg.flags & ECE)
        if marks and self._responds:
            self._reduce(connection, now)
        return bool(marks) and self._responds

    def _all_marks(self, seg: "Packet") -> int:
        """What field and option tell; where only the option does, the field went round."""
        marks = self._new_marks(seg.flags)
        if self.option is None or not seg.options & lib.OPTION_ACCECN:
            return marks
        marked = self.option.arrives(seg)
        if marked and not marks:
            marks = 8
            self._ce_out += marks
        return marks

    def _new_marks(self, flags: int) -> int:
        """By how much the peer's count went up, modulo 8.

        Peers report every second mark, so it takes a run of lost ACKs to hide a wrap; as one
        mark brings the same response as nine, none is assumed.
        """
        field = (flags & ECE) // ECE | (flags & CWR) // CWR << 1 | ((flags & AE) // AE << 2)
        marks: int = (field - self._ce_out) & 7
        self._ce_out += marks
        return marks

    def _reduce(self, connection: "Connection", now: int) -> None:
        tcb = connection.tcb
        done = self._reduced_until is None or geq(tcb.snd_una, self._reduced_until)
        if not done or tcb.recovery != Recovery.OPEN:
            return
        self.on_reduction(connection)
        connection.congestion.on_ecn(connection.validation.flight_size(connection, now), now)
        connection.host.counters.count("TCPEcnReductions")
        connection.cwnd_changed("congestion echoed", now)

    def on_reduction(self, connection: "Connection") -> None:
        """The window was reduced, for marks or for losses: no mark of this flight counts
        again, and a classic peer hears of it (RFC 3168 §6.1.2).
        """
        self._reduced_until = connection.tcb.snd_nxt
        self._cwr_due = self.mode is Mode.CLASSIC and self.sends_ect

    # Segments that go.

    def flags(self, fresh: bool) -> int:
        """Flags of a segment that leaves; `fresh`: it carries new data."""
        if self.mode is Mode.ACCURATE:
            return self._count_flags()
        flags = ECE if self._echo else 0
        if fresh and self._cwr_due:
            self._cwr_due = False
            flags |= CWR
        return flags

    def _count_flags(self) -> int:
        if self.handshake_due is not None:
            flags, self.handshake_due = self.handshake_due, None
            return flags
        self._unreported = 0
        count = self._ce_in & 7
        return (count & 1) * ECE | (count >> 1 & 1) * CWR | (count >> 2) * AE

    def on_timeout(self, connection: "Connection") -> None:
        """The retransmission timer ran out."""
        if self.option is not None:
            self.option.on_timeout(connection)

    @property
    def wants_single_segments(self) -> bool:
        """Whether the device must not cut super-segments: it clears CWR behind the first
        piece, which is right for neither kind.
        """
        return self.mode is Mode.ACCURATE or self._cwr_due


def _superseded(connection: "Connection", seg: "Packet") -> bool:
    """Whether a later ACK came before this one: its count is old (RFC 9768 §3.2.2.2)."""
    tcb = connection.tcb
    return lt(seg.ack, tcb.snd_una) or (seg.ack == tcb.snd_wl2 and lt(seg.seq, tcb.snd_wl1))
