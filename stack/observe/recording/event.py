"""Events of a recording, and how they read."""

from dataclasses import dataclass
from typing import Any

from stack.core.ready import Ready
from stack.core.udp.settings import IpSettings
from stack.observe.recording.surface import Input
from stack.observe.recording.values import Digest, Offered, Packets, Ref, Room
from stack.observe.trace import seconds

_SHOWN = 48  # characters of a text


@dataclass(frozen=True, slots=True)
class Event:
    """One input: its number, from 1 on, its time (µs), what is called on whom, and with what.
    `depth` is above 0 for what an application does while the host calls it.
    """

    number: int
    now: int
    what: Input
    target: int
    args: tuple[Any, ...]
    given: dict[str, Any]
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an event: a result, or with `failed` an exception (kind, errno, text)."""

    value: Any
    failed: bool = False


def event_line(event: Event, done: Outcome | None, zero: int) -> str:
    """An event with its number and its time since `zero` (µs), and what came of it."""
    came = " (the recording ends before its result)" if done is None else _came_of(event, done)
    time = seconds(event.now - zero) if event.now else ""  # nothing has told the time yet
    return f"{event.number:>6}  {time:>10}  {'  ' * event.depth}{event_text(event)}{came}"


def event_text(event: Event) -> str:
    """What is called on whom, and with what."""
    who = "" if event.target == 0 else f"{_object(event)}."
    if event.what.assigned:
        if event.what.name in ("ipv4", "ipv6"):
            field, value = event.args
            return f"{who}{event.what.name}.{field} = {_text(value)}"
        return f"{who}{event.what.name} = {_text(event.args[0])}"
    args = [_text(value) for value in event.args]
    args += [f"{name}={_text(value)}" for name, value in event.given.items()]
    return f"{who}{event.what.name}({', '.join(args)})"


def _object(event: Event) -> str:
    kind = event.what.of.__name__.removeprefix("Udp").lower()
    return f"{kind} {abs(event.target)}"


def _came_of(event: Event, done: Outcome) -> str:
    if not done.failed and event.what.name == "events":
        told = (f"{_text(source)} {Ready(ready).name}" for source, ready in done.value)
        return f" → {', '.join(told)}"
    return "" if not done.failed and done.value is None else f" → {outcome_text(done)}"


def outcome_text(done: Outcome) -> str:
    """A result, or an exception."""
    if done.failed:
        kind, _, text = done.value
        return f"{kind}: {text}"
    return _text(done.value)


def difference(recorded: Outcome, replayed: Outcome) -> tuple[str, str]:
    """Where two outcomes differ first."""
    found = _packets_differ(recorded.value, replayed.value)
    return found or (outcome_text(recorded), outcome_text(replayed))


def _packets_differ(recorded: Any, replayed: Any) -> tuple[str, str] | None:
    """Where two lists of packets differ first; None for what are no such lists."""
    lists = (recorded, replayed)
    if not all(_are_packets(value) for value in lists) or not any(lists):
        return None
    at = 0
    while at < min(map(len, lists)) and recorded[at] == replayed[at]:
        at += 1
    first, second = (
        f"packet {at + 1} of {len(value)} with {value[at].length} bytes"
        if at < len(value)
        else f"no packet {at + 1}"
        for value in lists
    )
    same = " with other content" if first == second else ""
    return first, second + same


def _are_packets(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Digest) for item in value)


def _text(value: Any) -> str:
    if isinstance(value, Packets):
        return _packets([len(data) for data, _, _ in value.packets])
    if isinstance(value, tuple) and value and _are_packets(value):
        return _packets([one.length for one in value])
    if isinstance(value, Ref):
        return "listener " + str(-value.number) if value.number < 0 else str(value.number)
    if isinstance(value, (Digest, Offered, Room)):
        return f"{value[0]} bytes"
    if isinstance(value, IpSettings):
        return f"ttl={value.ttl}"
    if isinstance(value, tuple) and not isinstance(value, Ref):
        return f"({', '.join(map(_text, value))})" if value else "nothing"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _packets(lengths: list[int]) -> str:
    plural = "" if len(lengths) == 1 else "s"
    return f"{len(lengths)} packet{plural}, {sum(lengths)} bytes"
