"""What is measured, under which names, and what issue-independent goals the figures have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Workload:
    """One call of the client, and the figures that it yields."""

    name: str
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
        lambda address, effort: [name, address, str(effort.seconds)],
        (Figure(f"bulk.{name}", title, "gbit_per_second", 2, True, _gbit_per_second),),
    )


def _connections(name: str, title: str, parallel: int) -> Workload:
    return Workload(
        f"connections.{name}",
        lambda address, effort: [
            *("connect", address, str(effort.connections), str(parallel), str(effort.seconds)),
        ],
        (Figure(f"connections.{name}", title, "per_second", 0, True, _per_second),),
    )


WORKLOADS = (
    _bulk("down", "bulk, server to client"),
    _bulk("up", "bulk, client to server"),
    Workload(
        "round_trip",
        lambda address, effort: ["trips", address, str(effort.trips), str(effort.seconds)],
        (
            Figure(
                "round_trip.p50",
                "1-byte round trip, median",
                "microseconds",
                1,
                False,
                lambda result: result["p50"],
            ),
            Figure(
                "round_trip.p99",
                "1-byte round trip, 99 %",
                "microseconds",
                1,
                False,
                lambda result: result["p99"],
            ),
        ),
    ),
    _connections("serial", "connections, one after another", 1),
    _connections("parallel", f"connections, {PARALLEL} at a time", PARALLEL),
)

UNITS = {"gbit_per_second": "Gbit/s", "microseconds": "µs", "per_second": "/s"}

GOALS = (
    Goal("bulk.down.offload.ratio_veth", 0.15, at_least=True),
    Goal("bulk.up.offload.ratio_veth", 0.15, at_least=True),
    Goal("round_trip.p50.offload.ratio_veth", 8, at_least=False),
    Goal("connections.serial.offload.per_second", 2000, at_least=True),
    Goal("connections.parallel.offload.per_second", 2000, at_least=True),
)
