"""Which out-of-order bytes wait in the receive ring (RFC 9293 SHLD-31, RFC 2018, RFC 2883)."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from itertools import islice

from stack.wire.sequence import MASK

_NONE: OrderedDict[int, int] = OrderedDict()


class Reassembly:
    """Ranges of sequence numbers received beyond rcv_nxt, and what SACK says of them.

    The bytes themselves lie in the receive ring already, at their distance from its
    head; here are only the edges. `base` in the calls is rcv_nxt, from which
    distances are counted. A segment costs no more among thousands of ranges than in one:
    a queue that overflows loses every second segment of a large window.
    """

    __slots__ = ("_duplicate", "_lefts", "_rights", "fin")

    def __init__(self) -> None:
        self._lefts: list[int] = []  # left edges in sequence
        self._rights = _NONE  # left → right, last changed first; a dict of its own with the first
        self._duplicate: tuple[int, int] | None = None
        self.fin: int | None = None  # sequence number of a FIN that came out of order

    def __bool__(self) -> bool:
        return bool(self._lefts)

    def __len__(self) -> int:
        return len(self._lefts)

    @property
    def right_edge(self) -> int | None:
        """The highest sequence number received, plus one."""
        return self._rights[self._lefts[-1]] if self._lefts else None

    def add(self, base: int, left: int, right: int) -> None:
        """Bytes left…right were written into the ring; right > left > base."""
        if self._rights is _NONE:
            self._rights = OrderedDict()
        lefts, rights = self._lefts, self._rights
        start, stop = (left - base) & MASK, (right - base) & MASK
        begin = bisect_left(lefts, start, key=lambda edge: (edge - base) & MASK)
        end = bisect_right(lefts, stop, begin, key=lambda edge: (edge - base) & MASK)
        if begin and (rights[lefts[begin - 1]] - base) & MASK >= start:
            begin -= 1
            left = lefts[begin]
        for edge in lefts[begin:end]:
            high = (rights.pop(edge) - base) & MASK
            stop = max(stop, high)
        lefts[begin:end] = [left]
        rights[left] = (base + stop) & MASK
        rights.move_to_end(left, last=False)

    def holds(self, base: int, left: int, right: int) -> bool:
        """Whether all of left…right is here already."""
        start, stop = (left - base) & MASK, (right - base) & MASK
        after = bisect_right(self._lefts, start, key=lambda edge: (edge - base) & MASK)
        return after > 0 and stop <= (self._rights[self._lefts[after - 1]] - base) & MASK

    def advance(self, rcv_nxt: int, by: int) -> int:
        """rcv_nxt is about to move on by `by` bytes; returns how many more bytes become
        contiguous with that, and forgets them.
        """
        more = done = 0
        for left in self._lefts:
            if (left - rcv_nxt) & MASK > by + more:
                break
            more = max(more, ((self._rights.pop(left) - rcv_nxt) & MASK) - by)
            done += 1
        del self._lefts[:done]
        return more

    def note_duplicate(self, left: int, right: int) -> None:
        """left…right came a second time: the next ACK reports it (RFC 2883 §4)."""
        self._duplicate = (left, right)

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """SACK blocks for an ACK that leaves now: a D-SACK first, then the range that
        changed last (RFC 2018 §4, RFC 2883 §4).
        """
        blocks: list[tuple[int, int]] = []
        if self._duplicate is not None:
            blocks.append(self._duplicate)
            self._duplicate = None
        blocks += islice(self._rights.items(), limit)
        return blocks[:limit]

    def end(self) -> None:
        """The FIN was taken: what lies behind it is no part of the stream."""
        self.fin = None
        self._lefts.clear()
        self._rights.clear()

    @property
    def has_blocks(self) -> bool:
        """Whether an ACK that leaves now carries a SACK option."""
        return bool(self._lefts) or self._duplicate is not None
