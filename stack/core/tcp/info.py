"""The variables of a connection, as Linux's TCP_INFO and `ss -ti` have them.

Times are in µs unless said, sizes in bytes, windows in segments where Linux counts those.
"""

from typing import TYPE_CHECKING

from stack.core.tcp import window
from stack.core.tcp.congestion.base import INFINITE
from stack.core.tcp.ecn import Mode
from stack.core.tcp.rack import Rack
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.timers import Timer
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

UNLIMITED = (1 << 64) - 1
_REORDERING = 3  # segments: where Linux begins, too; RACK goes by time (RFC 8985 §3.3)
_CA_OPEN, _CA_DISORDER, _CA_RECOVERY, _CA_LOSS = 0, 1, 3, 4
_OPTION_BITS = {"timestamps": 1, "sack": 2, "wscale": 4, "ecn": 8, "ecn_seen": 16, "syn_data": 32}


def tcp_info(connection: "Connection", now: int) -> dict[str, int]:
    """Every field of Linux's struct tcp_info, without its prefix, at time `now` (µs).

    What this stack has no counterpart of is 0.
    """
    return {
        **_state(connection),
        **_timing(connection, now),
        **_windows(connection),
        **_flight(connection),
        **_rates(connection),
        **_totals(connection),
    }


def _state(connection: "Connection") -> dict[str, int]:
    tcb = connection.tcb
    fast = connection.fast_open
    has = {
        "timestamps": tcb.ts_ok,
        "sack": tcb.sack_ok,
        "wscale": tcb.wscale_ok,
        "ecn": connection.ecn.mode is not Mode.OFF,
        "syn_data": fast is not None and fast.accepted,
    }
    return {
        "state": tcb.state,
        "ca_state": _ca_state(connection),
        "options": sum(_OPTION_BITS[name] for name, on in has.items() if on),
        "snd_wscale": tcb.snd_wscale,
        "rcv_wscale": tcb.rcv_wscale,
        "delivery_rate_app_limited": connection.rate is not None and connection.rate.app_limited,
        "fastopen_client_fail": 0,
    }


def _ca_state(connection: "Connection") -> int:
    tcb = connection.tcb
    if tcb.recovery == Recovery.LOSS:
        return _CA_LOSS
    if tcb.recovery == Recovery.FAST:
        return _CA_RECOVERY
    return _CA_DISORDER if tcb.dupacks or tcb.sacked else _CA_OPEN


def _timing(connection: "Connection", now: int) -> dict[str, int]:
    tcb = connection.tcb
    probing = bool(connection.deadlines[Timer.PERSIST])
    heard = _milliseconds(now, tcb.last_heard)
    return {
        "retransmits": 0 if probing else tcb.backoff,
        "probes": tcb.backoff if probing else 0,
        "backoff": tcb.backoff,
        "rto": tcb.rto << min(tcb.backoff, 16),
        "ato": connection.config.delayed_ack,
        "rtt": tcb.srtt,
        "rttvar": tcb.rttvar,
        "min_rtt": tcb.min_rtt,
        "rcv_rtt": tcb.rcv_rtt,
        "last_data_sent": _milliseconds(now, tcb.last_sent_at),
        "last_ack_sent": 0,  # Linux does not remember it, either
        "last_data_recv": _milliseconds(now, tcb.last_data_received),
        "last_ack_recv": heard,
    }


def _milliseconds(now: int, since: int) -> int:
    return max(now - since, 0) // 1000 if since else 0


def _windows(connection: "Connection") -> dict[str, int]:
    tcb = connection.tcb
    mss = max(tcb.snd_mss, 1)
    return {
        "snd_mss": tcb.snd_mss,
        "rcv_mss": connection.acks.full_size,
        "advmss": tcb.rcv_mss,
        "pmtu": connection.host.path_mtu.mtu_to(connection.remote_packed),
        "snd_cwnd": tcb.cwnd // mss,
        "snd_ssthresh": INFINITE if tcb.ssthresh >= INFINITE else tcb.ssthresh // mss,
        "rcv_ssthresh": tcb.rcv_wnd_max,
        "rcv_space": connection.tcb.rcv_space,
        "snd_wnd": tcb.snd_wnd,
        "rcv_wnd": window.announced(tcb),
        "reordering": _REORDERING,
    }


