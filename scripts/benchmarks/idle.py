"""What idle connections hold in memory, in our stack and in others."""

import resource

from scripts.benchmarks.client import Client
from scripts.benchmarks.figures import Effort, Figure, Part, Request, Result, Workload
from scripts.benchmarks.tcp_servers import Servers

TEXT = """\
A client on kernel sockets opens connections to the echo servers of the first chapter, has one
byte echoed on each and leaves them alone. The figure is what the server's process holds
resident for each of them then, in a process of its own for each measurement. What the kernel
holds for its own connections is not in a process, and so not in the table.
"""


class IdleServers(Servers):
    """For each measurement a server of its own, since memory that was used once stays."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._client = Client(request.programs)

    def measure(self, workload: Workload, variant: str, number: int, effort: Effort) -> Result:
        with self.for_a_while():
            server = self.start(variant, 0, self._request)
            before = server.resident()
            count = min(effort.connections, _descriptors() - _OTHERS)
            with self._client.idle(server.address, count, effort.seconds) as opened:
                return {"bytes": (server.resident() - before) / opened, "count": opened}


_OTHERS = 64  # descriptors that the client has beside its connections


def _descriptors() -> int:
    """As many as a process may have, whoever starts it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if most == resource.RLIM_INFINITY else most


PART = Part(
    name="idle",
    title="Memory of idle connections",
    text=TEXT,
    variants={"offload": "tunstack", "lwip": "lwIP", "gvisor": "gVisor"},
    workloads=(
        Workload(
            "idle.memory",
            (
                Figure(
                    "idle.memory", "memory of a connection", "bytes", 0, False, lambda r: r["bytes"]
                ),
            ),
        ),
    ),
    goals=(),
    open=IdleServers,
    full=Effort(rounds=2, connections=10_000, seconds=15.0),
    quick=Effort(rounds=1, connections=500, seconds=2.0),
    alone=Effort(rounds=3, connections=20_000, seconds=30.0),
)
