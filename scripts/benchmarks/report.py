"""The figures for people and for programs."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.results import Results, Row
from scripts.benchmarks.workloads import GOALS, UNITS, VARIANTS, Effort

HEADINGS = {"veth": "kernel", "offload": "tunstack", "plain": "plain packets"}
LEFT = {0, 1}  # columns of words
WIDTH = 116  # characters that the table needs

Counts = Mapping[str, Mapping[str, int]]

ABOUT = """\
# Performance

Written by `scripts/bench --write`; `scripts/bench --help` says how to measure parts of it.

A plain C program on kernel sockets talks to a server on the other side of a link, in
network namespaces that the script makes and removes. The server is in turn

- **kernel**: a C program with epoll on kernel sockets, behind a veth pair with all of its
  offloads: how fast the same machine is from kernel to kernel;
- **tunstack**: asyncio protocols on this stack, behind a TUN device with offload, while
  nobody observes;
- **plain packets**: the same without offload, in packets of the MTU, 1500 bytes.

*Down* is from server to client. A round trip is one byte there and back. A connection is
connect, one byte each way, close. Round trips take place on one processor, where no
wake-up of another one is in the figures, and between two; connections one by one are on
one processor; elsewhere the kernel decides.

The servers take turns; figures are medians over all rounds, and *×* is the median of the
ratios to *kernel* within each round. The time in which a sleeping processor wakes up is a
state of a virtual machine that changes by itself, so it is measured around each sample,
and ratios leave out rounds in which it changed, where there are others.
"""


def environment(command: str, effort: Effort) -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    return {
        "tunstack": importlib.metadata.version("tunstack"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "command": command,
        "effort": asdict(effort),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def notes(results: Results, counts: Counts, about: Mapping[str, Any]) -> list[str]:
    """What helps to judge the figures: the size of segments, the state of the machine."""
    least, most = results.latencies[0], results.latencies[-1]
    middle = results.latencies[len(results.latencies) // 2]
    lines = [
        *_segments(counts),
        f"wake-up latency: {least:.1f} µs at least, {middle:.1f} median, {most:.1f} at most",
        f"other programs used {about['others_share']:.0%} of the processors meanwhile",
    ]
    mixed = [row.figure.name for row in results.rows if not row.one_state]
    if mixed:
        lines.append(f"ratios between different states of the machine: {', '.join(mixed)}")
    return lines


def _segments(counts: Counts) -> list[str]:
    """How large the (super-)segments were, by variant and direction."""
    lines = []
    for variant, values in counts.items():
        sizes = [
            f"{values[f'{way}.bytes'] / values[f'{way}.segments']:,.0f} bytes {way}"
            for way in ("down", "up")
            if values.get(f"{way}.segments")
        ]
        if sizes:
            lines.append(f"mean segment, {HEADINGS[variant]}: {', '.join(sizes)}")
    return lines


def _headings() -> list[str]:
    ours = [column for variant in VARIANTS[1:] for column in (HEADINGS[variant], "×")]
    return ["", "unit", HEADINGS[VARIANTS[0]], *ours, "goal"]


def _cells(row: Row) -> list[str]:
    figure = row.figure
    cells = [figure.title, UNITS[figure.unit]]
    for variant in VARIANTS:
        measured = variant in row.medians
        cells.append(f"{row.medians[variant]:,.{figure.digits}f}" if measured else "")
        if variant != VARIANTS[0]:
            cells.append(f"{row.ratios[variant]:.2f}" if variant in row.ratios else "")
    return [*cells, _goal(row)]


def _goal(row: Row) -> str:
    """The goal of this row and whether it is met."""
    values = {
        **{f"{row.figure.name}.{v}.{row.figure.unit}": value for v, value in row.medians.items()},
        **{f"{row.figure.name}.{v}.ratio_veth": value for v, value in row.ratios.items()},
    }
    for goal in GOALS:
        if goal.name in values:
            unit = "×" if goal.name.endswith(".ratio_veth") else UNITS[row.figure.unit]
            verdict = "met" if goal.met(values[goal.name]) else "missed"
            return f"{'≥' if goal.at_least else '≤'} {goal.bound:,g} {unit}: {verdict}"
    return ""


def print_table(results: Results, remarks: Sequence[str], console: Console) -> None:
    """The figures as a table on the terminal, and the notes below."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    headings = _headings()
    for index, heading in enumerate(headings):
        words = index in LEFT or index == len(headings) - 1
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for row in results.rows:
        cells = _cells(row)
        colour = {"met": "green", "missed": "red"}.get(cells[-1].rpartition(": ")[2])
        cells[-1] = f"[{colour}]{cells[-1]}[/]" if colour else cells[-1]
        table.add_row(*cells)
    console.width = max(console.width, WIDTH)
    console.print(table)
    console.print("\n".join(remarks), highlight=False)


def write_markdown(
    path: Path, results: Results, remarks: Sequence[str], about: Mapping[str, Any]
) -> None:
    """The figures as a page of the documentation."""
    headings = _headings()
    rules = ["---" if index in LEFT else "---:" for index in range(len(headings) - 1)]
    measured = (
        f"Measured by `{about['command']}` ({about['effort']['rounds']} rounds) with tunstack"
        f" {about['tunstack']} on Python {about['python']}, Linux {about['kernel']},"
        f" {about['processors']} × {about['processor']}."
    )
    lines = [
        ABOUT,
        measured,
        "",
        _markdown_row(headings),
        _markdown_row([*rules, "---"]),
        *(_markdown_row(_cells(row)) for row in results.rows),
        "",
        *(f"- {remark}" for remark in remarks),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_json(path: Path, results: Results, counts: Counts, about: Mapping[str, Any]) -> None:
    """The figures by name, the goals, and every sample, for programs."""
    document = {
        "environment": about,
        "figures": results.values,
        "goals": {
            goal.name: asdict(goal) | {"value": value, "met": goal.met(value)}
            for goal, value in results.goals()
        },
        "samples": [asdict(sample) for sample in results.samples],
        "counters": counts,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
