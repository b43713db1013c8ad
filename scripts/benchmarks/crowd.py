"""A host with very many connections: what they hold in memory, what a segment costs.

    python -m scripts.benchmarks.crowd memory COUNT
    python -m scripts.benchmarks.crowd cost SEGMENTS COUNT [COUNT ...]

The other ends of the connections are a script in the same process that only writes segments,
so that nothing else is in the figures. Prints one JSON object.
"""

import argparse
import asyncio
import gc
import json
import random
import time
from array import array
from collections import deque
from collections.abc import Sequence
from os import sysconf
from pathlib import Path
from statistics import median
from struct import unpack_from

from scripts.benchmarks.server import Echo
from stack.core.host import Host
from stack.core.tcp.listener import Listener
from stack.link.base import Link
from stack.run import memory
from stack.sockets.aio import AsyncHost
from stack.wire import tcp_options
from stack.wire.batch import CAPACITY, Inbound, Outbound
from stack.wire.craft import ACK, PSH, SYN, build_tcp

ADDRESS = "192.0.2.2"
PORT = 7
FIRST_PORT = 1024
PORTS = 50_000  # of each address of the other side
STEP = 32  # handshakes at a time: fewer than any backlog
TICK = 10  # µs from one batch to the next
TOGETHER = 10
"""Segments that come in one batch, each for another connection: with few connections as with
many, so that the work is the same."""

TURNS = 20
"""Each long enough that its first segments, which find cold caches, do not count."""

ACKNOWLEDGED = 250_000
"""µs after which every delayed acknowledgement has been sent."""

TSVAL = 1
HEADERS = 40  # bytes of IPv4 and TCP without options
ISS = 1000


class Crowd(Link):
    """The far side: answers every SYN-ACK with an ACK, and sends what it is told to.

    Remembers for each connection what a segment needs, in a few bytes.
    """

    mtu = 1500
    offload = False

    def __init__(self, most: int) -> None:
        self._arriving: deque[bytes] = deque()
        self._irs = array("L", bytes(8 * most))
        self._tsval = array("L", bytes(8 * most))
        self._sent = array("L", bytes(8 * most))
        self._inbound = Inbound()

    def knock(self, number: int) -> None:
        """Begins a connection, as Linux does."""
        options = [
            tcp_options.mss(1460),
            tcp_options.sack_permitted(),
            tcp_options.timestamps(TSVAL, 0),
            tcp_options.window_scale(7),
        ]
        self._arriving.append(_segment(number, seq=ISS, flags=SYN, options=options))

    def say(self, number: int, text: bytes) -> None:
        """Sends the connection's next bytes."""
        self._arriving.append(self._next(number, ACK | PSH, text))
        self._sent[number] += len(text)

    def _next(self, number: int, flags: int, text: bytes = b"") -> bytes:
        seq, ack = ISS + 1 + self._sent[number], self._irs[number] + 1
        options = [
            *(tcp_options.Option(tcp_options.NOP), tcp_options.Option(tcp_options.NOP)),
            tcp_options.timestamps(TSVAL, self._tsval[number]),
        ]
        return _segment(number, seq=seq, ack=ack, flags=flags, text=text, options=options)

    @property
    def pending(self) -> bool:
        return bool(self._arriving)

    def receive(self, now: int) -> Inbound:
        count = min(len(self._arriving), CAPACITY)
        self._inbound.fill([self._arriving.popleft() for _ in range(count)])
        return self._inbound

    def transmit(self, out: Outbound, now: int) -> None:
        for packet in out:
            if packet[HEADERS - 7] & SYN:
                self._welcome(packet)

    def _welcome(self, packet: bytes) -> None:
        address, port = unpack_from("!IxxH", packet, 16)
        number = ((address & 0xFF) - 1) * PORTS + port - FIRST_PORT
        (self._irs[number],) = unpack_from("!I", packet, 24)
        for option in tcp_options.walk_tcp_options(packet[HEADERS:]):
            if option.kind == tcp_options.TIMESTAMPS:
                (self._tsval[number],) = unpack_from("!I", option.data)
        self._arriving.append(self._next(number, ACK))

    def close(self) -> None:
        self._arriving.clear()


