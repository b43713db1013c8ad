"""TCP_INFO: the variables of a connection in the layout of Linux's struct tcp_info."""

import struct

from stack.core.tcp.connection import Connection
from stack.core.tcp.info import tcp_info
from stack.core.tcp.states import State

_LAYOUT = struct.Struct("=8B24I4Q6I4Q2I2Q6I2HI")
_BYTES = ("state", "ca_state", "retransmits", "probes", "backoff", "options")
_FIELDS = [
    "rto",
    "ato",
    "snd_mss",
    "rcv_mss",
    "unacked",
    "sacked",
    "lost",
    "retrans",
    "fackets",
    "last_data_sent",
    "last_ack_sent",
    "last_data_recv",
    "last_ack_recv",
    "pmtu",
    "rcv_ssthresh",
    "rtt",
    "rttvar",
    "snd_ssthresh",
    "snd_cwnd",
    "advmss",
    "reordering",
    "rcv_rtt",
    "rcv_space",
    "total_retrans",
    "pacing_rate",
    "max_pacing_rate",
    "bytes_acked",
    "bytes_received",
    "segs_out",
    "segs_in",
    "notsent_bytes",
    "min_rtt",
    "data_segs_in",
    "data_segs_out",
    "delivery_rate",
    "busy_time",
    "rwnd_limited",
    "sndbuf_limited",
    "delivered",
    "delivered_ce",
    "bytes_sent",
    "bytes_retrans",
    "dsack_dups",
    "reord_seen",
    "rcv_ooopack",
    "snd_wnd",
    "rcv_wnd",
    "rehash",
    "total_rto",
    "total_rto_recoveries",
    "total_rto_time",
]


def packed(connection: Connection) -> bytes:
    """The whole struct, in the machine's byte order."""
    info = tcp_info(connection, connection.host.now)
    head = [min(info[name], 0xFF) for name in _BYTES]
    scales = info["snd_wscale"] | info["rcv_wscale"] << 4
    limited = info["delivery_rate_app_limited"] | info["fastopen_client_fail"] << 1
    return _LAYOUT.pack(*head, scales, limited, *(info[name] for name in _FIELDS))


def without_connection(state: State) -> bytes:
    """What a socket shows that has none."""
    return bytes((state,)) + bytes(_LAYOUT.size - 1)
