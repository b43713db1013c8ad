"""The events that a host publishes to whoever observes it.

Each event is a typed value with its time in microseconds. Nothing is built when
nobody observes. `connection` is the host's number for a connection, stable for its life.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stack.core.why import Verdict, Why


@dataclass(frozen=True, slots=True)
class PacketSent:
    """An IP packet that leaves the host, whole, and why."""

    now: int
    data: bytes
    why: Why
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """An IP packet that arrived, whole, with checksums completed, and what was made of it."""

    now: int
    data: bytes
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A connection went from one state to another (RFC 9293 §3.3.2)."""

    now: int
    connection: int
    old: str
    new: str
    cause: str


@dataclass(frozen=True, slots=True)
class TimerStarted:
    """A timer of a connection was set to run out at `deadline` (µs)."""

    now: int
    connection: int
    timer: str
    deadline: int


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """A timer of a connection ran out."""

    now: int
    connection: int
    timer: str


@dataclass(frozen=True, slots=True)
class RttSampled:
    """A round-trip time was measured; all values in µs (RFC 6298 §2)."""

    now: int
    connection: int
    rtt: int
    srtt: int
    rttvar: int
    rto: int


@dataclass(frozen=True, slots=True)
class CwndChanged:
    """The congestion window changed; values in bytes."""

    now: int
    connection: int
    cwnd: int
    ssthresh: int
    cause: str


@dataclass(frozen=True, slots=True)
class ApplicationCalled:
    """An application called: connect, listen, send, receive, shutdown, close, abort."""

    now: int
    connection: int
    call: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class KeyLogged:
    """A line of TLS secrets in the format that key log files have."""

    now: int
    line: str


Event = (
    PacketSent
    | PacketReceived
    | StateChanged
    | TimerStarted
    | TimerExpired
    | RttSampled
    | CwndChanged
    | ApplicationCalled
    | KeyLogged
)
Observer = Callable[[Event], None]
