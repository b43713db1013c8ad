"""What is in flight: one record for each transmission that is not yet acknowledged.

A record covers the sequence numbers of one (super-)segment, in order of sequence
number and without gaps between snd_una and snd_nxt. SACK blocks and partial
acknowledgements split records; neighbours that are both SACKed are joined again, so
the list stays as short as the flight has holes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Tcb


class Transmission:
    """Sequence numbers `seq` up to, not including, `end`, last sent at `sent_at` (µs)."""

    __slots__ = ("end", "lost", "retransmitted", "sacked", "sent_at", "seq")

    def __init__(self, seq: int, end: int, sent_at: int) -> None:
        self.seq = seq
        self.end = end
        self.sent_at = sent_at
        self.retransmitted = False
        self.sacked = False
        self.lost = False

    @property
    def length(self) -> int:
        """Sequence numbers covered, in bytes; SYN and FIN count one each."""
        return (self.end - self.seq) & MASK

    def split(self, seq: int) -> "Transmission":
        """Cuts at `seq`, keeps the left part and returns the right one."""
        right = Transmission(seq, self.end, self.sent_at)
        right.retransmitted = self.retransmitted
        right.sacked = self.sacked
        right.lost = self.lost
        self.end = seq
        return right


class Flight:
    """The transmissions of a connection; keeps `tcb.sacked` and `tcb.lost` true."""

    __slots__ = ("_records", "_tcb")

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb
        self._records: list[Transmission] = []

    def __iter__(self) -> Iterator[Transmission]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def pipe(self) -> int:
        """Bytes that are thought to be still in the network (RFC 6675 §4)."""
        tcb = self._tcb
        return ((tcb.snd_nxt - tcb.snd_una) & MASK) - tcb.sacked - tcb.lost

    def first(self) -> Transmission:
        """The oldest transmission."""
        return self._records[0]

    def last(self) -> Transmission:
        """The newest transmission."""
        return self._records[-1]

    def sent(self, seq: int, end: int, now: int) -> None:
        """New sequence numbers left."""
        self._records.append(Transmission(seq, end, now))

    def resent(self, record: Transmission, now: int) -> None:
        """`record` was sent again: it is in the network once more."""
        if record.lost:
            record.lost = False
            self._tcb.lost -= record.length
        record.retransmitted = True
        record.sent_at = now

    def mark_lost(self, record: Transmission) -> None:
        """`record` is thought lost and waits for its retransmission."""
        if not record.lost and not record.sacked:
            record.lost = True
            self._tcb.lost += record.length

    def next_lost(self) -> Transmission | None:
        """The first transmission that waits to be sent again."""
        if self._tcb.lost == 0:
            return None
        return next((record for record in self._records if record.lost), None)

    def cut(self, record: Transmission, length: int) -> None:
        """Shortens `record` to `length` bytes; the rest becomes a record of its own."""
        seq = (record.seq + length) & MASK
        self._records.insert(self._records.index(record) + 1, record.split(seq))

    def acknowledge(self, una: int) -> list[Transmission]:
        """Removes what lies below `una` and returns it, cut at `una`.

        Call before snd_una moves: distances are counted from it.
        """
        base = self._tcb.snd_una
        distance = (una - base) & MASK
        done = 0
        for record in self._records:
            if (record.end - base) & MASK > distance:
                break
            done += 1
        if done < len(self._records):
            record = self._records[done]
            if (record.seq - base) & MASK < distance:
                self._records.insert(done + 1, record.split(una))
                done += 1
        gone = self._records[:done]
        del self._records[:done]
        for record in gone:
            self._leave(record)
        return gone

    def _leave(self, record: Transmission) -> None:
        if record.sacked:
            self._tcb.sacked -= record.length
        elif record.lost:
            self._tcb.lost -= record.length

    def _position(self, seq: int) -> int:
        """Index of the record that holds `seq`, by bisection."""
        base = self._tcb.snd_una
        wanted = (seq - base) & MASK
        low, high = 0, len(self._records)
        while low < high:
            middle = (low + high) // 2
            if (self._records[middle].end - base) & MASK <= wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def sack(self, left: int, right: int) -> list[Transmission]:
        """Marks left…right as received by the peer; returns what is new in it.

        The block must lie between snd_una and snd_nxt.
        """
        records = self._records
        at = self._position(left)
        if at < len(records) and records[at].sacked and self._covers(records[at], right):
            return []
        if at < len(records) and records[at].seq != left and not records[at].sacked:
            records.insert(at + 1, records[at].split(left))
            at += 1
        base = self._tcb.snd_una
        limit = (right - base) & MASK
        fresh: list[Transmission] = []
        start = at
        while at < len(records) and (records[at].seq - base) & MASK < limit:
            record = records[at]
            if not record.sacked:
                if (record.end - base) & MASK > limit:
                    records.insert(at + 1, record.split(right))
                self._mark_sacked(record)
                fresh.append(record)
            at += 1
        self._join(max(0, start - 1), at + 1)
        return fresh

    def _covers(self, record: Transmission, right: int) -> bool:
        return (right - record.seq) & MASK <= record.length

    def _mark_sacked(self, record: Transmission) -> None:
        if record.lost:
            record.lost = False
            self._tcb.lost -= record.length
        record.sacked = True
        self._tcb.sacked += record.length

    def _join(self, start: int, stop: int) -> None:
        """Merges SACKed neighbours between two indices.

        A new record stands for them, since the caller still looks at the old ones.
        """
        window = self._records[start:stop]
        joined: list[Transmission] = []
        for record in window:
            if joined and joined[-1].sacked and record.sacked:
                whole = Transmission(joined[-1].seq, record.end, record.sent_at)
                whole.sacked = True
                joined[-1] = whole
            else:
                joined.append(record)
        if len(joined) != len(window):
            self._records[start:stop] = joined

    def forget_losses(self) -> None:
        """Nothing was lost after all: what waits to be sent again is still on its way."""
        for record in self._records:
            record.lost = False
        self._tcb.lost = 0

    def forget_sacks(self) -> None:
        """Takes every SACK back: the peer may have dropped that data (RFC 2018 §8)."""
        for record in self._records:
            record.sacked = False
        self._tcb.sacked = 0
