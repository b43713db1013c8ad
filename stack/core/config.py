"""Settings of a host."""

from dataclasses import dataclass, field

from stack.core.tcp.config import TcpConfig
from stack.core.udp.config import UdpConfig
from stack.errors import UsageError


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How a host behaves; `icmp_rate` is ICMP errors a second, `ttl` a hop count.

    `accept_source_route`: take packets that came by an IPv4 source route, and answer
    connections by the way back. Who may name the way of our answers can have them pass his
    own host, so it is off, as RFC 7126 §4.3 advises and Linux has it for hosts.

    `fast_path`: common segments of established connections are finished in C (the environment
    can switch that off, too: TUNSTACK_FASTPATH=0). What happens is the same.
    """

    tcp: TcpConfig = field(default_factory=TcpConfig)
    udp: UdpConfig = field(default_factory=UdpConfig)
    ttl: int = 64
    icmp_rate: int = 1000
    icmp_burst: int = 50
    accept_source_route: bool = False
    fast_path: bool = True

    def __post_init__(self) -> None:
        """Raises UsageError for a hop count that no packet can have (RFC 1122 §3.2.1.7)."""
        if not 0 < self.ttl < 256:
            raise UsageError(f"ttl={self.ttl}: give a hop count from 1 to 255")
