"""What an endpoint holds for its application: datagrams, and errors about those it sent."""

from enum import IntEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from stack.wire.address import pack, text

# What holding one thing costs beside its bytes, so that a flood of empty datagrams meets
# the limit of the buffer, too.
OVERHEAD = 256

# A peer's address becomes text for every datagram, and is read again: once is enough for most.
address_text = lru_cache(maxsize=1024)(text)


@lru_cache(maxsize=1024)
def read_address(address: str) -> tuple[int, bytes]:
    """The version and the 16 bytes of an address; IPv4 may be mapped (RFC 4291 §2.5.5.2)."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return (4, pack(mapped)) if mapped else (parsed.version, pack(parsed))


class Datagram(NamedTuple):
    """A datagram that arrived. Addresses are 16 bytes; `destination` is what its sender
    wrote: one of ours, or a group (RFC 1122 §4.1.3.5). `options` are IPv4's, as they came
    (§4.1.3.2).
    """

    data: bytes
    source: bytes
    port: int
    version: int
    destination: bytes
    ttl: int
    traffic_class: int
    options: bytes

    @property
    def address(self) -> str:
        """The sender's address as text."""
        return address_text(self.source, self.version)

    @property
    def cost(self) -> int:
        """What it takes of the receive buffer, in bytes."""
        return len(self.data) + OVERHEAD


class Origin(IntEnum):
    """Where an error comes from; the numbers are Linux's."""

    LOCAL = 1
    ICMP = 2
    ICMP6 = 3


class Route(NamedTuple):
    """From where to where a datagram goes; addresses are 16 bytes."""

    version: int
    source: bytes
    destination: bytes
    port: int

    @property
    def address(self) -> str:
        """The destination as text."""
        return address_text(self.destination, self.version)


class SendError(NamedTuple):
    """Why a datagram of ours did not arrive (RFC 1122 §4.1.3.3).

    `number` is the errno, `info` the MTU that would have done (bytes) or the pointer of a
    parameter problem, `offender` the 16 bytes of who said so, None for this host. `data` is
    as much of the datagram as was quoted.
    """

    number: int
    origin: Origin
    type: int
    code: int
    info: int
    offender: bytes | None
    route: Route
    data: bytes

    @property
    def cost(self) -> int:
        """What it takes of the receive buffer, in bytes."""
        return len(self.data) + OVERHEAD
