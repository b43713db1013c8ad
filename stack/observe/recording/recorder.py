"""Writes down the inputs of a host while it runs, and digests of what it made of them.

The host is a `Host` whose classes note each call before they do it: what led to a crash is in
the file when it happens. Calls that the core makes on itself are no inputs and not noted.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import ref

import stack
from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.udp.endpoint import UdpEndpoint
from stack.core.udp.settings import IpSettings
from stack.observe.recording import surface
from stack.observe.recording.frames import FrameWriter, Kind
from stack.observe.recording.surface import INPUTS, Input, Recorded, is_input, outcome, recorded
from stack.observe.recording.values import Ref, config_values, plain, put_number, put_value

_T = TypeVar("_T")
_NUMBERS = {one.title: number for number, one in enumerate(INPUTS)}


class Recorder:
    """A recording in the making: `host` makes the one host that it is about.

    Raises UsageError when the file cannot be written. `error` tells why it ended early, as
    on a disk that ran full; the host does not notice. Calls into the host must not overlap,
    as drivers see to it. `epoch_us`, added to the host's time, makes µs since 1970; without it
    captures of the replay begin in 1970.
    """

    def __init__(self, path: str | Path, *, epoch_us: int = 0) -> None:
        self._frames = FrameWriter(Path(path))
        self._epoch_us = epoch_us
        self._host: RecordingHost | None = None
        self._now = 0
        self._numbers = 0  # of objects that have none of their own, below zero
        self._known: dict[int, ref[Recorded]] = {}
        self._forgotten: list[int] = []
        self.inside = True
        """Whether the core is at work: what it calls now is not an input."""
        self.events = 0
        self.settled = False
        """Whether the last input was the question for the next deadline."""

    @property
    def error(self) -> str:
        """Why the recording is not complete; empty while it is."""
        return self._frames.error

    def host(
        self,
        addresses: Sequence[str],
        *,
        random_bytes: Callable[[int], bytes],
        config: HostConfig | None = None,
        mtu: int = 1500,
        loopback: bool = False,
    ) -> Host:
        """A host as `Host` makes it."""
        if self._host is not None:
            raise ValueError("a recording is about one host")
        config = config if config is not None else HostConfig()
        header = {
            "version": stack.__version__,
            "addresses": list(addresses),
            "mtu": mtu,
            "loopback": loopback,
            "config": config_values(config),
            "inputs": [one.title for one in INPUTS],
            "epoch_us": self._epoch_us,
        }
        self._frames.header(header)
        self._host = RecordingHost(
            self,
            addresses,
            random_bytes=self._drawing(random_bytes),
            config=config,
            mtu=mtu,
            loopback=loopback,
        )
        self._frames.flush()
        self.inside = False
        return self._host

    def close(self) -> None:
        """Ends the file; again is harmless."""
        if self._host is not None and not self.inside:
            self.inside = True  # nothing more is noted
            content = bytearray()
            put_number(content, self.events)
            put_value(content, tuple(self._host.counters.non_zero().items()))
            self._frames.put(Kind.END, content)
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the classes below tell.

    def called(self, number: int, target: Any, args: Sequence[Any], given: dict[str, Any]) -> None:
        """An input comes; it is in the file before it is done."""
        if self._forgotten:
            self._note_forgotten()
        one = INPUTS[number]
        now, args, given = _without_time(one, args, given, self._now)
        content = bytearray()
        put_number(content, number)
        put_number(content, self.number_of(target))
        put_number(content, now - self._now)
        values = recorded(one)(target, args)
        put_number(content, len(values))
        for value in values:
            put_value(content, value)
        put_number(content, len(given))
        for name, value in given.items():
            put_value(content, name)
            put_value(content, value)
        self._frames.put(Kind.CALL, content)
        self._frames.flush()
        self._now = now
        self.events += 1
        self.settled = False
        self.inside = True

    def returned(self, result: Any) -> None:
        """The call is over."""
        content = bytearray()
        put_value(content, plain(result, self._reference))
        self._frames.put(Kind.RESULT, content)
        self.inside = False

    def failed(self, error: BaseException) -> None:
        """The call raised an exception."""
        content = bytearray()
        put_value(content, failure(error))
        self._frames.put(Kind.FAILURE, content)
        self.inside = False

    def entered(self, listener: Listener, connection: Connection) -> None:
        """The core calls the application back."""
        content = bytearray()
        put_number(content, self.number_of(listener))
        put_number(content, self.number_of(connection))
        self._frames.put(Kind.ENTERED, content)
        self.inside = False

    def left(self, error: BaseException | None) -> None:
        """The application is done."""
        content = bytearray()
        put_value(content, None if error is None else failure(error))
        self._frames.put(Kind.LEFT, content)
        self.inside = True

    def number_of(self, target: Any) -> int:
        """The number of an object in this recording."""
        if isinstance(target, Host):
            return 0
        number: int = target.number
        if number not in self._known:
            self._known[number] = ref(target, lambda _: self._forgotten.append(number))
        return number

    def next_number(self) -> int:
        """A number for what the core gives none."""
        self._numbers -= 1
        return self._numbers

    def _reference(self, value: Any) -> Ref | None:
        if isinstance(value, (Connection, Listener, UdpEndpoint)):
            return Ref(self.number_of(value))
        return None

    def _note_forgotten(self) -> None:
        # Whatever thread collects garbage may add to the list meanwhile.
        count = len(self._forgotten)
        numbers, self._forgotten[:count] = self._forgotten[:count], []
        content = bytearray()
        put_number(content, count)
        for number in numbers:
            del self._known[number]
            put_number(content, number)
        self._frames.put(Kind.FORGOTTEN, content)

    def _drawing(self, random_bytes: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def draw(count: int) -> bytes:
            drawn = random_bytes(count)
            self._frames.put(Kind.RANDOM, drawn)
            return drawn

        return draw


def failure(error: BaseException) -> tuple[str, int, str]:
    """What of an exception is compared: its kind, errno and text."""
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__, number or 0, str(error)


def _without_time(
    one: Input, args: Sequence[Any], given: dict[str, Any], last: int
) -> tuple[int, Sequence[Any], dict[str, Any]]:
    """The time of a call, the one before where it has none, and the other arguments."""
    at = one.time_at
    if at is None:
        return last, args, given
    if at < len(args):
        return args[at], [*args[:at], *args[at + 1 :]], given
    return given["now"], args, {name: value for name, value in given.items() if name != "now"}


# ---- classes that tell -----------------------------------------------------------------------


def _recorder_of(target: Any) -> Recorder:
    host = target if isinstance(target, Host) else target.host
    assert isinstance(host, RecordingHost)
    return host.recorder


def _noted(one: Input, original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that notes its call."""
    number = _NUMBERS[one.title]

    @wraps(original)
    def call(self: Any, *args: Any, **given: Any) -> Any:
        recorder = _recorder_of(self)
        if recorder.inside or not is_input(one, args):
            return original(self, *args, **given)
        recorder.called(number, self, args, given)
        try:
            result = original(self, *args, **given)
            found = outcome(one, args, result)
        except BaseException as error:
            recorder.failed(error)
            raise
        recorder.returned(found)
        return result

    return call


