"""Which way a router sends a packet: routes given by hand, else the shortest path."""

from collections import deque
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

from stack.errors import UsageError
from stack.sim.channel import Channel

Network = IPv4Network | IPv6Network


class Station(Protocol):
    """A host or a router, as far as routes need it."""

    name: str
    forwards: bool
    ways: list[Channel]
    """The channels that leave it."""

    def owns(self, address: bytes) -> bool:
        """Whether an address, 4 or 16 bytes as in a packet, is its own."""


class RoutingTable:
    """Routes given by hand: the longest prefix that fits decides (RFC 1812 §5.2.4.3)."""

    def __init__(self) -> None:
        self._routes: dict[Network, Channel | None] = {}

    def add(self, prefix: str, way: Channel | None) -> None:
        """Sends what goes to `prefix`, as in "198.51.100.0/24", by `way`; None: nowhere.

        Raises UsageError for what is no prefix.
        """
        try:
            network = ip_network(prefix)
        except ValueError as error:
            raise UsageError(f"route {prefix!r}: {error}") from None
        self._routes[network] = way

    def find(self, destination: bytes) -> tuple[bool, Channel | None]:
        """(whether a route fits, its way) for an address as it is in a packet."""
        address = ip_address(destination)
        fitting = [net for net in self._routes if net.version == address.version and address in net]
        if not fitting:
            return False, None
        return True, self._routes[max(fitting, key=lambda net: net.prefixlen)]


def shortest_way(begin: Station, destination: bytes, stations: Iterable[Station]) -> Channel | None:
    """The first channel on the path with the fewest hops to the owner of an address; among
    equal ones the path whose wires were laid first. None when no path leads there.
    """
    known = {station.name: station for station in stations}
    seen = {begin.name}
    queue = deque((way, way) for way in begin.ways)
    while queue:
        first, way = queue.popleft()
        station = known[way.dst]
        if station.name in seen:
            continue
        seen.add(station.name)
        if station.owns(destination):
            return first
        if station.forwards:
            queue.extend((first, onward) for onward in station.ways)
    return None
