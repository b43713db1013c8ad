"""Reno: slow start, congestion avoidance, halving on loss (RFC 5681)."""

from stack.core.tcp.congestion.base import CongestionControl, Sample


class Reno(CongestionControl):
    """One segment more each round trip, half on loss."""

    __slots__ = ()

    name = "reno"
    only_when_limited = True

    def on_ack(self, sample: Sample) -> None:
        """RFC 5681 §3.1: slow start, then equation 3, a segment for each window."""
        if not sample.cwnd_limited:
            return
        tcb = self.tcb
        left = 0 if sample.grown else sample.acked
        if tcb.cwnd < tcb.ssthresh:
            left = self.slow_start(left)
        if tcb.cwnd >= tcb.ssthresh:
            self.grow(tcb.snd_mss, left)

    def on_ecn(self, flight: int, now: int) -> None:
        """RFC 8511 §3: multiplies by 0.8 instead of 0.5."""
        super().on_ecn(flight, now)
        self.tcb.cwnd = self.tcb.ssthresh = max(flight * 4 // 5, 2 * self.tcb.snd_mss)

    def on_congestion(self, flight: int, now: int) -> None:
        """RFC 5681 §3.1, equation 4."""
        tcb = self.tcb
        tcb.ssthresh = max(flight // 2, 2 * tcb.snd_mss)
        tcb.cwnd = tcb.ssthresh
