"""From samples to figures: medians and ratios under names that stay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.benchmarks.figures import Figure, Goal, Part
from scripts.benchmarks.measure import Sample

SAME_STATE = 1.6
"""Wake-up latencies that differ by a smaller factor are one state of the machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its median for each variant, and the ratio to the part's yardstick."""

    figure: Figure
    medians: dict[str, float]
    ratios: dict[str, float]
    one_state: bool  # every ratio compares samples of one state of the machine


class Results:
    """The figures of a part. `values` has them all by name, such as
    `bulk.down.offload.ratio_veth`.
    """

    def __init__(self, part: Part, samples: Sequence[Sample]) -> None:
        self.part = part
        self.samples = samples
        self.latencies = sorted(sample.latency for sample in samples)
        self.rows = [
            self._row(figure, workload.name)
            for workload in part.workloads
            for figure in workload.figures
            if any(sample.workload == workload.name for sample in samples)
        ]
        self.values = {name: value for row in self.rows for name, value in self.named(row)}

    def _row(self, figure: Figure, workload: str) -> Row:
        medians, ratios, one_state = {}, {}, True
        yardstick = self._of(workload, self.part.yardstick)
        for variant in self.part.variants:
            ours = self._of(workload, variant)
            if not ours:
                continue
            medians[variant] = median(figure.read(sample.result) for sample in ours)
            if variant != self.part.yardstick and yardstick:
                ratios[variant], same = _ratio(figure, ours, yardstick)
                one_state = one_state and same
        return Row(figure, medians, ratios, one_state)

    def _of(self, workload: str, variant: str) -> list[Sample]:
        """In the order of the rounds."""
        return [s for s in self.samples if (s.workload, s.variant) == (workload, variant)]

    def named(self, row: Row) -> Iterable[tuple[str, float]]:
        """What a row holds, under names that stay."""
        for variant, value in row.medians.items():
            yield f"{row.figure.name}.{variant}.{row.figure.unit}", value
        for variant, value in row.ratios.items():
            yield f"{row.figure.name}.{variant}.ratio_{self.part.yardstick}", value

    def goals(self) -> list[tuple[Goal, float]]:
        """The goals that this run has figures for, with these."""
        return [
            (goal, self.values[goal.name]) for goal in self.part.goals if goal.name in self.values
        ]


def _ratio(
    figure: Figure, ours: Sequence[Sample], yardstick: Sequence[Sample]
) -> tuple[float, bool]:
    """The median of the rounds' ratios, and whether each compares within one state."""
    pairs = list(zip(ours, yardstick, strict=True))
    alike = [pair for pair in pairs if _same_state(*pair)]
    ratios = [
        figure.read(mine.result) / figure.read(theirs.result) for mine, theirs in alike or pairs
    ]
    return median(ratios), bool(alike)


def _same_state(one: Sample, other: Sample) -> bool:
    fast, slow = sorted((one.latency, other.latency))
    return slow < SAME_STATE * fast
