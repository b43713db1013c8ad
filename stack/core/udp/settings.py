"""What an application can ask of IP for its datagrams (RFC 1122 §4.1.4)."""

from dataclasses import dataclass
from enum import IntEnum


class Discovery(IntEnum):
    """What is done about the path MTU; the numbers are those of IP_MTU_DISCOVER on Linux.

    A datagram beyond the MTU either leaves in fragments or is refused with EMSGSIZE.
    """

    DONT = 0
    """routers may fragment"""
    WANT = 1
    """routers may not, unless this host had to fragment already"""
    DO = 2
    """nobody may fragment"""
    PROBE = 3
    """nobody may fragment, and only the link's MTU counts: for one who looks for the path's"""
    INTERFACE = 4
    """only routers may fragment, and what they say of the path's MTU is not believed"""
    OMIT = 5
    """anybody may fragment, and what routers say of the path's MTU is not believed"""

    @property
    def trusts_routers(self) -> bool:
        """Whether the estimate of the path MTU counts."""
        return self < Discovery.PROBE

    @property
    def cuts(self) -> bool:
        """Whether this host fragments."""
        return self in (Discovery.DONT, Discovery.WANT, Discovery.OMIT)

    @property
    def forbids(self) -> bool:
        """Whether every packet says "don't fragment"."""
        return self in (Discovery.DO, Discovery.PROBE)


@dataclass(slots=True)
class IpSettings:
    """One version's settings. `ttl` is the hop limit in IPv6, `traffic_class` the type of
    service in IPv4; `report_errors` has every ICMP error told, also to an endpoint that is
    not connected. `options` are IPv4's (RFC 1122 §4.1.3.2), checked and in the form that
    core.ip.options describes.
    """

    ttl: int
    multicast_ttl: int = 1  # RFC 1112 §6.1
    traffic_class: int = 0
    discovery: Discovery = Discovery.WANT
    report_errors: bool = False
    options: bytes = b""
