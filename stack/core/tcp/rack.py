"""RACK-TLP: losses found by time (RFC 8985).

A segment is lost when one that was sent sufficiently later has been delivered.
"Sufficiently" is the reordering window, which grows when D-SACKs show that it was
too small.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.timers import Timer
from stack.core.why import Why
from stack.wire.sequence import geq, gt, sub

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.flight import Flight, Transmission

DUP_THRESH = 3
_PERSIST = 16  # recoveries for which a widened reordering window is kept (§6.2 step 4)
_LARGEST_MULTIPLIER = 20


class Rack:
    """State of RFC 8985 §5.2 for one connection; times in µs. What every acknowledgement moves
    is in the TCB: `rack_sent_at`, `rack_end`, `rack_rtt`, `rack_fack`.
    """

    __slots__ = (
        "_dsack_round",
        "_latest",
        "_multiplier",
        "_persist",
        "_probe_end",
        "_probe_flight",
        "_probe_resent",
        "_reordering_seen",
        "_tcb",
    )
    why = Why.RACK_LOST

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb
        self._latest: Transmission | None = None  # the segment that rack_end is the end of
        self._reordering_seen = False
        self._multiplier = 1  # RACK.reo_wnd_mult
        self._persist = 0
        self._dsack_round: int | None = None
        self._probe_end: int | None = None  # TLP.end_seq
        self._probe_resent = False  # TLP.is_retrans
        self._probe_flight = 0  # bytes in flight when the probe left

    def on_delivery(self, connection: "Connection", delivery: Delivery) -> None:
        """RFC 8985 §6.2, the steps in its order, then §7.4."""
        for record in delivery.acked + delivery.sacked:
            original = self._is_original(connection, record, delivery)
            if not record.retransmitted or not original:
                self._update(connection, record, delivery)
            self._detect_reordering(record, original)
        self._update_window(connection, delivery)
        self._detect_losses(connection, delivery.now)
        self._check_probe(connection, delivery)
        if connection.flight.plain:
            self._latest = None  # nothing is left that was sent before it

    def _update(self, connection: "Connection", record: "Transmission", delivery: Delivery) -> None:
        """Steps 1 and 2: the most recently sent segment that was delivered."""
        tcb = self._tcb
        rtt = delivery.now - record.sent_at
        if record.retransmitted and rtt < tcb.min_rtt:
            return
        tcb.rack_rtt = rtt
        if self._sent_after(record.sent_at, record.end, tcb.rack_sent_at, tcb.rack_end):
            tcb.rack_sent_at = record.sent_at
            tcb.rack_end = record.end
            self._latest = record

    @staticmethod
    def _is_original(connection: "Connection", record: "Transmission", delivery: Delivery) -> bool:
        """Whether what was delivered is surely not a retransmission: there was none, or the
        echoed timestamp is from before it.
        """
        if not record.retransmitted:
            return True
        return delivery.tsecr is not None and (
            sub(delivery.tsecr, connection.timestamp(record.sent_at)) < 0
        )

    @staticmethod
    def _sent_after(time_1: int, end_1: int, time_2: int, end_2: int) -> bool:
        return time_1 > time_2 or (time_1 == time_2 and gt(end_1, end_2))

    def _detect_reordering(self, record: "Transmission", original: bool) -> None:
        """Step 3: the original of a segment delivered below the highest one.

        It counts after a needless retransmission, too: where all that is late was sent
        again already, there would be no other sign.
        """
        if gt(record.end, self._tcb.rack_fack):
            self._tcb.rack_fack = record.end
        elif sub(record.end, self._tcb.rack_fack) < 0 and original:
            self._reordering_seen = True

    def _update_window(self, connection: "Connection", delivery: Delivery) -> None:
        """Step 4, the part that D-SACK drives: wider by a quarter RTT once a round."""
        tcb = connection.tcb
        if self._dsack_round is not None and geq(tcb.snd_una, self._dsack_round):
            self._dsack_round = None
        if delivery.dsack and self._dsack_round is None:
            self._dsack_round = tcb.snd_nxt
            self._multiplier = min(self._multiplier + 1, _LARGEST_MULTIPLIER)
            self._persist = _PERSIST
        elif tcb.recovery != Recovery.OPEN and delivery.advanced and geq(tcb.snd_una, tcb.recover):
            self._persist -= 1
            if self._persist <= 0:
                self._multiplier = 1

    def _window(self, connection: "Connection") -> int:
        """The reordering window in µs (§6.2 step 4)."""
        tcb = connection.tcb
        if not self._reordering_seen and (
            tcb.recovery != Recovery.OPEN or tcb.sacked >= DUP_THRESH * tcb.snd_mss
        ):
            return 0
        window: int = min(self._multiplier * tcb.min_rtt // 4, tcb.srtt)
        return window

    def _detect_losses(self, connection: "Connection", now: int) -> None:
        """Step 5; starts the reordering timer for what is not yet lost."""
        tcb = connection.tcb
        if tcb.sacked == 0 and tcb.recovery == Recovery.OPEN:
            connection.stop_timer(Timer.REORDERING)
            return
        flight = connection.flight
        patience = tcb.rack_rtt + self._window(connection) - now
        wait = 0
        for record in flight.in_network:
            if not self._sent_after(tcb.rack_sent_at, tcb.rack_end, record.sent_at, record.end):
                break  # nor what follows it in the order of sending
            if record.sent_at + patience > 0:
                wait = self._longest(flight, record) + patience
                break  # what was sent later has more time left
            flight.mark_lost(record)
        if wait:
            connection.start_timer(Timer.REORDERING, now + wait)
        else:
            connection.stop_timer(Timer.REORDERING)

    def _longest(self, flight: "Flight", first: "Transmission") -> int:
        """When the last of those was sent that may yet prove lost, `first` being the first."""
        last = flight.in_network.behind(self._latest) if self._latest is not None else None
        return first.sent_at if last is None else max(first.sent_at, last.sent_at)

    def on_recovery(self, connection: "Connection") -> None:
        """Proportional rate reduction sets the window from here on."""

    def on_reordering_timer(self, connection: "Connection", now: int) -> None:
        """§6.2, RACK_detect_loss_and_arm_timer on expiry."""
        self._detect_losses(connection, now)

    def on_timeout(self, connection: "Connection", now: int) -> None:
        """§6.3: the first segment, and all that had their time."""
        self._probe_end = None
        window = self._window(connection)
        for index, record in enumerate(connection.flight.records()):
            if index == 0 or record.sent_at + self._tcb.rack_rtt + window <= now:
                connection.flight.mark_lost(record)

    def on_loss_probe_sent(self, connection: "Connection", retransmission: bool, now: int) -> None:
        """§7.3: remembers which acknowledgement answers the probe."""
        self._probe_end = connection.tcb.snd_nxt
        self._probe_resent = retransmission
        self._probe_flight = connection.validation.flight_size(connection, now)

    @property
    def reordering_seen(self) -> bool:
        """Whether the path has delivered out of order."""
        return self._reordering_seen

    @property
    def settled(self) -> bool:
        """Neither a probe nor a round of D-SACKs waits for its end."""
        return self._probe_end is None and self._dsack_round is None

    @property
    def probing(self) -> bool:
        """Whether a tail loss probe is on its way; at most one may be (§7.3)."""
        return self._probe_end is not None

    def _check_probe(self, connection: "Connection", delivery: Delivery) -> None:
        """§7.4: a probe that repaired a loss hid a sign of congestion."""
        tcb = connection.tcb
        if self._probe_end is None or not geq(delivery.ack, self._probe_end):
            return
        if not self._probe_resent or delivery.dsack:
            self._probe_end = None
        elif gt(delivery.ack, self._probe_end):
            self._probe_end = None
            if tcb.recovery == Recovery.OPEN:
                connection.congestion.on_congestion(self._probe_flight, delivery.now)
                connection.ecn.on_reduction(connection)
                connection.cwnd_changed("loss repaired by the probe", delivery.now)
        elif delivery.duplicate:
            self._probe_end = None  # original and probe both arrived
