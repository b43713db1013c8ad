"""Spreads segments over time instead of sending them in bursts (draft-ietf-ccwg-bbr-06 §5.6.2)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack._native import Tcb

SECOND = 1_000_000
_QUANTUM = 1_000  # µs worth of data that may leave as one burst
_LATEST = 100_000  # µs that a slow driver may be behind and still catch up


class Pacer:
    """When the next data segment of a connection may leave.

    `rate` is in bytes a second, 0 when nothing is paced: the smaller of what congestion
    control asks for and what the application allows (SO_MAX_PACING_RATE). `waits` says that
    data was held back: when its time comes late, what follows still keeps the rate.
    """

    __slots__ = ("_asked", "_limit", "_tcb")

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb
        self._asked = 0
        self._limit = 0

    @property
    def rate(self) -> int:
        """Bytes a second; 0 when nothing is paced."""
        return self._tcb.pacing_rate

    @property
    def waits(self) -> bool:
        """Whether data was held back."""
        return bool(self._tcb.pacing_waits)

    def goes_on(self) -> None:
        """Nothing waits for its time any more."""
        self._tcb.pacing_waits = 0

    def ask(self, rate: int) -> None:
        """Congestion control wants this rate; 0 for none."""
        if rate != self._asked:
            self._asked = rate
            self._settle()

    def allow(self, rate: int) -> None:
        """The application wants no more than this rate; 0 for any."""
        self._limit = rate
        self._settle()

    @property
    def limit(self) -> int:
        """What the application allows, in bytes a second; 0 for any rate."""
        return self._limit

    def _settle(self) -> None:
        rates = [rate for rate in (self._asked, self._limit) if rate]
        self._tcb.pacing_rate = min(rates, default=0)

    def wait_until(self, now: int) -> int:
        """The time at which data may leave (µs), 0 when that is now.

        Segments leave in bursts of up to a millisecond, so that a fast connection does not
        need a timer for each (§5.6.3).
        """
        tcb = self._tcb
        if not tcb.pacing_rate or tcb.pacing_next < tcb.pacing_burst_end:
            return 0
        if tcb.pacing_next > now:
            tcb.pacing_waits = 1
            return tcb.pacing_next
        tcb.pacing_burst_end = now + _QUANTUM
        return 0

    def on_sent(self, length: int, now: int) -> None:
        """`length` bytes of text left."""
        tcb = self._tcb
        if not tcb.pacing_rate:
            return
        if tcb.pacing_next < now and not (tcb.pacing_waits and now - tcb.pacing_next < _LATEST):
            tcb.pacing_next = now
            tcb.pacing_rest = 0  # fractions of a µs add up
        took, tcb.pacing_rest = divmod(length * SECOND + tcb.pacing_rest, tcb.pacing_rate)
        tcb.pacing_next += took

    def burst(self, mss: int) -> int:
        """The most bytes that one packet handed to the link may hold, in whole segments."""
        return max(self.rate * _QUANTUM // SECOND // mss, 1) * mss