def _flight(connection: "Connection") -> dict[str, int]:
    tcb = connection.tcb
    in_flight = (tcb.snd_nxt - tcb.snd_una) & MASK
    again = sum(r.length for r in connection.flight if r.retransmitted and not r.sacked)
    return {
        "unacked": _segments(connection, in_flight),
        "sacked": _segments(connection, tcb.sacked),
        "lost": _segments(connection, tcb.lost),
        "retrans": _segments(connection, again),
        "fackets": 0,
        "notsent_bytes": max(tcb.snd.length - in_flight, 0),
    }


def _segments(connection: "Connection", size: int) -> int:
    return -(-size // max(connection.tcb.snd_mss, 1))


def _rates(connection: "Connection") -> dict[str, int]:
    pacer = connection.pacer
    return {
        "pacing_rate": pacer.rate or UNLIMITED,
        "max_pacing_rate": pacer.limit or UNLIMITED,
        "delivery_rate": connection.rate.latest if connection.rate is not None else 0,
        "busy_time": 0,
        "rwnd_limited": 0,
        "sndbuf_limited": 0,
    }


def _totals(connection: "Connection") -> dict[str, int]:
    tcb = connection.tcb
    detector = connection.detector
    delivered = tcb.bytes_acked + tcb.sacked
    return {
        "total_retrans": tcb.retransmissions,
        "bytes_acked": tcb.bytes_acked,
        "bytes_received": tcb.bytes_received,
        "bytes_sent": tcb.bytes_sent,
        "bytes_retrans": tcb.bytes_retransmitted,
        "segs_out": tcb.segments_out,
        "segs_in": tcb.segments_in,
        "data_segs_out": connection.tcb.data_segments_out,
        "data_segs_in": connection.tcb.data_segments_in,
        "delivered": _segments(connection, delivered),
        "delivered_ce": connection.ecn.marks_reported,
        "dsack_dups": connection.duplicates_reported,
        "reord_seen": isinstance(detector, Rack) and detector.reordering_seen,
        "rcv_ooopack": connection.out_of_order,
        "rehash": 0,
        "total_rto": 0,
        "total_rto_recoveries": 0,
        "total_rto_time": 0,
    }


def as_ss_shows(connection: "Connection", now: int) -> dict[str, int]:
    """What `ss -ti` prints of a connection, by its names; sizes in bytes."""
    tcb = connection.tcb
    info = tcp_info(connection, now)
    shown = {theirs: info[ours] for theirs, ours in _SS_NAMES.items()}
    # `ss` counts these in segments; bytes say more, and the tools of this stack read them.
    in_flight = (tcb.snd_nxt - tcb.snd_una) & MASK
    shown |= {"cwnd": tcb.cwnd, "ssthresh": tcb.ssthresh}
    shown |= {"unacked": in_flight, "lost": tcb.lost, "sacked": tcb.sacked}
    return shown


# What `ss` calls the fields.
_SS_NAMES = {
    "state": "state",
    "snd_wscale": "snd_wscale",
    "rcv_wscale": "rcv_wscale",
    "rto": "rto",
    "backoff": "backoff",
    "rtt": "rtt",
    "rttvar": "rttvar",
    "ato": "ato",
    "mss": "snd_mss",
    "pmtu": "pmtu",
    "rcvmss": "rcv_mss",
    "advmss": "advmss",
    "bytes_sent": "bytes_sent",
    "bytes_retrans": "bytes_retrans",
    "bytes_acked": "bytes_acked",
    "bytes_received": "bytes_received",
    "segs_out": "segs_out",
    "segs_in": "segs_in",
    "data_segs_out": "data_segs_out",
    "data_segs_in": "data_segs_in",
    "lastsnd": "last_data_sent",
    "lastrcv": "last_data_recv",
    "lastack": "last_ack_recv",
    "pacing_rate": "pacing_rate",
    "delivery_rate": "delivery_rate",
    "delivered": "delivered",
    "app_limited": "delivery_rate_app_limited",
    "retrans": "total_retrans",
    "dsack_dups": "dsack_dups",
    "reordering": "reordering",
    "reord_seen": "reord_seen",
    "rcv_rtt": "rcv_rtt",
    "rcv_space": "rcv_space",
    "rcv_ssthresh": "rcv_ssthresh",
    "notsent": "notsent_bytes",
    "minrtt": "min_rtt",
    "rcv_ooopack": "rcv_ooopack",
    "snd_wnd": "snd_wnd",
    "rcv_wnd": "rcv_wnd",
}
