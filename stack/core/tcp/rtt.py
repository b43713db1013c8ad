"""Round-trip time and retransmission timeout (RFC 6298)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.config import TcpConfig


def sample(tcb: "Tcb", rtt: int, config: "TcpConfig") -> None:
    """Takes one measurement of `rtt` µs into srtt, rttvar and rto (RFC 6298 §2.2, §2.3)."""
    rtt = max(rtt, 1)
    srtt, rttvar, min_rtt = tcb.srtt, tcb.rttvar, tcb.min_rtt
    if srtt == 0:
        srtt, rttvar = rtt, rtt // 2
    else:
        rttvar += (abs(srtt - rtt) - rttvar) // 4
        srtt += (rtt - srtt) // 8  # stays above 0, as rtt is
    tcb.srtt, tcb.rttvar = srtt, rttvar
    if min_rtt == 0 or rtt < min_rtt:
        tcb.min_rtt = rtt
    update_rto(tcb, config)


def update_rto(tcb: "Tcb", config: "TcpConfig") -> None:
    """Sets rto from srtt and rttvar, without back-off (RFC 6298 §2.3 to §2.5)."""
    variance = max(4 * tcb.rttvar, config.minimum_rto)
    tcb.rto = min(tcb.srtt + variance, config.maximum_rto)


def backed_off(tcb: "Tcb", config: "TcpConfig") -> int:
    """The timeout after `tcb.backoff` expiries in a row, in µs (RFC 6298 §5.5)."""
    return min(tcb.rto << min(tcb.backoff, 16), config.maximum_rto)
