"""Spreads segments over time instead of sending them in bursts (draft-ietf-ccwg-bbr-06 §5.6.2)."""

SECOND = 1_000_000
_QUANTUM = 1_000  # µs worth of data that may leave as one burst
_LATEST = 100_000  # µs that a slow driver may be behind and still catch up


class Pacer:
    """When the next data segment of a connection may leave.

    `rate` is in bytes a second, 0 when nothing is paced: the smaller of what congestion
    control asks for and what the application allows (SO_MAX_PACING_RATE). `waits` says that
    data was held back: when its time comes late, what follows still keeps the rate.
    """

    __slots__ = ("_asked", "_burst_end", "_limit", "_next_at", "_rest", "rate", "waits")

    def __init__(self) -> None:
        self.rate = 0
        self.waits = False
        self._asked = 0
        self._limit = 0
        self._next_at = 0  # µs, when what has left is paid for
        self._burst_end = 0  # µs, up to which a burst may run ahead
        self._rest = 0  # of the last division: fractions of a µs add up

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
        self.rate = min(rates, default=0)

    def wait_until(self, now: int) -> int:
        """The time at which data may leave (µs), 0 when that is now.

        Segments leave in bursts of up to a millisecond, so that a fast connection does not
        need a timer for each (§5.6.3).
        """
        if not self.rate or self._next_at < self._burst_end:
            return 0
        if self._next_at > now:
            self.waits = True
            return self._next_at
        self._burst_end = now + _QUANTUM
        return 0

    def on_sent(self, length: int, now: int) -> None:
        """`length` bytes of text left."""
        if not self.rate:
            return
        if self._next_at < now and not (self.waits and now - self._next_at < _LATEST):
            self._next_at = now
            self._rest = 0
        took, self._rest = divmod(length * SECOND + self._rest, self.rate)
        self._next_at += took

    def burst(self, mss: int) -> int:
        """The most bytes that one packet handed to the link may hold, in whole segments."""
        return max(self.rate * _QUANTUM // SECOND // mss, 1) * mss
