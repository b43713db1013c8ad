"""Is the congestion window backed by what the path carried lately (RFC 7661)?

An application that sends little leaves cwnd where it is: for up to five minutes it may return
to its old rate. But then a loss counts from what was really in use (pipeACK), and in the end
cwnd is halved. Together with "grow only where cwnd was the limit" this holds for every
algorithm that counts a window; one that models the path has no use for it.
"""

from collections import deque
from typing import TYPE_CHECKING

from stack.wire.sequence import MASK, geq

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.connection import Connection

SECOND = 1_000_000
NON_VALIDATED_PERIOD = 300 * SECOND  # RFC 7661 §4.4.3, §5
_SHORTEST_SAMPLING = SECOND  # §4.2: pipeACK looks back 3 RTT, at least a second


class WindowValidation:
    """The pipeACK samples of one connection, and since when cwnd is not validated."""

    __slots__ = ("_loss_flight", "_resent", "_round_end", "_round_start", "_samples", "_since")

    def __init__(self) -> None:
        # (when, bytes acknowledged in an RTT), the largest and oldest first; most connections
        # never have one, and an empty deque is larger than all else here
        self._samples: deque[tuple[int, int]] | None = None
        self._round_start: int | None = None
        self._round_end = 0
        self._since = 0  # µs, 0: validated
        self._loss_flight = 0  # above 0: a loss came while cwnd was not validated
        self._resent = 0  # bytes retransmitted before that recovery

    def on_ack(self, connection: "Connection", now: int) -> None:
        """New data was acknowledged outside of recovery: one sample each round trip (§4.2)."""
        tcb = connection.tcb
        una = tcb.snd_una
        if self._round_start is None:
            self._begin_round(tcb)
        elif geq(una, self._round_end):
            self._take_sample(now, (una - self._round_start) & MASK)
            self._begin_round(tcb)
            self._judge(connection, now)

    def _begin_round(self, tcb: "Tcb") -> None:
        self._round_start = tcb.snd_una
        self._round_end = tcb.snd_nxt

    def _take_sample(self, now: int, size: int) -> None:
        """Keeps only what may become the largest: older ones that are smaller never will."""
        samples = self._samples
        if samples is None:
            samples = self._samples = deque()
        while samples and samples[-1][1] <= size:
            samples.pop()
        samples.append((now, size))

    def pipe_ack(self, tcb: "Tcb", now: int) -> int | None:
        """The most bytes acknowledged in a round trip lately; None while undefined."""
        samples = self._samples
        if not samples:
            return None
        oldest = now - max(3 * tcb.srtt, _SHORTEST_SAMPLING)
        while samples and samples[0][0] < oldest:
            samples.popleft()
        if not samples:
            samples.append((now, 0))  # it was defined: nothing lately is a sample, too
        return samples[0][1]

    def _judge(self, connection: "Connection", now: int, since: int = 0) -> None:
        """Validated while pipeACK is at least half of cwnd (§4.3), not so from `since` or
        from now on; when that lasts, cwnd shrinks (§4.4.3).
        """
        tcb = connection.tcb
        carried = self.pipe_ack(tcb, now)
        if carried is None or 2 * carried >= tcb.cwnd:
            self._since = 0
            return
        self._since = self._since or since or now
        while now - self._since >= NON_VALIDATED_PERIOD:
            self._since += NON_VALIDATED_PERIOD
            connection.congestion.on_unused()

    def on_restart(self, connection: "Connection", now: int) -> None:
        """Data leaves after more than an RTO of silence."""
        if connection.config.idle_restart:
            connection.congestion.on_idle()  # RFC 5681 §4.1: what is left needs no proof
            self.forget()
        else:
            self._judge(connection, now, connection.tcb.last_sent_at)

    def flight_size(self, connection: "Connection", now: int) -> int:
        """What a congestion response counts from, in bytes: FlightSize (RFC 5681 §3.1, less
        what limited transmit sent beyond cwnd), and pipeACK where cwnd is not validated
        (RFC 7661 §4.4.1).

        A sender that cwnd holds back refills the flight as it empties. Acknowledgements
        that came together, or one for many segments, must not make it look smaller: it is
        taken as it was when data left last.
        """
        tcb = connection.tcb
        una = tcb.una_at_send if tcb.cwnd_limited else tcb.snd_una
        outstanding: int = min((tcb.snd_nxt - una) & MASK, tcb.cwnd)
        if self._since == 0:
            return outstanding
        return max(outstanding, self.pipe_ack(tcb, now) or 0)

    def on_loss(self, connection: "Connection", now: int) -> int:
        """Recovery begins; returns the flight size that it counts from."""
        flight = self.flight_size(connection, now)
        self._loss_flight = flight if self._since else 0
        self._resent = connection.tcb.bytes_retransmitted
        return flight

    def on_recovered(self, tcb: "Tcb") -> None:
        """Fast recovery is over. Where cwnd was not validated, what had to be sent again
        counts against it (§4.4.1).
        """
        if self._loss_flight:
            resent = min(tcb.bytes_retransmitted - self._resent, self._loss_flight)
            tcb.ssthresh = max(tcb.ssthresh - resent // 2, 2 * tcb.snd_mss)
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more: cwnd counts as validated (§4.1)."""
        self._samples = None
        self._round_start = None
        self._since = self._loss_flight = 0
