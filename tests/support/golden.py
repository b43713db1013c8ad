"""Makes the table of what each algorithm carries on simulated paths, beside its theory.

    scripts/golden          prints the table
    scripts/golden --write  writes tests/sim/golden/throughput.md, and the same into docs/simulation.md

Seeds are fixed and time is virtual, so a figure only moves when the stack or the simulator
does: then it is written anew, and the change is seen in the diff.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

from stack.sim.bulk import Bulk, throughput
from stack.sim.response import cubic_window, rate, reno_window
from tests.support.paths import HEADERS, MBIT, MS, SECOND, SEGMENT, TEXT, path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "sim" / "golden" / "throughput.md"
GUIDE = ROOT / "docs" / "simulation.md"
BEGIN, END = "<!-- golden table -->\n", "<!-- end -->\n"

RATES = (10, 100)  # Mbit/s
ROUND_TRIPS = (10, 40, 120)  # ms
LOSSES = (0.0, 0.0001, 0.001, 0.01)
ALGORITHMS = ("reno", "cubic", "bbr")
HEAD = (
    "| Mbit/s | RTT ms | loss % | Reno | Mathis | CUBIC | RFC 9438 | BBR |\n"
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
)
_SETTLING, _MEASURED = 4, 30  # losses
_MOST = 50_000  # segments that a figure is the average of


@dataclass(frozen=True)
class Place:
    """A line of the table: rate in Mbit/s, round-trip time in ms, share of segments lost."""

    rate: int
    rtt: int
    loss: float

    @property
    def key(self) -> str:
        """How its line begins."""
        return f"| {self.rate} | {self.rtt} | {self.loss * 100:g} |"


PLACES = [Place(rate, rtt, loss) for rate in RATES for rtt in ROUND_TRIPS for loss in LOSSES]
CHEAP = [Place(10, 40, 0.0), Place(10, 40, 0.01), Place(10, 120, 0.01)]


def theory(place: Place, algorithm: str) -> float:
    """Mbit/s of text: the response function, or what the link takes."""
    link = place.rate * TEXT
    if not place.loss or algorithm == "bbr":
        return link
    rtt = place.rtt * MS
    own = cubic_window(place.loss, rtt) if algorithm == "cubic" else reno_window(place.loss)
    return min(link, rate(own, rtt, SEGMENT - HEADERS) / MBIT)


def measure(place: Place, algorithm: str) -> float:
    """Mbit/s of text, once the start has passed."""
    net, sender, receiver = path(
        rate=place.rate * MBIT,
        delay=place.rtt * MS // 2,
        loss=place.loss,
        congestion=algorithm,
    )
    flow = Bulk(net, sender, receiver)
    warm_up, span = times(place, algorithm)
    (carried,) = throughput(net, [flow], warm_up=warm_up, span=span)
    return carried / MBIT


def times(place: Place, algorithm: str) -> tuple[int, int]:
    """(how long a flow settles, how long it is measured) in µs: some losses where these are
    the limit, some of its rounds of probing where BBR sees losses.
    """
    settle = max(2 * SECOND, 25 * place.rtt * MS)
    span = max(SECOND, 20 * place.rtt * MS)
    expected = theory(place, algorithm)
    if expected < place.rate * TEXT:
        every = SEGMENT * 8 / place.loss / expected  # µs from loss to loss
        settle = max(settle, int(_SETTLING * every))
        span = max(span, int(min(_MEASURED * every, _MOST * SEGMENT * 8 / expected)))
    elif algorithm == "bbr" and place.loss:
        settle, span = max(settle, 4 * SECOND), max(span, 3 * SECOND)
    return settle, span


def cell(job: tuple[Place, str]) -> str:
    """A figure as the table shows it."""
    return f"{measure(*job):.2f}"


def line(place: Place, figures: Iterable[str]) -> str:
    """The line of a place, from the figures of the algorithms in their order."""
    reno, cubic, bbr = figures
    mathis, own = (f"{theory(place, name):.2f}" for name in ("reno", "cubic"))
    return f"{place.key} {reno} | {mathis} | {cubic} | {own} | {bbr} |\n"


def table(places: list[Place]) -> str:
    """The table of these places, worked out by as many processes as there are cores."""
    jobs = [(place, algorithm) for place in places for algorithm in ALGORITHMS]
    with Pool() as pool:
        figures = pool.map(cell, jobs, chunksize=1)
    step = len(ALGORITHMS)
    lines = [line(place, figures[n * step : (n + 1) * step]) for n, place in enumerate(places)]
    return HEAD + "".join(lines)


def shown_in(guide: str) -> str:
    """The table that docs/simulation.md shows."""
    return guide.partition(BEGIN)[2].partition(END)[0]


def write(text: str) -> None:
    """Puts the table where it belongs."""
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text)
    guide = GUIDE.read_text()
    before, begin, rest = guide.partition(BEGIN)
    _, end, after = rest.partition(END)
    GUIDE.write_text(before + begin + text + end + after)


def main(arguments: list[str]) -> None:
    text = table(PLACES)
    if arguments == ["--write"]:
        write(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
