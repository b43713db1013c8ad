"""The figures for people and for programs."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import rich.table
from rich import box
from rich.console import Console

from scripts.benchmarks import chart
from scripts.benchmarks.figures import UNITS, Effort, Goal, Part
from scripts.benchmarks.results import Results, Row

WIDTH = 160  # characters that the widest table needs

PICTURE = "performance.svg"
"""Beside the page."""

SHOWN = f"""\
![{chart.ALT}]({PICTURE})

One is the kernel's speed from kernel to kernel; for round trips it is the kernel's time beside
that of the others. Longer bars are better.
"""

Counts = Mapping[str, Mapping[str, int]]

ABOUT = """\
# Performance

Written by `scripts/bench --write`; `scripts/bench --help` says how to measure parts of it.

What is compared takes turns on the same machine in the same run. Figures are medians over
all rounds; in brackets behind them is the median of the ratios to the first column within
each round. The time in which a sleeping processor wakes up is a state of a virtual machine
that changes by itself, so it is measured around each sample, and ratios leave out rounds in
which it changed, where there are others.
"""


def environment(command: str) -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    return {
        "tunstack": importlib.metadata.version("tunstack"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "command": command,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text; the first `words` columns are words, and the others numbers."""

    headings: list[str]
    rows: list[list[str]]
    words: int

    def markdown(self) -> list[str]:
        rules = ["---" if at < self.words else "---:" for at in range(len(self.headings))]
        return [_markdown_row(row) for row in (self.headings, rules, *self.rows)] + [""]


