"""Does what a recording says, on a fresh host, and compares what comes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, cast

from stack.core.host import Host
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.udp.endpoint import UdpEndpoint
from stack.core.udp.settings import Discovery
from stack.errors import UsageError
from stack.observe.recording.event import Event, Outcome, difference
from stack.observe.recording.frames import Damaged, Frame, FrameReader, Kind
from stack.observe.recording.recorder import failure
from stack.observe.recording.surface import BY_TITLE, Recorded, outcome
from stack.observe.recording.values import (
    Cursor,
    Offered,
    Packets,
    Ref,
    Room,
    plain,
    put_value,
    read_config,
)
from stack.wire.batch import Inbound

_OWNER = object()  # stands for an application's own object


class Diverged(Exception):
    """The host did something else than the recorded one; `event` is what it did it at."""

    def __init__(self, event: Event | None, now: int, recorded: str, replayed: str) -> None:
        super().__init__(recorded, replayed)
        self.event = event
        self.now = now
        self.recorded = recorded
        self.replayed = replayed


class Stopped(Exception):
    """The event was reached at which the replay shall stop."""


class _ApplicationRaised(Exception):
    """What an application raised inside a call of the host, as it was recorded."""

    def __init__(self, recorded: tuple[str, int, str]) -> None:
        super().__init__(recorded)
        self.recorded = recorded


class Player:
    """Replays a recording. `host` is the host, before its first event at first.

    `after(event, outcome)` is called behind each event, nested ones first, and may raise
    Stopped. Raises UsageError for a file that is no recording of this version's.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._reader = FrameReader(self._path)
        self.after: Callable[[Event, Outcome | None], None] = lambda event, outcome: None
        self.events = 0
        self.now = 0
        self.complete = False
        """Whether the recording came to its end, which it does not when its process dies."""
        self.ended = False
        """Whether everything in the file was replayed."""
        self._depth = 0
        self._event: Event | None = None
        self._objects: dict[int, Recorded] = {}
        self._listeners: dict[Listener, int] = {}  # they have no numbers of their own
        self._inbound = Inbound.of(())
        header = self._reader.header
        try:
            self.version = str(header["version"])
            self.epoch_us = int(header["epoch_us"])
            self.addresses = [str(address) for address in header["addresses"]]
            self._inputs = [str(title) for title in header["inputs"]]
            config = read_config(header["config"])
            mtu, loopback = int(header["mtu"]), bool(header.get("loopback"))
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise UsageError(
                f"{path}: the header of the recording lacks something: {error}"
            ) from error
        except UsageError as error:
            self.close()
            raise UsageError(f"{path}: {error}") from error
        try:
            self.host = Host(
                self.addresses, random_bytes=self._draw, config=config, mtu=mtu, loopback=loopback
            )
        except Damaged:
            self.close()
            raise

    @property
    def left_out(self) -> int:
        """Bytes at the end of the file that are a part of a record."""
        return self._reader.left_out

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def play(self, until: int | None = None) -> None:
        """Does the events that are left, or those up to the time `until` (µs).

        Raises Diverged, Damaged, UsageError for what this version has not, and what `after`
        raises.
        """
        try:
            self._play(until)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Damaged(f"the recording makes no sense there: {error}") from error

    def _play(self, until: int | None) -> None:
        while (frame := self._next()) is not None:
            if frame.kind is Kind.END:
                self._compare_end(frame.cursor)
                return
            if frame.kind is not Kind.CALL:
                raise Damaged(f"the record at byte {frame.offset} has no place there")
            event = self._read_event(frame)
            if until is not None and event.now > until:
                return
            self._do(event)

    def connections(self) -> list[Connection]:
        """All connections that there are now, those that ended and are still held too."""
        known = {c.number: c for c in self._objects.values() if isinstance(c, Connection)}
        return [one for _, one in sorted({**known, **self.host.connections}.items())]

    # Frames.

    def _next(self) -> Frame | None:
        """The next frame that matters here."""
        while True:
            frame = self._reader.next()
            self.ended = frame is None or frame.kind is Kind.END
            if frame is None or frame.kind is not Kind.FORGOTTEN:
                return frame
            for _ in range(frame.cursor.number()):
                self._objects.pop(frame.cursor.number(), None)

    def _read_event(self, frame: Frame) -> Event:
        cursor = frame.cursor
        try:
            number, target = cursor.number(), cursor.number()
            self.now += cursor.number()
            args = cursor.values()
            given = {cursor.value(): cursor.value() for _ in range(cursor.number())}
            title = self._inputs[number]
        except (ValueError, IndexError) as error:
            raise Damaged(f"the record at byte {frame.offset} makes no sense: {error}") from error
        self.events += 1
        if title not in BY_TITLE:
            raise UsageError(
                f"{self._path}: this version has no {title}, which event"
                f" {self.events} calls; it was made by version {self.version}"
            )
        return Event(self.events, self.now, BY_TITLE[title], target, args, given, self._depth)

    def _draw(self, count: int) -> bytes:
        frame = self._next()
        if frame is None or frame.kind is not Kind.RANDOM:
            raise self._diverged("no random bytes are drawn", f"{count} random bytes are drawn")
        drawn = frame.cursor.rest
        if len(drawn) != count:
            raise self._diverged(f"{len(drawn)} random bytes are drawn", f"{count} are")
        return drawn

    # Events.

    def _do(self, event: Event) -> None:
        outer, self._event = self._event, event
        try:
            done = self._assign(event) if event.what.assigned else self._call(event)
            self._compare(event, done)
        finally:
            self._event = outer

    def _call(self, event: Event) -> Outcome:
        target = self._target(event)
        try:
            args = [self._argument(value) for value in event.args]
            given = {name: self._argument(value) for name, value in event.given.items()}
            if event.what.time_at is not None:
                given["now"] = event.now
            result = getattr(target, event.what.name)(*args, **given)
            found = plain(outcome(event.what, args, result), self._reference)
        except (Diverged, Stopped, Damaged):
            raise
        except _ApplicationRaised as error:
            return Outcome(error.recorded, failed=True)
        except Exception as error:
            return Outcome(failure(error), failed=True)
        return Outcome(found)

    def _assign(self, event: Event) -> Outcome:
        target, name = self._target(event), event.what.name
        *path, value = event.args
        if path == ["discovery"]:
            value = Discovery(value)
        elif name == "owner":
            value = _OWNER if value else None
        elif name == "configure" and isinstance(target, Listener):
            value = self._configuring(target) if value else None
        if path:  # of the settings of one IP version
            setattr(getattr(target, name), path[0], value)
        else:
            setattr(target, name, value)
        return Outcome(None)

    def _target(self, event: Event) -> Host | Recorded:
        if event.target == 0:
            return self.host
        found = self._objects.get(event.target)
        if not isinstance(found, event.what.of):
            raise self._diverged(
                f"{event.what.title} is called on number {event.target}", "there is no such object"
            )
        return cast("Recorded", found)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Packets):
            self._inbound.fill_offloaded(value.packets)
            return self._inbound
        if isinstance(value, Room):
            return bytearray(value.size)
        if isinstance(value, Offered):
            return value.data + bytes(value.total - len(value.data))
        return value

    def _reference(self, value: Any) -> Ref | None:
        """The number of an object, which events may name from now on."""
        if isinstance(value, Listener):
            number = self._listeners.setdefault(value, -len(self._listeners) - 1)
        elif isinstance(value, (Connection, UdpEndpoint)):
            number = value.number
        else:
            return None
        self._objects[number] = value
        return Ref(number)

    # The application, called back by the host.

    def _configuring(self, listener: Listener) -> Callable[[Connection], None]:
        def configure(connection: Connection) -> None:
            there = self._reference(listener), self._reference(connection)
            frame = self._next()
            if frame is None or frame.kind is not Kind.ENTERED:
                raise self._diverged("no connection is set up here", "one is")
            recorded = Ref(frame.cursor.number()), Ref(frame.cursor.number())
            if recorded != there:
                raise self._diverged(f"{recorded} are set up", f"{there} are")
            self._depth += 1
            try:
                self._configure()
            finally:
                self._depth -= 1

        return configure

    def _configure(self) -> None:
        while (frame := self._next()) is not None:
            if frame.kind is Kind.LEFT:
                raised = frame.cursor.value()
                if raised is not None:
                    raise _ApplicationRaised(raised)
                return
            if frame.kind is not Kind.CALL:
                raise Damaged(f"the record at byte {frame.offset} has no place there")
            self._do(self._read_event(frame))
        raise Stopped  # the recording was cut off in here

    # Comparison.

    def _compare(self, event: Event, done: Outcome) -> None:
        frame = self._next()
        if frame is None:
            self.after(event, None)
            return
        if frame.kind not in (Kind.RESULT, Kind.FAILURE):
            more = "the application is called" if frame.kind is Kind.ENTERED else "more happens"
            raise self._diverged(f"{more} before the call ends", "it has ended")
        found = bytearray()
        put_value(found, done.value)
        if done.failed is not (frame.kind is Kind.FAILURE) or found != frame.cursor.rest:
            recorded = Outcome(frame.cursor.value(), frame.kind is Kind.FAILURE)
            raise self._diverged(*difference(recorded, done))
        self.after(event, done)

    def _compare_end(self, cursor: Cursor) -> None:
        self.complete = True
        events, recorded = cursor.number(), dict(cursor.value())
        if events != self.events:
            raise self._diverged(f"{events} events", f"{self.events} events")
        counted = self.host.counters.non_zero()
        # Whether the segment path or Python did the work is no difference.
        for name in (recorded | counted).keys() - {"FastInSegs", "FastOutSegs"}:
            theirs, ours = recorded.get(name, 0), counted.get(name, 0)
            if theirs != ours:
                raise self._diverged(f"counter {name} ends at {theirs}", f"at {ours}")

    def _diverged(self, recorded: str, replayed: str) -> Diverged:
        return Diverged(self._event, self.now, recorded, replayed)


def first_packet_time(path: str | Path) -> int:
    """When the first packet came or left (µs), which is where a trace begins; 0 without one.

    Raises UsageError for a file that is no recording.
    """
    reader = FrameReader(Path(path))
    try:
        return next(_packet_times(reader), 0)
    except (Damaged, ValueError):
        return 0
    finally:
        reader.close()


def _packet_times(reader: FrameReader) -> Iterator[int]:
    inputs = reader.header.get("inputs", [])
    now, title = 0, ""
    while (frame := reader.next()) is not None:
        if frame.kind is Kind.CALL:
            number, _ = frame.cursor.number(), frame.cursor.number()
            now += frame.cursor.number()
            title = inputs[number] if number < len(inputs) else ""
            if title == "Host.receive":
                yield now
        elif frame.kind is Kind.RESULT and title == "Host.transmit" and frame.cursor.value():
            yield now
