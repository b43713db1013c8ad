"""Hosts, routers and the wires between them, in virtual time."""

import random
from collections.abc import Callable, Sequence

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.errors import UsageError
from stack.link.codel import CoDel
from stack.link.impair import DEFAULT_QUEUE, HOLD_MAX, HOLD_MIN, Faults, ImpairmentSpec
from stack.link.line import impairments
from stack.link.loss import Loss
from stack.link.queue import DropTail
from stack.run.virtual import VirtualLoop
from stack.sim.agenda import Agenda
from stack.sim.channel import Channel
from stack.sim.dumbbell import Dumbbell, lay_dumbbell
from stack.sim.node import Node
from stack.sim.router import Router
from stack.sim.routes import shortest_way
from stack.sim.wire import Wire, WireEnd
from stack.sockets.aio import AsyncHost
from stack.wire.address import MAPPED_PREFIX

START = 1_000_000
"""When a network begins (µs): a second after 0, which is no time for a timer."""


class Network:
    """A simulated network. The same seed and the same calls give the same bytes.

    Used by itself, `run` and `run_until` let the time pass:

        net = Network(seed=1)
        a = net.host("a", "192.0.2.1/24")
        b = net.host("b", "192.0.2.2/24")
        net.link(a, b, delay=10_000, rate=10_000_000)
        listener = b.listen(None, 80)
        connection = a.connect("192.0.2.2", 80, net.now)
        net.run_until(lambda: connection.state == State.ESTABLISHED)

    Unmodified asyncio code runs in the same time on `loop()`, with `sockets(host)` in the
    place of asyncio's functions.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.hosts: dict[str, Host] = {}
        self.routers: dict[str, Router] = {}
        self.wires: list[Wire] = []
        self._stations: dict[Host | Router, _HostStation | Router] = {}
        self._agenda = Agenda(START)

    @property
    def now(self) -> int:
        """The time (µs)."""
        return self._agenda.now

    # What there is.

    def host(
        self,
        name: str,
        *addresses: str,
        config: HostConfig | None = None,
        mtu: int = 1500,
        make: Callable[..., Host] = Host,
    ) -> Host:
        """A host with `addresses` such as "192.0.2.1/24"; its randomness comes from the seed.
        `make` makes it in the place of `Host`, as `Recorder.host` does.

        Raises UsageError when there is a host or router of that name.
        """
        host = make(addresses, random_bytes=self._chance(name), config=config, mtu=mtu)
        self.hosts[name] = host
        self._stations[host] = _HostStation(self._agenda, name, host)
        return host

    def router(self, name: str, *addresses: str) -> Router:
        """A router; without addresses it gets some of the benchmarking networks (RFC 2544
        §C.2.2, RFC 5180 §8), which the ICMP messages it sends come from.

        Raises UsageError when there is a host or router of that name.
        """
        number = len(self.routers) + 1
        own = addresses or (f"198.18.{number >> 8}.{number & 255}/32", f"2001:2::{number:x}/128")
        router = Router(self._agenda, name, own, self._chance(name), self._find_way)
        self.routers[name] = router
        self._stations[router] = router
        return router

    def _chance(self, name: str) -> Callable[[int], bytes]:
        if name in self.hosts or name in self.routers:
            raise UsageError(f"there is a station {name!r} already: give each another name")
        return random.Random(f"{self.seed}/{name}").randbytes

    def link(
        self,
        a: Host | Router,
        b: Host | Router,
        spec: ImpairmentSpec | None = None,
        *,
        rate: int = 0,
        delay: int = 0,
        jitter: int = 0,
        loss: Loss = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        corrupt: float = 0.0,
        queue: int | DropTail | CoDel = DEFAULT_QUEUE,
        hold: tuple[int, int] = (HOLD_MIN, HOLD_MAX),
        mtu: int = 0,
    ) -> Wire:
        """A wire between two stations; a host has only one, and more raise UsageError.

        The same faults hold for both directions, each with a queue of its own: rate in
        bit/s, times in µs, the others as `Faults` has them. `spec`, seen from `a`, tells
        directions apart instead. `mtu` (bytes) is the lesser of the hosts' unless given;
        below that of a host it makes a black hole, since only routers tell of it.
        """
        faults = Faults(
            loss=loss,
            duplicate=duplicate,
            reorder=reorder,
            corrupt=corrupt,
            delay=delay,
            jitter=jitter,
            rate=rate,
            queue=queue,
            hold=hold,
        )
        first, second = self._station(a), self._station(b)
        wire = self._lay(first, second, spec or ImpairmentSpec(faults, faults), mtu)
        self.wires.append(wire)
        for router in self.routers.values():
            router.forget_ways()
        return wire

    def _lay(
        self,
        first: "_HostStation | Router",
        second: "_HostStation | Router",
        spec: ImpairmentSpec,
        mtu: int,
    ) -> Wire:
        names = {first.name, second.name}
        beside = sum({wire.channels[0].src, wire.channels[0].dst} == names for wire in self.wires)
        pair = f"{first.name}-{second.name}" + (f"#{beside}" if beside else "")
        mtu = mtu or min(first.host.mtu, second.host.mtu)
        if mtu < 68:
            raise UsageError(f"an MTU of {mtu} is too small: IPv4 needs 68 (RFC 791 §3.2)")

        def channel(src: str, dst: str, faults: Faults) -> Channel:
            chance = random.Random(f"{self.seed}/{pair}/{src}>{dst}")
            return Channel(self._agenda, src, dst, impairments(faults, chance), mtu)

        forth = channel(first.name, second.name, spec.outbound)
        back = channel(second.name, first.name, spec.inbound)
        first.attach(forth, back)
        second.attach(back, forth)
        return Wire(forth, back)

    def _station(self, station: Host | Router) -> "_HostStation | Router":
        known = self._stations.get(station)
        if known is None:
            raise UsageError("that station is not of this network: make it with Network.host")
        if isinstance(known, _HostStation) and known.ways:
            raise UsageError(f"host {known.name!r} has a link already: a host has one")
        return known

    def dumbbell(
        self,
        left: int,
        right: int,
        *,
        rate: int,
        delay: int = 0,
        queue: int | DropTail | CoDel = DEFAULT_QUEUE,
        loss: Loss = 0.0,
        access: Sequence[int] = (0,),
        config: HostConfig | None = None,
        mtu: int = 1500,
    ) -> Dumbbell:
        """`left` and `right` hosts around two routers with one wire between them.

        Rate, delay, queue and loss are the wire's in the middle. The hosts' own wires have
        no limit; their delays (µs) are those of `access`, from the first host on and over
        again, so that round-trip times can differ.
        """
        return lay_dumbbell(
            self,
            (left, right),
            Faults(rate=rate, delay=delay, queue=queue, loss=loss),
            access,
            config,
            mtu,
        )

    def _find_way(self, router: Router, destination: bytes) -> Channel | None:
        return shortest_way(router, destination, self._stations.values())

    def loop(self) -> VirtualLoop:
        """An asyncio event loop in the time of this network."""
        return VirtualLoop(self.now, self)

    def sockets(self, host: Host) -> AsyncHost:
        """One of the hosts for asyncio code; called inside the loop."""
        station = self._stations[host]
        assert isinstance(station, _HostStation)
        node = station.node
        return AsyncHost(host, node.link, driver=node)

    # What happens.

    def call_at(self, when: int, call: Callable[[], None]) -> None:
        """Has `call` called at `when` (µs); what it does to hosts takes effect at once."""
        self.schedule(when, lambda _: self._call(call))

    def schedule(self, when: int, call: Callable[[int], None]) -> int:
        """Has `call` called with the time, in the order of times and then of scheduling. What
        is over is now; returns when it is to be (µs).
        """
        return self._agenda.schedule(when, call)

    def next_deadline(self) -> int | None:
        """When the next event is due (µs)."""
        return self._agenda.next_deadline()

    def advance(self, now: int) -> None:
        """Lets happen what is due up to `now` (µs), which becomes the time."""
        agenda = self._agenda
        agenda.begin_epoch()
        agenda.run(now)
        agenda.now = max(agenda.now, now)

    def run(self, until: int | None = None) -> None:
        """Runs to `until` (µs); without it, to the time when nothing is left to happen."""
        self._wake_all()
        if until is not None:
            self.advance(until)
        else:
            self._agenda.begin_epoch()
            self._agenda.run()

    def run_until(self, predicate: Callable[[], bool], limit: int = 600_000_000) -> bool:
        """Runs until `predicate` holds, looked at after every event; returns whether it does.

        Gives up `limit` µs from now, or when nothing is left to happen.
        """
        self._wake_all()
        end, agenda = self.now + limit, self._agenda
        while not predicate():
            agenda.begin_epoch()  # it may have called a host
            if not agenda.step(end):
                return False
        return True

    def _call(self, call: Callable[[], None]) -> None:
        call()
        self._wake_all()

    def _wake_all(self) -> None:
        """Somebody may have called a host directly: each gets to send what it has."""
        for station in self._stations.values():
            if isinstance(station, _HostStation):
                station.node.wake()


class _HostStation:
    """A host's place in the network, with at most one wire."""

    forwards = False

    def __init__(self, agenda: Agenda, name: str, host: Host) -> None:
        self.name = name
        self.host = host
        self.ways: list[Channel] = []
        self.link = WireEnd(host.mtu)
        self.node = Node(agenda, host, self.link)

    def attach(self, outgoing: Channel, incoming: Channel) -> None:
        """The host's wire."""
        self.ways.append(outgoing)
        self.link.attach(outgoing)
        self.node.attach(incoming)

    def owns(self, address: bytes) -> bool:
        """Whether an address, 4 or 16 bytes as in a packet, is the host's."""
        return self.host.local.owns(address if len(address) == 16 else MAPPED_PREFIX + address)
