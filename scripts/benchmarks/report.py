"""The figures for people and for programs."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.figures import UNITS, Effort, Part
from scripts.benchmarks.results import Results, Row

LEFT = {0, 1}  # columns of words
WIDTH = 116  # characters that the table needs

Counts = Mapping[str, Mapping[str, int]]

ABOUT = """\
# Performance

Written by `scripts/bench --write`; `scripts/bench --help` says how to measure parts of it.

What is compared takes turns on the same machine in the same run. Figures are medians over
all rounds, and *×* is the median of the ratios to the first column within each round. The
time in which a sleeping processor wakes up is a state of a virtual machine that changes by
itself, so it is measured around each sample, and ratios leave out rounds in which it
changed, where there are others.
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
class Measured:
    """A part with its figures, what servers counted, and the share of the processors that
    other programs used meanwhile (0 to 1).
    """

    results: Results
    counts: Counts
    effort: Effort
    others: float

    @property
    def part(self) -> Part:
        return self.results.part

    def notes(self) -> list[str]:
        """What helps to judge the figures: the size of segments, the state of the machine."""
        latencies = self.results.latencies
        least, most = latencies[0], latencies[-1]
        middle = latencies[len(latencies) // 2]
        lines = [
            *self._segments(),
            f"wake-up latency: {least:.1f} µs at least, {middle:.1f} median, {most:.1f} at most",
            f"other programs used {self.others:.0%} of the processors meanwhile",
        ]
        mixed = [row.figure.name for row in self.results.rows if not row.one_state]
        if mixed:
            lines.append(f"ratios between different states of the machine: {', '.join(mixed)}")
        return lines

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

    def headings(self) -> list[str]:
        first, *others = self.part.variants.values()
        ours = [column for heading in others for column in (heading, "×")]
        return ["", "unit", first, *ours, "goal"]

    def cells(self, row: Row) -> list[str]:
        figure = row.figure
        cells = [figure.title, UNITS[figure.unit]]
        for variant in self.part.variants:
            measured = variant in row.medians
            cells.append(f"{row.medians[variant]:,.{figure.digits}f}" if measured else "")
            if variant != self.part.yardstick:
                cells.append(f"{row.ratios[variant]:.2f}" if variant in row.ratios else "")
        return [*cells, self._goal(row)]

    def _goal(self, row: Row) -> str:
        """The goal of this row and whether it is met."""
        values = dict(self.results.named(row))
        for goal in self.part.goals:
            if goal.name in values:
                unit = "×" if ".ratio_" in goal.name else UNITS[row.figure.unit]
                verdict = "met" if goal.met(values[goal.name]) else "missed"
                return f"{'≥' if goal.at_least else '≤'} {goal.bound:,g} {unit}: {verdict}"
        return ""

    def chapter(self, about: Mapping[str, Any]) -> str:
        """The part as a chapter of the page."""
        headings = self.headings()
        rules = ["---" if index in LEFT else "---:" for index in range(len(headings) - 1)]
        measured = (
            f"Measured by `{about['command']}` (rounds: {self.effort.rounds}) with tunstack"
            f" {about['tunstack']} on Python {about['python']}, Linux {about['kernel']},"
            f" {about['processors']} × {about['processor']}."
        )
        lines = [
            f"## {self.part.title}",
            "",
            self.part.text,
            measured,
            "",
            _markdown_row(headings),
            _markdown_row([*rules, "---"]),
            *(_markdown_row(self.cells(row)) for row in self.results.rows),
            "",
            *(f"- {remark}" for remark in self.notes()),
            "",
        ]
        return "\n".join(lines)


def print_table(measured: Measured, console: Console) -> None:
    """The figures as a table on the terminal, and the notes below."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    headings = measured.headings()
    for index, heading in enumerate(headings):
        words = index in LEFT or index == len(headings) - 1
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for row in measured.results.rows:
        cells = measured.cells(row)
        colour = {"met": "green", "missed": "red"}.get(cells[-1].rpartition(": ")[2])
        cells[-1] = f"[{colour}]{cells[-1]}[/]" if colour else cells[-1]
        table.add_row(*cells)
    console.width = max(console.width, WIDTH)
    console.print(table)
    console.print("\n".join(measured.notes()), highlight=False)


def write_markdown(
    path: Path, titles: Sequence[str], measured: Sequence[Measured], about: Mapping[str, Any]
) -> None:
    """Writes the page of the documentation, with chapters in the order of `titles`; those
    that were not measured stay as they are.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    chapters = {
        chapter.partition("\n")[0].removeprefix("## "): f"{chapter.rstrip()}\n"
        for chapter in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    }
    chapters |= {part.part.title: part.chapter(about) for part in measured}
    kept = [title for title in chapters if title not in titles]
    ordered = [chapters[title] for title in [*titles, *kept] if title in chapters]
    path.write_text("\n".join([ABOUT, *ordered]), encoding="utf-8")


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
        "samples": [asdict(sample) for part in measured for sample in part.results.samples],
        "counters": {name: counts for part in measured for name, counts in part.counts.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
