"""Settings of TCP; every one has a default that a general-purpose host would take."""

from dataclasses import dataclass

from stack.errors import UsageError

SECOND = 1_000_000
CHOICES = {
    "ecn": ("off", "passive", "classic", "accurate"),
    "mtu_probing": ("off", "black hole", "always"),
}


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """How the TCP of a host behaves. Sizes in bytes, times in µs."""

    # A size here stays; with 0 the buffers begin small and follow the connection's needs up
    # to the largest, as long as all of them together have not grown by `buffer_memory`.
    send_buffer: int = 0
    receive_buffer: int = 0
    first_send_buffer: int = 256 << 10
    first_receive_buffer: int = 128 << 10
    largest_send_buffer: int = 32_000_000  # 1 Gbit/s × 100 ms, and as much again to probe
    largest_receive_buffer: int = 32_000_000
    buffer_memory: int = 1 << 30
    window_scaling: bool = True
    timestamps: bool = True
    sack: bool = True
    # "off", "passive" (granted when the peer asks, as Linux does), "classic" (asked for,
    # RFC 3168) or "accurate" (asked for, RFC 9768, with classic ECN as the fallback).
    ecn: str = "passive"
    # Announce the scaled window in a segment of its own right after the handshake,
    # as BSD stacks do: the SYN could carry at most 65,535 (RFC 7323 §2.2).
    scaled_window_update: bool = False
    accecn_option: bool = True  # accurate ECN counts bytes in an option, too (RFC 9768 §3.2.3)
    congestion: str = "cubic"
    initial_window: int = 10  # segments (RFC 6928)
    # Begin again with the initial window after an RTO of silence (RFC 5681 §4.1); else what
    # RFC 7661 says holds, which keeps the window for five minutes.
    idle_restart: bool = True
    initial_rto: int = SECOND  # RFC 6298 §2
    # RFC 6298 §2.4 asks for a second; Linux has 200 ms, which the delayed-ACK bound
    # of today's peers allows.
    minimum_rto: int = 200_000
    maximum_rto: int = 60 * SECOND
    delayed_ack: int = 40_000  # RFC 9293 MUST-40: below 500 ms
    quick_acks: int = 16  # segments acknowledged at once when a connection begins
    # The probe waits at least this long, since a busy peer's delay is not a loss. (Linux: two
    # ticks of its clock, 2 to 8 ms.)
    minimum_probe_timeout: int = 5_000
    probe_delayed_ack: int = 200_000  # WCDelAckT of RFC 8985 §7.2
    r1: int = 3  # retransmissions until the application hears of trouble (SHLD-10)
    r2: int = 900 * SECOND  # RFC 9293 SHLD-11: at least 100 s
    # The same once the application has closed the connection, though its peer may answer:
    # Linux ends it after tcp_orphan_retries, in a similar time.
    orphan_r2: int = 200 * SECOND
    user_timeout_option: bool = False  # advertise R2 and follow the peer's advice (RFC 5482)
    syn_r2: int = 180 * SECOND  # RFC 9293 MUST-23: at least 3 minutes
    time_wait: int = 60 * SECOND  # 2 MSL, with an MSL of 30 s
    fin_wait_2: int = 60 * SECOND  # for a connection that no application holds any more
    time_wait_limit: int = 16_384  # connections kept in TIME-WAIT
    syn_queue: int = 1024  # connections in SYN-RECEIVED for one listener
    syn_cookies: bool = True  # once the SYN queue is full (RFC 4987 §3.6)
    challenge_acks: int = 1000  # a second on average for the whole host (RFC 5961 §7)
    # Finding the path MTU without routers' messages (RFC 4821): "off", "black hole" (once full
    # segments vanish) or "always" (every connection begins small and probes).
    mtu_probing: str = "off"
    mtu_probe_interval: int = 600 * SECOND  # until sizes that failed are tried again
    # RFC 9040: what is kept of a destination for its next connection. An old slow-start
    # threshold can hold a fast path back for long, so it is not used unless asked for.
    metrics_limit: int = 1024  # destinations
    metrics_lifetime: int = 3600 * SECOND
    cached_ssthresh: bool = False
    first_ephemeral_port: int = 32768
    last_ephemeral_port: int = 60999

    def __post_init__(self) -> None:
        """Raises UsageError where a setting that is chosen by name has no such choice."""
        for setting, choices in CHOICES.items():
            if getattr(self, setting) not in choices:
                known = ", ".join(choices)
                raise UsageError(f"{setting}={getattr(self, setting)!r}: choose one of {known}")

    @property
    def largest_window(self) -> int:
        """Bytes that a window of ours may ever announce."""
        return self.receive_buffer or self.largest_receive_buffer
