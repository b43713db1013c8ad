"""From samples to figures: medians and ratios under names that stay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.benchmarks.figures import Figure, Goal, Part, Workload
from scripts.benchmarks.measure import Sample

SAME_STATE = 1.6
"""Wake-up latencies that differ by a smaller factor are one state of the machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its median for each variant, and the ratios of variants to references, the
    first of which is the part's yardstick.
    """

    figure: Figure
    medians: dict[str, float]
    ratios: dict[tuple[str, str], float]
    one_state: bool  # every ratio compares samples of one state of the machine


class Results:
    """The figures of a part. `values` has them all by name, such as
    `bulk.down.offload.ratio_veth`.
    """

    def __init__(self, part: Part, samples: Sequence[Sample]) -> None:
        self.part = part
        self.samples = samples
        self.latencies = sorted(sample.latency for sample in samples)
        rows = [
            self._row(figure, workload)
            for workload in part.workloads
            for figure in workload.figures
        ]
        self.rows = [row for row in rows if row.medians]
        self.values = {name: value for row in self.rows for name, value in self.named(row)}

    def _row(self, figure: Figure, workload: Workload) -> Row:
        ours = {
            variant: points
            for variant in self.part.variants_of(workload)
            if (points := self._points(figure, workload, variant))
        }
        medians = {v: median(p.value for p in points) for v, points in ours.items()}
        ratios, one_state = {}, True
        for reference in (self.part.yardstick, *self.part.references):
            others = [v for v in ours if v != reference and reference in ours]
            for variant in others:
                ratio, same = _ratio(ours[variant], ours[reference])
                ratios[variant, reference] = ratio
                one_state = one_state and same
        return Row(figure, medians, ratios, one_state)

    def _points(self, figure: Figure, workload: Workload, variant: str) -> list["Point"]:
        """In the order of the rounds."""
        return [
            Point(value, sample.latency)
            for sample in self.samples
            if (sample.workload, sample.variant) == (workload.name, variant)
            if (value := figure.read(sample.result)) is not None
        ]

    def named(self, row: Row) -> Iterable[tuple[str, float]]:
        """What a row holds, under names that stay."""
        for variant, value in row.medians.items():
            yield f"{row.figure.name}.{variant}.{row.figure.unit}", value
        for (variant, reference), value in row.ratios.items():
            yield f"{row.figure.name}.{variant}.ratio_{reference}", value

    def goals(self) -> list[tuple[Goal, float]]:
        """The goals that this run has figures for, with these."""
        measured = {sample.variant for sample in self.samples}
        return [
            (goal, self.values[goal.name])
            for goal in self.part.goals
            if goal.name in self.values and goal.without not in measured
        ]


@dataclass(frozen=True, slots=True)
class Point:
    """What one sample says of a figure, and the wake-up latency around it in µs."""

    value: float
    latency: float


def _ratio(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[float, bool]:
    """The median of the rounds' ratios, and whether each compares within one state."""
    pairs = list(zip(ours, theirs, strict=True))
    alike = [pair for pair in pairs if _same_state(*pair)]
    ratios = [mine.value / other.value for mine, other in alike or pairs]
    return median(ratios), bool(alike)


def _same_state(one: Point, other: Point) -> bool:
    fast, slow = sorted((one.latency, other.latency))
    return slow < SAME_STATE * fast
