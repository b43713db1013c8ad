"""What every congestion control algorithm is told, and what they share."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.flight import Transmission
    from stack.core.tcp.rate import RateSample, RateSampler

INFINITE = 0x7FFFFFFF
# RFC 6928 §2: ten segments, but no more than 14,600 bytes unless two segments are.
_IW_BYTES = 14_600


def grow(tcb: "Tcb", acked: int) -> None:
    """`acked` bytes were acknowledged while cwnd was the limit: it grows by their share of what
    `CongestionControl.grow` allowed. The segment path does the same.
    """
    steps, tcb.grow_rest = divmod(acked * tcb.grow_by + tcb.grow_rest, tcb.grow_over)
    tcb.cwnd = tcb.grow_cwnd = min(tcb.cwnd + steps, INFINITE)


class Sample:
    """What the acknowledgements of a batch brought: bytes newly delivered, whether the window
    was the limit when they were sent, the flight before them (bytes), the shortest round-trip
    time measured (µs, 0 for none), the time (µs), the delivery rate for an algorithm that
    samples it, and how many round-trip times were measured.

    With `grown` it is about a round trip instead, in which cwnd grew as `CongestionControl.grow`
    had asked for: `acked` are the bytes that it grew for, and `grown` is the window (bytes) that
    their share is of.
    """

    __slots__ = ("acked", "cwnd_limited", "flight", "grown", "now", "rate", "rtt", "rtts")

    def __init__(
        self,
        acked: int,
        cwnd_limited: bool,
        flight: int,
        rtt: int,
        now: int,
        rate: "RateSample | None" = None,
        rtts: int = 1,
        *,
        grown: int = 0,
    ) -> None:
        self.grown = grown
        self.rtt = rtt
        self.rtts = rtts if rtt else 0
        self.rate = rate
        self.acked = acked
        self.cwnd_limited = cwnd_limited
        self.flight = flight
        self.now = now


class CongestionControl(ABC):
    """Sets `tcb.cwnd` and `tcb.ssthresh` (bytes) as acknowledgements and losses come."""

    __slots__ = ("initial_window", "tcb")

    name: str
    # An algorithm that models the path keeps delivery rates here. It hears of every
    # acknowledgement, in recovery too, and sets cwnd and `pacing_rate` each time; neither
    # ssthresh nor proportional rate reduction (RFC 9937) concerns it.
    rate: "RateSampler | None" = None
    pacing_rate = 0  # bytes a second; 0: no pacing
    # Whether acknowledgements are of no interest while something else than cwnd is the limit.
    only_when_limited = False

    def __init__(self, tcb: "Tcb", initial_window: int) -> None:
        self.tcb = tcb
        self.initial_window = initial_window
        tcb.ssthresh = INFINITE
        self.on_mss()

    def on_mss(self) -> None:
        """The segment size became known or changed before any data left."""
        mss = self.tcb.snd_mss
        self.tcb.cwnd = min(self.initial_window * mss, max(2 * mss, _IW_BYTES))

    @abstractmethod
    def on_ack(self, sample: Sample) -> None:
        """New data was acknowledged outside of loss recovery; with `rate`, always."""

    @abstractmethod
    def on_congestion(self, flight: int, now: int) -> None:
        """A loss was found; sets ssthresh and cwnd for recovery."""

    def on_ecn(self, flight: int, now: int) -> None:
        """Marks were echoed: the queue is short, so a smaller cut will do (RFC 8511)."""
        self.on_congestion(flight, now)

    def on_recovered(self, now: int) -> None:
        """Loss recovery is over: the window is what the loss left (RFC 6582 §3.2 step 3)."""
        self.tcb.cwnd = max(self.tcb.ssthresh, 2 * self.tcb.snd_mss)

    def on_timeout(self, flight: int, now: int) -> None:
        """The retransmission timer ran out: loss window of one segment (RFC 5681 §3.1)."""
        self.on_congestion(flight, now)
        self.tcb.cwnd = self.tcb.snd_mss

    def on_undo(self) -> None:  # noqa: B027 - most algorithms keep nothing else
        """The last loss was none: whatever else it changed is to be taken back (RFC 4015)."""

    def on_idle(self) -> None:
        """Nothing was sent for an RTO: restart window (RFC 5681 §4.1)."""
        restart = min(self.initial_window * self.tcb.snd_mss, _IW_BYTES)
        self.tcb.cwnd = min(self.tcb.cwnd, max(restart, 2 * self.tcb.snd_mss))

    def on_unused(self) -> None:
        """Less than half of the window was used for five minutes (RFC 7661 §4.4.3)."""
        tcb = self.tcb
        tcb.ssthresh = max(tcb.ssthresh, 3 * tcb.cwnd // 4)
        tcb.cwnd = max(tcb.cwnd // 2, min(self.initial_window * tcb.snd_mss, _IW_BYTES))

    def on_lost(self, record: "Transmission") -> None:  # noqa: B027
        """With `rate`: a transmission counts as lost."""

    def on_restart(self, now: int) -> None:  # noqa: B027
        """With `rate`: data leaves while nothing is in flight."""

    def grow(self, by: int, acked: int) -> None:
        """Lets cwnd grow by `by` bytes while a window, which takes a round trip, is acknowledged;
        `acked` bytes count at once. `on_ack` is called behind that, or when cwnd is no longer
        the limit.

        An algorithm that never calls this hears of every batch of acknowledgements.
        """
        tcb = self.tcb
        tcb.grow_by, tcb.grow_over, tcb.grow_rest = by, tcb.cwnd, 0
        tcb.grow_end = (tcb.snd_una + tcb.cwnd) & MASK
        grow(tcb, acked)

    def slow_start(self, acked: int) -> int:
        """Grows cwnd by what was acknowledged, up to ssthresh (RFC 5681 §3.1 with
        RFC 3465's counting of bytes); returns the bytes beyond it.

        However much one acknowledgement covers, all of it counts, as in Linux: receivers
        acknowledge super-segments as a whole, and with a limit for each (RFC 3465's L) slow
        start would take many round trips more. Splitting acknowledgements gains a peer nothing.
        """
        tcb = self.tcb
        growth = min(acked, max(0, tcb.ssthresh - tcb.cwnd))
        tcb.cwnd = min(tcb.cwnd + growth, INFINITE)
        return acked - growth
