"""The user timeout option: each end advises the other how long to be patient (RFC 5482)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp.states import State
from stack.core.why import Why

if TYPE_CHECKING:
    from stack._native import Emit
    from stack.core.tcp.connection import Connection

SECOND = 1_000_000
LENGTH = 4  # bytes of the option
LOWEST = 100 * SECOND  # L_LIMIT: what R2 must be at least (RFC 5482 §3.1, RFC 9293 SHLD-11)
HIGHEST = 3600 * SECOND  # U_LIMIT: so long may a peer have us keep a dead connection

_MINUTES = 0x8000
_VALUE = 0x7FFF


def encoded(timeout: int) -> int:
    """The option's field for a timeout in µs: seconds, or minutes where those do not fit."""
    seconds = max(-(-timeout // SECOND), 1)
    if seconds <= _VALUE:
        return seconds
    return _MINUTES | min(-(-seconds // 60), _VALUE)


def decoded(field: int) -> int:
    """The timeout in µs that a field means; 0 is reserved and to be ignored (§3.4)."""
    unit = 60 if field & _MINUTES else 1
    return (field & _VALUE) * unit * SECOND


class UserTimeoutOption:
    """The option on one connection where it is enabled (§3).

    `advertised` (ADV_UTO, µs) is what we send. The timeout that holds follows what the peer
    advertises unless the application has set one of its own, which makes it not `changeable`.
    """

    __slots__ = ("advertised", "changeable", "due")

    def __init__(self, advertised: int) -> None:
        self.advertised = advertised
        self.changeable = True
        self.due = True  # a segment shall carry the option

    def advertise(self, connection: "Connection", timeout: int) -> None:
        """Tells the peer of another timeout (µs) at once."""
        self.advertised = timeout
        self.due = True
        if connection.tcb.state == State.ESTABLISHED:
            connection.acks.now(connection, Why.USER_TIMEOUT)

    def offer(self, emit: "Emit") -> None:
        """Adds the option to a segment. Every SYN has it, and because a listener may forget
        the SYN (RFC 4987), so has the first segment that is none (§3.2).
        """
        emit.options |= lib.OPTION_USER_TIMEOUT
        emit.user_timeout = encoded(self.advertised)
        self.due = bool(emit.flags & lib.FLAG_SYN)

    def ride(self, connection: "Connection", emit: "Emit", length: int) -> None:
        """Adds the option to a segment with `length` bytes of text, once, if it fits and is no
        reset.
        """
        fits = length + LENGTH <= connection.tcb.snd_mss and not emit.flags & lib.FLAG_RST
        if self.due and fits:
            self.offer(emit)

    def arrives(self, connection: "Connection", field: int) -> None:
        """The peer advises: USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))."""
        remote = decoded(field)
        if remote and self.changeable:
            wanted = max(self.advertised, remote, LOWEST)
            connection.user_timeout = min(wanted, HIGHEST)
