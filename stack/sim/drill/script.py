"""A script as values: what the parser makes and the runner goes through.

Times are in µs. Numbers of packets are as in the script: sequence numbers count from the
SYN of their side, windows are as on the wire.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from stack.sim.drill.settings import Settings

# ---- times ------------------------------------------------------------------------


class Clock(Enum):
    """What a time is counted from."""

    ABSOLUTE = auto()  # the start of the script
    RELATIVE = auto()  # the event before
    ANY = auto()  # `*`


@dataclass(frozen=True, slots=True)
class When:
    """When an event happens; `latest` is the end of a range, `until` that of a blocking call."""

    clock: Clock
    earliest: int = 0
    latest: int | None = None
    until: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the script names one point in time."""
        return self.clock is not Clock.ANY and self.latest is None


# ---- packets ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IpSpec:
    """What a packet line says of the IP header; None where it says nothing.

    `ecn` are the values that will do; `bad_checksum` breaks the transport checksum.
    """

    ecn: frozenset[int] | None = None
    tos: int | None = None
    ttl: int | None = None
    flow_label: int | None = None
    bad_checksum: bool = False


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """A TCP option: `values` are its numbers in the order of the script, `data` its other bytes.

    Kind `RAW` stands for bytes that need not be an option at all.
    """

    kind: int
    values: tuple[int, ...] = ()
    data: bytes = b""


RAW = -1


@dataclass(frozen=True, slots=True)
class TcpSpec:
    """A TCP segment; `options` is None for `<...>`, `ports` (source, destination) if given."""

    flags: int
    seq: int
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int | None = None
    options: tuple[OptionSpec, ...] | None = ()
    ports: tuple[int, int] | None = None
    ip: IpSpec = field(default_factory=IpSpec)


@dataclass(frozen=True, slots=True)
class UdpSpec:
    """A UDP datagram with `length` bytes of data."""

    length: int
    ports: tuple[int, int] | None = None
    ip: IpSpec = field(default_factory=IpSpec)


@dataclass(frozen=True, slots=True)
class IcmpSpec:
    """An ICMP message; what it quotes is a segment at `seq` or a datagram, `length` bytes long.

    `quoted` is "tcp", "udp", "raw", or "" where the script says nothing of it.
    """

    type: int
    code: int
    mtu: int | None = None
    identifier: int | None = None
    quoted: str = ""
    seq: int = 0
    length: int = 0
    ip: IpSpec = field(default_factory=IpSpec)


PacketSpec = TcpSpec | UdpSpec | IcmpSpec


# ---- expressions --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Anything:
    """`...`: anything."""


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal or hexadecimal integer."""

    value: int


@dataclass(frozen=True, slots=True)
class Name:
    """A constant of the socket interface, such as SOCK_STREAM."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `open_ended` when `...` follows it."""

    value: str
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Either:
    """Flags joined by `|`."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Array:
    """`[…]`"""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """`{name = value, …}`; a value without a name has the name ""."""

    fields: tuple[tuple[str, "Expression"], ...]

    def get(self, name: str) -> "Expression | None":
        """The value of the field called `name`."""
        return next((value for key, value in self.fields if key == name), None)


@dataclass(frozen=True, slots=True)
class Apply:
    """`htons(…)`, `inet_addr("…")` and the like."""

    function: str
    argument: "Expression"


Expression = Anything | Number | Name | Text | Either | Array | Struct | Apply


# ---- events -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inject:
    """`<`: the packet arrives at our host."""

    packet: PacketSpec


@dataclass(frozen=True, slots=True)
class Expect:
    """`>`: our host sends the packet."""

    packet: PacketSpec


@dataclass(frozen=True, slots=True)
class Call:
    """A system call and what it returns; `errno` is the name behind a -1."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    errno: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """`%{ … }%`: Python."""

    source: str


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command between backquotes."""

    text: str


Action = Inject | Expect | Call | Code | Command


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a script; `line` is where it begins, `source` the text of it."""

    when: When
    action: Action
    line: int
    source: str


@dataclass(frozen=True, slots=True)
class Script:
    """A script that can be run; `notes` say what of it has no meaning here."""

    name: str
    settings: Settings
    events: tuple[Event, ...]
    notes: tuple[str, ...] = ()
