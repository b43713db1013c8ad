"""What the client does in the TCP benchmarks: bulk, round trips, connections."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scripts.benchmarks.figures import Effort, Figure, Result, Workload
from scripts.benchmarks.processors import PROCESSORS

PARALLEL = 64


class Placement(Enum):
    """Where client and server run. On one processor neither waits for the other's to wake
    up, so that only work is measured; a message between two processors has the wake-up in
    it. Left alone, the kernel takes now this, now that.
    """

    ANYWHERE = (PROCESSORS, PROCESSORS)
    TOGETHER = (PROCESSORS[:1], PROCESSORS[:1])
    APART = (PROCESSORS[:1], PROCESSORS[-1:])  # without a second one they are together

    @property
    def processors(self) -> tuple[list[int], list[int]]:
        """Those of the client and those of the server."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientWorkload(Workload):
    """One call of the client."""

    placement: Placement
    arguments: Callable[[str, Effort], list[str]]


BULK = ("veth", "veth_plain", "offload", "plain", "python", "lwip", "gvisor", "gvisor_plain")
ROUND_TRIP = ("veth", "offload", "plain", "lwip", "gvisor")
CONNECTIONS = ("veth", "asyncio", "offload", "plain", "blocking", "lwip", "gvisor")


def _gbit_per_second(result: Result) -> float:
    return result["bytes"] * 8 / result["seconds"] / 1e9


def _seconds_per_gb(result: Result) -> float:
    return result["cpu"] / result["bytes"] * 1e9


def _percent_in_c(result: Result) -> float | None:
    """Only some servers count their segments."""
    if not result.get("segments"):
        return None
    return 100 * result["fast_segments"] / result["segments"]


def _per_second(result: Result) -> float:
    return result["count"] / result["seconds"]


def _bulk(way: str) -> ClientWorkload:
    name = f"bulk.{way}"
    title = f"bulk {way}"
    return ClientWorkload(
        name,
        (
            Figure(name, title, "gbit_per_second", 2, True, _gbit_per_second),
            Figure(f"{name}.cpu", f"{title}, CPU", "seconds_per_gb", 2, False, _seconds_per_gb),
            Figure(f"{name}.c_path", f"{title}, in C", "percent", 2, True, _percent_in_c),
        ),
        BULK,
        placement=Placement.ANYWHERE,
        arguments=lambda address, effort: [way, address, str(effort.seconds)],
    )


def _round_trip(
    name: str, where: str, placement: Placement, variants: tuple[str, ...] = ROUND_TRIP
) -> ClientWorkload:
    def figure(part: str, words: str) -> Figure:
        title = f"round trip, {where}, {words}"
        full_name = f"round_trip.{name}.{part}"
        return Figure(full_name, title, "microseconds", 1, False, lambda result: result[part])

    return ClientWorkload(
        f"round_trip.{name}",
        (figure("p50", "median"), figure("p99", "99 %")),
        variants,
        placement=placement,
        arguments=lambda address, effort: [
            *("trips", address, str(effort.trips), str(effort.seconds)),
        ],
    )


def _connections(name: str, title: str, placement: Placement, parallel: int) -> ClientWorkload:
    return ClientWorkload(
        f"connections.{name}",
        (Figure(f"connections.{name}", title, "per_second", 0, True, _per_second),),
        CONNECTIONS,
        placement=placement,
        arguments=lambda address, effort: [
            *("connect", address, str(effort.connections), str(parallel), str(effort.seconds)),
        ],
    )


WORKLOADS: tuple[ClientWorkload, ...] = (
    _bulk("down"),
    _bulk("up"),
    _round_trip("together", "one processor", Placement.TOGETHER),
    # Who polls takes the processor from a client on the same one.
    _round_trip("apart", "two processors", Placement.APART, (*ROUND_TRIP, "busy")),
    _connections("serial", "connections, one by one", Placement.TOGETHER, 1),
    _connections("parallel", f"connections, {PARALLEL} at a time", Placement.ANYWHERE, PARALLEL),
)
