"""Reno: slow start, congestion avoidance, halving on loss (RFC 5681)."""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import INFINITE, CongestionControl, Sample

if TYPE_CHECKING:
    from stack._native import Tcb


class Reno(CongestionControl):
    """One segment more each round trip, half on loss."""

    __slots__ = ("_counted",)

    name = "reno"
    only_when_limited = True

    def __init__(self, tcb: "Tcb", initial_window: int) -> None:
        super().__init__(tcb, initial_window)
        self._counted = 0

    def on_ack(self, sample: Sample) -> None:
        """RFC 5681 §3.1, equation 3 with byte counting."""
        if not sample.cwnd_limited:
            return
        tcb = self.tcb
        left = self.slow_start(sample.acked) if tcb.cwnd < tcb.ssthresh else sample.acked
        self._counted += left
        if self._counted >= tcb.cwnd:
            self._counted -= tcb.cwnd
            tcb.cwnd = min(tcb.cwnd + tcb.snd_mss, INFINITE)

    def on_ecn(self, flight: int, now: int) -> None:
        """RFC 8511 §3: multiplies by 0.8 instead of 0.5."""
        super().on_ecn(flight, now)
        self.tcb.cwnd = self.tcb.ssthresh = max(flight * 4 // 5, 2 * self.tcb.snd_mss)

    def on_congestion(self, flight: int, now: int) -> None:
        """RFC 5681 §3.1, equation 4."""
        tcb = self.tcb
        tcb.ssthresh = max(flight // 2, 2 * tcb.snd_mss)
        tcb.cwnd = tcb.ssthresh
        self._counted = 0
