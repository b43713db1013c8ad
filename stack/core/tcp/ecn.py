"""Explicit congestion notification: classic (RFC 3168) and accurate (RFC 9768).

Classic ECN echoes "there was a mark" once a round trip; AccECN counts marks in three bits
(AE, CWR, ECE, together the ACE field). The TCP options of AccECN are not sent: the field
is the part that every peer has.
"""

from enum import Enum
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from stack.wire.sequence import geq

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection

AE, CWR, ECE = lib.FLAG_AE, lib.FLAG_CWR, lib.FLAG_ECE
ACE = AE | CWR | ECE

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
_CODEPOINT = 0b11

# RFC 9768 table 2: how an AccECN SYN-ACK, and the ACK behind it, tell the codepoint that
# the packet before it came with.
_HANDSHAKE = {NOT_ECT: CWR, ECT_1: CWR | ECE, ECT_0: AE, CE: AE | CWR}
_FIRST_COUNT = 5  # RFC 9768 §3.2.1: so that a middlebox which clears the bits shows
_UNREPORTED_MAX = 2  # marks until an ACK leaves at once, RFC 9768 §3.2.2.5.1


class Mode(Enum):
    """What the two ends agreed upon."""

    OFF = 0
    CLASSIC = 1
    ACCURATE = 2


class Ecn:
    """ECN of one connection; `wanted` is "off", "passive", "classic" or "accurate"."""

    __slots__ = (
        "_ce_in",
        "_ce_out",
        "_cwr_due",
        "_echo",
        "_handshake",
        "_reduced_until",
        "_unreported",
        "_wanted",
        "mode",
    )

    def __init__(self, wanted: str) -> None:
        self.mode = Mode.OFF
        self._wanted = wanted
        self._echo = False  # classic: ECE on every ACK until CWR comes
        self._cwr_due = False  # classic: the next new segment says that we slowed down
        self._ce_in = _FIRST_COUNT  # accurate: marks received, r.cep
        self._ce_out = _FIRST_COUNT  # accurate: marks that the peer reported, s.cep
        self._unreported = 0
        self._handshake: int | None = None  # flags that tell what the SYN or SYN-ACK came with
        self._reduced_until: int | None = None

    # The handshake.

    def syn_flags(self) -> int:
        """Flags of our SYN."""
        return {"classic": ECE | CWR, "accurate": ACE}.get(self._wanted, 0)

    def give_up(self) -> None:
        """Our SYN was lost: a path may drop it for its flags (RFC 3168 §6.1.1.1)."""
        self._wanted = "off"

    def on_syn(self, seg: "Packet") -> None:
        """The peer's SYN: what it asks for is granted unless ECN is off."""
        asked = seg.flags & ACE
        if self._wanted == "off":
            return
        if asked == ACE:
            self.mode = Mode.ACCURATE
            self._handshake = _HANDSHAKE[seg.traffic_class & _CODEPOINT]
        elif asked == ECE | CWR:
            self.mode = Mode.CLASSIC

    def syn_ack_flags(self) -> int:
        """Flags of our SYN-ACK."""
        if self.mode is Mode.ACCURATE:
            return self._handshake or 0
        return ECE if self.mode is Mode.CLASSIC else 0

    def on_syn_ack(self, seg: "Packet") -> None:
        """The answer to our SYN; one without sense, or a plain copy of it, means no ECN."""
        answer = seg.flags & ACE
        if self._wanted == "accurate" and answer in _HANDSHAKE.values():
            self.mode = Mode.ACCURATE
            self._handshake = _HANDSHAKE[seg.traffic_class & _CODEPOINT]
            if seg.traffic_class & _CODEPOINT == CE:
                self._ce_in += 1
        elif answer == ECE and self.syn_flags():
            self.mode = Mode.CLASSIC

    # Segments that come.

    def on_segment(self, connection: "Connection", seg: "Packet") -> None:
        """A segment was acceptable: counts a mark, and hears what the peer says of ours."""
        marked = seg.traffic_class & _CODEPOINT == CE
        if self.mode is Mode.ACCURATE:
            if marked:
                self._count_mark(connection)
            return
        if marked and seg.text_length:
            self._echo = True
        elif seg.flags & CWR:
            self._echo = False

    def _count_mark(self, connection: "Connection") -> None:
        self._ce_in += 1
        self._unreported += 1
        if self._unreported >= _UNREPORTED_MAX:
            connection.acks.now(connection, Why.CONGESTION_MARKS)

    def on_ack(self, connection: "Connection", seg: "Packet", now: int) -> None:
        """The echo in an acknowledgement: slows down at most once a round trip."""
        if self.mode is Mode.ACCURATE:
            field = (
                (seg.flags & ECE) // ECE
                | (seg.flags & CWR) // CWR << 1
                | ((seg.flags & AE) // AE << 2)
            )
            marks = (field - self._ce_out) & 7
            self._ce_out += marks
        else:
            marks = bool(seg.flags & ECE)
        if marks:
            self._reduce(connection, now)

    def _reduce(self, connection: "Connection", now: int) -> None:
        tcb = connection.tcb
        done = self._reduced_until is None or geq(tcb.snd_una, self._reduced_until)
        if not done or tcb.recovery != Recovery.OPEN:
            return
        self._reduced_until = tcb.snd_nxt
        self._cwr_due = self.mode is Mode.CLASSIC
        connection.congestion.on_ecn(connection.flight.pipe, now)
        connection.host.counters.count("TCPEcnReductions")
        connection.cwnd_changed("congestion echoed", now)

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
        self._unreported = 0
        if self._handshake is not None:
            # The client's first ACK still tells of the SYN-ACK.
            flags, self._handshake = self._handshake, None
            return flags
        count = self._ce_in & 7
        return (count & 1) * ECE | (count >> 1 & 1) * CWR | (count >> 2) * AE

    @property
    def wants_single_segments(self) -> bool:
        """Whether the device must not cut super-segments: it repeats or clears flags that
        have to differ from segment to segment.
        """
        return self.mode is Mode.ACCURATE or self._cwr_due
