"""Names of the timers that a connection has."""

from enum import IntEnum

from stack._native import lib


class Timer(IntEnum):
    """Index into a connection's `deadlines`."""

    RETRANSMISSION = lib.TIMER_RETRANSMISSION  # RFC 6298
    LOSS_PROBE = lib.TIMER_LOSS_PROBE  # RFC 8985 §7
    REORDERING = lib.TIMER_REORDERING  # RFC 8985 §6.2
    PERSIST = lib.TIMER_PERSIST  # RFC 9293 §3.8.6.1
    DELAYED_ACK = lib.TIMER_DELAYED_ACK  # RFC 9293 §3.8.6.3
    KEEPALIVE = lib.TIMER_KEEPALIVE  # RFC 9293 §3.8.4
    PACING = lib.TIMER_PACING  # when the next data may leave
    CORK = lib.TIMER_CORK  # when a partial segment has waited long enough
    TIME_WAIT = lib.TIMER_TIME_WAIT  # RFC 9293 §3.6.1, and FIN-WAIT-2 of an orphan
