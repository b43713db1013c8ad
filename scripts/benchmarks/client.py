"""Calls the client program."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.figures import Result
from scripts.benchmarks.network import GRACE, BenchError, run
from scripts.benchmarks.processors import PROCESSORS

PROBE_TRIPS = 1000


class Client:
    """The compiled client in the folder `programs`."""

    def __init__(self, programs: Path) -> None:
        self._program = str(programs / "client")

    def call(
        self, arguments: Sequence[str], seconds: float, processors: Iterable[int] = PROCESSORS
    ) -> Result:
        """Runs it, in this namespace; it should end within `seconds` or soon after."""
        result: Result = json.loads(run([self._program, *arguments], seconds + GRACE, processors))
        return result

    @contextmanager
    def idle(self, address: str, count: int, seconds: float) -> Iterator[int]:
        """Holds up to `count` connections, which it may open within `seconds`, while the
        caller looks; gives their number.
        """
        command = [self._program, "idle", address, str(count), str(seconds)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:  # it has an alarm, so it ends
            assert process.stdout is not None
            answer = process.stdout.readline()
            if not answer:
                raise BenchError(f"the client cannot open {count} connections")
            yield json.loads(answer)["count"]

    def wake_up(self) -> float:
        """The median time in µs from a write in one process to the wake-up of another, on
        another processor.
        """
        here, there = str(PROCESSORS[0]), str(PROCESSORS[-1])
        return self.call(["probe", str(PROBE_TRIPS), here, there], 0)["p50"]
