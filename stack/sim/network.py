"""Hosts and the wires between them, in virtual time."""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.errors import UsageError
from stack.link.impair import DEFAULT_QUEUE, Faults, ImpairmentSpec
from stack.link.virtual import VirtualLink
from stack.run.virtual import VirtualLoop
from stack.sim.node import Node
from stack.sim.wire import Wire
from stack.sockets.aio import AsyncHost

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
        self.now = START
        self.hosts: dict[str, Host] = {}
        self.wires: list[Wire] = []
        self._nodes: dict[Host, Node] = {}
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()

    # What there is.

    def host(
        self, name: str, *addresses: str, config: HostConfig | None = None, mtu: int = 1500
    ) -> Host:
        """A host with `addresses` such as "192.0.2.1/24"; its randomness comes from the seed.

        Raises UsageError when there is a host of that name.
        """
        if name in self.hosts:
            raise UsageError(f"there is a host {name!r} already: give each another name")
        chance = random.Random(f"{self.seed}/{name}")
        host = Host(addresses, random_bytes=chance.randbytes, config=config, mtu=mtu)
        self.hosts[name] = host
        return host

    def link(
        self,
        a: Host,
        b: Host,
        spec: ImpairmentSpec | None = None,
        *,
        rate: int = 0,
        delay: int = 0,
        jitter: int = 0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        corrupt: float = 0.0,
        queue: int = DEFAULT_QUEUE,
    ) -> Wire:
        """A wire between two hosts that have none yet; raises UsageError otherwise.

        The same faults hold for both directions: rate in bit/s, times in µs, a queue in
        packets, the others as probabilities. `spec`, seen from `a`, tells directions apart.
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
        )
        first, second = self._name(a), self._name(b)
        chance = random.Random(f"{self.seed}/{first}-{second}")
        ends = VirtualLink.pair(
            spec or ImpairmentSpec(faults, faults),
            seed=chance.getrandbits(64),
            mtu=min(a.mtu, b.mtu),
        )
        wire = Wire(first, second, ends)
        for host, end in zip((a, b), wire.ends, strict=True):
            self._nodes[host] = Node(self, host, end)
        self.wires.append(wire)
        return wire

    def _name(self, host: Host) -> str:
        for name, known in self.hosts.items():
            if known is host:
                if host in self._nodes:
                    raise UsageError(f"host {name!r} has a link already: a host has one")
                return name
        raise UsageError("that host is not of this network: make it with Network.host")

    def loop(self) -> VirtualLoop:
        """An asyncio event loop in the time of this network."""
        return VirtualLoop(self.now, self)

    def sockets(self, host: Host) -> AsyncHost:
        """One of the hosts for asyncio code; called inside the loop."""
        node = self._nodes[host]
        return AsyncHost(host, node.link, driver=node)

    # What happens.

    def call_at(self, when: int, call: Callable[[], None]) -> None:
        """Has `call` called at `when` (µs); what it does to hosts takes effect at once."""
        self.schedule(when, lambda _: self._call(call))

    def schedule(self, when: int, call: Callable[[int], None]) -> None:
        """Has `call` called with the time, in the order of times and then of scheduling."""
        heappush(self._heap, (max(when, self.now), next(self._order), call))

    def next_deadline(self) -> int | None:
        """When the next event is due (µs)."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now: int) -> None:
        """Lets happen what is due up to `now` (µs), which becomes the time."""
        while self._heap and self._heap[0][0] <= now:
            self._step()
        self.now = max(self.now, now)

    def run(self, until: int | None = None) -> None:
        """Runs to `until` (µs); without it, to the time when nothing is left to happen."""
        self._wake_all()
        if until is not None:
            self.advance(until)
            return
        while self._heap:
            self._step()

    def run_until(self, predicate: Callable[[], bool], limit: int = 600_000_000) -> bool:
        """Runs until `predicate` holds, looked at after every event; returns whether it does.

        Gives up `limit` µs from now, or when nothing is left to happen.
        """
        self._wake_all()
        end = self.now + limit
        while not predicate():
            if not self._heap or self._heap[0][0] > end:
                return False
            self._step()
        return True

    def _step(self) -> None:
        when, _, call = heappop(self._heap)
        self.now = max(self.now, when)
        call(self.now)

    def _call(self, call: Callable[[], None]) -> None:
        call()
        self._wake_all()

    def _wake_all(self) -> None:
        """Somebody may have called a host directly: each gets to send what it has."""
        for node in self._nodes.values():
            node.wake()
