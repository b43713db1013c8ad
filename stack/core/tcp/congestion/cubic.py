"""CUBIC (RFC 9438): the window is a cubic function of the time since the last loss."""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import INFINITE, CongestionControl, Sample
from stack.core.tcp.congestion.hystart import HyStart

if TYPE_CHECKING:
    from stack._native import Tcb

BETA = 0.7  # RFC 9438 §4.6
BETA_ECN = 0.85
C = 0.4  # segments per second³, RFC 9438 §5.1
# RFC 9438 §4.3: keeps the Reno-friendly estimate at Reno's average window.
ALPHA = 3 * (1 - BETA) / (1 + BETA)
SECOND = 1_000_000


class Cubic(CongestionControl):
    """Concave up to the window of the last loss, then convex beyond it."""

    __slots__ = (
        "_before",
        "_epoch",
        "_hystart",
        "_k",
        "_prior",
        "_w_est",
        "_w_max",
    )

    name = "cubic"
    only_when_limited = True

    def __init__(self, tcb: "Tcb", initial_window: int) -> None:
        super().__init__(tcb, initial_window)
        self._w_max = 0.0  # segments
        self._prior = 0.0  # segments, cwnd_prior
        self._k = 0.0  # seconds
        self._epoch = 0  # µs, 0: congestion avoidance has not begun
        self._w_est = 0.0  # segments
        self._hystart: HyStart | None = None  # of the slow start at hand
        self._before = (0.0, 0.0, 0, 0.0, 0.0)  # all this before the last loss

    def on_ack(self, sample: Sample) -> None:
        """RFC 9438 §4.2 to §4.5, §4.10."""
        if not sample.cwnd_limited:
            return
        tcb = self.tcb
        acked = sample.acked
        if tcb.cwnd < tcb.ssthresh:
            acked = self._slow_start(sample)
            if acked == 0:
                return
        if self._epoch == 0:
            self._begin_epoch(sample.now)
        by = self._growth(acked / (sample.grown or tcb.cwnd), sample.now)
        self.grow(by, 0 if sample.grown else acked)

    def _slow_start(self, sample: Sample) -> int:
        """With HyStart++, which may end it before the first loss (RFC 9406)."""
        tcb = self.tcb
        if tcb.ssthresh != INFINITE:
            return self.slow_start(sample.acked)
        if self._hystart is None:
            self._hystart = HyStart()
        if self._hystart.on_ack(tcb, sample.rtt, sample.rtts):
            tcb.ssthresh = tcb.cwnd
            return sample.acked
        return self.slow_start(self._hystart.growth(sample.acked))

    def _begin_epoch(self, now: int) -> None:
        self._epoch = now
        cwnd = self._w_est = self.tcb.cwnd / self.tcb.snd_mss
        if cwnd < self._w_max:
            self._k = ((self._w_max - cwnd) / C) ** (1 / 3)
        else:
            self._k = 0.0
            self._w_max = cwnd
        self._prior = max(self._prior, cwnd)

    def _growth(self, windows: float, now: int) -> int:
        """The bytes by which cwnd may grow with the next window, so that it is on the curve a
        round trip from now; so many were acknowledged since the last time.
        """
        tcb = self.tcb
        cwnd = tcb.cwnd / tcb.snd_mss
        since = (now - self._epoch) / SECOND
        alpha = ALPHA if self._w_est < self._prior else 1.0  # RFC 9438 §4.3
        self._w_est += alpha * windows
        if self._window_at(since) < self._w_est:
            target = self._w_est + alpha  # as the estimate will be then
        else:
            target = min(self._window_at(since + tcb.srtt / SECOND), 1.5 * cwnd)
        return max(min(int(target * tcb.snd_mss), INFINITE) - tcb.cwnd, 0)

    def _window_at(self, seconds: float) -> float:
        return float(C * (seconds - self._k) ** 3 + self._w_max)

    def on_congestion(self, flight: int, now: int) -> None:
        """Multiplicative decrease and fast convergence (RFC 9438 §4.6, §4.7)."""
        tcb = self.tcb
        window = tcb.cwnd / tcb.snd_mss
        self._before = (self._w_max, self._k, self._epoch, self._prior, self._w_est)
        self._prior = window
        if window < self._w_max:
            self._w_max = window * (1 + BETA) / 2
        else:
            self._w_max = window
        tcb.ssthresh = max(int(self._used(flight) * BETA), 2 * tcb.snd_mss)
        tcb.cwnd = tcb.ssthresh
        self._epoch = 0

    def _used(self, flight: int) -> int:
        """What the decrease counts from: the flight, or the window if it had no room for
        another segment. RFC 9438 §4.6 allows that where the window grows only when it is
        the limit; else its fraction of a segment would be lost with each decrease.
        """
        cwnd: int = self.tcb.cwnd
        return cwnd if cwnd - flight < self.tcb.snd_mss else flight

    def on_timeout(self, flight: int, now: int) -> None:
        """Starts anew from one segment; where congestion avoidance begins then, the curve is
        at its plateau (RFC 9438 §4.8).
        """
        super().on_timeout(flight, now)
        self._w_max = 0.0

    def on_ecn(self, flight: int, now: int) -> None:
        """RFC 8511 §3: multiplies by 0.85 instead of 0.7."""
        tcb = self.tcb
        used = self._used(flight)
        super().on_ecn(flight, now)
        tcb.cwnd = tcb.ssthresh = max(int(used * BETA_ECN), 2 * tcb.snd_mss)

    def on_undo(self) -> None:
        """RFC 9438 §4.9: goes on along the curve that the loss interrupted."""
        self._w_max, self._k, self._epoch, self._prior, self._w_est = self._before

    def on_idle(self) -> None:
        """The clock of the cubic does not run while the application is idle (RFC 9438 §4.2)."""
        super().on_idle()
        self._hystart = None
        self._epoch = 0
