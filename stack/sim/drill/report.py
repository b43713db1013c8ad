"""What is told of a script that was run."""

from collections.abc import Iterator

from stack.core.events import PacketReceived, PacketSent
from stack.observe.trace import TextTrace
from stack.sim.drill import notation
from stack.sim.drill.machine import START
from stack.sim.drill.runner import Failure, Outcome

_LINES_MAX = 60


def report(outcome: Outcome, *, trace: bool = False, colour: bool = False) -> list[str]:
    """Lines about a script: `ok`, or what went wrong and the packets that led there.

    With `trace` the packets are shown of a script that passed, too.
    """
    failure = outcome.failure
    lines = list(outcome.notes)
    name = outcome.script.name
    if failure is None:
        lines.append(f"ok    {name}")
    else:
        lines += _failure_lines(name, failure)
    if failure is not None or trace:
        lines += ["", *_trace_lines(outcome, colour=colour), ""]
    return lines


def _failure_lines(name: str, failure: Failure) -> list[str]:
    line = str(failure.event.line)
    return [
        f"FAIL  {name}:{line}: {failure.what}",
        "",
        f"  {line} | {failure.event.source}",
        "",
        *failure.details,
    ]


def summary(outcomes: list[Outcome]) -> str:
    """How many of several scripts passed."""
    failed = sum(1 for outcome in outcomes if outcome.failure is not None)
    scripts = "1 script" if len(outcomes) == 1 else f"{len(outcomes)} scripts"
    return f"{scripts}: {len(outcomes) - failed} passed, {failed} failed"


def _trace_lines(outcome: Outcome, *, colour: bool) -> Iterator[str]:
    text: list[str] = []
    settings = outcome.script.settings
    trace = TextTrace(text.append, colour=colour, ours=[settings.local])
    first: int | None = None
    for event in outcome.seen:
        if first is None and isinstance(event, PacketSent | PacketReceived):
            first = event.now - START
        trace(event)
    trace.flush()
    if first is None:
        yield "  no packet was sent or received"
        return
    lines = "".join(text).splitlines()
    yield f"  the packets that led there; time 0 is {notation.seconds(first)} in the script:"
    if len(lines) > _LINES_MAX:
        yield f"  … {len(lines) - _LINES_MAX} lines before these"
    yield from lines[-_LINES_MAX:]
