"""Runs a script against a host in virtual time."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from stack.core.events import Event as HostEvent
from stack.errors import UsageError
from stack.sim.drill import compare, notation, syscalls
from stack.sim.drill.code import Snippets
from stack.sim.drill.errors import Mismatch, ScriptError
from stack.sim.drill.flow import Flow
from stack.sim.drill.kernel import Kernel, Running, argument, at_once
from stack.sim.drill.machine import Machine, Sent
from stack.sim.drill.script import (
    Call,
    Clock,
    Code,
    Command,
    Event,
    Expect,
    IcmpSpec,
    Inject,
    PacketSpec,
    Script,
    TcpSpec,
    UdpSpec,
)
from stack.sim.drill.settings import with_command
from stack.sim.drill.values import number_or_none
from stack.wire.segment import URG

# How long (µs) a packet that does not come in time is waited for, so that a failure can
# tell by how much it is late.
_GRACE = 120_000_000


@dataclass(frozen=True, slots=True)
class Failure:
    """Where and how the stack left the script; `time` is in µs of the script."""

    event: Event
    time: int
    what: str
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a script: its failure or None, notes on it, and all that the host did."""

    script: Script
    failure: Failure | None
    notes: tuple[str, ...]
    seen: tuple[HostEvent, ...]
    duration: int  # µs of virtual time


@dataclass(slots=True)
class _Blocked:
    """A call that waits; `end` is when it must return (µs of the script)."""

    event: Event
    call: Call
    running: Running
    end: int
    wake: int | None


class _Stopped(Exception):
    """A mismatch that belongs to another line than the one under way."""

    def __init__(self, event: Event, mismatch: Mismatch) -> None:
        super().__init__(mismatch.what)
        self.event = event
        self.mismatch = mismatch


def run(script: Script, *, strict: bool = False) -> Outcome:
    """Runs a script. With `strict`, packets that no line expects are a failure at the end, too.

    Raises ScriptError when the script asks for what cannot be.
    """
    return _Runner(script, strict=strict).run()


