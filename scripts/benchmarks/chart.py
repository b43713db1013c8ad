"""The picture of the page: how much of the kernel's speed each stack has, by workload."""

from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.figures import Part
from scripts.benchmarks.results import Results, Row

ALT = "How many times as fast as the kernel's own TCP each stack is, by workload"
COLUMNS = 2
WIDTH = 9.0  # inches
BAR = 0.24  # inches of height that a bar takes
TITLE = 0.6  # inches that a panel takes besides its bars
LEGEND = 0.3  # inches below all panels

KERNELS, OURS, OTHERS, GOAL = "#9aa0a6", "#1a73e8", "#e8833a", "black"
COLOURS = {
    **dict.fromkeys(("veth_plain", "asyncio"), KERNELS),
    **dict.fromkeys(("lwip", "gvisor", "gvisor_plain"), OTHERS),
}
"""Of the variants; ours have the one that is left."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A workload: how many times as good as the yardstick each variant is, and the goals."""

    title: str
    speeds: dict[str, float]
    goals: dict[str, float]


def panels(results: Results) -> list[Panel]:
    """One for the first figure of each workload that compares with the part's yardstick."""
    first = {workload.figures[0].name for workload in results.part.workloads}
    found = [_panel(results, row) for row in results.rows if row.figure.name in first]
    return [panel for panel in found if panel.speeds]


def _panel(results: Results, row: Row) -> Panel:
    yardstick = results.part.yardstick

    def speed(ratio: float) -> float:
        return ratio if row.figure.more_is_better else 1 / ratio

    ratios = {v: ratio for (v, reference), ratio in row.ratios.items() if reference == yardstick}
    goals = {goal.name: goal.bound for goal, _ in results.goals()}
    bounds = {v: goals.get(f"{row.figure.name}.{v}.ratio_{yardstick}") for v in ratios}
    return Panel(
        row.figure.title,
        {variant: speed(ratio) for variant, ratio in ratios.items()},
        {variant: speed(bound) for variant, bound in bounds.items() if bound is not None},
    )


def draw(path: Path, results: Results) -> None:
    """Writes the picture as SVG, the same one for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = panels(results)
    rows = [shown[at : at + COLUMNS] for at in range(0, len(shown), COLUMNS)]
    heights = [TITLE + BAR * max(len(panel.speeds) + 1 for panel in row) for row in rows]
    settings = {"svg.fonttype": "none", "svg.hashsalt": "tunstack", "font.size": 9}
    with mpl.rc_context(settings):
        size = (WIDTH, sum(heights) + LEGEND)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        axes = figure.subplots(len(rows), COLUMNS, squeeze=False, height_ratios=heights)
        for row, places in zip(rows, axes, strict=True):
            for place in places[len(row) :]:
                place.set_axis_off()
            for panel, place in zip(row, places, strict=False):
                _draw_panel(place, panel, results.part)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path, metadata={"Date": None})


# Parameters without types are matplotlib's, which is not always there.
def _draw_panel(axes, panel: Panel, part: Part) -> None:  # noqa: ANN001
    speeds = {part.yardstick: 1.0, **panel.speeds}
    most = max([*speeds.values(), *panel.goals.values()])
    for at, (name, speed) in enumerate(speeds.items()):
        axes.barh(at, speed, color=_colour(name, part), height=0.7)
        goal = panel.goals.get(name, 0)
        if goal:
            axes.plot([goal, goal], [at - 0.45, at + 0.45], color=GOAL, linewidth=1.5)
        end = goal if speed < goal < speed + most / 8 else speed
        axes.text(end + most / 60, at, f"{speed:.2f}", verticalalignment="center")
    axes.axvline(1, color=KERNELS, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yticks(range(len(speeds)), [part.variants[name] for name in speeds])
    axes.set_title(panel.title, loc="left", fontweight="bold", fontsize="medium")
    axes.set_xlim(0, 1.15 * most)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _colour(variant: str, part: Part) -> str:
    return KERNELS if variant == part.yardstick else COLOURS.get(variant, OURS)


def _legend() -> list:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = (("the kernel's TCP", KERNELS), ("this stack", OURS), ("others", OTHERS))
    goal = Line2D([], [], color=GOAL, marker="|", linestyle="none", markersize=9, label="goal")
    return [*(Patch(color=colour, label=name) for name, colour in names), goal]
