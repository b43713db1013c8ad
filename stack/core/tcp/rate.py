"""Delivery-rate samples (draft-ietf-ccwg-bbr-06 §4.1): how fast does the path deliver?

Every transmission remembers how much had been delivered when it left. Its acknowledgement
then shows the rate over its round trip: what was delivered in between, divided by the longer
of the time it took to send and the time it took to be acknowledged. Only connections whose
congestion control models the path keep these.
"""

from typing import TYPE_CHECKING

from stack.wire.sequence import MASK, gt

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.flight import Transmission
    from stack.core.tcp.recovery import Delivery

SECOND = 1_000_000


class Snapshot:
    """What the sender knew when a transmission left (the P variables of §4.1.2.1.2):
    bytes, times in µs. `in_flight` counts the transmission itself.
    """

    __slots__ = (
        "app_limited",
        "delivered",
        "delivered_at",
        "first_sent_at",
        "in_flight",
        "lost",
        "share",
    )

    def __init__(self, sampler: "RateSampler", in_flight: int) -> None:
        self.delivered = sampler.delivered
        self.delivered_at = sampler.delivered_at
        self.first_sent_at = sampler.first_sent_at
        self.app_limited = sampler.app_limited
        self.in_flight = in_flight
        self.lost = sampler.lost
        self.share = sampler.share


class RateSample:
    """What one acknowledgement shows (the RS variables of §4.1.2.1.3).

    `rate` is in bytes a second, 0 when nothing reliable was measured, `path_rate` what it
    would have been had pacing not held anything back; `delivered` is what
    arrived while the newest of the acknowledged transmissions was on its way, `lost` what got
    lost then, `in_flight` what was in flight when it left, `prior_delivered` all that had been
    delivered then; `acked` is what this acknowledgement delivered, `newly_lost` what it made
    count as lost. All in bytes.
    """

    __slots__ = (
        "acked",
        "app_limited",
        "delivered",
        "in_flight",
        "lost",
        "newly_lost",
        "path_rate",
        "prior_delivered",
        "rate",
    )

    def __init__(self, acked: int, newly_lost: int) -> None:
        self.acked = acked
        self.newly_lost = newly_lost
        self.rate = 0
        self.path_rate = 0
        self.delivered = 0
        self.prior_delivered = 0
        self.app_limited = False
        self.in_flight = 0
        self.lost = 0


class RateSampler:
    """The C variables of §4.1.2.1.1 for one connection: bytes, times in µs."""

    __slots__ = (
        "_bubble",
        "_lost_before",
        "_tcb",
        "delivered",
        "delivered_at",
        "first_sent_at",
        "latest",
        "lost",
        "share",
    )

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb
        self.delivered = 0  # over the life of the connection, by ACK or SACK
        self.delivered_at = 0
        self.first_sent_at = 0  # when the newest delivered transmission was sent
        self.lost = 0  # over the life of the connection
        self.latest = 0  # the last rate measured, in bytes a second
        self.share = 1.0  # of the path's bandwidth, what pacing lets out; up to 1
        self._lost_before = 0
        self._bubble = 0  # C.app_limited: the pause has left the path beyond this delivery

    @property
    def app_limited(self) -> bool:
        """Whether the application left a gap in what is on its way now."""
        return self._bubble > 0

    @property
    def in_flight(self) -> int:
        """Bytes thought to be in the network now."""
        tcb = self._tcb
        sent: int = (tcb.snd_nxt - tcb.snd_una) & MASK
        return sent - tcb.sacked - tcb.lost

    # What the sender does.

    def check_app_limited(self) -> None:
        """Before something new begins, be it a write, an acknowledgement or a timer: was
        there room to send, and nothing to send (§4.1.2.4)?
        """
        tcb = self._tcb
        unsent = 0 if tcb.fin_sent else tcb.snd.length - ((tcb.snd_nxt - tcb.snd_una) & MASK)
        if unsent <= 0 and tcb.lost == 0 and self.in_flight < tcb.cwnd:
            self.mark_app_limited()

    def mark_app_limited(self) -> None:
        """Rates measured until all of the present flight is delivered tell too little."""
        self._bubble = max(self.delivered + self.in_flight, 1)

    def on_sent(self, record: "Transmission", now: int) -> None:
        """`record` left, for the first time or again (§4.1.2.2); it is in flight already."""
        in_flight = self.in_flight
        if in_flight <= record.length:
            self.first_sent_at = self.delivered_at = now
        record.snapshot = Snapshot(self, in_flight)

    def on_lost(self, record: "Transmission") -> None:
        """`record` counts as lost."""
        self.lost += record.length

    # What acknowledgements show.

    def sample(self, delivery: "Delivery") -> RateSample:
        """Takes what was delivered (§4.1.2.3); losses that the same acknowledgement showed
        are known already.
        """
        before = self.delivered
        newest = self._take(delivery)
        if self.delivered > self._bubble:
            self._bubble = 0
        sample = RateSample(self.delivered - before, self.lost - self._lost_before)
        self._lost_before = self.lost
        if newest is not None and newest.snapshot is not None:
            self._measure(sample, newest, newest.snapshot)
        return sample

    def _take(self, delivery: "Delivery") -> "Transmission | None":
        """Counts what was delivered; returns what of it was sent last."""
        newest = None
        for record in delivery.acked + delivery.sacked:
            self.delivered += record.length
            if record.snapshot is not None and (newest is None or _later(record, newest)):
                newest = record
        if delivery.acked or delivery.sacked:
            self.delivered_at = delivery.now
        return newest

    def _measure(self, sample: RateSample, newest: "Transmission", sent: Snapshot) -> None:
        sample.delivered = self.delivered - sent.delivered
        sample.prior_delivered = sent.delivered
        sample.app_limited = sent.app_limited
        sample.in_flight = sent.in_flight
        sample.lost = self.lost - sent.lost
        send_elapsed = newest.sent_at - sent.first_sent_at
        ack_elapsed = self.delivered_at - sent.delivered_at
        self.first_sent_at = newest.sent_at
        interval = max(send_elapsed, ack_elapsed)
        # Shorter than any round trip: the acknowledgement was for an earlier transmission.
        if interval >= max(self._tcb.min_rtt, 1):
            sample.rate = self.latest = sample.delivered * SECOND // interval
            sample.path_rate = int(sample.rate / sent.share)


def _later(one: "Transmission", other: "Transmission") -> bool:
    """Whether `one` left after `other` (IsNewestPacket)."""
    return one.sent_at > other.sent_at or (one.sent_at == other.sent_at and gt(one.end, other.end))
