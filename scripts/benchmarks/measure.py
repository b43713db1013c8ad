"""Runs the workloads: rounds that alternate between the variants, with the machine's state
noted before and after each measurement.

How long a sleeping processor takes to wake is a state of a (virtual) machine that may flip
from one second to the next, and much of a small message's time is wake-ups. So each
measurement carries the wake-up latency around it, for comparisons within one state.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.network import GRACE, BenchError, Networks
from scripts.benchmarks.workloads import Effort, Placement, Result, Workload

PROBE_TRIPS = 1000
PROCESSORS = sorted(os.sched_getaffinity(0))


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


class Bench:
    """Calls the client program against the servers of `networks`."""

    def __init__(self, programs: Path, networks: Networks) -> None:
        self._client = str(programs / "client")
        self._networks = networks

    def _call(
        self, arguments: Sequence[str], limit: float, processors: Iterable[int] = PROCESSORS
    ) -> Result:
        command = [self._client, *arguments]
        try:
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                timeout=limit,
                preexec_fn=lambda: os.sched_setaffinity(0, processors),
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{' '.join(arguments)}: no end after {limit:.0f} s") from None
        if done.returncode:
            problem = done.stderr.strip() or f"status {done.returncode}"
            raise BenchError(f"{' '.join(arguments)}: {problem}")
        result: Result = json.loads(done.stdout)
        return result

    def wake_up(self) -> float:
        """The median time in µs from a write in one process to the wake-up of another, on
        another processor.
        """
        here, there = str(PROCESSORS[0]), str(PROCESSORS[-1])
        return self._call(["probe", str(PROBE_TRIPS), here, there], GRACE)["p50"]

    def sample(self, workload: Workload, variant: str, number: int, effort: Effort) -> Sample:
        """Measures once."""
        server = self._networks.servers[variant]
        clients, servers = _places(workload.placement)
        os.sched_setaffinity(server.process.pid, servers)
        before = self.wake_up()
        arguments = workload.arguments(server.address, effort)
        result = self._call(arguments, effort.seconds + GRACE, clients)
        return Sample(workload.name, variant, number, result, (before, self.wake_up()))

    def run(
        self,
        workloads: Sequence[Workload],
        effort: Effort,
        progress: Callable[[Sample], None],
    ) -> list[Sample]:
        """Every workload with every variant, in alternating order from round to round."""
        samples = []
        for number in range(effort.rounds):
            for workload in workloads:
                for variant in _alternating(self._networks.servers, number):
                    samples.append(self.sample(workload, variant, number, effort))
                    progress(samples[-1])
        return samples


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


def _places(placement: Placement) -> tuple[list[int], list[int]]:
    """The processors of client and server; without a second one they are always together."""
    match placement:
        case Placement.TOGETHER:
            return PROCESSORS[:1], PROCESSORS[:1]
        case Placement.APART:
            return PROCESSORS[:1], PROCESSORS[-1:]
        case _:
            return PROCESSORS, PROCESSORS


def _alternating(variants: Iterable[str], number: int) -> list[str]:
    ordered = list(variants)
    return ordered if number % 2 == 0 else ordered[::-1]
