"""Runs the workloads: rounds that alternate between the variants, with the machine's state
noted before and after each measurement.

How long a sleeping processor takes to wake is a state of a (virtual) machine that may flip
from one second to the next, and much of a small message's time is wake-ups. So each
measurement carries the wake-up latency around it, for comparisons within one state.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.client import PROCESSORS, Client
from scripts.benchmarks.figures import Effort, Part, Request, Result, Workload


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement; `wake_up` is the latency in µs before and after it."""

    workload: str
    variant: str
    round: int
    result: Result
    wake_up: tuple[float, float]

    @property
    def latency(self) -> float:
        """The wake-up latency around it, in µs."""
        return sum(self.wake_up) / 2


def run(
    part: Part, request: Request, effort: Effort, progress: Callable[[Sample], None]
) -> tuple[list[Sample], dict[str, dict[str, int]]]:
    """Every workload with every variant of `request`, in alternating order from round to
    round; returns the samples, and what the servers had counted in the end.
    """
    client = Client(request.programs)
    samples = []
    with part.open(request) as setting:
        for number in range(effort.rounds):
            for workload in part.workloads:
                for variant in _alternating(_variants(workload, request), number):
                    before = client.wake_up()
                    result = setting.measure(workload, variant, number, effort)
                    latencies = (before, client.wake_up())
                    samples.append(Sample(workload.name, variant, number, result, latencies))
                    progress(samples[-1])
    return samples, setting.counts


def _variants(workload: Workload, request: Request) -> list[str]:
    return [v for v in request.variants if not workload.variants or v in workload.variants]


class Contention:
    """How much of the processors other programs use from now on: the figures suffer from it."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._others = _time_of_others()

    def share(self) -> float:
        """0 to 1, once our servers have ended."""
        elapsed = (time.monotonic() - self._start) * len(PROCESSORS)
        return min(max((_time_of_others() - self._others) / elapsed, 0.0), 1.0)


def _time_of_others() -> float:
    """Seconds of all processors that went neither to this process and its children nor idle."""
    fields = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


def _alternating(variants: Sequence[str], number: int) -> Sequence[str]:
    return variants if number % 2 == 0 else variants[::-1]
