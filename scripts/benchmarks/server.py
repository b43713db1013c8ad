"""Echo, discard and chargen as asyncio applications, on our stack or on the kernel's sockets.

Says "ready" when it listens; ends when its input does, and prints its counters then. Until
then a line of input is answered with the counters, too.
"""

import argparse
import asyncio
import cProfile
import json
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from os import urandom
from pathlib import Path
from typing import Any

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.tcp.config import TcpConfig
from stack.link.base import Link
from stack.link.impair import parse_impairments
from stack.link.impaired import ImpairedLink
from stack.link.tun import TunLink
from stack.run import memory
from stack.sockets.aio import AsyncHost

CHUNK = bytes(256 << 10)


class Echo(asyncio.Protocol):
    """Sends back what comes (RFC 862)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Discard(asyncio.Protocol):
    """Drops what comes (RFC 863) and tells at the end how much it was, in 8 bytes."""

    def __init__(self, tally: dict[str, int]) -> None:
        self.tally = tally
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)

    def eof_received(self) -> None:
        self.transport.write(self.count.to_bytes(8, "big"))
        note_segments(self.transport, self.tally, "up", "bytes_received", "segs_in")


class Chargen(asyncio.Protocol):
    """Sends without end (RFC 864), until the peer closes its side."""

    def __init__(self, tally: dict[str, int]) -> None:
        self.tally = tally
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        self.resume_writing()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        while not (self.paused or self.transport.is_closing()):
            self.transport.write(CHUNK)

    def eof_received(self) -> None:
        note_segments(self.transport, self.tally, "down", "bytes_sent", "segs_out")


def note_segments(
    transport: asyncio.WriteTransport, tally: dict[str, int], way: str, octets: str, segments: str
) -> None:
    """Adds what a connection of our stack carried."""
    connection = transport.get_extra_info("connection")
    if connection is not None:  # the kernel's sockets have none
        info = connection.info()
        tally[f"{way}.bytes"] += info[octets]
        tally[f"{way}.segments"] += info[segments]


def say(words: str) -> None:
    """Tells whoever started this process."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def say_ready() -> None:
    """Tells whoever started this process that it listens."""
    say("ready")


async def until_input_ends(count: Callable[[], dict[str, int]] = dict) -> None:
    """Returns when whoever started this process closed its end of our input; a line of it is
    answered with `count()`.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def answer() -> None:
        if sys.stdin.readline():
            say(json.dumps(count()))
        else:
            loop.remove_reader(sys.stdin)
            ended.set_result(None)

    loop.add_reader(sys.stdin, answer)
    await ended


def open_link(options: argparse.Namespace) -> tuple[TunLink, Link]:
    """The device, and the link that the host has: with faults, if they are asked for."""
    device = TunLink(options.descriptor)
    if options.impair is not None:
        return device, ImpairedLink(device, parse_impairments(options.impair), options.seed)
    device.set_offload(not options.plain)
    if device.offload is options.plain:
        raise SystemExit("this kernel's TUN device has no offload")
    return device, device


Protocols = dict[int, Callable[[], asyncio.BaseProtocol]]


def protocols(tally: dict[str, int]) -> Protocols:
    """What listens, by port."""
    tally |= dict.fromkeys(("up.bytes", "up.segments", "down.bytes", "down.segments"), 0)
    return {7: Echo, 9: lambda: Discard(tally), 19: lambda: Chargen(tally)}


async def serve(options: argparse.Namespace) -> dict[str, int]:
    """Serves on the TUN device; returns what was counted."""
    device, link = open_link(options)
    config = HostConfig(tcp=TcpConfig(congestion=options.congestion))
    tally: dict[str, int] = {}
    async with AsyncExitStack() as exits:
        host = await exits.enter_async_context(
            AsyncHost(
                Host([options.address], random_bytes=urandom, mtu=link.mtu, config=config),
                link,
                busy_poll=options.busy_poll,
            )
        )
        for port, protocol in protocols(tally).items():
            await host.create_server(protocol, None, port, backlog=1024)
        memory.settle()
        say_ready()
        began = time.process_time_ns()
        await until_input_ends(host.host.counters.non_zero)
        tally["cpu.microseconds"] = (time.process_time_ns() - began) // 1000
        tally["link.dropped"] = device.dropped
        return tally | host.host.counters.non_zero()


async def serve_on_kernel() -> dict[str, int]:
    """The same applications on the kernel's sockets."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as exits:
        for port, protocol in protocols({}).items():
            server = await loop.create_server(protocol, "0.0.0.0", port, backlog=1024)
            await exits.enter_async_context(server)
        memory.settle()
        say_ready()
        await until_input_ends()
    return {}


def run(serving: Coroutine[Any, Any, dict[str, int]], profile: Path | None) -> None:
    """Serves, under cProfile where a file for its figures is given, and prints the counters."""
    if profile is None:
        counts = asyncio.run(serving)
    else:
        with cProfile.Profile() as profiler:
            counts = asyncio.run(serving)
        profiler.dump_stats(profile)
    sys.stdout.write(json.dumps(counts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", action="store_true", help="on the kernel's sockets")
    parser.add_argument("--descriptor", type=int, help="of the TUN device")
    parser.add_argument("--address", help="with its prefix length")
    parser.add_argument("--plain", action="store_true", help="without offload")
    parser.add_argument("--busy-poll", type=int, default=0, help="in µs")
    parser.add_argument("--impair", metavar="SPEC", help="faults of the link, as `tunstack run`")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--congestion", default="cubic", help="the algorithm")
    parser.add_argument("--profile", type=Path, help="file for cProfile's figures")
    options = parser.parse_args()
    run(serve_on_kernel() if options.kernel else serve(options), options.profile)


if __name__ == "__main__":
    main()