class _Runner:
    def __init__(self, script: Script, *, strict: bool) -> None:
        self._script = script
        self._strict = strict
        self._settings = script.settings
        try:
            self._machine = Machine(script.settings)
        except UsageError as error:
            raise ScriptError(script.name, str(error)) from None
        machine = self._machine
        self._kernel = Kernel(machine.sockets, script.settings, lambda: machine.now)
        self._snippets = Snippets()
        self._blocked: list[_Blocked] = []
        self._last = 0  # when the event before was, in µs of the script
        self._notes = list(script.notes)
        machine.resume = self._resume
        machine.wakes = self._wakes
        machine.bound_port = lambda: self._kernel.bound_port

    def run(self) -> Outcome:
        failure: Failure | None = None
        event = self._script.events[0]
        try:
            for event in self._script.events:
                self._event(event)
            self._end()
        except _Stopped as stopped:
            failure = self._failure(stopped.event, stopped.mismatch)
        except Mismatch as mismatch:
            failure = self._failure(event, mismatch)
        except UsageError:
            raise
        except Exception as error:
            failure = self._failure(event, _broken(error))
        machine = self._machine
        return Outcome(self._script, failure, tuple(self._notes), tuple(machine.seen), machine.time)

    def _failure(self, event: Event, mismatch: Mismatch) -> Failure:
        return Failure(event, self._machine.time, mismatch.what, mismatch.details)

    def _end(self) -> None:
        """What still waits gets its time; what was sent and not expected is told."""
        machine = self._machine
        while self._blocked:
            self._advance(max(blocked.end for blocked in self._blocked) + 1)
        self._advance(machine.time)
        if self._strict and machine.sent:
            self._unexpected(machine.sent[0])

    def _unexpected(self, sent: Sent) -> NoReturn:
        line = f"  {notation.seconds(sent.time)} > {notation.packet(sent.spec)}"
        raise Mismatch("the script ends, but the host has sent more", (line,))

    # Events.

    def _event(self, event: Event) -> None:
        action = event.action
        if isinstance(action, Expect):
            self._expect(event, action.packet)
            return
        time = self._time_of(event)
        self._advance(time, arriving=isinstance(action, Inject))
        if isinstance(action, Inject):
            self._inject(action.packet)
        elif isinstance(action, Call):
            self._call(event, action, time)
        elif isinstance(action, Code):
            self._run_code(action)
        else:
            self._command(event, action)
        self._last = time

    def _time_of(self, event: Event) -> int:
        """The earliest time of an event in µs of the script."""
        when = event.when
        if when.clock is Clock.ANY:
            return self._machine.time
        return when.earliest + (self._last if when.clock is Clock.RELATIVE else 0)

    def _advance(self, time: int, *, arriving: bool = False) -> None:
        """Lets time pass; a call that should have returned meanwhile is a mismatch."""
        while True:
            limit = min((self._latest_end(blocked) for blocked in self._blocked), default=time)
            self._machine.advance(min(time, limit), arriving=arriving and time <= limit)
            self._check_blocked()
            if limit >= time:
                return

    def _latest_end(self, blocked: _Blocked) -> int:
        return blocked.end + self._settings.tolerance

    def _check_blocked(self) -> None:
        for blocked in self._blocked:
            if self._machine.time >= self._latest_end(blocked):
                end = notation.seconds(blocked.end)
                mismatch = Mismatch(f"{blocked.call.name} still blocks; it should return at {end}")
                raise _Stopped(blocked.event, mismatch)

    # Packets.

    def _inject(self, spec: PacketSpec) -> None:
        machine = self._machine
        ports = None if isinstance(spec, IcmpSpec) else spec.ports
        if ports is not None:
            machine.current = machine.flow(ports[1], ports[0])
        if isinstance(spec, TcpSpec) and spec.flags & URG:
            self._kernel.patterned = False
        machine.inject(spec, machine.current_flow())

    def _expect(self, event: Event, expected: PacketSpec) -> None:
        """Waits for a packet and compares it and its time with the line."""
        machine = self._machine
        when = event.when
        time = self._time_of(event)
        latest = time
        if when.latest is not None:
            latest = when.latest + (self._last if when.clock is Clock.RELATIVE else 0)
        if when.clock is not Clock.ANY:
            self._advance(time)
        if not machine.sent:
            machine.run(lambda: bool(machine.sent), max(latest, machine.time) + _GRACE)
        if not machine.sent:
            raise Mismatch("no packet was sent", self._only(expected))
        sent = self._take(expected)
        off = 0 if when.clock is Clock.ANY else _off(sent.time, time, latest)
        late = not self._settings.tolerates(off, max(time - self._last, 0))
        self._compare(expected, sent, (time, latest), late=late)
        self._last = time if when.exact else sent.time

    def _only(self, expected: PacketSpec) -> tuple[str, ...]:
        return (
            f"  expected  > {notation.packet(expected, self._settings.version)}",
            "  actual    nothing",
        )

    def _take(self, expected: PacketSpec) -> Sent:
        """The next packet, or as many segments of one burst as the line covers."""
        machine = self._machine
        sent = machine.sent.popleft()
        while isinstance(expected, TcpSpec) and isinstance(sent.spec, TcpSpec) and machine.sent:
            following = machine.sent[0].spec
            if expected.length <= sent.spec.length or not isinstance(following, TcpSpec):
                break
            both = compare.joined(sent.spec, following)
            if both is None:
                break
            machine.sent.popleft()
            sent = replace(sent, spec=both)
        return sent

    def _compare(
        self, expected: PacketSpec, sent: Sent, times: tuple[int, int], *, late: bool
    ) -> None:
        settings = self._settings
        actual = sent.spec
        if sent.flow and not isinstance(expected, IcmpSpec):
            expected = self._with_ports(expected, sent.flow)
        if isinstance(expected, TcpSpec) and isinstance(actual, TcpSpec) and sent.flow:
            actual = compare.with_timestamps_named(
                expected, actual, sent.flow, settings.tick, settings.tolerance
            )
            actual = compare.with_cookie_named(expected, actual, self._machine.cookies)
        found = compare.fields(expected, actual, settings.version)
        wrong = compare.differences(found)
        if late:
            wrong.insert(0, _lateness(sent.time, times))
        if sent.broken is not None:
            wrong.append(f"byte {sent.broken} of the stream is not what was written there")
        if wrong:
            shown = tuple(self._side_by_side(expected, actual, found, sent.time, times, late=late))
            raise Mismatch(f"the packet differs: {'; '.join(wrong)}", shown)

    def _with_ports(self, expected: TcpSpec | UdpSpec, flow: Flow) -> TcpSpec | UdpSpec:
        """A line without ports means the flow of the line before it."""
        machine = self._machine
        if expected.ports is not None:
            machine.current = flow
            return expected
        if machine.current is None:
            machine.current = flow
        current = machine.current
        if current is flow:
            return expected
        return replace(expected, ports=(current.local_port, current.remote_port))

    def _side_by_side(
        self,
        expected: PacketSpec,
        actual: PacketSpec,
        found: list[compare.Field],
        time: int,
        times: tuple[int, int],
        *,
        late: bool,
    ) -> Iterator[str]:
        version = self._settings.version
        yield f"  expected  > {notation.packet(expected, version)}"
        yield f"  actual    > {notation.packet(actual, version)}"
        yield ""
        earliest, latest = times
        wanted = notation.seconds(earliest)
        if latest != earliest:
            wanted += f"~{notation.seconds(latest)}"
        row = compare.Field("time", wanted, notation.seconds(time), late)
        yield from compare.table([row, *found])

    # Calls.

    def _call(self, event: Event, call: Call, time: int) -> None:
        machine = self._machine
        until = event.when.until
        base = time - event.when.earliest
        end = None if until is None else base + until
        blocked = _Blocked(event, call, at_once(-1), time if end is None else end, None)
        try:
            blocked.running = syscalls.start(self._kernel, call)
        except OSError as error:
            self._returned(blocked, -1, error)
        else:
            if not self._step(blocked):
                self._begin_to_block(blocked, end)
        self._follow_connect(call)
        machine.patterned = self._kernel.patterned
        machine.settle()

    def _begin_to_block(self, blocked: _Blocked, end: int | None) -> None:
        if end is None:
            raise Mismatch(
                f"{blocked.call.name} blocks: give the time at which it returns (`0.1...0.2`),"
                " or make the socket non-blocking"
            )
        self._blocked.append(blocked)

    def _step(self, blocked: _Blocked) -> bool:
        """Goes on with a call; returns whether it is over."""
        try:
            blocked.wake = next(blocked.running)
        except StopIteration as stop:
            self._returned(blocked, stop.value, None)
            return True
        except OSError as error:
            self._returned(blocked, -1, error)
            return True
        return False

    def _resume(self) -> bool:
        """Goes on with the calls that wait; returns whether one of them returned."""
        over = []
        for blocked in self._blocked:
            try:
                if self._step(blocked):
                    over.append(blocked)
            except Mismatch as mismatch:
                raise _Stopped(blocked.event, mismatch) from None
        self._blocked = [one for one in self._blocked if one not in over]
        return bool(over)

    def _wakes(self) -> int | None:
        now = self._machine.now
        wakes = (one.wake for one in self._blocked if one.wake is not None and one.wake > now)
        return min(wakes, default=None)

    def _returned(self, blocked: _Blocked, value: int, error: OSError | None) -> None:
        """A call is over: compares its result and its time with the script."""
        call = blocked.call
        syscalls.check(call, value, error)
        off = self._machine.time - blocked.end
        if not self._settings.tolerates(off, 0):
            when = notation.seconds(self._machine.time)
            raise Mismatch(
                f"{call.name} returned at {when}, not at {notation.seconds(blocked.end)}"
            )

    def _follow_connect(self, call: Call) -> None:
        """Packets without ports belong to the connection that was opened last."""
        if call.name not in ("connect", "sendto", "sendmsg"):
            return
        fd = number_or_none(argument(call, 0))
        descriptor = self._kernel.descriptors.get(-1 if fd is None else fd)
        if descriptor is not None and descriptor.ports is not None:
            self._machine.current = self._machine.flow(*descriptor.ports)

    # Code and commands.

    def _run_code(self, action: Code) -> None:
        subject = self._kernel.subject()
        connection = None if subject is None else subject.connection
        counters = self._machine.host.counters.as_dict()
        self._snippets.run(action.source, connection, counters, self._machine.now)

    def _command(self, event: Event, action: Command) -> None:
        try:
            self._settings, notes = with_command(self._settings, action.text)
        except UsageError as error:
            raise ScriptError(f"{self._script.name}:{event.line}", str(error)) from None
        self._machine.configure(self._settings.host)
        self._notes += [f"{self._script.name}:{event.line}: {note}" for note in notes]


def _broken(error: Exception) -> Mismatch:
    """The stack itself went wrong: its traceback is what helps."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Mismatch(
        f"the stack broke: {type(error).__name__}: {error}", tuple(f"  {line}" for line in lines)
    )


def _off(actual: int, earliest: int, latest: int) -> int:
    """How far (µs) a time lies outside of a range; negative when it is too early."""
    return min(actual - earliest, 0) + max(actual - latest, 0)


def _lateness(time: int, times: tuple[int, int]) -> str:
    off = _off(time, *times)
    return f"it was sent {notation.seconds(abs(off))} s too {'late' if off > 0 else 'early'}"
