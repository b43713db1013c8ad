"""A router (RFC 1812, RFC 8200): forwards packets between the wires that end at it."""

from collections.abc import Callable, Sequence
from ipaddress import ip_interface

from stack.core import deliver
from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.ip import icmp
from stack.core.ip.fragment import refragment
from stack.core.why import Why
from stack.errors import UsageError
from stack.link.base import Link
from stack.sim.agenda import Agenda
from stack.sim.channel import Channel
from stack.sim.hop import Hop
from stack.sim.node import Node
from stack.sim.routes import RoutingTable
from stack.sim.wire import Wire
from stack.wire.batch import Inbound, Outbound
from stack.wire.icmp import TimeExceededCode, Unreachable4, Unreachable6

FindWay = Callable[["Router", bytes], Channel | None]

_DONT_FRAGMENT = 0x40


class Router:
    """Forwards by the longest prefix, counts hops, and says by ICMP what it cannot forward.

    Queues and rates belong to the wires: each direction has its own. `host` is the router's
    own end system, which sends those ICMP messages and answers to ping.
    """

    forwards = True

    def __init__(
        self,
        agenda: Agenda,
        name: str,
        addresses: Sequence[str],
        random_bytes: Callable[[int], bytes],
        find_way: FindWay,
    ) -> None:
        self.name = name
        self.ways: list[Channel] = []
        self.forwarded = 0
        self.host = Host(addresses, random_bytes=random_bytes, config=HostConfig())
        self._node = Node(agenda, self.host, _Out(self))
        self._table = RoutingTable()
        self._find_way = find_way
        self._hop = Hop(self._way_beyond)
        self._known: dict[bytes, Channel | None] = {}
        own = (ip_interface(address).ip.packed for address in self.host.addresses)
        self._own = frozenset(own)

    def attach(self, outgoing: Channel, incoming: Channel) -> None:
        """A wire ends here from now on."""
        self.ways.append(outgoing)
        incoming.receive_by(self.arrives, at_once=True)
        incoming.pass_on(Outbound(), self._onward)
        self.forget_ways()

    def owns(self, address: bytes) -> bool:
        """Whether an address, 4 or 16 bytes as in a packet, is the router's own."""
        return address in self._own

    def route(self, prefix: str, wire: Wire | None) -> None:
        """Sends what goes to `prefix` by `wire`, or nowhere (None).

        Such routes go before the shortest paths that the network finds by itself. Raises
        UsageError for what is no prefix, or a wire that does not end here.
        """
        ways = [way for way in self.ways if wire is not None and way in wire.channels]
        if wire is not None and not ways:
            raise UsageError(f"route {prefix!r}: that wire does not end at {self.name!r}")
        self._table.add(prefix, ways[0] if ways else None)
        self.forget_ways()

    def forget_ways(self) -> None:
        """The network changed: paths are to be found anew."""
        self._known.clear()
        self._hop.forget_ways()

    # What passes through.

    def arrives(self, packets: list[bytes], now: int) -> None:
        """Packets came in together."""
        for data in packets:
            version = data[0] >> 4
            if version == 4 and len(data) >= 20:
                self._ipv4(data, now)
            elif version == 6 and len(data) >= 40:
                self._ipv6(data, now)
            else:
                self.host.counters.count("IpInHdrErrors")

    def _onward(self, out: Outbound, longest: int, now: int) -> bool:
        """Sends a whole batch on, if it can be done without a look at each packet."""
        if not self._hop.take(out, longest, now):
            return False
        self.forwarded += out.count
        return True

    def _way_beyond(self, destination: bytes) -> Channel | None:
        return None if destination in self._own else self.way_to(destination)

    def _ipv4(self, data: bytes, now: int) -> None:
        # A sum of words in ones' complement is the number itself modulo 65,535.
        if int.from_bytes(data[: (data[0] & 0xF) * 4], "big") % 0xFFFF:
            self.host.counters.count("IpInCsumErrors")  # RFC 1812 §5.2.2
            return
        destination = data[16:20]
        if destination in self._own:
            self._node.arrives([data], now)
            return
        ttl = data[8]
        if ttl <= 1:
            self._hops_exceeded(data, now)
            return
        # RFC 1624 §3: one less in the upper byte of a word is one more in the checksum's.
        total = int.from_bytes(data[10:12], "big") + 0x100
        total = (total & 0xFFFF) + (total >> 16)
        after = data[:8] + bytes((ttl - 1, data[9])) + total.to_bytes(2, "big") + data[12:]
        self._pass_on(data, after, destination, now)

    def _ipv6(self, data: bytes, now: int) -> None:
        destination = data[24:40]
        if destination in self._own:
            self._node.arrives([data], now)
        elif data[7] <= 1:
            self._hops_exceeded(data, now)
        else:
            after = data[:7] + bytes((data[7] - 1,)) + data[8:]
            self._pass_on(data, after, destination, now)

    def _pass_on(self, before: bytes, after: bytes, destination: bytes, now: int) -> None:
        way = self.way_to(destination)
        if way is None:
            self._unreachable(before, now)
            return
        self.forwarded += 1
        if len(after) <= way.mtu:
            way.send((after,), now)
        elif after[0] >> 4 == 4 and not after[6] & _DONT_FRAGMENT:
            way.send(refragment(after, way.mtu), now)
        else:
            self._too_big(before, way.mtu, now)

    def way_to(self, destination: bytes) -> Channel | None:
        """Where a packet to an address, 4 or 16 bytes, goes from here."""
        known = self._known
        if destination not in known:
            fits, way = self._table.find(destination)
            known[destination] = way if fits else self._find_way(self, destination)
        return known[destination]

    # What the router has to say.

    def _hops_exceeded(self, data: bytes, now: int) -> None:
        """RFC 1812 §5.3.1, RFC 8200 §3."""
        packet = Inbound.of([data])
        code = TimeExceededCode.HOP_LIMIT
        error = icmp.time_exceeded(packet.slot(0), code, addresses=self.host.local)
        self._say(error, Why.HOP_LIMIT, now)

    def _unreachable(self, data: bytes, now: int) -> None:
        """RFC 1812 §4.3.3.1, RFC 4443 §3.1."""
        packet = Inbound.of([data])
        error = icmp.destination_unreachable(
            packet.slot(0),
            Unreachable4.NET_UNREACHABLE,
            Unreachable6.NO_ROUTE,
            addresses=self.host.local,
        )
        self._say(error, Why.UNREACHABLE, now)

    def _too_big(self, data: bytes, mtu: int, now: int) -> None:
        """RFC 1191 §4, RFC 4443 §3.2."""
        packet = Inbound.of([data])
        error = icmp.packet_too_big(packet.slot(0), mtu, addresses=self.host.local)
        self._say(error, Why.TOO_BIG, now)

    def _say(self, error: bytes | None, why: Why, now: int) -> None:
        if deliver.reply_error(self.host, error, why, now):
            self._node.wake()


class _Out(Link):
    """What the router's own host sends by: the way that each packet's destination asks for."""

    offload = False
    mtu = 1500

    def __init__(self, router: Router) -> None:
        self._router = router
        self._nothing = Inbound.of(())

    def receive(self, now: int) -> Inbound:
        return self._nothing

    def transmit(self, out: Outbound, now: int) -> None:
        for data in out:
            way = self._router.way_to(data[16:20] if data[0] >> 4 == 4 else data[24:40])
            if way is not None:
                way.send((data,), now)

    def close(self) -> None:
        pass
