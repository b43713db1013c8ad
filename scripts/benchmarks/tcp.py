"""Our stack over TUN beside kernel to kernel over veth: bulk, round trips, connections."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scripts.benchmarks.client import PROCESSORS, Client
from scripts.benchmarks.figures import Effort, Figure, Goal, Part, Request, Result, Workload
from scripts.benchmarks.network import Namespace, Server

PARALLEL = 64

TEXT = """\
A plain C program on kernel sockets talks to a server on the other side of a link, in
network namespaces that the script makes and removes. The server is in turn

- **kernel**: a C program with epoll on kernel sockets, behind a veth pair with all of its
  offloads: how fast the same machine is from kernel to kernel;
- **tunstack**: asyncio protocols on this stack, behind a TUN device with offload, while
  nobody observes;
- **plain packets**: the same without offload, in packets of the MTU, 1500 bytes.

*Down* is from server to client. A round trip is one byte there and back. A connection is
connect, one byte each way, close. Round trips take place on one processor, where no
wake-up of another one is in the figures, and between two; connections one by one are on
one processor; elsewhere the kernel decides.
"""


class Placement(Enum):
    """Where client and server run. On one processor neither waits for the other's to wake
    up, so that only work is measured; a message between two processors has the wake-up in
    it. Left alone, the kernel takes now this, now that.
    """

    ANYWHERE = (PROCESSORS, PROCESSORS)
    TOGETHER = (PROCESSORS[:1], PROCESSORS[:1])
    APART = (PROCESSORS[:1], PROCESSORS[-1:])  # without a second one they are together


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientWorkload(Workload):
    """One call of the client."""

    placement: Placement
    arguments: Callable[[str, Effort], list[str]]


def _gbit_per_second(result: Result) -> float:
    return result["bytes"] * 8 / result["seconds"] / 1e9


def _per_second(result: Result) -> float:
    return result["count"] / result["seconds"]


def _bulk(name: str, title: str) -> ClientWorkload:
    return ClientWorkload(
        f"bulk.{name}",
        (Figure(f"bulk.{name}", title, "gbit_per_second", 2, True, _gbit_per_second),),
        placement=Placement.ANYWHERE,
        arguments=lambda address, effort: [name, address, str(effort.seconds)],
    )


def _round_trip(name: str, where: str, placement: Placement) -> ClientWorkload:
    def figure(part: str, words: str) -> Figure:
        title = f"round trip, {where}, {words}"
        full_name = f"round_trip.{name}.{part}"
        return Figure(full_name, title, "microseconds", 1, False, lambda result: result[part])

    return ClientWorkload(
        f"round_trip.{name}",
        (figure("p50", "median"), figure("p99", "99 %")),
        placement=placement,
        arguments=lambda address, effort: [
            *("trips", address, str(effort.trips), str(effort.seconds)),
        ],
    )


def _connections(name: str, title: str, placement: Placement, parallel: int) -> ClientWorkload:
    return ClientWorkload(
        f"connections.{name}",
        (Figure(f"connections.{name}", title, "per_second", 0, True, _per_second),),
        placement=placement,
        arguments=lambda address, effort: [
            *("connect", address, str(effort.connections), str(parallel), str(effort.seconds)),
        ],
    )


WORKLOADS: tuple[ClientWorkload, ...] = (
    _bulk("down", "bulk down"),
    _bulk("up", "bulk up"),
    _round_trip("together", "one processor", Placement.TOGETHER),
    _round_trip("apart", "two processors", Placement.APART),
    _connections("serial", "connections, one by one", Placement.TOGETHER, 1),
    _connections("parallel", f"connections, {PARALLEL} at a time", Placement.ANYWHERE, PARALLEL),
)

GOALS = (
    Goal("bulk.down.offload.ratio_veth", 0.15, at_least=True),
    Goal("bulk.up.offload.ratio_veth", 0.15, at_least=True),
    Goal("round_trip.together.p50.offload.ratio_veth", 8, at_least=False),
    Goal("round_trip.apart.p50.offload.ratio_veth", 8, at_least=False),
    Goal("connections.serial.offload.per_second", 2000, at_least=True),
    Goal("connections.parallel.offload.per_second", 2000, at_least=True),
)


class Networks(Namespace):
    """Servers beside each other, each behind a link of its own.

    client ── veth 198.51.100.1 │ 198.51.100.2 ── kernel's server      (another namespace)
           ── tun  192.0.2.1    │ 192.0.2.2    ── our stack, with offload
           ── tun  192.0.2.129  │ 192.0.2.130  ── our stack, without
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._client = Client(request.programs)
        self._servers: dict[str, Server] = {}
        with self.closed_on_failure():
            for variant in request.variants:
                self._servers[variant] = self._start(variant, request)

    def _start(self, variant: str, request: Request) -> Server:
        if variant == "veth":
            return self.beyond_veth(variant, [str(request.programs / "server")])
        prefix, options = (
            ("192.0.2.0/25", []) if variant == "offload" else ("192.0.2.128/25", ["--plain"])
        )
        return self.beyond_tun(variant, prefix, "scripts.benchmarks.server", options, request)

    def measure(
        self, workload: ClientWorkload, variant: str, number: int, effort: Effort
    ) -> Result:
        server = self._servers[variant]
        clients, servers = workload.placement.value
        os.sched_setaffinity(server.process.pid, servers)
        arguments = workload.arguments(server.address, effort)
        return self._client.call(arguments, effort.seconds, clients)


PART = Part(
    name="tcp",
    title="TCP beside the kernel's",
    text=TEXT,
    variants={"veth": "kernel", "offload": "tunstack", "plain": "plain packets"},
    workloads=WORKLOADS,
    goals=GOALS,
    open=Networks,
    full=Effort(rounds=7, seconds=2.0, trips=20_000, connections=3_000),
    quick=Effort(rounds=3, seconds=0.8, trips=8_000, connections=1_500),
    alone=Effort(rounds=7, seconds=2.0, trips=20_000, connections=3_000),
)
