"""Names of the timers that a connection has."""

from enum import IntEnum


class Timer(IntEnum):
    """Index into a connection's `deadlines`."""

    RETRANSMISSION = 0  # RFC 6298
    LOSS_PROBE = 1  # RFC 8985 §7
    REORDERING = 2  # RFC 8985 §6.2
    PERSIST = 3  # RFC 9293 §3.8.6.1
    DELAYED_ACK = 4  # RFC 9293 §3.8.6.3
    KEEPALIVE = 6  # RFC 9293 §3.8.4
    PACING = 7  # when the next data may leave
    CORK = 8  # when a partial segment has waited long enough
    TIME_WAIT = 5  # RFC 9293 §3.6.1, and FIN-WAIT-2 of an orphan


COUNT = len(Timer)
