"""The variables of a connection under the names of Linux's struct tcp_info.

Times are in µs, windows in segments, as there; what this stack has no counterpart of is 0.
"""

from stack.core.tcp import window
from stack.core.tcp.connection import Connection
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.wire.sequence import MASK

_CA_STATES = {"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2}
_CA_STATES |= {"TCP_CA_Recovery": 3, "TCP_CA_Loss": 4}
_OPTIONS = {"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4}
_OPTIONS |= {"TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16, "TCPI_OPT_SYN_DATA": 32}
_LINUX_STATES = {
    State.ESTABLISHED: "TCP_ESTABLISHED",
    State.SYN_SENT: "TCP_SYN_SENT",
    State.SYN_RECEIVED: "TCP_SYN_RECV",
    State.FIN_WAIT_1: "TCP_FIN_WAIT1",
    State.FIN_WAIT_2: "TCP_FIN_WAIT2",
    State.TIME_WAIT: "TCP_TIME_WAIT",
    State.CLOSED: "TCP_CLOSE",
    State.CLOSE_WAIT: "TCP_CLOSE_WAIT",
    State.LAST_ACK: "TCP_LAST_ACK",
    State.LISTEN: "TCP_LISTEN",
    State.CLOSING: "TCP_CLOSING",
}

CONSTANTS: dict[str, int] = {
    **_CA_STATES,
    **_OPTIONS,
    **{name: int(state) for state, name in _LINUX_STATES.items()},
}
"""The names that assertions compare with."""

_INFINITE = 0x7FFFFFFF  # what Linux shows for a slow-start threshold that was never set


def tcp_info(connection: Connection, now: int) -> dict[str, int]:
    """Every `tcpi_…` of a connection at time `now` (µs)."""
    return {
        **_state(connection),
        **_timing(connection, now),
        **_windows(connection),
        **_flight(connection),
        **_totals(connection),
    }


def _state(connection: Connection) -> dict[str, int]:
    tcb = connection.tcb
    return {
        "tcpi_state": int(tcb.state),
        "tcpi_ca_state": _ca_state(connection),
        "tcpi_options": bool(tcb.ts_ok) | bool(tcb.sack_ok) << 1 | bool(tcb.wscale_ok) << 2,
        "tcpi_snd_wscale": tcb.snd_wscale,
        "tcpi_rcv_wscale": tcb.rcv_wscale,
    }


def _ca_state(connection: Connection) -> int:
    tcb = connection.tcb
    if tcb.recovery == Recovery.LOSS:
        return _CA_STATES["TCP_CA_Loss"]
    if tcb.recovery == Recovery.FAST:
        return _CA_STATES["TCP_CA_Recovery"]
    if tcb.dupacks or tcb.sacked:
        return _CA_STATES["TCP_CA_Disorder"]
    return _CA_STATES["TCP_CA_Open"]


def _timing(connection: Connection, now: int) -> dict[str, int]:
    tcb = connection.tcb
    probing = bool(connection.deadlines[Timer.PERSIST])
    return {
        "tcpi_retransmits": 0 if probing else tcb.backoff,
        "tcpi_probes": tcb.backoff if probing else 0,
        "tcpi_backoff": tcb.backoff,
        "tcpi_rto": tcb.rto << min(tcb.backoff, 16),
        "tcpi_ato": connection.config.delayed_ack,
        "tcpi_rtt": tcb.srtt,
        "tcpi_rttvar": tcb.rttvar,
        "tcpi_min_rtt": tcb.min_rtt,
        "tcpi_last_data_sent": max(now - connection.last_sent_at, 0) // 1000,
    }


def _windows(connection: Connection) -> dict[str, int]:
    tcb = connection.tcb
    mss = max(tcb.snd_mss, 1)
    ssthresh = _INFINITE if tcb.ssthresh >= _INFINITE else tcb.ssthresh // mss
    return {
        "tcpi_snd_mss": tcb.snd_mss,
        "tcpi_rcv_mss": tcb.rcv_mss,
        "tcpi_advmss": tcb.rcv_mss,
        "tcpi_pmtu": connection.host.path_mtu.mtu_to(connection.remote_packed),
        "tcpi_snd_cwnd": tcb.cwnd // mss,
        "tcpi_snd_ssthresh": ssthresh,
        "tcpi_snd_wnd": tcb.snd_wnd,
        "tcpi_rcv_wnd": window.announced(tcb),
        "tcpi_rcv_space": tcb.rcv_wnd_max,
    }


def _flight(connection: Connection) -> dict[str, int]:
    tcb = connection.tcb
    mss = max(tcb.snd_mss, 1)
    in_flight = (tcb.snd_nxt - tcb.snd_una) & MASK
    retransmitted = sum(
        record.length for record in connection.flight if record.retransmitted and not record.sacked
    )
    return {
        "tcpi_unacked": -(-in_flight // mss),
        "tcpi_sacked": -(-tcb.sacked // mss),
        "tcpi_lost": -(-tcb.lost // mss),
        "tcpi_retrans": -(-retransmitted // mss),
        "tcpi_notsent_bytes": max(tcb.snd.length - in_flight, 0),
    }


def _totals(connection: Connection) -> dict[str, int]:
    tcb = connection.tcb
    return {
        "tcpi_total_retrans": tcb.retransmissions,
        "tcpi_bytes_acked": tcb.bytes_acked,
        "tcpi_bytes_received": tcb.bytes_received,
        "tcpi_bytes_sent": tcb.bytes_sent,
        "tcpi_bytes_retrans": tcb.bytes_retransmitted,
        "tcpi_segs_out": tcb.segments_out,
        "tcpi_segs_in": tcb.segments_in,
    }
