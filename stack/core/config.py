"""Settings of a host."""

from dataclasses import dataclass, field

from stack.core.tcp.config import TcpConfig
from stack.core.udp.config import UdpConfig


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How a host behaves; `icmp_rate` is ICMP errors a second, `ttl` a hop count."""

    tcp: TcpConfig = field(default_factory=TcpConfig)
    udp: UdpConfig = field(default_factory=UdpConfig)
    ttl: int = 64
    icmp_rate: int = 1000
    icmp_burst: int = 50
