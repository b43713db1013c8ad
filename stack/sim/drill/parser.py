"""A script file read into a `Script`: options, times, events.

The grammar is packetdrill's, as its documentation gives it. Packets are read in
`parse_packet`, system calls in `parse_call`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.errors import UsageError
from stack.sim.drill.code import check
from stack.sim.drill.errors import ScriptError
from stack.sim.drill.lexer import Kind
from stack.sim.drill.parse_call import read_call
from stack.sim.drill.parse_packet import read_packet
from stack.sim.drill.reader import Reader
from stack.sim.drill.script import (
    Action,
    Clock,
    Code,
    Command,
    Event,
    Expect,
    Inject,
    Script,
    When,
)
from stack.sim.drill.settings import Settings, with_command, with_option

MICROSECONDS = 1_000_000


def load(
    path: Path,
    options: Mapping[str, str] | None = None,
    definitions: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> Script:
    """Reads a script file. Raises UsageError when it cannot be read or parsed."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no script: it is not text in UTF-8") from error
    return parse(text, str(path), options, definitions, settings)


def parse(
    text: str,
    name: str = "script",
    options: Mapping[str, str] | None = None,
    definitions: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> Script:
    """Reads a script. `options` (without dashes) override its own, and so do `definitions` and
    the `settings` of the stack, each as NAME=VALUE.

    Raises ScriptError with the line that is wrong.
    """
    reader = Reader(text, name, definitions or {})
    chosen, notes = _initial_commands(reader, _options(reader))
    for option, value in [*(options or {}).items(), *(("set", text) for text in settings)]:
        chosen = with_option(chosen, option, value)
    reader.version = chosen.version
    events: list[Event] = []
    while reader.next.kind is not Kind.END:
        if reader.next.kind is Kind.COMMAND:
            _closing_command(reader)
            break
        events.append(_event(reader, first=not events))
    if not events:
        raise reader.error("the script has no events: add a line such as `0 socket(...) = 3`")
    return Script(name, chosen, tuple(events), notes)


def _options(reader: Reader) -> Settings:
    settings = Settings()
    while reader.next.kind is Kind.OPTION:
        token = reader.take()
        name = token.text.removeprefix("--")
        try:
            if name == "define":
                reader.define(*definition(token.value or ""))
            else:
                settings = with_option(settings, name, token.value)
        except UsageError as error:
            raise ScriptError(f"{reader.name}:{token.line}", str(error)) from None
    return settings


def definition(text: str) -> tuple[str, str]:
    """NAME and VALUE of `NAME=VALUE`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError(f"--define {text!r}: write NAME=VALUE")
    return name, value


def _initial_commands(reader: Reader, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Commands without a time, before the first event, set the host up."""
    notes: list[str] = []
    while reader.next.kind is Kind.COMMAND:
        token = reader.take()
        where = f"{reader.name}:{token.line}"
        try:
            settings, new = with_command(settings, token.text)
        except UsageError as error:
            raise ScriptError(where, str(error)) from None
        notes += [f"{where}: {note}" for note in new]
    return settings, tuple(notes)


def _closing_command(reader: Reader) -> None:
    """A command without a time at the end tidies a kernel up: here is none."""
    while reader.next.kind is Kind.COMMAND:
        reader.take()
    if reader.next.kind is not Kind.END:
        raise reader.error(
            f"{reader.next} behind the closing command: an event begins with its time"
        )


def _event(reader: Reader, *, first: bool) -> Event:
    start = reader.next
    when = _when(reader)
    if first and when.clock is Clock.RELATIVE:
        when = When(Clock.ABSOLUTE, when.earliest, when.latest)
    action, until = _action(reader, when)
    if until is not None:
        when = When(when.clock, when.earliest, when.latest, until)
    source = reader.text[start.start : reader.last.end]
    return Event(when, action, start.line, " ".join(source.split()))


def _when(reader: Reader) -> When:
    if reader.skip("*"):
        return When(Clock.ANY)
    clock = Clock.RELATIVE if reader.skip("+") else Clock.ABSOLUTE
    earliest = _time(reader)
    if not reader.skip("~"):
        return When(clock, earliest)
    if clock is Clock.RELATIVE:
        reader.expect("+", "the end of a relative range")
    latest = _time(reader)
    if latest < earliest:
        raise reader.error("the range ends before it begins: give the earlier time first")
    return When(clock, earliest, latest)


def _time(reader: Reader) -> int:
    """A number of seconds, in µs."""
    token = reader.next
    if token.kind not in (Kind.FLOAT, Kind.INTEGER):
        raise reader.error(
            f"{token} where a time should be: an event begins with one, such as `+.1` or `0`"
        )
    if token.text.startswith("-"):
        raise reader.error(f"{token}: time does not run backwards")
    reader.take()
    whole, _, fraction = token.text.partition(".")
    return int(whole or 0) * MICROSECONDS + int(fraction[:6].ljust(6, "0"))


def _action(reader: Reader, when: When) -> tuple[Action, int | None]:
    """The action, and the time at which it ends where it is a call that blocks."""
    token = reader.next
    if reader.skip(">"):
        return Expect(read_packet(reader, inbound=False)), None
    if when.latest is not None:
        raise reader.error("only a packet that is expected (`>`) can have a range of times")
    if reader.skip("<"):
        return Inject(read_packet(reader, inbound=True)), None
    if token.kind is Kind.CODE:
        wrong = check(reader.take().text)
        if wrong:
            raise reader.error(wrong, token.line)
        return Code(token.text), None
    if token.kind is Kind.COMMAND:
        return Command(reader.take().text), None
    until: int | None = None
    if reader.skip("..."):
        reader.skip("+")
        until = _time(reader)
        if until < when.earliest:
            raise reader.error("the call ends before it begins: give the later time behind `...`")
    if reader.next.kind is not Kind.WORD:
        raise reader.error(f"{reader.next} where an event should be: `<`, `>`, a call, or `%{{`")
    return read_call(reader), until
