"""Settings of UDP."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UdpConfig:
    """Buffers of a new endpoint, in bytes with what holding a datagram costs."""

    send_buffer: int = 212_992
    receive_buffer: int = 212_992
