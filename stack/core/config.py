"""Settings of a host."""

from dataclasses import dataclass, field

from stack.core.tcp.config import TcpConfig


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How a host behaves; `icmp_rate` is ICMP errors a second, `ttl` a hop count."""

    tcp: TcpConfig = field(default_factory=TcpConfig)
    ttl: int = 64
    icmp_rate: int = 1000
    icmp_burst: int = 50