def _noted_attribute(one: Input) -> property:
    """An attribute that notes what it is set to."""
    number = _NUMBERS[one.title]
    begin = getattr(one.of, one.name, None)  # what it is until it is set, or its descriptor
    slot = begin if hasattr(begin, "__set__") else None

    def get(self: Any) -> Any:
        return slot.__get__(self) if slot is not None else self.__dict__.get(one.name, begin)

    def put(self: Any, value: Any) -> None:
        recorder = _recorder_of(self)
        if not recorder.inside:
            recorder.called(number, self, (value,), {})
            recorder.returned(None)
        if slot is not None:
            slot.__set__(self, value)
        else:
            self.__dict__[one.name] = value

    return property(get, put)


def _recording(kind: type[_T]) -> type[_T]:
    """Has a class note every input that it does not define itself."""
    for one in INPUTS:
        if issubclass(kind, one.of) and one.name not in vars(kind):
            made = _noted_attribute(one) if one.assigned else _noted(one, getattr(one.of, one.name))
            setattr(kind, one.name, made)
    return kind


@_recording
class RecordingConnection(Connection):
    """A connection of a host that is recorded."""


@_recording
class RecordingListener(Listener):
    """A listener of a host that is recorded."""

    def __init__(self, host: Host, *args: Any, **given: Any) -> None:
        assert isinstance(host, RecordingHost)
        self.number = host.recorder.next_number()
        super().__init__(host, *args, **given)

    @property
    def configure(self) -> Callable[[Connection], None] | None:
        """As the core calls it: what the application does then is noted."""
        return None if self._configure is None else self._configure_noted

    @configure.setter
    def configure(self, configure: Callable[[Connection], None] | None) -> None:
        recorder = _recorder_of(self)
        if not recorder.inside:
            recorder.called(_NUMBERS["Listener.configure="], self, (configure,), {})
            recorder.returned(None)
        self._configure = configure
        self.host.listens_otherwise(self)

    def _configure_noted(self, connection: Connection) -> None:
        assert self._configure is not None
        recorder = _recorder_of(self)
        recorder.entered(self, connection)
        error = None
        try:
            self._configure(connection)
        except BaseException as raised:
            error = raised
            raise
        finally:
            recorder.left(error)


