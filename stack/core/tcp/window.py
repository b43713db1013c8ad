"""The window that we announce (RFC 9293 §3.8.6, RFC 7323 §2)."""

from typing import TYPE_CHECKING

from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Tcb

LARGEST_UNSCALED = 65_535


def announced(tcb: "Tcb") -> int:
    """Bytes that the peer may still send by what we announced before."""
    return (tcb.rcv_adv - tcb.rcv_nxt) & MASK


def in_syn(tcb: "Tcb") -> int:
    """Bytes that a SYN or SYN-ACK announces: it is never scaled (RFC 7323 §2.2)."""
    return min(tcb.rcv_wnd_max - tcb.rcv.length, LARGEST_UNSCALED)


def to_announce(tcb: "Tcb") -> int:
    """Bytes to announce now: never a smaller right edge (SHLD-14), and a larger one only
    in steps worth a segment (MUST-39, RFC 9293 §3.8.6.2.2).
    """
    most = tcb.rcv_wnd_max
    free: int = most - tcb.rcv.length
    current = announced(tcb)
    step = free - current
    return free if step >= tcb.rcv_mss or step >= most // 2 else current


def field(tcb: "Tcb", window: int) -> int:
    """The 16-bit field for `window` bytes; rounded up, since rounding down would move
    the right edge to the left.

    Each rounding promises a little more, though nothing was read. Where the ring has no
    room left for that, the edge goes back by less than a unit (RFC 7323 §2.4).
    """
    scale, ring = tcb.rcv_wscale, tcb.rcv
    units = (window + (1 << scale) - 1) >> scale
    if units << scale > ring.limit - ring.length:
        units = window >> scale
    return min(units, LARGEST_UNSCALED)


def update_is_worth_a_segment(tcb: "Tcb") -> bool:
    """Whether reading made so much room that the peer should hear of it at once: the
    window at least doubles and was below half of the buffer.
    """
    current = announced(tcb)
    if current > tcb.rcv_wnd_max // 2:
        return False
    new = to_announce(tcb)
    return new >= 2 * current and new > current


def wanted_scale(receive_buffer: int) -> int:
    """The shift that lets 16 bits express the whole buffer (RFC 7323 §2.2), at most 14."""
    scale = 0
    while scale < 14 and LARGEST_UNSCALED << scale < receive_buffer:
        scale += 1
    return scale
