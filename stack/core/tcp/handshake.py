"""What the two SYNs agree upon, and the step into ESTABLISHED (RFC 9293 §3.5, §3.7.1, RFC 7323)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.ready import Ready
from stack.core.tcp import rtt, window
from stack.core.tcp.rack import Rack
from stack.core.tcp.states import Cause, State
from stack.core.tcp.timers import Timer
from stack.core.tcp.user_timeout import UserTimeoutOption
from stack.core.why import Why
from stack.wire.sequence import MASK, geq, gt

if TYPE_CHECKING:
    from stack._native import Emit, Packet
    from stack.core.tcp.config import TcpConfig
    from stack.core.tcp.connection import Connection

DEFAULT_MSS = {4: 536, 6: 1220}  # RFC 9293 MUST-15
HEADERS = {4: 40, 6: 60}  # IP and TCP headers without options
_TIMESTAMPS_LENGTH = 12
_SMALLEST_MSS = 48  # below this a peer could make us send headers only
_SMALLEST_TEXT = 8  # beside all options, for the same reason
_AFTER_LOST_SYN = 3_000_000  # µs, RFC 6298 §5.7


def prepare(
    connection: "Connection", now: int, *, above: int | None = None, iss: int | None = None
) -> None:
    """Draws the initial sequence number unless `iss` is given, beyond `above` where the
    connection follows one that used numbers up to there (RFC 9293 §3.6.1, MAY-2), and what
    we shall offer.
    """
    tcb = connection.tcb
    host = connection.host
    tcb.iss = host.secrets.initial_sequence(connection.path, now) if iss is None else iss
    if above is not None and not gt(tcb.iss, above):
        tcb.iss = (above + 1 + (tcb.iss & 0xFFFF)) & MASK
    tcb.snd_una = tcb.iss
    tcb.snd_nxt = (tcb.iss + 1) & MASK
    tcb.ts_offset = host.secrets.timestamp_offset(connection.path)
    tcb.rcv_mss = min(host.mtu - HEADERS[tcb.path.version], connection.mss_limit)
    tcb.peer_mss = tcb.snd_mss = DEFAULT_MSS[tcb.path.version]
    config = connection.config
    tcb.wscale_ok = config.window_scaling
    tcb.rcv_wscale = offered_scale(config)
    tcb.ts_ok = config.timestamps
    tcb.sack_ok = config.sack
    tcb.unacked_since = now
    if config.user_timeout_option:
        connection.timeout_option = UserTimeoutOption(config.r2)


def offered_scale(config: "TcpConfig") -> int:
    """The shift that our SYN or SYN-ACK offers."""
    return window.wanted_scale(config.largest_window) if config.window_scaling else 0


def take_options(connection: "Connection", seg: "Packet", now: int) -> None:
    """Takes what the peer's SYN or SYN-ACK says; an option is on when both sent it."""
    tcb = connection.tcb
    seen = seg.options
    tcb.traffic_class_heard = seg.traffic_class
    tcb.irs = seg.seq
    tcb.rcv_nxt = (seg.seq + 1) & MASK
    # A SYN of ours has announced its window already, counted from here.
    tcb.rcv_adv = (tcb.rcv_nxt + window.in_syn(tcb)) & MASK
    if seen & lib.OPTION_MSS:
        tcb.peer_mss = max(seg.mss, _SMALLEST_MSS)
    tcb.sack_ok = tcb.sack_ok and bool(seen & lib.OPTION_SACK_PERMITTED)
    tcb.ts_ok = tcb.ts_ok and bool(seen & lib.OPTION_TIMESTAMPS)
    if tcb.ts_ok:
        tcb.ts_recent = seg.tsval
        tcb.ts_recent_at = now
    if tcb.wscale_ok and seen & lib.OPTION_WSCALE:
        tcb.snd_wscale = min(seg.wscale, 14)  # RFC 7323 §2.3
    else:
        tcb.wscale_ok = 0
        tcb.rcv_wscale = 0
        tcb.rcv_wnd_max = min(tcb.rcv_wnd_max, window.LARGEST_UNSCALED)
    tcb.snd_wnd = tcb.max_snd_wnd = seg.window  # never scaled in a SYN
    tcb.snd_wl1 = seg.seq
    if connection.timeout_option is not None and seen & lib.OPTION_USER_TIMEOUT:
        connection.timeout_option.arrives(connection, seg.user_timeout)
    if tcb.sack_ok:
        connection.detector = Rack(tcb)
        tcb.rack_end = tcb.rack_fack = tcb.iss
    update_mss(connection)


