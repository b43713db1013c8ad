"""What a benchmark consists of: parts, their workloads, the figures these yield, and goals."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Result = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a run measures: rounds; seconds for each measurement that takes a time, at
    most for others; most round trips and connections in one of them; and what a part has as
    its amount (of bytes, of requests) is multiplied by `scale`.
    """

    rounds: int
    seconds: float = 2.0
    trips: int = 0
    connections: int = 0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a workload yields; `read` takes it from what was measured, where that
    has it.
    """

    name: str
    title: str
    unit: str
    digits: int
    more_is_better: bool
    read: Callable[[Result], float | None]


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to measure, with each of its `variants`, or with all of the part's."""

    name: str
    figures: tuple[Figure, ...]
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep: at least, or at most.

    `aim` is what it is hoped to reach beyond that. One with a variant in `without` counts
    only where that variant could not be measured, in place of the goals that need it.
    """

    name: str
    bound: float
    at_least: bool
    aim: float | None = None
    without: str = ""

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


class Setting(Protocol):
    """The networks and servers of a part while it is measured."""

    counts: dict[str, dict[str, int]]
    """What servers had counted when they ended, by variant."""

    def measure(self, workload: Any, variant: str, number: int, effort: Effort) -> Result:
        """Measures once, in round `number`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a setting is opened for: compiled programs, variants, a file for profiles."""

    programs: Path
    variants: tuple[str, ...]
    profile: Path | None


@dataclass(frozen=True, slots=True)
class Part:
    """A chapter of the page, with figures that belong together; workloads whose names begin
    with the same word share a table.

    `variants` are names with their headings; all others are compared with the first one, and
    with each of `references` that was measured, too.
    """

    name: str
    title: str
    text: str
    variants: Mapping[str, str]
    workloads: tuple[Workload, ...]
    goals: tuple[Goal, ...]
    open: Callable[[Request], AbstractContextManager[Setting]]
    full: Effort
    quick: Effort
    alone: Effort
    """When only this part is asked for."""
    references: tuple[str, ...] = ()

    def variants_of(self, workload: Workload) -> tuple[str, ...]:
        """What that workload is measured with, in the order of the columns."""
        return tuple(v for v in self.variants if not workload.variants or v in workload.variants)

    @property
    def yardstick(self) -> str:
        """The variant that others are compared with."""
        return next(iter(self.variants))


UNITS = {
    "gbit_per_second": "Gbit/s",
    "megabytes_per_second": "MB/s",
    "seconds_per_gb": "s/GB",
    "microseconds": "µs",
    "per_second": "/s",
    "bytes": "bytes",
    "percent": "%",
    "ratio": "×",
}


def megabytes_per_second(result: Result) -> float:
    return result["bytes"] / result["seconds"] / 1e6
