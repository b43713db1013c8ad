"""Without a kernel: very many connections of one host, and segments of a simulated network."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from scripts.benchmarks.figures import Effort, Figure, Goal, Part, Request, Result, Workload
from scripts.benchmarks.network import module_command, paths, run
from scripts.benchmarks.processors import PROCESSORS
from scripts.benchmarks.tcp_servers import ENVIRONMENTS

LIMIT = 300  # seconds
SEGMENTS = 10_000
LEAST = 10  # connections
COUNTS = (LEAST, 100, 1_000, 10_000, 100_000)

TEXT = """\
A process on one processor, in virtual time and without a device. **tunstack, Python** is
the same with every segment in Python (`TUNSTACK_FASTPATH=0`).

- *Memory*: what an asyncio server holds resident for each connection, while nothing happens
  on 100,000 of them (or on as many as `--connections` says).
- *A segment*: so much time do `receive`, `transmit` and `on_deadline` take for a segment with
  one byte for a connection by chance, its delayed acknowledgement included, with so many
  connections open. *Growth* is 100,000 connections beside 10.
- *Simulator*: the segments, data and acknowledgements, that a bulk flow of `stack.sim` carries
  in a second of processor time, over 1 Gbit/s with 10 ms there and back, to a receiver that
  discards them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone(Workload):
    """A module of ours with its arguments; what it prints is the result."""

    module: str
    arguments: Callable[[Effort], list[str]]


def _counts(effort: Effort) -> list[int]:
    """The numbers of connections, up to the most that are wanted."""
    return [count for count in COUNTS if count <= max(effort.connections, LEAST)]


def _growth(result: Result) -> float | None:
    most = result.get(str(COUNTS[-1]))
    return None if most is None else most / result[str(LEAST)]


def _at(count: int) -> Figure:
    return Figure(
        f"many.segment.at_{count}",
        f"a segment, {count:,} connections",
        "microseconds",
        1,
        False,
        lambda result: result.get(str(count)),
    )


WORKLOADS = (
    Alone(
        "many.memory",
        (Figure("many.memory", "memory of a connection", "bytes", 0, False, lambda r: r["bytes"]),),
        ("tunstack",),
        module="scripts.benchmarks.crowd",
        arguments=lambda effort: ["memory", str(effort.connections)],
    ),
    Alone(
        "many.segment",
        (
            *map(_at, COUNTS),
            Figure("many.segment.growth", "a segment, growth", "ratio", 2, False, _growth),
        ),
        module="scripts.benchmarks.crowd",
        arguments=lambda effort: [
            *("cost", str(int(SEGMENTS * effort.scale))),
            *map(str, _counts(effort)),
        ],
    ),
    Alone(
        "simulator.bulk",
        (
            Figure(
                "simulator.bulk",
                "simulator, segments",
                "per_second",
                0,
                True,
                lambda result: result["segments"] / result["seconds"],
            ),
        ),
        module="scripts.benchmarks.simulated",
        arguments=lambda effort: [str(effort.seconds)],
    ),
)

GOALS = (
    # 400 MB for 100,000 of them.
    Goal("many.memory.tunstack.bytes", 4_000, at_least=False),
    Goal("many.segment.growth.tunstack.ratio", 1.5, at_least=False),
    Goal("simulator.bulk.tunstack.per_second", 100_000, at_least=True, aim=300_000),
)


class Processes:
    """Starts a process for each measurement."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}

    def measure(self, workload: Alone, variant: str, number: int, effort: Effort) -> Result:
        command = [*module_command(workload.module), *workload.arguments(effort)]
        environment = paths() | ENVIRONMENTS.get(variant, {})
        result: Result = json.loads(run(command, LIMIT, PROCESSORS[-1:], environment))
        return result


def open_processes(request: Request) -> nullcontext[Processes]:
    """There is nothing to set up."""
    return nullcontext(Processes())


PART = Part(
    name="virtual",
    title="Many connections, and virtual time",
    text=TEXT,
    variants={"tunstack": "tunstack", "python": "tunstack, Python"},
    workloads=WORKLOADS,
    goals=GOALS,
    open=open_processes,
    full=Effort(rounds=1, connections=100_000, seconds=3.0),
    quick=Effort(rounds=1, connections=1_000, seconds=0.5, scale=0.1),
    alone=Effort(rounds=3, connections=100_000, seconds=3.0),
)
