"""What is in flight: one record for each transmission that is not yet acknowledged.

A record covers the sequence numbers of one (super-)segment, in order of sequence
number and without gaps between snd_una and snd_nxt. SACK blocks and partial
acknowledgements split records; neighbours that are both SACKed are joined again, so
the list stays as short as the flight has holes.

                snd_una                                    snd_nxt
                   |     records       |     tcb.sent         |
        -----------|-------------------|----------------------|--------
                     more is known       sent once, no more

Mostly nothing is known of a transmission but that it left. Those stand in `tcb.sent`, which
the segment path works with, too; once somebody asks for more they become records here.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.tcp.send_order import SendOrder
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Sent, Tcb
    from stack.core.tcp.rate import Snapshot


class Transmission:
    """Sequence numbers `seq` up to, not including, `end`, last sent at `sent_at` (µs);
    `snapshot` is there when delivery rates are sampled. `older` and `newer` are its place
    in the send order while it is in the network, neither SACKed nor lost.
    """

    __slots__ = (
        "end",
        "lost",
        "newer",
        "older",
        "retransmitted",
        "sacked",
        "sent_at",
        "seq",
        "snapshot",
    )

    def __init__(self, seq: int, end: int, sent_at: int) -> None:
        self.seq = seq
        self.end = end
        self.sent_at = sent_at
        self.retransmitted = False
        self.sacked = False
        self.lost = False
        self.snapshot: Snapshot | None = None
        self.older: Transmission | None = None
        self.newer: Transmission | None = None

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
        right.snapshot = self.snapshot
        self.end = seq
        return right


class Flight:
    """The transmissions of a connection; keeps `tcb.sacked` and `tcb.lost` true."""

    __slots__ = ("_lost", "_number", "_order", "_records", "_tcb", "on_lost")

    def __init__(self, tcb: "Tcb") -> None:
        self._tcb = tcb
        self.on_lost: Callable[[Transmission], None] | None = None  # told of each loss
        self._records: list[Transmission] = []
        self._order: SendOrder | None = None
        # A heap of what waits to be sent again, by sequence; what has left it stays until
        # it comes up.
        self._lost: list[tuple[int, int, Transmission]] = []
        self._number = 0

    def __iter__(self) -> Iterator[Transmission]:
        """All of it, for those who only look."""
        yield from self._records
        yield from self._sent_once()

    def __len__(self) -> int:
        return len(self._records) + self._tcb.sent.count

    def __bool__(self) -> bool:
        return self._tcb.sent.count > 0 or bool(self._records)

    @property
    def plain(self) -> bool:
        """Whether nothing is known of anything in flight but that it left."""
        return not self._records

    @property
    def in_network(self) -> SendOrder:
        """The records that are neither SACKed nor lost, by when they were sent last."""
        if self._order is None:
            self._order = SendOrder(Transmission(0, 0, 0))
        return self._order

    @property
    def pipe(self) -> int:
        """Bytes that are thought to be still in the network (RFC 6675 §4)."""
        tcb = self._tcb
        return ((tcb.snd_nxt - tcb.snd_una) & MASK) - tcb.sacked - tcb.lost

    @property
    def _queue(self) -> "Sent":
        return ffi.addressof(self._tcb, "sent")  # type: ignore[no-any-return]

    def _sent_once(self) -> Iterator[Transmission]:
        queue = self._queue
        for index in range(queue.count):
            sent = lib.sent_at(queue, index)
            yield Transmission(sent.seq, sent.end, sent.sent_at)

    def records(self) -> list[Transmission]:
        """All of it, for those who will change something: makes records of what was plain."""
        if self._tcb.sent.count:
            self._tcb.fast = 0
            for record in self._sent_once():
                self._records.append(record)
                self.in_network.append(record)
            lib.sent_free(self._queue)
        return self._records

    def first(self) -> Transmission:
        """The oldest transmission."""
        return self.records()[0]

    def last(self) -> Transmission:
        """The newest transmission."""
        return self.records()[-1]

    def sent(self, seq: int, end: int, now: int) -> None:
        """New sequence numbers left. Raises MemoryError when there is no room to note it."""
        if not lib.sent_push(self._queue, seq, end, now):
            raise MemoryError

    def resent(self, record: Transmission, now: int) -> None:
        """`record` was sent again: it is in the network once more."""
        if record.lost:
            record.lost = False
            self._tcb.lost -= record.length
        self.in_network.remove(record)
        self.in_network.append(record)
        record.retransmitted = True
        record.sent_at = now

    def mark_lost(self, record: Transmission) -> None:
        """`record` is thought lost and waits for its retransmission."""
        if not record.lost and not record.sacked:
            record.lost = True
            self._tcb.lost += record.length
            self.in_network.remove(record)
            self._wait(record)
            if self.on_lost is not None:
                self.on_lost(record)

    def next_lost(self) -> Transmission | None:
        """The first transmission that waits to be sent again."""
        waiting = self._lost
        while waiting and not waiting[0][2].lost:
            heappop(waiting)
        return waiting[0][2] if waiting else None

    def _wait(self, record: Transmission) -> None:
        # What was acknowledged before counts, to place records beyond 32 bits.
        place = self._tcb.bytes_acked + ((record.seq - self._tcb.snd_una) & MASK)
        self._number += 1
        heappush(self._lost, (place, self._number, record))

    def cut(self, record: Transmission, length: int) -> None:
        """Shortens `record` to `length` bytes; the rest becomes a record of its own."""
        self._split(self._position(record.seq), (record.seq + length) & MASK)

    def _split(self, index: int, seq: int) -> None:
        """Cuts the record at `index` in two at `seq`."""
        left = self._records[index]
        right = left.split(seq)
        self._records.insert(index + 1, right)
        self.in_network.insert_after(left, right)
        if right.lost:
            self._wait(right)

    def acknowledge(self, una: int) -> list[Transmission]:
        """Removes what lies below `una` and returns it, cut at `una`.

        Call before snd_una moves: distances are counted from it.
        """
        gone = self._acknowledge_records(una) if self._records else []
        if not self._records:
            gone += self._acknowledge_plain(una)
        return gone

    def _acknowledge_records(self, una: int) -> list[Transmission]:
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
                self._split(done, una)
                done += 1
        gone = self._records[:done]
        del self._records[:done]
        for record in gone:
            self._leave(record)
        return gone

    def _acknowledge_plain(self, una: int) -> list[Transmission]:
        gone: list[Transmission] = []
        queue, base = self._queue, self._tcb.snd_una
        oldest = ffi.new("struct transmission *")
        while lib.sent_pop(queue, base, una, oldest):
            gone.append(Transmission(oldest.seq, oldest.end, oldest.sent_at))
        return gone

    def _leave(self, record: Transmission) -> None:
        if record.sacked:
            self._tcb.sacked -= record.length
        elif record.lost:
            self._tcb.lost -= record.length
            record.lost = False
        self.in_network.remove(record)

    def holding(self, seq: int) -> Transmission | None:
        """The record that `seq` lies in; None when it is not in flight."""
        records = self.records()
        base = self._tcb.snd_una
        if not records or (seq - base) & MASK >= (records[-1].end - base) & MASK:
            return None
        return records[self._position(seq)]

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
        records = self.records()
        at = self._position(left)
        if at < len(records) and records[at].sacked and self._covers(records[at], right):
            return []
        if at < len(records) and records[at].seq != left and not records[at].sacked:
            self._split(at, left)
            at += 1
        base = self._tcb.snd_una
        limit = (right - base) & MASK
        fresh: list[Transmission] = []
        start = at
        while at < len(records) and (records[at].seq - base) & MASK < limit:
            record = records[at]
            if not record.sacked:
                if (record.end - base) & MASK > limit:
                    self._split(at, right)
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
        self.in_network.remove(record)
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
        for record in self.records():
            record.lost = False
        self._tcb.lost = 0
        self._order_anew()

    def forget_sacks(self) -> None:
        """Takes every SACK back: the peer may have dropped that data (RFC 2018 §8)."""
        for record in self.records():
            record.sacked = False
        self._tcb.sacked = 0
        self._order_anew()

    def _order_anew(self) -> None:
        """Gives all that is in the network again its place by the time it was sent."""
        for record in sorted(self._records, key=lambda record: record.sent_at):
            self.in_network.remove(record)
            if not (record.sacked or record.lost):
                self.in_network.append(record)
