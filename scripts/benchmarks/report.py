"""The figures for people and for programs."""

import importlib.metadata
import json
import os
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmarks.results import Results, Row
from scripts.benchmarks.workloads import GOALS, UNITS, VARIANTS, Effort

HEADINGS = {"veth": "kernel, veth", "offload": "tunstack", "plain": "tunstack, no offload"}

ABOUT = """\
# Performance

Written by `scripts/bench --write`; `scripts/bench --help` says how to measure parts of it.

A plain C program on kernel sockets talks to a server on the other side of a link, in
network namespaces that the script makes and removes. The server is in turn

- **kernel, veth**: a C program with epoll on kernel sockets, behind a veth pair with all of
  its offloads: how fast the same machine is from kernel to kernel;
- **tunstack**: asyncio protocols on this stack, behind a TUN device with offload;
- **tunstack, no offload**: the same in plain packets of the MTU, 1500 bytes.

The variants alternate; figures are medians over all rounds. A ratio to veth is the median
of the ratios within each round. The time in which a sleeping processor wakes up is a state
of a virtual machine that changes by itself, so it is measured around each sample, and
ratios leave out rounds in which it changed, if there are others.
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
        "rounds": effort.rounds,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def states(results: Results) -> str:
    """The wake-up latencies of a run in one line."""
    least, most = results.latencies[0], results.latencies[-1]
    middle = results.latencies[len(results.latencies) // 2]
    mixed = [row.figure.name for row in results.rows if not row.one_state]
    text = f"wake-up latency {least:.1f}, {middle:.1f}, {most:.1f} µs (least, median, most)"
    return f"{text}; states mixed in {', '.join(mixed)}" if mixed else text


def segments(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
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


def _cells(row: Row) -> list[str]:
    figure = row.figure
    cells = [figure.title]
    for variant in VARIANTS:
        if variant in row.medians:
            cell = f"{row.medians[variant]:,.{figure.digits}f} {UNITS[figure.unit]}"
            if variant in row.ratios:
                cell += f" ({row.ratios[variant]:.2f} ×)"
            cells.append(cell)
        else:
            cells.append("")
    return [*cells, _goal(row)]


def _goal(row: Row) -> str:
    """The goal of this row and whether it is met."""
    for goal in GOALS:
        variant, _, quantity = goal.name.removeprefix(f"{row.figure.name}.").partition(".")
        if not goal.name.startswith(f"{row.figure.name}.") or variant not in row.medians:
            continue
        is_ratio = quantity == "ratio_veth"
        values = row.ratios if is_ratio else row.medians
        if variant in values:
            unit = " ×" if is_ratio else f" {UNITS[row.figure.unit]}"
            sign = "≥" if goal.at_least else "≤"
            verdict = "met" if goal.met(values[variant]) else "missed"
            return f"{sign} {goal.bound:,g}{unit}: {verdict}"
    return ""


def print_table(results: Results, console: Console) -> None:
    """The figures as a table on the terminal."""
    table = Table()
    for index, heading in enumerate(("", *(HEADINGS[v] for v in VARIANTS), "goal")):
        table.add_column(heading, justify="right" if 0 < index <= len(VARIANTS) else "left")
    for row in results.rows:
        cells = _cells(row)
        colour = {"met": "green", "missed": "red"}.get(cells[-1].rpartition(": ")[2])
        cells[-1] = f"[{colour}]{cells[-1]}[/]" if colour else cells[-1]
        table.add_row(*cells)
    console.print(table)


def write_markdown(
    path: Path,
    results: Results,
    about: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
) -> None:
    """The figures as a page of the documentation."""
    headings = ("", *(HEADINGS[variant] for variant in VARIANTS), "goal")
    lines = [
        ABOUT,
        f"Measured by `{about['command']}` ({about['rounds']} rounds) with tunstack"
        f" {about['tunstack']} on Python {about['python']}, Linux {about['kernel']},"
        f" {about['processors']} × {about['processor']}.",
        "",
        f"| {' | '.join(headings)} |",
        "| --- | ---: | ---: | ---: | --- |",
        *(f"| {' | '.join(_cells(row))} |" for row in results.rows),
        "",
        *(f"- {line}" for line in [*segments(counts), states(results)]),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_json(
    path: Path,
    results: Results,
    about: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
) -> None:
    """The figures by name, the goals, and every sample, for programs."""
    document = {
        "environment": about,
        "figures": results.values,
        "goals": {
            goal.name: {
                "bound": goal.bound,
                "at_least": goal.at_least,
                "value": value,
                "met": goal.met(value),
            }
            for goal, value in results.goals()
        },
        "samples": [
            {
                "workload": sample.workload,
                "variant": sample.variant,
                "round": sample.round,
                "wake_up_microseconds": sample.wake_up,
                "result": sample.result,
            }
            for sample in results.samples
        ],
        "counters": {variant: dict(Counter(values)) for variant, values in counts.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
