"""Which out-of-order bytes wait in the receive ring (RFC 9293 SHLD-31, RFC 2018, RFC 2883)."""

from stack.wire.sequence import MASK


class Reassembly:
    """Ranges of sequence numbers received beyond rcv_nxt, and what SACK says of them.

    The bytes themselves lie in the receive ring already, at their distance from its
    head; here are only the edges. `base` in the calls is rcv_nxt, from which
    distances are counted.
    """

    __slots__ = ("_duplicate", "_ranges", "_recent", "fin")

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._recent: list[int] = []  # left edges, the range that changed last first
        self._duplicate: tuple[int, int] | None = None
        self.fin: int | None = None  # sequence number of a FIN that came out of order

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    @property
    def right_edge(self) -> int | None:
        """The highest sequence number received, plus one."""
        return self._ranges[-1][1] if self._ranges else None

    def add(self, base: int, left: int, right: int) -> None:
        """Bytes left…right were written into the ring; right > left > base."""
        start, stop = (left - base) & MASK, (right - base) & MASK
        kept: list[tuple[int, int]] = []
        for a, b in self._ranges:
            low, high = (a - base) & MASK, (b - base) & MASK
            if high < start or low > stop:
                kept.append((a, b))
                continue
            if low < start:
                start, left = low, a
            if high > stop:
                stop, right = high, b
            self._recent.remove(a)
        kept.append((left, right))
        kept.sort(key=lambda edges: (edges[0] - base) & MASK)
        self._ranges = kept
        self._recent.insert(0, left)

    def holds(self, base: int, left: int, right: int) -> bool:
        """Whether all of left…right is here already."""
        start, stop = (left - base) & MASK, (right - base) & MASK
        return any(
            (a - base) & MASK <= start and stop <= (b - base) & MASK for a, b in self._ranges
        )

    def advance(self, rcv_nxt: int, by: int) -> int:
        """rcv_nxt is about to move on by `by` bytes; returns how many more bytes become
        contiguous with that, and forgets them.
        """
        more = 0
        while self._ranges:
            left, right = self._ranges[0]
            if (left - rcv_nxt) & MASK > by + more:
                break
            more = max(more, ((right - rcv_nxt) & MASK) - by)
            del self._ranges[0]
            self._recent.remove(left)
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
        if self._ranges:
            rights = dict(self._ranges)
            blocks += [(left, rights[left]) for left in self._recent[:limit]]
        return blocks[:limit]

    @property
    def has_blocks(self) -> bool:
        """Whether an ACK that leaves now carries a SACK option."""
        return bool(self._ranges) or self._duplicate is not None
