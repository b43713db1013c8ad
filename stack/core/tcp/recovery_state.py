"""Whether a connection repairs losses; kept in `tcb.recovery`."""

from enum import IntEnum


class Recovery(IntEnum):
    """The three conditions of a sender (RFC 5681 §3.2, RFC 6298 §5)."""

    OPEN = 0
    FAST = 1  # fast recovery after a detected loss
    LOSS = 2  # after a retransmission timeout