def _segment(number: int, **fields: object) -> bytes:
    """From the far side of connection `number`."""
    source = f"198.51.100.{number // PORTS + 1}"
    return build_tcp(source, ADDRESS, FIRST_PORT + number % PORTS, PORT, **fields)  # type: ignore[arg-type]


# ---- memory -------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process that are in memory, without what could be collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * sysconf("SC_PAGE_SIZE")


async def measure_memory(count: int) -> dict[str, float]:
    """What a connection of an asyncio server holds while nothing happens."""
    crowd = Crowd(count)
    host = Host([f"{ADDRESS}/24"], random_bytes=random.Random(1).randbytes)
    async with AsyncHost(host, crowd) as running:
        await running.create_server(Echo, None, PORT, backlog=1024)
        memory.settle()
        before = resident()
        for first in range(0, count, STEP):
            for number in range(first, min(first + STEP, count)):
                crowd.knock(number)
            while crowd.pending:
                running.driver.wake()
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(host.connections) == count
        return {"bytes": (resident() - before) / count, "count": count}


# ---- the cost of a segment ---------------------------------------------------------


class Costs:
    """A host alone with `count` connections, in virtual time, which nobody reads."""

    def __init__(self, count: int) -> None:
        self.crowd = Crowd(count)
        self.host = Host([f"{ADDRESS}/24"], random_bytes=random.Random(1).randbytes)
        self.count = 0
        self._now = 1_000_000
        self._listener: Listener = self.host.listen(None, PORT, backlog=1024)
        self._rng = random.Random(1)
        self._grow(count)

    def _grow(self, count: int) -> None:
        """Opens connections. Each gets a first segment, for which it makes room as it does
        not for others.
        """
        while self.count < count:
            numbers = range(self.count, min(self.count + STEP, count))
            for number in numbers:
                self.crowd.knock(number)
            while self.crowd.pending:
                self._turn()
            while self._listener.accept() is not None:
                self.count += 1
            assert self.count == numbers.stop
            self._talk(numbers)

    def measure(self, segments: int) -> list[float]:
        """Times in µs of a segment with one byte for a connection by chance."""
        return [
            self._talk(self._rng.sample(range(self.count), TOGETHER)) / TOGETHER / 1000
            for _ in range(max(segments // TOGETHER, 1))
        ]

    def _talk(self, numbers: Sequence[int]) -> int:
        """A segment each, and so much time that it is acknowledged; returns the time in ns."""
        for number in numbers:
            self.crowd.say(number, b"x")
        used = self._turn()
        self._now += ACKNOWLEDGED
        return used + self._turn()

    def _turn(self) -> int:
        """Everything that a driver does; returns how long the host took, in ns."""
        self._now += TICK
        arrived = self.crowd.receive(self._now)
        began = time.perf_counter_ns()
        self.host.on_deadline(self._now)
        self.host.receive(arrived, self._now)
        out = self.host.transmit(self._now)
        used = time.perf_counter_ns() - began
        self.crowd.transmit(out, self._now)
        return used


def measure_costs(segments: int, counts: list[int]) -> dict[str, float]:
    """The median µs of a segment for each number of connections, each on a host of its own.

    The hosts take turns: what else the machine does meanwhile is shared by all.
    """
    hosts = [Costs(count) for count in counts]
    memory.settle()
    times: list[list[float]] = [[] for _ in counts]
    for _ in range(TURNS):
        for host, found in zip(hosts, times, strict=True):
            found += host.measure(segments // TURNS)
    return {str(count): median(found) for count, found in zip(counts, times, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("memory").add_argument("count", type=int)
    cost = actions.add_parser("cost")
    cost.add_argument("segments", type=int)
    cost.add_argument("counts", type=int, nargs="+")
    options = parser.parse_args()
    if options.action == "memory":
        result = asyncio.run(measure_memory(options.count))
    else:
        result = measure_costs(options.segments, options.counts)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
