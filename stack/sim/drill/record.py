"""Writes a script from a capture of one connection, and makes sure that it passes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    """A script: its text, whether all of it passes, and a line about that."""

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
    best = _climb(found, path.name)
    if best.failure is None:
        best = _tighten(found, best, path.name)
    return _told(best, len(found.segments))


def _climb(found: Captured, name: str) -> _Attempt:
    """From the likeliest guess on, changes one thing at a time as long as more lines come
    true: what one line needs is settled before the next one matters.
    """
    best = _try(found, Guess(), name)
    tried = {best.guess}
    improved = True
    while best.failure is not None and improved:
        improved = False
        for guess in _neighbours(best.guess):
            if guess in tried:
                continue
            tried.add(guess)
            attempt = _try(found, guess, name)
            if attempt.reach > best.reach:
                best, improved = attempt, True
                break
    return best


def _neighbours(guess: Guess) -> Iterator[Guess]:
    """Guesses that differ in one thing, the exact ones first."""
    for gather, prompt in _PACES:
        yield replace(guess, gather=gather, prompt=prompt)
    yield replace(guess, reads=not guess.reads)
    yield replace(guess, nodelay=not guess.nodelay)
    yield replace(guess, closes=not guess.closes)
    for tolerance in _TOLERANCES:
        yield replace(guess, tolerance=tolerance)
    yield replace(guess, windows=False)


def _tighten(found: Captured, passing: _Attempt, name: str) -> _Attempt:
    """What was loosened on the way may turn out to be needless."""
    for windows, tolerance in product((True, False), _TOLERANCES):
        guess = replace(passing.guess, windows=windows, tolerance=tolerance)
        if guess == passing.guess:
            break
        attempt = _try(found, guess, name)
        if attempt.failure is None:
            return attempt
    return passing


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
    line = failure.event.line
    remark = f"{packets} packets; this stack leaves it in line {line}: {failure.what}"
    return Recorded(_cut(best.text, line, failure.what), False, remark)


def _cut(text: str, line: int, what: str) -> str:
    """The script up to what this stack does otherwise; the rest stays to be read."""
    lines = text.splitlines()
    kept, rest = lines[: line - 1], lines[line - 1 :]
    note = ["", f"// Here this stack does something else: {what}"]
    return "\n".join([*kept, *note, *(f"// {one}" for one in rest)]) + "\n"
