"""The variables of a connection under the names that Python in a script has for them."""

from stack.core.tcp import info
from stack.core.tcp.connection import Connection
from stack.core.tcp.states import State

_CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
_OPTIONS = ("TIMESTAMPS", "SACK", "WSCALE", "ECN", "ECN_SEEN", "SYN_DATA")
_STATES = {
    "TCP_ESTABLISHED": State.ESTABLISHED,
    "TCP_SYN_SENT": State.SYN_SENT,
    "TCP_SYN_RECV": State.SYN_RECEIVED,
    "TCP_FIN_WAIT1": State.FIN_WAIT_1,
    "TCP_FIN_WAIT2": State.FIN_WAIT_2,
    "TCP_TIME_WAIT": State.TIME_WAIT,
    "TCP_CLOSE": State.CLOSED,
    "TCP_CLOSE_WAIT": State.CLOSE_WAIT,
    "TCP_LAST_ACK": State.LAST_ACK,
    "TCP_LISTEN": State.LISTEN,
    "TCP_CLOSING": State.CLOSING,
}

CONSTANTS: dict[str, int] = {
    **{f"TCP_CA_{name}": number for number, name in enumerate(_CA_STATES)},
    **{f"TCPI_OPT_{name}": 1 << bit for bit, name in enumerate(_OPTIONS)},
    **{name: int(state) for name, state in _STATES.items()},
}
"""The names that assertions compare with."""


def tcp_info(connection: Connection, now: int) -> dict[str, int]:
    """Every `tcpi_…` of a connection at time `now` (µs); windows in segments, as in Linux."""
    fields = info.tcp_info(connection, now)
    return {f"tcpi_{name}": int(value) for name, value in fields.items()}
