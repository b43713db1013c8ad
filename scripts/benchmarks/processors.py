"""How much processor time processes have used."""

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

PROCESSORS = sorted(os.sched_getaffinity(0))


def tasks(process: int) -> list[int]:
    """The threads of a process."""
    return [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]


def time_of(process: int) -> float:
    """Seconds that its threads have used, the kernel's work for them among it."""
    return sum(_seconds(Path(f"/proc/{process}/task/{task}")) for task in tasks(process))


def time_of_network() -> float:
    """Seconds of the kernel's threads that take over when there is much to receive: they are
    nobody's. Where a container hides them it is 0.
    """
    return sum(_seconds(thread) for thread in _network_threads())


@cache
def _network_threads() -> list[Path]:
    return [
        process
        for process in Path("/proc").glob("[0-9]*")
        if _text(process / "comm").startswith("ksoftirqd/")
    ]


def _seconds(task: Path) -> float:
    return int((_text(task / "schedstat") or "0").split()[0]) / 1e9


def _text(file: Path) -> str:
    """Nothing of what has ended meanwhile."""
    with suppress(OSError):
        return file.read_text(encoding="ascii")
    return ""


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
