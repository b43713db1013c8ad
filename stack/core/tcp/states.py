"""The connection states and every legal transition between them (RFC 9293 §3.3.2).

The table is data: it guards the code (`follow` refuses what is not in it), and tests
and pictures are made from it.
"""

from enum import IntEnum, StrEnum


class State(IntEnum):
    """The eleven states of RFC 9293 §3.3.2; the numbers are those of Linux's TCP_INFO."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11

    @property
    def label(self) -> str:
        """The name as the RFC spells it, with hyphens."""
        return self.name.replace("_", "-")


STATES = {int(state): state for state in State}
"""Each by its number, which costs less than to ask the enum."""


class Cause(StrEnum):
    """What moves a connection from one state to the next."""

    ACTIVE_OPEN = "active open"
    PASSIVE_OPEN = "passive open"
    SYN = "SYN received"
    SYN_ACK = "SYN-ACK received"
    ACK_OF_SYN = "our SYN acknowledged"
    CLOSE = "application closed"
    FIN = "FIN received"
    ACK_OF_FIN = "our FIN acknowledged"
    RESET = "reset received"
    ABORT = "aborted"
    TIMEOUT = "timed out"
    REOPEN = "new SYN in TIME-WAIT"


_SYNCHRONISED = (
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
)

TRANSITIONS: dict[tuple[int, Cause], State] = {
    (State.CLOSED, Cause.ACTIVE_OPEN): State.SYN_SENT,
    (State.CLOSED, Cause.PASSIVE_OPEN): State.LISTEN,
    (State.LISTEN, Cause.SYN): State.SYN_RECEIVED,
    (State.LISTEN, Cause.CLOSE): State.CLOSED,
    (State.SYN_SENT, Cause.SYN): State.SYN_RECEIVED,
    (State.SYN_SENT, Cause.SYN_ACK): State.ESTABLISHED,
    (State.SYN_SENT, Cause.CLOSE): State.CLOSED,
    (State.SYN_SENT, Cause.RESET): State.CLOSED,
    (State.SYN_SENT, Cause.ABORT): State.CLOSED,
    (State.SYN_SENT, Cause.TIMEOUT): State.CLOSED,
    (State.SYN_RECEIVED, Cause.ACK_OF_SYN): State.ESTABLISHED,
    (State.SYN_RECEIVED, Cause.SYN): State.CLOSED,
    (State.ESTABLISHED, Cause.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Cause.FIN): State.CLOSE_WAIT,
    (State.FIN_WAIT_1, Cause.ACK_OF_FIN): State.FIN_WAIT_2,
    (State.FIN_WAIT_1, Cause.FIN): State.CLOSING,
    (State.FIN_WAIT_2, Cause.FIN): State.TIME_WAIT,
    (State.CLOSE_WAIT, Cause.CLOSE): State.LAST_ACK,
    (State.CLOSING, Cause.ACK_OF_FIN): State.TIME_WAIT,
    (State.LAST_ACK, Cause.ACK_OF_FIN): State.CLOSED,
    (State.TIME_WAIT, Cause.TIMEOUT): State.CLOSED,
    (State.TIME_WAIT, Cause.ABORT): State.CLOSED,
    (State.TIME_WAIT, Cause.REOPEN): State.CLOSED,
    **{(state, Cause.RESET): State.CLOSED for state in _SYNCHRONISED},
    **{(state, Cause.ABORT): State.CLOSED for state in _SYNCHRONISED},
    **{(state, Cause.TIMEOUT): State.CLOSED for state in _SYNCHRONISED},
}

# States in which the application may still hand us bytes to send.
SENDING = frozenset({State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT})
# States in which the peer may still send us bytes.
RECEIVING = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


def follow(state: int, cause: Cause) -> State:
    """The state that `cause` leads to from `state`, a State or its number.

    Raises KeyError when RFC 9293 has no such transition: that is an error in the
    stack, never something that a packet may bring about.
    """
    return TRANSITIONS[state, cause]
