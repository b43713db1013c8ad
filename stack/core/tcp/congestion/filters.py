"""Windowed maxima: the largest value of the recent past."""

from collections import deque


class WindowedMax:
    """The largest value not older than a number of ticks of some clock that the caller keeps."""

    __slots__ = ("_falling",)

    def __init__(self) -> None:
        # Times rise and values fall: whatever a later, larger value hides is gone.
        self._falling: deque[tuple[int, int]] = deque()

    def update(self, value: int, time: int, length: int) -> int:
        """Takes `value` at `time`; returns the maximum since `time - length`."""
        falling = self._falling
        while falling and falling[-1][1] <= value:
            falling.pop()
        falling.append((time, value))
        while falling[0][0] < time - length:
            falling.popleft()
        return falling[0][1]


class TwoSlotMax:
    """The largest value of the present and of the previous of some periods."""

    __slots__ = ("_now", "_previous")

    def __init__(self) -> None:
        self._previous = 0
        self._now = 0

    @property
    def value(self) -> int:
        """The maximum; 0 before any value."""
        return max(self._previous, self._now)

    def update(self, value: int) -> None:
        """Takes `value` in the present period."""
        self._now = max(self._now, value)

    def advance(self) -> None:
        """The next period begins; one without values does not count as a period."""
        if self._now:
            self._previous, self._now = self._now, 0