@dataclass(frozen=True, slots=True)
class Measured:
    """A part with its figures, what servers counted, the share of the processors that other
    programs used meanwhile (0 to 1), and why variants are missing.
    """

    results: Results
    counts: Counts
    effort: Effort
    others: float
    missing: Mapping[str, str]

    @property
    def part(self) -> Part:
        return self.results.part

    def notes(self) -> list[str]:
        """What helps to judge the figures: the size of segments, the state of the machine."""
        lines = [
            *(
                f"{self.part.variants[variant]} is left out: {reason}"
                for variant, reason in self.missing.items()
            ),
            *self._segments(),
            *self._latencies(),
            f"other programs used {self.others:.0%} of the processors meanwhile",
        ]
        mixed = [row.figure.name for row in self.results.rows if not row.one_state]
        if mixed:
            lines.append(f"ratios between different states of the machine: {', '.join(mixed)}")
        return lines

    def _latencies(self) -> list[str]:
        latencies = self.results.latencies
        if not latencies:
            return []
        least, middle, most = latencies[0], latencies[len(latencies) // 2], latencies[-1]
        return [
            f"wake-up latency: {least:.1f} µs at least, {middle:.1f} median, {most:.1f} at most"
        ]

    def _segments(self) -> list[str]:
        """How large the (super-)segments were, by variant and direction."""
        lines = []
        for variant, values in self.counts.items():
            sizes = [
                f"{values[f'{way}.bytes'] / values[f'{way}.segments']:,.0f} bytes {way}"
                for way in ("down", "up")
                if values.get(f"{way}.segments")
            ]
            if sizes:
                heading = self.part.variants[variant]
                lines.append(f"mean segment, {heading}: {', '.join(sizes)}")
        return lines

    def tables(self) -> list[Table]:
        """The figures; those whose names begin with the same word share a table."""
        by_subject = groupby(self.results.rows, lambda row: row.figure.name.partition(".")[0])
        return [self._table(list(rows)) for _, rows in by_subject]

    def _table(self, rows: Sequence[Row]) -> Table:
        columns = [v for v in self.part.variants if any(v in row.medians for row in rows)]
        headings = ["", "unit", *(self.part.variants[variant] for variant in columns)]
        return Table(headings, [self._cells(row, columns) for row in rows], words=2)

    def _cells(self, row: Row, columns: Sequence[str]) -> list[str]:
        cells = [row.figure.title, UNITS[row.figure.unit]]
        for variant in columns:
            value, ratio = row.medians.get(variant), row.ratios.get((variant, self.part.yardstick))
            cell = "" if value is None else f"{value:,.{row.figure.digits}f}"
            cells.append(cell if ratio is None else f"{cell} ({ratio:.2f})")
        return cells

    def goals(self) -> Table:
        """What was hoped for, and whether it is met."""
        headings = ["goal", "bound", "aim", "measured", ""]
        rows = [
            self._goal(goal, value, row, variant)
            for goal, value in self.results.goals()
            for row in self.results.rows
            for variant in row.medians
            if goal.name.startswith(f"{row.figure.name}.{variant}.")
        ]
        return Table(headings, rows, words=1)

    def _goal(self, goal: Goal, value: float, row: Row, variant: str) -> list[str]:
        title = f"{row.figure.title}: {self.part.variants[variant]}"
        _, is_ratio, reference = goal.name.partition(".ratio_")
        if is_ratio:
            title += f" to {self.part.variants[reference]}"
        unit = "×" if is_ratio else UNITS[row.figure.unit]
        sign = "≥" if goal.at_least else "≤"
        aim = "" if goal.aim is None else f"{goal.aim:,g} {unit}"
        digits = 2 if is_ratio else row.figure.digits
        verdict = "met" if goal.met(value) else "missed"
        return [title, f"{sign} {goal.bound:,g} {unit}", aim, f"{value:,.{digits}f}", verdict]

    def chapter(self, about: Mapping[str, Any]) -> str:
        """The part as a chapter of the page."""
        measured = (
            f"Measured by `{about['command']}` (rounds: {self.effort.rounds}) with tunstack"
            f" {about['tunstack']} on Python {about['python']}, Linux {about['kernel']},"
            f" {about['processors']} × {about['processor']}."
        )
        goals = self.goals()
        lines = [
            f"## {self.part.title}",
            "",
            self.part.text,
            measured,
            "",
            *(line for table in self.tables() for line in table.markdown()),
            *(goals.markdown() if goals.rows else []),
            *(f"- {remark}" for remark in self.notes()),
            "",
        ]
        return "\n".join(lines)


def print_tables(measured: Measured, console: Console) -> None:
    """The figures as tables on the terminal, and the notes below."""
    console.width = max(console.width, WIDTH)
    for table in (*measured.tables(), measured.goals()):
        if table.rows:
            console.print(_for_terminal(table))
    console.print("\n".join(measured.notes()), highlight=False)


def _for_terminal(table: Table) -> rich.table.Table:
    shown = rich.table.Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for at, heading in enumerate(table.headings):
        shown.add_column(heading, justify="left" if at < table.words else "right", no_wrap=True)
    for row in table.rows:
        colour = {"met": "green", "missed": "red"}.get(row[-1])
        shown.add_row(*row[:-1], f"[{colour}]{row[-1]}[/]" if colour else row[-1])
    return shown


def write_markdown(
    path: Path, titles: Sequence[str], measured: Sequence[Measured], about: Mapping[str, Any]
) -> None:
    """Writes the page of the documentation, with chapters in the order of `titles`; those
    that were not measured stay as they are, and so does the picture.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    chapters = {
        chapter.partition("\n")[0].removeprefix("## "): f"{chapter.rstrip()}\n"
        for chapter in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    }
    chapters |= {part.part.title: part.chapter(about) for part in measured}
    kept = [title for title in chapters if title not in titles]
    ordered = [chapters[title] for title in [*titles, *kept] if title in chapters]
    shown = [SHOWN] if path.with_name(PICTURE).exists() else []
    path.write_text("\n".join([ABOUT, *shown, *ordered]), encoding="utf-8")


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_json(path: Path, measured: Sequence[Measured], about: Mapping[str, Any]) -> None:
    """The figures by name, the goals, and every sample, for programs."""
    document = {
        "environment": {
            **about,
            "effort": {part.part.name: asdict(part.effort) for part in measured},
            "others_share": {part.part.name: round(part.others, 3) for part in measured},
        },
        "figures": {
            name: value for part in measured for name, value in part.results.values.items()
        },
        "goals": {
            goal.name: asdict(goal) | {"value": value, "met": goal.met(value)}
            for part in measured
            for goal, value in part.results.goals()
        },
        "missing": {v: reason for part in measured for v, reason in part.missing.items()},
        "samples": [asdict(sample) for part in measured for sample in part.results.samples],
        "counters": {part.part.name: part.counts for part in measured},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
