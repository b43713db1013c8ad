"""The kernel's TCP and ours over the same link with faults, each with the kernel at the far end."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_interface

from scripts.benchmarks.client import Client
from scripts.benchmarks.figures import (
    Effort,
    Figure,
    Goal,
    Part,
    Request,
    Result,
    Workload,
    megabytes_per_second,
)
from scripts.benchmarks.network import (
    Namespace,
    Server,
    ip,
    module_command,
    paths,
    profiling,
    start_on_tun,
)
from stack.link.configure import configure_tun
from stack.link.tun import open_tun

PREFIX = "192.0.2.0/24"
SLOWEST = 100_000  # bytes a second: whatever is slower has failed

TEXT = """\
The client on kernel sockets sends to a server (*up*) or reads from it (*down*) over a TUN
device whose packets pass the faults of `tunstack run --impair`, in each direction and always
in single packets. The server is in turn

- **kernel**: a C program on kernel sockets in another namespace, behind a second TUN device
  that a relay joins to the first one;
- **tunstack**: asyncio protocols on this stack.

Both have the same faults from the same seed, another one each round, and the same congestion
control: the kernel's default may be another, so it is set on its sockets. Times are from
the first byte to the last. At 5 % most of the time is spent waiting for timeouts of 200 ms,
about one a megabyte, and chance decides how many there are: only long transfers tell, as
`--loss` has them (100 MB each way).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Workload):
    """So many bytes in one direction; `action` is what the client does."""

    action: str
    impairments: str
    congestion: str
    size: int


def _both_ways(
    name: str, title: str, impairments: str, congestion: str, size: int
) -> list[Transfer]:
    return [
        Transfer(
            full_name,
            (Figure(full_name, words, "megabytes_per_second", 2, True, megabytes_per_second),),
            action=action,
            impairments=impairments,
            congestion=congestion,
            size=size,
        )
        for way, action in (("down", "fetch"), ("up", "push"))
        for full_name, words in [(f"loss.{name}.{way}", f"{title}, {way}")]
    ]


class LossyNetworks(Namespace):
    """For each measurement a link of its own, so that its faults begin with the seed.

    client ── tun 192.0.2.1 │ relay │ tun 192.0.2.2 ── kernel's server  (another namespace)
    client ── tun 192.0.2.1 │ 192.0.2.2 ── our stack
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._client = Client(request.programs)

    def measure(self, workload: Transfer, variant: str, number: int, effort: Effort) -> Result:
        size = int(workload.size * effort.scale)
        limit = size / SLOWEST
        with ExitStack() as exits:
            start = self._kernel if variant == "kernel" else self._ours
            address = start(workload, number + 1, exits)
            arguments = [workload.action, address, str(size), workload.congestion, f"{limit:.0f}"]
            return self._client.call(arguments, limit)

    def _ours(self, workload: Transfer, seed: int, exits: ExitStack) -> str:
        faults = ["--impair", workload.impairments, "--seed", str(seed)]
        options = [*faults, "--congestion", workload.congestion]
        options += profiling(self._request.profile, workload.name)
        command = [*module_command("scripts.benchmarks.server"), *options]
        server = start_on_tun("tunstack", open_tun("tunstack"), PREFIX, command)
        exits.callback(self._end, server)
        server.wait_ready()
        return server.address

    def _kernel(self, workload: Transfer, seed: int, exits: ExitStack) -> str:
        program = str(self._request.programs / "server")
        command = ["unshare", "--net", program, workload.congestion]
        server = self._started(Server("kernel", "192.0.2.2", command), exits)
        descriptors = [open_tun("loss0"), open_tun("loss1")]
        try:
            configure_tun("loss0", [ip_interface("192.0.2.1/24")], 1500)
            _move("loss1", server.process.pid)
            words = [*module_command("scripts.benchmarks.relay"), *map(str, descriptors)]
            words += ["--impair", workload.impairments, "--seed", str(seed)]
            relay = Server("relay", "", words, pass_fds=descriptors, env=paths())
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._started(relay, exits)
        return server.address

    def _started(self, server: Server, exits: ExitStack) -> Server:
        exits.callback(server.close)
        server.wait_ready()
        return server


def _move(device: str, process: int) -> None:
    """Gives a device to the namespace of `process`, with the server's address."""
    ip("link", "set", device, "netns", str(process))
    ip("address", "add", "192.0.2.2/24", "dev", device, inside=process)
    ip("link", "set", device, "mtu", "1500", "up", inside=process)


PART = Part(
    name="loss",
    title="Through a link that loses packets",
    text=TEXT,
    variants={"kernel": "kernel", "tunstack": "tunstack"},
    workloads=(
        *_both_ways("5_percent", "5 % loss, CUBIC", "loss=5%", "cubic", 10_000_000),
        *_both_ways("1_percent", "1 % loss, 4 ms, CUBIC", "loss=1%,delay=2ms", "cubic", 3_000_000),
        *_both_ways(
            "1_percent_bbr",
            "1 % loss, 20 ms, 50 Mbit/s, BBR",
            "loss=1%,delay=10ms,rate=50mbit,queue=150",
            "bbr",
            3_000_000,
        ),
    ),
    goals=tuple(
        Goal(f"loss.5_percent.{way}.tunstack.ratio_kernel", 0.9, at_least=True)
        for way in ("down", "up")
    ),
    open=LossyNetworks,
    full=Effort(rounds=3),
    quick=Effort(rounds=1, scale=0.3),
    alone=Effort(rounds=3, scale=10),
)
