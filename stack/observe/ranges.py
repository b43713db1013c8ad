"""Which numbers of a sequence were seen, as few merged ranges."""

from bisect import bisect_left, bisect_right

RANGES_MAX = 256


class Ranges:
    """Half-open ranges of integers, merged where they touch; the lowest go when they are many."""

    __slots__ = ("_left", "_limit", "_right")

    def __init__(self, limit: int = RANGES_MAX) -> None:
        self._limit = limit
        self._left: list[int] = []
        self._right: list[int] = []

    def add(self, left: int, right: int) -> None:
        """Takes in left ≤ x < right; an empty range changes nothing."""
        if left >= right:
            return
        first = bisect_left(self._right, left)
        last = bisect_right(self._left, right)
        if first < last:
            left, right = min(left, self._left[first]), max(right, self._right[last - 1])
        self._left[first:last] = [left]
        self._right[first:last] = [right]
        if len(self._left) > self._limit:
            del self._left[0], self._right[0]

    def contains(self, left: int, right: int) -> bool:
        """Whether all of left ≤ x < right was taken in; True for an empty range."""
        if left >= right:
            return True
        at = bisect_right(self._left, left) - 1
        return at >= 0 and right <= self._right[at]

    def right_of(self, number: int) -> int:
        """The right end of the range that `number` is in; `number` itself when it is in none."""
        at = bisect_right(self._left, number) - 1
        return self._right[at] if at >= 0 and number < self._right[at] else number
