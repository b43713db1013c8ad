"""TCP over TUN beside kernel to kernel over veth: bulk, round trips, connections."""

from scripts.benchmarks.figures import Effort, Goal, Part
from scripts.benchmarks.tcp_servers import BUSY_POLL, Networks
from scripts.benchmarks.tcp_workloads import WORKLOADS

TEXT = f"""\
A plain C program on kernel sockets talks to a server on the other side of a link, in
network namespaces that the script makes and removes. All kernel sockets have CUBIC, as our
stack has: where a machine's default is BBR, what its kernel sends is paced, and bulk would
measure the kernel's timers, on every link. The server is in turn

- **kernel**: a C program with epoll on kernel sockets, behind a veth pair with all of its
  offloads: how fast the same machine is from kernel to kernel;
- **kernel, plain**: the same with all offloads of the veth pair switched off, so in packets
  of 1500 bytes with checksums;
- **kernel, asyncio**: asyncio protocols on the kernel's sockets, with offloads;
- **tunstack**: the same asyncio protocols on this stack, behind a TUN device with offload,
  while nobody observes;
- **tunstack, plain**: the same without offload, in packets of the MTU, 1500 bytes;
- **tunstack, busy**: with offload, and `busy_poll={BUSY_POLL}` (µs);
- **tunstack, Python**: with offload, and every segment in Python (`TUNSTACK_FASTPATH=0`);
- **tunstack, blocking**: a loop in Python that accepts a connection, answers it and closes
  it, with this stack's blocking sockets;
- **lwIP**: a C program on lwIP's raw interface, as Debian's liblwip-dev has it, in plain
  packets. Debian's build has fixed its options: windows of 65,535 bytes, no SACK; the program
  raises what can be raised while it runs, the send buffer;
- **gVisor**: a Go program on gVisor's netstack, as Debian's golang-gvisor-gvisor-dev has it,
  with offload: its own endpoint for descriptors has that on sockets only, so the program has
  one for the TUN device;
- **gVisor, plain**: the same in plain packets, with netstack's own endpoint.

*Down* is from server to client. CPU is what client and server use on all processors for a
gigabyte, the kernel's work for them included. *In C* is the share of the segments, both
ways, that Python did not see. A round trip is one byte there and back. A connection is
connect, one byte each way, close. Round trips take place on one processor, where no
wake-up of another one is in the figures, and between two; connections one by one are on
one processor; elsewhere the kernel decides.
"""


def _at_least(name: str, bound: float, aim: float | None = None, without: str = "") -> Goal:
    return Goal(name, bound, at_least=True, aim=aim, without=without)


def _at_most(name: str, bound: float, aim: float | None = None) -> Goal:
    return Goal(name, bound, at_least=False, aim=aim)


GOALS = (
    _at_least("bulk.down.offload.ratio_veth", 0.65, 0.95),
    _at_least("bulk.up.offload.ratio_veth", 0.5, 0.62),
    _at_least("bulk.down.plain.ratio_lwip", 0.9),
    _at_least("bulk.up.plain.ratio_lwip", 1.5),
    _at_least("bulk.down.plain.ratio_veth_plain", 0.3, without="lwip"),
    _at_least("bulk.up.plain.ratio_veth_plain", 0.5, without="lwip"),
    _at_least("bulk.down.python.ratio_veth", 0.25),
    _at_least("bulk.up.python.ratio_veth", 0.25),
    *(
        _at_least(f"bulk.{way}.c_path.{variant}.percent", 99)
        for variant in ("offload", "plain")
        for way in ("down", "up")
    ),
    _at_most("round_trip.apart.p50.busy.ratio_veth", 2, 1.3),
    _at_most("round_trip.apart.p50.offload.ratio_veth", 4),
    _at_most("round_trip.together.p50.offload.ratio_veth", 8),
    _at_least("connections.parallel.offload.ratio_asyncio", 1, 2),
    _at_least("connections.parallel.blocking.ratio_veth", 0.18, 0.38),
    _at_least("connections.serial.offload.per_second", 2000),
    _at_least("connections.parallel.offload.per_second", 2000),
)

PART = Part(
    name="tcp",
    title="TCP beside the kernel's",
    text=TEXT,
    variants={
        "veth": "kernel",
        "veth_plain": "kernel, plain",
        "asyncio": "kernel, asyncio",
        "offload": "tunstack",
        "plain": "tunstack, plain",
        "busy": "tunstack, busy",
        "python": "tunstack, Python",
        "blocking": "tunstack, blocking",
        "lwip": "lwIP",
        "gvisor": "gVisor",
        "gvisor_plain": "gVisor, plain",
    },
    workloads=WORKLOADS,
    goals=GOALS,
    open=Networks,
    full=Effort(rounds=5, seconds=1.5, trips=15_000, connections=3_000),
    quick=Effort(rounds=2, seconds=0.3, trips=2_000, connections=500),
    alone=Effort(rounds=7, seconds=2.0, trips=20_000, connections=3_000),
    references=("veth_plain", "asyncio", "lwip"),
)
