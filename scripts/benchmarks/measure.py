"""Runs the workloads: rounds that alternate between the variants, with the machine's state
noted before and after each measurement.

How long a sleeping processor takes to wake is a state of a (virtual) machine that may flip
from one second to the next, and much of a small message's time is wake-ups. So each
measurement carries the wake-up latency around it, for comparisons within one state.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.benchmarks.client import Client
from scripts.benchmarks.figures import Effort, Part, Request, Result


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
        before = client.wake_up()
        for number in range(effort.rounds):
            for workload in part.workloads:
                variants = [v for v in part.variants_of(workload) if v in request.variants]
                for variant in _alternating(variants, number):
                    result = setting.measure(workload, variant, number, effort)
                    after = client.wake_up()
                    latencies = (before, after)
                    samples.append(Sample(workload.name, variant, number, result, latencies))
                    before = after
                    progress(samples[-1])
    return samples, setting.counts


def _alternating(variants: Sequence[str], number: int) -> Sequence[str]:
    return variants if number % 2 == 0 else variants[::-1]