class _Settings(IpSettings):
    """Settings of an endpoint that note what they are set to; a copy of them does not."""

    __slots__ = ("_number", "_owner")

    _number: int
    _owner: ref[UdpEndpoint]

    def __setattr__(self, name: str, value: Any) -> None:
        owner = getattr(self, "_owner", None)
        endpoint = owner() if owner is not None and name != "_owner" else None
        if endpoint is not None:
            recorder = _recorder_of(endpoint)
            if not recorder.inside:
                recorder.called(self._number, endpoint, (name, value), {})
                recorder.returned(None)
        super().__setattr__(name, value)

    @classmethod
    def of(cls, endpoint: UdpEndpoint, title: str, settings: IpSettings) -> "_Settings":
        """The settings of an endpoint, from others."""
        made = cls(**{field.name: getattr(settings, field.name) for field in fields(IpSettings)})
        made._number = _NUMBERS[title]
        made._owner = ref(endpoint)
        return made


@_recording
class RecordingEndpoint(UdpEndpoint):
    """A UDP endpoint of a host that is recorded."""

    @property
    def ipv4(self) -> IpSettings:
        """Settings for IPv4."""
        return self._settings4

    @ipv4.setter
    def ipv4(self, settings: IpSettings) -> None:
        self._settings4 = self._take(settings, "UdpEndpoint.ipv4=")

    @property
    def ipv6(self) -> IpSettings:
        """Settings for IPv6."""
        return self._settings6

    @ipv6.setter
    def ipv6(self, settings: IpSettings) -> None:
        self._settings6 = self._take(settings, "UdpEndpoint.ipv6=")

    def _take(self, settings: IpSettings, title: str) -> IpSettings:
        recorder = _recorder_of(self)
        if not recorder.inside:
            for field in fields(IpSettings):
                value = getattr(settings, field.name)
                recorder.called(_NUMBERS[title], self, (field.name, value), {})
                recorder.returned(None)
        return _Settings.of(self, title, settings)


@_recording
class RecordingHost(Host):
    """A host that is recorded; made by `Recorder.host`."""

    connection_class = RecordingConnection
    listener_class = RecordingListener
    endpoint_class = RecordingEndpoint

    def __init__(self, recorder: Recorder, addresses: Sequence[str], **given: Any) -> None:
        self.recorder = recorder
        super().__init__(addresses, **given)

    def events(self) -> list[tuple[surface.Recorded, Any]]:
        """Without any the call changes nothing, and drivers ask often: it is not noted."""
        return _noted_events(self) if self._events else []

    def next_deadline(self) -> int | None:
        """The question brings the timers in order, so it is an input, but not twice."""
        recorder = self.recorder
        if recorder.inside or recorder.settled:
            return super().next_deadline()
        deadline: int | None = _noted_next_deadline(self)
        recorder.settled = True
        return deadline


_noted_events = _noted(surface.BY_TITLE["Host.events"], Host.events)
_noted_next_deadline = _noted(surface.BY_TITLE["Host.next_deadline"], Host.next_deadline)
