"""Writes a script from a capture of one connection, and makes sure that it passes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from stack.errors import UsageError
from stack.sim.drill.captured import Captured, captured
from stack.sim.drill.parser import parse
from stack.sim.drill.rewrite import Guess, Rewriter
from stack.sim.drill.runner import Failure, run
from stack.sim.drill.settings import DEFAULT_TOLERANCE

# How far (µs) a real machine's events may lie off those of virtual time.
_TOLERANCES = (DEFAULT_TOLERANCE, 20_000, 100_000)
# `gather` and `prompt` of a guess.
_PACES = ((200, 2_000), (0, 2_000), (200, 20_000), (2_000, 20_000), (20_000, 100_000))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A script: its text, whether it passes, and a line about that."""

    text: str
    passes: bool
    remark: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    guess: Guess
    text: str
    failure: Failure | None

    @property
    def reach(self) -> int:
        """How many lines came true."""
        return 1 << 62 if self.failure is None else self.failure.event.line


def record(path: Path, *, address: str | None = None, connection: int | None = None) -> Recorded:
    """The script of a connection in a capture file; `address` is our side of it.

    The application's calls are inferred, by trying which of them lead to the segments of
    the capture. Raises UsageError when the file holds no connection to be recorded.
    """
    found = captured(path, address, connection)
    best: _Attempt | None = None
    for guess in _guesses():
        attempt = _try(found, guess, path.name)
        if best is None or attempt.reach > best.reach:
            best = attempt
        if attempt.failure is None:
            break
    assert best is not None
    return _told(best, len(found.segments))


def _guesses() -> Iterator[Guess]:
    """From the most exact to the loosest."""
    for windows, tolerance in product((True, False), _TOLERANCES):
        for reads, nodelay, closes, (gather, prompt) in product(
            (True, False), (False, True), (False, True), _PACES
        ):
            yield Guess(
                gather=gather,
                prompt=prompt,
                nodelay=nodelay,
                reads=reads,
                windows=windows,
                closes=closes,
                tolerance=tolerance,
            )


def _try(found: Captured, guess: Guess, name: str) -> _Attempt:
    remark = f"Recorded from {name}: what our side sent when the peer sent this."
    text = Rewriter(found, guess).text(remark)
    try:
        outcome = run(parse(text, name))
    except UsageError as error:
        raise UsageError(f"the connection cannot be replayed here: {error}") from error
    return _Attempt(guess, text, outcome.failure)


def _told(best: _Attempt, packets: int) -> Recorded:
    if best.failure is None:
        exact = "" if best.guess.windows else ", windows left open"
        tolerance = best.guess.tolerance // 1_000
        remark = f"{packets} packets; passes within {tolerance} ms{exact}"
        return Recorded(best.text, True, remark)
    failure = best.failure
    remark = f"{packets} packets; this stack leaves it in line {failure.event.line}: {failure.what}"
    return Recorded(best.text, False, remark)