def update_mss(connection: "Connection") -> None:
    """Effective send MSS: what the peer takes and the path carries, less the options of TCP
    and IP that every segment has (MUST-16; RFC 6691 §2); and whether routers may fragment.
    """
    tcb = connection.tcb
    path_mtu, may_fragment = connection.host.path_mtu.estimate(connection.remote_packed)
    tcb.path.dont_fragment = not may_fragment
    if connection.mtu_probe is not None and connection.mtu_probe.low:
        path_mtu = min(path_mtu, connection.mtu_probe.low)
    carried = path_mtu - HEADERS[tcb.path.version]
    mss = min(tcb.peer_mss, carried, connection.mss_limit)
    mss -= overhead(connection) - HEADERS[tcb.path.version]
    mss = max(mss, _SMALLEST_TEXT)
    tcb.mss_proven = tcb.mss_proven and mss == tcb.snd_mss
    tcb.snd_mss = mss
    if tcb.state in (State.SYN_SENT, State.SYN_RECEIVED):
        connection.congestion.on_mss()
    else:
        # The path became wider: below one segment, nothing could leave any more.
        tcb.cwnd = max(tcb.cwnd, tcb.snd_mss)


def overhead(connection: "Connection") -> int:
    """Bytes of a full segment's packet that are not text: headers, and the options of TCP and
    IP that every segment has.
    """
    tcb = connection.tcb
    options: int = tcb.path.options_length + _TIMESTAMPS_LENGTH * bool(tcb.ts_ok)
    return HEADERS[tcb.path.version] + options


def offer(connection: "Connection", emit: "Emit") -> None:
    """Fills in the options of our SYN or SYN-ACK; a SYN-ACK only answers."""
    tcb = connection.tcb
    emit.options = lib.OPTION_MSS
    emit.mss = tcb.rcv_mss
    if tcb.wscale_ok:
        emit.options |= lib.OPTION_WSCALE
        emit.wscale = tcb.rcv_wscale
    if tcb.sack_ok:
        emit.options |= lib.OPTION_SACK_PERMITTED
    if tcb.ts_ok:
        emit.options |= lib.OPTION_TIMESTAMPS
    if connection.timeout_option is not None:
        connection.timeout_option.offer(emit)
    if connection.fast_open is not None:
        connection.fast_open.offer(emit)


def establish(connection: "Connection", seg: "Packet", cause: Cause, now: int) -> None:
    """Our SYN is acknowledged: measure, and tell the application."""
    tcb = connection.tcb
    connection.move(cause, now)
    tcb.snd_una = (tcb.iss + 1) & MASK
    connection.stop_timer(Timer.RETRANSMISSION)
    tcb.syn_due = lib.WHY_NONE
    _first_rtt(connection, seg, now)
    connection.receive_buffer.begin(connection, now)
    if connection.keeps_alive:
        connection.keepalive.begin(connection, now)
    connection.congestion.on_mss()
    connection.pacer.ask(connection.congestion.pacing_rate)
    if connection.listener is not None:
        connection.listener.leaves_half_open(connection)
    established(connection, now)


def established(connection: "Connection", now: int) -> None:
    """What is left to do then, where the segment path has seen the handshake's end, too."""
    tcb = connection.tcb
    connection.host.metrics.begin(connection, now)
    if connection.mtu_probe is not None:
        connection.mtu_probe.on_established(connection, now)
    if tcb.backoff:
        # The SYN was lost: one segment to begin with (RFC 5681 §3.1).
        tcb.cwnd = tcb.snd_mss
        tcb.backoff = 0
    if tcb.fin_queued:
        connection.move(Cause.CLOSE, now)
    if connection.listener is None:
        connection.tell(Ready.CONNECTED | Ready.WRITABLE)
    else:
        connection.listener.established(connection)
    if connection.config.scaled_window_update and tcb.rcv_wscale:
        connection.acks.now(connection, Why.SCALED_WINDOW)
    connection.may_go_on()


def _first_rtt(connection: "Connection", seg: "Packet", now: int) -> None:
    tcb = connection.tcb
    if not tcb.unacked_since:  # after a SYN cookie
        tcb.unacked_since = now
        return
    if tcb.backoff == 0:
        rtt.sample(tcb, now - tcb.unacked_since, connection.config)
    elif tcb.ts_ok and geq(connection.timestamp(now), seg.tsecr):
        elapsed = (connection.timestamp(now) - seg.tsecr) & MASK
        rtt.sample(tcb, elapsed * 1000, connection.config)
    else:
        tcb.rto = max(tcb.rto, _AFTER_LOST_SYN)
