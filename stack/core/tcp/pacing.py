"""Spreads segments over time instead of sending them in bursts (RFC 9406 §5, BBR §5.6.2)."""

SECOND = 1_000_000
_QUANTUM = 1_000  # µs worth of data that may leave as one burst


class Pacer:
    """When the next data segment of a connection may leave.

    `rate` is in bytes a second, 0 when nothing is paced: the smaller of what congestion
    control asks for and what the application allows (SO_MAX_PACING_RATE).
    """

    __slots__ = ("_asked", "_limit", "_next_at", "rate")

    def __init__(self) -> None:
        self.rate = 0
        self._asked = 0
        self._limit = 0
        self._next_at = 0  # µs

    def ask(self, rate: int) -> None:
        """Congestion control wants this rate; 0 for none."""
        self._asked = rate
        self._settle()

    def allow(self, rate: int) -> None:
        """The application wants no more than this rate; 0 for any."""
        self._limit = rate
        self._settle()

    def _settle(self) -> None:
        rates = [rate for rate in (self._asked, self._limit) if rate]
        self.rate = min(rates, default=0)

    def wait_until(self, now: int) -> int:
        """The time at which data may leave (µs), 0 when that is now."""
        return self._next_at if self.rate and self._next_at > now else 0

    def on_sent(self, length: int, now: int) -> None:
        """`length` bytes of text left."""
        if self.rate:
            self._next_at = max(self._next_at, now) + length * SECOND // self.rate

    def burst(self, mss: int) -> int:
        """The most bytes that one packet handed to the link may hold, in whole segments."""
        return max(self.rate * _QUANTUM // SECOND // mss, 1) * mss
