"""What is measured, under which names, and the goals that figures have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

VARIANTS = ("veth", "offload", "plain")
"""Kernel to kernel over veth; our stack over TUN with offload; and without."""

PARALLEL = 64

Result = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a run measures: rounds, seconds for each bulk transfer and at most for each
    other measurement, and most round trips and connections in one of them.
    """

    rounds: int
    seconds: float
    trips: int
    connections: int


FULL = Effort(rounds=7, seconds=2.0, trips=20_000, connections=3_000)
QUICK = Effort(rounds=3, seconds=0.8, trips=8_000, connections=1_500)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a workload yields; `read` takes it from the client's result."""

    name: str
    title: str
    unit: str
    digits: int
    more_is_better: bool
    read: Callable[[Result], float]


class Placement(Enum):
    """Where client and server run. On one processor neither waits for the other's to wake
    up, so that only work is measured; a message between two processors has the wake-up in
    it. Left alone, the kernel takes now this, now that.
    """

    ANYWHERE = "anywhere"
    TOGETHER = "together"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Workload:
    """One call of the client, and the figures that it yields."""

    name: str
    placement: Placement
    arguments: Callable[[str, Effort], list[str]]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep: at least, or at most."""

    name: str
    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def _gbit_per_second(result: Result) -> float:
    return result["bytes"] * 8 / result["seconds"] / 1e9


def _per_second(result: Result) -> float:
    return result["count"] / result["seconds"]


def _bulk(name: str, title: str) -> Workload:
    return Workload(
        f"bulk.{name}",
        Placement.ANYWHERE,
        lambda address, effort: [name, address, str(effort.seconds)],
        (Figure(f"bulk.{name}", title, "gbit_per_second", 2, True, _gbit_per_second),),
    )


def _round_trip(name: str, where: str, placement: Placement) -> Workload:
    def figure(part: str, words: str) -> Figure:
        title = f"round trip, {where}, {words}"
        full_name = f"round_trip.{name}.{part}"
        return Figure(full_name, title, "microseconds", 1, False, lambda result: result[part])

    return Workload(
        f"round_trip.{name}",
        placement,
        lambda address, effort: ["trips", address, str(effort.trips), str(effort.seconds)],
        (figure("p50", "median"), figure("p99", "99 %")),
    )


def _connections(name: str, title: str, placement: Placement, parallel: int) -> Workload:
    return Workload(
        f"connections.{name}",
        placement,
        lambda address, effort: [
            *("connect", address, str(effort.connections), str(parallel), str(effort.seconds)),
        ],
        (Figure(f"connections.{name}", title, "per_second", 0, True, _per_second),),
    )


WORKLOADS = (
    _bulk("down", "bulk down"),
    _bulk("up", "bulk up"),
    _round_trip("together", "one processor", Placement.TOGETHER),
    _round_trip("apart", "two processors", Placement.APART),
    _connections("serial", "connections, one by one", Placement.TOGETHER, 1),
    _connections("parallel", f"connections, {PARALLEL} at a time", Placement.ANYWHERE, PARALLEL),
)

UNITS = {"gbit_per_second": "Gbit/s", "microseconds": "µs", "per_second": "/s"}

GOALS = (
    Goal("bulk.down.offload.ratio_veth", 0.15, at_least=True),
    Goal("bulk.up.offload.ratio_veth", 0.15, at_least=True),
    Goal("round_trip.together.p50.offload.ratio_veth", 8, at_least=False),
    Goal("round_trip.apart.p50.offload.ratio_veth", 8, at_least=False),
    Goal("connections.serial.offload.per_second", 2000, at_least=True),
    Goal("connections.parallel.offload.per_second", 2000, at_least=True),
)
