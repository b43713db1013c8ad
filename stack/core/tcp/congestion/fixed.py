"""A window that never changes, for experiments: what happens without congestion control."""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import CongestionControl, Sample

if TYPE_CHECKING:
    from stack._native import Tcb

SEGMENTS = 100


class Fixed(CongestionControl):
    """Keeps cwnd at SEGMENTS segments, whatever is lost. For labs and private networks only."""

    name = "fixed"
    only_when_limited = True

    def __init__(self, tcb: "Tcb", initial_window: int) -> None:
        super().__init__(tcb, initial_window)
        self._hold()

    def _hold(self) -> None:
        self.tcb.cwnd = self.tcb.ssthresh = SEGMENTS * self.tcb.snd_mss

    def on_mss(self) -> None:
        """The window is counted in segments."""
        self._hold()

    def on_ack(self, sample: Sample) -> None:
        """Nothing grows."""
        self._hold()
        self.grow(0, 0)

    def on_congestion(self, flight: int, now: int) -> None:
        """Nothing shrinks."""
        self._hold()

    def on_recovered(self, now: int) -> None:
        """Proportional rate reduction is over."""
        self._hold()

    def on_timeout(self, flight: int, now: int) -> None:
        """Not even now."""
        self._hold()

    def on_idle(self) -> None:
        """Nor then."""

    def on_unused(self) -> None:
        """Nor by and by."""
