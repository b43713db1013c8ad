"""The network of most experiments: many hosts on each side of one bottleneck."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.link.impair import Faults, ImpairmentSpec
from stack.sim.router import Router
from stack.sim.wire import Wire


@dataclass(frozen=True, slots=True)
class Dumbbell:
    """Hosts 192.0.2.N and 2001:db8:1::N on the left, 198.51.100.N and 2001:db8:2::N on the
    right, counted from 1; `bottleneck` is the wire between the two routers.
    """

    left: tuple[Host, ...]
    right: tuple[Host, ...]
    routers: tuple[Router, Router]
    bottleneck: Wire


class Ground(Protocol):
    """What stations and wires are made of: the network."""

    def host(
        self, name: str, *addresses: str, config: HostConfig | None = None, mtu: int = 1500
    ) -> Host:
        """Makes a host."""

    def router(self, name: str, *addresses: str) -> Router:
        """Makes a router."""

    def link(self, a: Host | Router, b: Host | Router, spec: ImpairmentSpec | None = None) -> Wire:
        """Lays a wire."""


def lay_dumbbell(
    ground: Ground,
    sizes: tuple[int, int],
    middle: Faults,
    access: Sequence[int],
    config: HostConfig | None,
    mtu: int,
) -> Dumbbell:
    """Makes it; `sizes` are the numbers of hosts on either side."""
    routers = (ground.router("left"), ground.router("right"))
    bottleneck = ground.link(*routers, ImpairmentSpec(middle, middle))
    sides = []
    for side, size in enumerate(sizes):
        hosts = []
        for number in range(1, size + 1):
            host = ground.host(
                f"{routers[side].name}{number}",
                f"{('192.0.2', '198.51.100')[side]}.{number}/24",
                f"2001:db8:{side + 1}::{number:x}/64",
                config=config,
                mtu=mtu,
            )
            own = Faults(delay=access[(number - 1) % len(access)])
            ground.link(host, routers[side], ImpairmentSpec(own, own))
            hosts.append(host)
        sides.append(tuple(hosts))
    return Dumbbell(sides[0], sides[1], routers, bottleneck)
