"""Faults of a link, pure and seeded: what goes in, and when it comes out.

A packet meets the faults in the order of a real path: it may be lost or doubled; it waits
for its turn at the bottleneck (`rate`, `queue`); it may be damaged; and then it travels
(`delay`, `jitter`). Jitter alone keeps the order, as a queue does; `reorder` holds single
packets back so that later ones overtake them.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from stack.errors import UsageError
from stack.link.codel import CoDel
from stack.link.loss import Loss, decision
from stack.link.queue import Bottleneck, DropTail, QueueCounters

DEFAULT_QUEUE = 200
"""Packets that wait at the bottleneck unless `queue=` says otherwise."""

HOLD_MIN = 1_000
HOLD_MAX = 5_000
"""µs by which `reorder` holds a packet back."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one direction: probabilities 0…1, times in µs, rate in bit/s.

    `loss` may be a model of its own, `queue` a number of packets or a discipline; `hold` is
    the least and the longest time by which `reorder` holds a packet back.
    """

    loss: Loss = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: int = 0
    jitter: int = 0
    rate: int = 0
    queue: int | DropTail | CoDel = DEFAULT_QUEUE
    hold: tuple[int, int] = (HOLD_MIN, HOLD_MAX)


@dataclass(frozen=True, slots=True)
class ImpairmentSpec:
    """The faults of a link, seen from the host: what comes in, and what goes out."""

    inbound: Faults = Faults()
    outbound: Faults = Faults()


@dataclass(slots=True)
class ImpairmentCounters(QueueCounters):
    """How often each fault happened to a packet."""

    passed: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


class Impairments:
    """One direction of an imperfect link. The same seed and calls give the same packets."""

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self.counters = ImpairmentCounters()
        self._rng = rng
        self._lost = decision(faults.loss, rng)
        self._duplicate = faults.duplicate
        self._bottleneck = self._make_bottleneck()
        self._enter = self._travel if self._bottleneck is None else self._bottleneck.push
        late = self._bottleneck is not None and self._bottleneck.decides_late
        self._undecided = self._bottleneck if late else None
        # What most links have not costs one look at a flag.
        self._disturbs = bool(faults.corrupt or faults.jitter or faults.reorder)
        self._delay = faults.delay
        self._travelling: list[tuple[int, int, bytes]] = []  # heap of (due, number, packet)
        self._number = 0
        self._last_due = 0

    def _make_bottleneck(self) -> Bottleneck | None:
        rate, queue = self.faults.rate, self.faults.queue
        if not rate:
            return None
        if isinstance(queue, int):
            queue = DropTail(packets=queue)
        return queue.make(rate, self.counters, self._travel)

    @property
    def transparent(self) -> bool:
        """Whether packets pass at once and as they are."""
        faults = self.faults
        return not (self._lost or faults.rate or self._disturbs or faults.duplicate or faults.delay)

    @property
    def keeps_order(self) -> bool:
        """Whether no packet arrives before one that entered earlier."""
        return not self.faults.reorder

    def __len__(self) -> int:
        """Packets that have left the bottleneck, or are bound to, and have not arrived."""
        return len(self._travelling)

    def waiting(self, now: int) -> int:
        """Packets in the queue of the bottleneck at `now` (µs)."""
        return 0 if self._bottleneck is None else self._bottleneck.waiting(now)

    def push(self, data: bytes, now: int) -> None:
        """Takes one IP packet in at `now`."""
        if self._lost is not None and self._lost():
            self.counters.lost += 1
            return
        self._enter(data, now)
        if self._duplicate and self._happens(self._duplicate):
            self.counters.duplicated += 1
            self._enter(data, now)

    def pop(self, now: int, limit: int | None = None) -> list[bytes]:
        """Returns up to `limit` packets that have arrived by `now`, in their order."""
        if self._undecided is not None:
            self._undecided.advance(now)
        travelling = self._travelling
        arrived: list[bytes] = []
        while travelling and travelling[0][0] <= now:
            if limit is not None and len(arrived) >= limit:
                break
            arrived.append(heappop(travelling)[2])
        return arrived

    def next_deadline(self) -> int | None:
        """When the next packet may arrive: not before, and later only if the queue drops it."""
        due = self._travelling[0][0] if self._travelling else None
        if self._undecided is None or (turn := self._undecided.next_turn) is None:
            return due
        return turn + self._delay if due is None else min(due, turn + self._delay)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def _travel(self, data: bytes, departure: int) -> None:
        """The packet has left the bottleneck."""
        self.counters.passed += 1
        self._number += 1
        if self._disturbs:
            data, due = self._disturb(data, departure)
        else:
            due = departure + self._delay
        heappush(self._travelling, (due, self._number, data))

    def _disturb(self, data: bytes, departure: int) -> tuple[bytes, int]:
        """The packet as it arrives, and when."""
        if self._happens(self.faults.corrupt):
            self.counters.corrupted += 1
            data = self._flip_bit(data)
        jitter = self._rng.randint(0, self.faults.jitter) if self.faults.jitter else 0
        due = departure + self._delay + jitter
        if self._happens(self.faults.reorder):
            self.counters.reordered += 1
            return data, due + self._rng.randint(*self.faults.hold)
        self._last_due = max(self._last_due, due)
        return data, self._last_due

    def _flip_bit(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        bit = self._rng.randrange(len(damaged) * 8)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)


def impairment_pair(spec: ImpairmentSpec, seed: int) -> tuple[Impairments, Impairments]:
    """Returns the inbound and the outbound direction, each with its own stream of chance.

    Two streams, so that what one direction carries does not move the faults of the other.
    """
    return (
        Impairments(spec.inbound, random.Random(f"{seed}/in")),
        Impairments(spec.outbound, random.Random(f"{seed}/out")),
    )


@dataclass(slots=True)
class _Parser:
    """Collects settings; a later one of the same name and direction wins."""

    inbound: dict[str, Any] = field(default_factory=dict)
    outbound: dict[str, Any] = field(default_factory=dict)

    def take(self, item: str) -> None:
        name, equals, text = item.partition("=")
        direction, colon, bare = name.strip().rpartition(":")
        if direction not in ("", "in", "out") or (colon and not direction):
            raise UsageError(f"--impair {item!r}: a direction is 'in:' or 'out:'")
        if bare not in _VALUES:
            raise UsageError(f"--impair {item!r}: know only {', '.join(_VALUES)}")
        if not equals:
            raise UsageError(f"--impair {item!r}: a value is missing, as in {_EXAMPLES[bare]}")
        value = _VALUES[bare](text.strip())
        if value is None:
            raise UsageError(f"--impair {item!r}: give it as in {_EXAMPLES[bare]}")
        if direction != "out":
            self.inbound[bare] = value
        if direction != "in":
            self.outbound[bare] = value


def parse_impairments(spec: str) -> ImpairmentSpec:
    """Reads `loss=2%,in:delay=20ms,out:rate=100mbit`; raises UsageError with the mend."""
    parser = _Parser()
    for item in spec.split(","):
        if item.strip():
            parser.take(item.strip())
    return ImpairmentSpec(replace(Faults(), **parser.inbound), replace(Faults(), **parser.outbound))


def _probability(text: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(%?)", text)
    if not match:
        return None
    value = float(match[1]) / (100 if match[2] else 1)
    return value if value <= 1 else None


def _scaled(units: dict[str, float]) -> Callable[[str], int | None]:
    """A reader of numbers with one of these units behind them."""

    def read(text: str) -> int | None:
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z/]+)", text.lower())
        if not match or match[2] not in units:
            return None
        return round(float(match[1]) * units[match[2]])

    return read


def _rate(text: str) -> int | None:
    return _read_rate(text) or None  # no packet ever passes a rate of 0


def _packets(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d{0,6}", text) else None


_time = _scaled({"us": 1, "ms": 1_000, "s": 1_000_000})
_read_rate = _scaled(
    {
        unit + end: factor
        for unit, factor in (("", 1), ("k", 1e3), ("m", 1e6), ("g", 1e9))
        for end in ("bit", "bit/s")
    }
)
_VALUES: dict[str, Callable[[str], float | int | None]] = {
    "loss": _probability,
    "duplicate": _probability,
    "reorder": _probability,
    "corrupt": _probability,
    "delay": _time,
    "jitter": _time,
    "rate": _rate,
    "queue": _packets,
}
_EXAMPLES = {
    "loss": "loss=2% (0% to 100%)",
    "duplicate": "duplicate=1% (0% to 100%)",
    "reorder": "reorder=2% (0% to 100%)",
    "corrupt": "corrupt=0.5% (0% to 100%)",
    "delay": "delay=20ms",
    "jitter": "jitter=5ms",
    "rate": "rate=100mbit",
    "queue": f"queue={DEFAULT_QUEUE} (packets)",
}
