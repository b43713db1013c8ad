"""Loss recovery: what to do when a loss was found (RFC 5681 §3.2, RFC 6675, RFC 6582).

Finding losses is the matter of a detector: RACK where the peer sends SACK, counting
duplicate ACKs where it does not. This file holds what both share: entering and
leaving recovery, and the two timeouts.
"""

from typing import TYPE_CHECKING, Protocol

from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from stack.wire.sequence import geq

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.flight import Transmission


class Delivery:
    """What one acknowledgement said: bytes by which snd_una moved, the records that it
    covered or SACKed for the first time, the RTT that it shows (µs, 0: none), and whether
    it is a duplicate (RFC 5681 §2).
    """

    __slots__ = ("ack", "acked", "advanced", "dsack", "duplicate", "now", "rtt", "sacked", "tsecr")

    def __init__(self, ack: int, now: int) -> None:
        self.ack = ack
        self.now = now
        self.advanced = 0
        self.rtt = 0
        self.acked: list[Transmission] = []
        self.sacked: list[Transmission] = []
        self.duplicate = False
        self.dsack: tuple[int, int] | None = None
        self.tsecr: int | None = None

    @property
    def length(self) -> int:
        """Bytes that it delivered (DeliveredData of RFC 9937 §6)."""
        return sum(record.length for record in self.acked + self.sacked)


class LossDetector(Protocol):
    """Finds losses and marks them in the flight."""

    why: Why

    @property
    def settled(self) -> bool:
        """Whether the next acknowledgement, if it moves snd_una, has nothing to tell it."""

    def on_delivery(self, connection: "Connection", delivery: Delivery) -> None:
        """An acknowledgement came."""

    def on_recovery(self, connection: "Connection") -> None:
        """Fast recovery begins; cwnd is ssthresh already."""

    def on_reordering_timer(self, connection: "Connection", now: int) -> None:
        """The time that reordering was given is over."""

    def on_timeout(self, connection: "Connection", now: int) -> None:
        """The retransmission timer ran out: marks what counts as lost."""

    def on_loss_probe_sent(self, connection: "Connection", retransmission: bool, now: int) -> None:
        """A tail loss probe left."""


def on_delivery(connection: "Connection", delivery: Delivery) -> None:
    """Lets the detector judge, then enters, goes on with or leaves recovery."""
    tcb = connection.tcb
    # Nothing was undone by mistake where nothing was sent again.
    if (tcb.retransmissions and connection.undo.shows_spurious(connection, delivery)) or (
        tcb.recovery == Recovery.LOSS and connection.frto.shows_spurious(connection, delivery)
    ):
        connection.undo.revert(connection, delivery.now)
        connection.frto.stop()
    lost = tcb.lost
    connection.detector.on_delivery(connection, delivery)
    if tcb.recovery != Recovery.OPEN and delivery.advanced and geq(tcb.snd_una, tcb.recover):
        _leave(connection, delivery.now)
    if tcb.lost:
        enter(connection, delivery.now, delivery.length)
    if tcb.recovery == Recovery.FAST and _in_proportion(connection):
        safe = delivery.advanced > 0 and tcb.lost <= lost
        connection.prr.on_ack(tcb, connection.flight.pipe, delivery.length, safe=safe)
        connection.wants_output()


def _in_proportion(connection: "Connection") -> bool:
    """Whether proportional rate reduction sets cwnd: it needs to know what was delivered,
    and an algorithm that does not do so itself.
    """
    return bool(connection.tcb.sack_ok) and connection.rate is None


def enter(connection: "Connection", now: int, delivered: int = 0) -> None:
    """A loss was found: cut the window once for this flight.

    `delivered` is what the acknowledgement that showed it delivered, in bytes.
    """
    tcb = connection.tcb
    connection.wants_output()
    if tcb.recovery != Recovery.OPEN:
        return
    if connection.mtu_probe is not None and connection.mtu_probe.absorbs(connection):
        return
    connection.undo.remember(connection)
    tcb.recover = tcb.snd_nxt
    connection.retransmit_why = connection.detector.why
    flight = connection.validation.on_loss(connection, now)
    connection.congestion.on_congestion(flight, now)
    tcb.recovery = Recovery.FAST
    connection.ecn.on_reduction(connection)
    if _in_proportion(connection):
        pipe = connection.flight.pipe
        connection.prr.begin(tcb, pipe, pipe + tcb.lost + delivered)
    elif connection.rate is None:
        connection.detector.on_recovery(connection)
    connection.cwnd_changed("loss detected", now)


def _leave(connection: "Connection", now: int) -> None:
    tcb = connection.tcb
    if tcb.recovery == Recovery.FAST:
        connection.validation.on_recovered(tcb)
    if tcb.recovery == Recovery.FAST or connection.rate is not None:
        connection.congestion.on_recovered(now)
        connection.cwnd_changed("recovery complete", now)
    tcb.recovery = Recovery.OPEN
    tcb.dupacks = 0
    connection.frto.stop()


def on_timeout(connection: "Connection", now: int) -> None:
    """The retransmission timer ran out (RFC 6298 §5.4 to §5.6, RFC 5681 §3.1)."""
    tcb = connection.tcb
    flight = connection.flight
    if flight.first().sacked:
        # The peer SACKed the first segment but did not acknowledge it: it reneged.
        flight.forget_sacks()
    if tcb.recovery == Recovery.OPEN:
        connection.undo.remember(connection)
    connection.frto.begin(connection)
    if tcb.backoff == 0:
        connection.congestion.on_timeout(connection.validation.on_loss(connection, now), now)
        connection.cwnd_changed("retransmission timeout", now)
    tcb.recovery = Recovery.LOSS
    connection.ecn.on_reduction(connection)
    tcb.recover = tcb.snd_nxt
    tcb.dupacks = 0
    connection.detector.on_timeout(connection, now)
    connection.retransmit_why = Why.RTO
    connection.wants_output()
