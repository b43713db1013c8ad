"""CoDel, the queue that drops by how long packets waited, not by how many there are
(RFC 8289).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from stack.link.queue import Bottleneck, Limits, QueueCounters, Sender
from stack.wire import ecn

# A queue of no more than this many bytes is never the trouble (RFC 8289 §5.6).
_ONE_PACKET = 1500
# RFC 8289 §5.5: drops that began again this soon go on at the rate of those before.
_RECENT_INTERVALS = 16


@dataclass(frozen=True, slots=True)
class CoDel:
    """A queue with CoDel. `packets` and `octets` limit it besides (0: no limit), `target`
    and `interval` are in µs; `mark` says "congestion experienced" instead of dropping,
    where the transport understands it.
    """

    packets: int = 1000
    octets: int = 0
    target: int = 5_000
    interval: int = 100_000
    mark: bool = True

    def make(
        self, rate: int, counters: QueueCounters, sent: Callable[[bytes, int], None]
    ) -> Bottleneck:
        """A bottleneck of `rate` bit/s with this queue, empty."""
        return _CoDelBottleneck(self, counters, Sender(rate, sent))


class _CoDelBottleneck:
    """The state of RFC 8289 §5.2; times in µs.

    Whether a packet is dropped is decided when it has its turn. Nothing that comes later
    changes that, so turns that are over are taken whenever somebody asks.
    """

    decides_late = True

    def __init__(self, spec: CoDel, counters: QueueCounters, sender: Sender) -> None:
        self._spec = spec
        self._limits = Limits(spec.packets, spec.octets)
        self._counters = counters
        self._sender = sender
        self._waiting: deque[tuple[int, bytes]] = deque()  # (since when, packet)
        self._octets = 0
        self._above_since: int | None = None  # first_above_time
        self._dropping = False
        self._drop_next = 0
        self._count = 0
        self._last_count = 0

    @property
    def next_turn(self) -> int | None:
        return self._sender.free_at if self._waiting else None

    def waiting(self, now: int) -> int:
        self.advance(now)
        return len(self._waiting)

    def push(self, data: bytes, now: int) -> None:
        self.advance(now)
        if self._limits.refuse(len(data), len(self._waiting), self._octets):
            self._counters.queue_dropped += 1
            return
        self._waiting.append((now, data))
        self._octets += len(data)
        self.advance(now)

    def advance(self, now: int) -> None:
        while self._waiting and self._sender.free_at <= now:
            turn = max(self._sender.free_at, self._waiting[0][0])
            data = self._take(turn)
            if data is not None:
                self._sender.send(data, turn)

    def _take(self, now: int) -> bytes | None:
        """RFC 8289 §5.5."""
        data, too_long = self._pull(now)
        if self._dropping:
            return self._go_on(data, too_long, now)
        if too_long and data is not None:
            return self._begin(data, now)
        return data

    def _pull(self, now: int) -> tuple[bytes | None, bool]:
        """The next packet, and whether packets have waited too long for an interval (§5.6)."""
        if not self._waiting:
            self._above_since = None
            return None, False
        since, data = self._waiting.popleft()
        self._octets -= len(data)
        if now - since < self._spec.target or self._octets <= _ONE_PACKET:
            self._above_since = None
            return data, False
        if self._above_since is None:
            self._above_since = now + self._spec.interval
            return data, False
        return data, now >= self._above_since

    def _go_on(self, data: bytes | None, too_long: bool, now: int) -> bytes | None:
        """Drops at the times of the control law, until the delay is below the target."""
        self._dropping = too_long
        while self._dropping and now >= self._drop_next and data is not None:
            self._count += 1
            marked = self._signal(data)
            if marked is not None:
                self._drop_next = self._control_law(self._drop_next)
                return marked
            data, self._dropping = self._pull(now)
            if self._dropping:
                self._drop_next = self._control_law(self._drop_next)
        return data

    def _begin(self, data: bytes, now: int) -> bytes | None:
        """The delay was above the target for a whole interval: the first drop."""
        self._dropping = True
        recent = now - self._drop_next < _RECENT_INTERVALS * self._spec.interval
        before = self._count - self._last_count
        self._count = before if recent and before > 1 else 1
        self._last_count = self._count
        self._drop_next = self._control_law(now)
        marked = self._signal(data)
        return self._pull(now)[0] if marked is None else marked

    def _signal(self, data: bytes) -> bytes | None:
        """The packet marked, or None when it had to be dropped."""
        marked = ecn.marked(data) if self._spec.mark else None
        if marked is None:
            self._counters.aqm_dropped += 1
        else:
            self._counters.marked += 1
        return marked

    def _control_law(self, time: int) -> int:
        """Ever sooner, by the square root of the number of drops (§5.6)."""
        return time + int(self._spec.interval / sqrt(self._count))
