"""One bottleneck and a sender in front of it, without TCP: what drives a congestion control
algorithm that models the path.

Segments are numbered by their sequence numbers; each that arrives is acknowledged by itself,
one round trip after it has left the queue. A segment is lost when three that were sent later
have been acknowledged.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from stack._native import ffi
from stack.core.tcp.congestion import create
from stack.core.tcp.congestion.base import Sample
from stack.core.tcp.flight import Transmission
from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery

MSS = 1000
SECOND = 1_000_000
Chance = Callable[[int], bool]


class Bottleneck:
    """`rate` in bytes a second, `rtt` in µs, `buffer` in bytes; `lost` is asked with the number
    of each transmission; `hold` collects acknowledgements (µs) and hands them over together.
    """

    def __init__(
        self,
        name: str = "bbr",
        *,
        rate: int = 1_000_000,
        rtt: int = 50_000,
        buffer: int = 1 << 40,
        lost: Chance = lambda number: False,
        hold: int = 0,
        sack: bool = True,
        mss: int = MSS,
    ) -> None:
        self.rate, self.rtt, self.buffer, self.lost, self.hold = rate, rtt, buffer, lost, hold
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = mss
        self.tcb.iss = 4711
        self.tcb.srtt = rtt
        self.tcb.sack_ok = sack
        self.control = create(name, self.tcb, 10)
        self.now = SECOND
        self.unsent = 1 << 40  # bytes that the application still has
        self.sent = 0  # transmissions
        self.dropped = 0
        self.arrived = 0  # bytes, each counted once
        self._next_at = 0.0
        self._free_at = float(self.now)  # when the bottleneck has nothing left to do
        self._acks: list[tuple[float, int, Transmission, int]] = []
        self._flying: OrderedDict[int, tuple[Transmission, int]] = OrderedDict()
        self._lost: list[Transmission] = []
        self._below: dict[int, int] = {}  # SACKed, by sequence number
        self._was_full = False

    # What happens.

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        for _ in self.steps(seconds):
            pass

    def run_until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Lets time pass until `condition` holds, which must come true in `seconds`."""
        for _ in self.steps(seconds):
            if condition():
                return
        raise AssertionError(f"it did not happen within {seconds} s")

    def steps(self, seconds: float) -> Iterator[None]:
        """One acknowledgement, or one segment that leaves, at a time."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            may_send = self._may_send()
            ack_at = self._acks[0][0] if self._acks else float("inf")
            if may_send and self._next_at <= min(ack_at, end):
                self.now = max(self.now, int(self._next_at))
                self._send()
            elif ack_at <= end:
                self.now = max(self.now, int(ack_at))
                self._acknowledge()
            else:
                self.now = end
            yield

    def write(self, length: int) -> None:
        """The application hands over `length` bytes."""
        self._check_app_limited()
        self.unsent += length

    def _check_app_limited(self) -> None:
        outstanding = self.tcb.snd_nxt - self.tcb.snd_una
        self.tcb.snd.length = min(outstanding + self.unsent, 1 << 31)
        self.control.rate.check_app_limited()

    @property
    def in_flight(self) -> int:
        return self.control.rate.in_flight

    @property
    def queued(self) -> int:
        """Bytes that wait at the bottleneck now."""
        return int(max(self._free_at - self.now, 0) * self.rate / SECOND)

    # The sender.

    def _may_send(self) -> bool:
        fits = self.in_flight + self.tcb.snd_mss <= self.tcb.cwnd or self.in_flight == 0
        waiting = bool(self._lost) or self.unsent > 0
        self._was_full = waiting and not fits
        return waiting and fits

    def _send(self) -> None:
        tcb = self.tcb
        if self._lost:
            record = self._lost.pop(0)
            record.lost = False
            record.retransmitted = True
            tcb.lost -= record.length
            record.sent_at = self.now
        else:
            if self.in_flight == 0:
                self.control.on_restart(self.now)
            end = tcb.snd_nxt + min(self.unsent, tcb.snd_mss)
            record = Transmission(tcb.snd_nxt, end, self.now)
            self.unsent -= record.length
            tcb.snd_nxt = end
        self.control.rate.on_sent(record, self.now)
        pace = self.control.pacing_rate
        self._next_at = max(self._next_at, self.now) + record.length * SECOND / pace
        self._put_on_the_wire(record)

    def _put_on_the_wire(self, record: Transmission) -> None:
        self.sent += 1
        self._flying[self.sent] = (record, self.sent)
        if self.lost(self.sent) or self.queued + record.length > self.buffer:
            self.dropped += 1
            return
        self._free_at = max(self._free_at, self.now) + record.length * SECOND / self.rate
        due = self._free_at + self.rtt
        if self.hold:
            due = -(-due // self.hold) * self.hold
        heappush(self._acks, (due, self.sent, record, record.sent_at))

    # What comes back.

    def _acknowledge(self) -> None:
        self._check_app_limited()
        due = self._acks[0][0]
        delivery = Delivery(0, self.now)
        newest = rtt = 0
        while self._acks and self._acks[0][0] == due:
            _, number, record, sent_at = heappop(self._acks)
            if self._flying.pop(number, None) is not None:  # else it came too late to count
                delivery.acked.append(record)
                self.arrived += record.length
                newest, rtt = max(newest, number), self.now - sent_at
        if not delivery.acked:
            return
        self.tcb.min_rtt = min(self.tcb.min_rtt or rtt, rtt)
        self._release(delivery.acked)
        self._find_losses(newest)
        rate = self.control.rate.sample(delivery)
        self.control.on_ack(Sample(rate.acked, self._was_full, 0, rtt, self.now, rate))

    def _release(self, records: list[Transmission]) -> None:
        tcb = self.tcb
        for record in records:
            self._below[record.seq] = record.end
            tcb.sacked += record.length
        while tcb.snd_una in self._below:
            end = self._below.pop(tcb.snd_una)
            tcb.sacked -= end - tcb.snd_una
            tcb.snd_una = end
        if tcb.recovery == Recovery.FAST and tcb.snd_una >= tcb.recover:
            self.control.on_recovered(self.now)
            tcb.recovery = Recovery.OPEN

    def _find_losses(self, newest: int) -> None:
        while self._flying:
            number, (record, _) = next(iter(self._flying.items()))
            if number > newest - 3:
                break
            self._flying.popitem(last=False)
            self.tcb.lost += record.length
            record.lost = True
            self._lost.append(record)
            self.control.on_lost(record)
            if self.tcb.recovery == Recovery.OPEN:
                self.control.on_congestion(self.in_flight, self.now)
                self.tcb.recovery = Recovery.FAST
                self.tcb.recover = self.tcb.snd_nxt
