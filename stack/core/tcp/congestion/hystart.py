"""HyStart++ (RFC 9406): leaves slow start when the round-trip time begins to rise."""

from typing import TYPE_CHECKING

from stack.wire.sequence import geq

if TYPE_CHECKING:
    from stack._native import Tcb

# RFC 9406 §4.3; times in µs.
MIN_RTT_THRESH = 4_000
MAX_RTT_THRESH = 16_000
MIN_RTT_DIVISOR = 8
N_RTT_SAMPLE = 8
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5
_UNKNOWN = 1 << 62


class HyStart:
    """Rounds of slow start, and the conservative slow start that a rising delay begins."""

    __slots__ = ("_baseline", "_css_rounds", "_last_min", "_min", "_round_end", "_samples")

    def __init__(self) -> None:
        self._round_end: int | None
        self._min: int
        self._last_min: int
        self._samples: int
        self._baseline: int  # above 0: conservative slow start
        self._css_rounds: int
        self.restart()

    def restart(self) -> None:
        """Slow start begins anew, after a loss or an idle time."""
        self._round_end = None
        self._min = self._last_min = _UNKNOWN
        self._samples = self._baseline = self._css_rounds = 0

    def growth(self, acked: int) -> int:
        """Of `acked` bytes, how many cwnd may grow by (§4.2)."""
        return acked // CSS_GROWTH_DIVISOR if self._baseline else acked

    def on_ack(self, tcb: "Tcb", rtt: int, count: int = 1) -> bool:
        """Takes `count` RTT samples, the shortest of which is `rtt` (µs, 0: there are none);
        returns whether slow start is over.
        """
        begins = self._round_end is None or geq(tcb.snd_una, self._round_end)
        if begins and self._next_round(tcb):
            return True
        if rtt:
            self._min = min(self._min, rtt)
            self._samples += count
        if self._samples >= N_RTT_SAMPLE and self._last_min != _UNKNOWN:
            self._judge()
        return False

    def _next_round(self, tcb: "Tcb") -> bool:
        self._round_end = tcb.snd_nxt
        self._last_min, self._min = self._min, _UNKNOWN
        self._samples = 0
        if self._baseline:
            self._css_rounds += 1
        return self._css_rounds >= CSS_ROUNDS

    def _judge(self) -> None:
        threshold = max(MIN_RTT_THRESH, min(self._last_min // MIN_RTT_DIVISOR, MAX_RTT_THRESH))
        if not self._baseline:
            if self._min >= self._last_min + threshold:
                self._baseline = self._min
                self._css_rounds = 0
        elif self._min < self._baseline:
            self._baseline = 0  # the delay fell again: it was no queue of ours
