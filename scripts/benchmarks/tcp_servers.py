"""The servers of the TCP benchmarks, each behind a link of its own."""

import ipaddress
from collections.abc import Mapping

from scripts.benchmarks.client import Client
from scripts.benchmarks.figures import Effort, Request, Result
from scripts.benchmarks.network import (
    Namespace,
    Server,
    module_command,
    open_bare_tun,
    paths,
    profiling,
)
from scripts.benchmarks.processors import time_of, time_of_network
from scripts.benchmarks.tcp_workloads import ClientWorkload

SERVER = "scripts.benchmarks.server"
BLOCKING = "scripts.benchmarks.blocking_server"

BUSY_POLL = 200
"""µs: longer than the other side of a round trip takes, from its wake-up on."""

OURS = {
    "offload": [],
    "plain": ["--plain"],
    "busy": ["--busy-poll", str(BUSY_POLL)],
    "python": [],
}
"""Variants of the asyncio server on our stack, with its options."""

COUNTING = OURS.keys()
"""These tell what they have counted while they run."""

ENVIRONMENTS = {"python": {"TUNSTACK_FASTPATH": "0"}}


class Servers(Namespace):
    """Starts the server of a variant behind a link of its own."""

    def start(self, variant: str, number: int, request: Request) -> Server:
        """`number` tells its link from others."""
        veth, tun = (_subnet(network, number) for network in ("198.51.100.0/24", "192.0.2.0/24"))
        match variant:
            case "veth" | "veth_plain":
                program = str(request.programs / "server")
                return self.beyond_veth(variant, veth, [program], offload=variant == "veth")
            case "asyncio":
                command = [*module_command(SERVER), "--kernel"]
                command += profiling(request.profile, variant)
                return self.beyond_veth(variant, veth, command, env=paths())
            case "blocking":
                return self.beyond_tun(variant, tun, module_command(BLOCKING))
            case "lwip" | "gvisor_plain":
                command = [str(request.programs / "lwip")]
                if variant == "gvisor_plain":
                    command = [str(request.programs / "gvisor"), "--plain"]
                return self.beyond_tun(variant, tun, command, open_device=open_bare_tun)
            case "gvisor":
                return self.beyond_tun(variant, tun, [str(request.programs / "gvisor")])
        command = [*module_command(SERVER), *OURS[variant], *profiling(request.profile, variant)]
        return self.beyond_tun(variant, tun, command, **ENVIRONMENTS.get(variant, {}))


class Networks(Servers):
    """Servers beside each other, each behind a link of its own.

    client ── veth 198.51.100.1  │ 198.51.100.2  ── kernel's sockets    (another namespace)
           ── veth 198.51.100.17 │ 198.51.100.18 ── kernel's sockets    (yet another one)
           ── tun  192.0.2.33    │ 192.0.2.34    ── our stack, or another one
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._client = Client(request.programs)
        self._servers: dict[str, Server] = {}
        with self.closed_on_failure():
            for number, variant in enumerate(request.variants):
                self._servers[variant] = self.start(variant, number, request)

    def measure(
        self, workload: ClientWorkload, variant: str, number: int, effort: Effort
    ) -> Result:
        server = self._servers[variant]
        clients, servers = workload.placement.processors
        server.place(servers)
        arguments = workload.arguments(server.address, effort)
        used = _processor_time(server)
        counts = server.count() if variant in COUNTING else None
        result = dict(self._client.call(arguments, effort.seconds, clients))
        if "cpu" in result:
            result["cpu"] += _processor_time(server) - used
        if counts is not None:
            result |= _segments(counts, server.count())
        return result


def _subnet(network: str, number: int) -> str:
    return str(list(ipaddress.ip_network(network).subnets(new_prefix=28))[number])


def _processor_time(server: Server) -> float:
    """Seconds of a server and of the kernel for all networks."""
    return time_of(server.process.pid) + time_of_network()


def _segments(before: Mapping[str, int], after: Mapping[str, int]) -> Result:
    """How many segments went in and out meanwhile, and how many of them the C path took."""

    def difference(layer: str) -> int:
        names = [f"{layer}{way}Segs" for way in ("In", "Out")]
        return sum(after.get(name, 0) - before.get(name, 0) for name in names)

    return {"segments": difference("Tcp"), "fast_segments": difference("Fast")}
