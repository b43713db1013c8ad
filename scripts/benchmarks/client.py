"""Calls the client program."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.benchmarks.figures import Result
from scripts.benchmarks.network import GRACE, run
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

    def wake_up(self) -> float:
        """The median time in µs from a write in one process to the wake-up of another, on
        another processor.
        """
        here, there = str(PROCESSORS[0]), str(PROCESSORS[-1])
        return self.call(["probe", str(PROBE_TRIPS), here, there], 0)["p50"]
