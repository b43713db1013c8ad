"""The equations of Reno and CUBIC alone, for any sequence of losses: what the response
functions of `stack.sim.response` are for losses that come one as regularly as the other.

Written from the RFCs, apart from the stack's own algorithms. Each segment is acknowledged, and
recovery takes a round trip in which the window stays what the loss left.
"""

from collections.abc import Iterable
from typing import Protocol

C = 0.4
BETA = 0.7
ALPHA = 3 * (1 - BETA) / (1 + BETA)


class Model(Protocol):
    """A window in segments."""

    window: float

    def lose(self) -> None:
        """A loss was found."""

    def grow(self, seconds: float) -> None:
        """A segment was acknowledged, so long after the one before."""


class Reno:
    """RFC 5681 §3.1."""

    def __init__(self, window: float, rtt: float) -> None:
        self.window = window

    def lose(self) -> None:
        self.window = max(self.window / 2, 2)

    def grow(self, seconds: float) -> None:
        self.window += 1 / self.window


class Cubic:
    """RFC 9438 §4.2 to §4.7; times in seconds."""

    def __init__(self, window: float, rtt: float) -> None:
        self.window = window
        self.rtt = rtt
        self.largest = self.prior = window
        self.lose()

    def lose(self) -> None:
        self.prior = window = self.window
        self.largest = window * (1 + BETA) / 2 if window < self.largest else window
        self.window = self.estimate = max(window * BETA, 2)
        self.largest = max(self.window, self.largest)
        self.turn = ((self.largest - self.window) / C) ** (1 / 3)
        self.time = 0.0

    def grow(self, seconds: float) -> None:
        self.time += seconds
        target = self._cubic(self.time + self.rtt)
        target = min(max(target, self.window), 1.5 * self.window)
        self.estimate += (ALPHA if self.estimate < self.prior else 1) / self.window
        if self._cubic(self.time) < self.estimate:
            self.window = max(self.window, self.estimate)
        else:
            self.window += (target - self.window) / self.window

    def _cubic(self, time: float) -> float:
        return C * (time - self.turn) ** 3 + self.largest


def average_window(model: Model, gaps: Iterable[int], rtt: float) -> float:
    """Segments a round trip (seconds), when each of `gaps` segments the last one is lost."""
    sent = time = 0.0
    for gap in gaps:
        left = gap - model.window  # those of recovery
        sent += model.window
        time += rtt
        while left > 0:
            step = rtt / model.window
            model.grow(step)
            sent += 1
            time += step
            left -= 1
        model.lose()
    return sent / time * rtt
