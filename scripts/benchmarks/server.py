"""The server on our stack: echo, discard and chargen as asyncio applications.

Says "ready" when it listens; ends when its input does, and prints its counters then.
"""

import argparse
import asyncio
import cProfile
import json
import sys
import time
from collections.abc import Coroutine
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
        info = self.transport.get_extra_info("connection").info()
        self.tally["up.bytes"] += info["bytes_received"]
        self.tally["up.segments"] += info["segs_in"]


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
        info = self.transport.get_extra_info("connection").info()
        self.tally["down.bytes"] += info["bytes_sent"]
        self.tally["down.segments"] += info["segs_out"]


def say_ready() -> None:
    """Tells whoever started this process that it listens."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def until_input_ends() -> None:
    """Returns when whoever started this process closed its end of our input."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(sys.stdin, ended.set_result, None)
    await ended
    loop.remove_reader(sys.stdin)


def open_link(options: argparse.Namespace) -> tuple[TunLink, Link]:
    """The device, and the link that the host has: with faults, if they are asked for."""
    device = TunLink(options.descriptor)
    if options.impair is not None:
        return device, ImpairedLink(device, parse_impairments(options.impair), options.seed)
    device.set_offload(not options.plain)
    if device.offload is options.plain:
        raise SystemExit("this kernel's TUN device has no offload")
    return device, device


async def serve(options: argparse.Namespace) -> dict[str, int]:
    """Serves on the TUN device; returns what was counted."""
    device, link = open_link(options)
    config = HostConfig(tcp=TcpConfig(congestion=options.congestion))
    tally = dict.fromkeys(("up.bytes", "up.segments", "down.bytes", "down.segments"), 0)
    services = {7: Echo, 9: lambda: Discard(tally), 19: lambda: Chargen(tally)}
    async with AsyncExitStack() as exits:
        host = await exits.enter_async_context(
            AsyncHost(
                Host([options.address], random_bytes=urandom, mtu=link.mtu, config=config),
                link,
                busy_poll=options.busy_poll,
            )
        )
        for port, protocol in services.items():
            await host.create_server(protocol, None, port, backlog=1024)
        memory.settle()
        say_ready()
        began = time.process_time_ns()
        await until_input_ends()
        tally["cpu.microseconds"] = (time.process_time_ns() - began) // 1000
        tally["link.dropped"] = device.dropped
        return tally | host.host.counters.non_zero()


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
    parser.add_argument("--descriptor", type=int, required=True, help="of the TUN device")
    parser.add_argument("--address", required=True, help="with its prefix length")
    parser.add_argument("--plain", action="store_true", help="without offload")
    parser.add_argument("--busy-poll", type=int, default=0, help="in µs")
    parser.add_argument("--impair", metavar="SPEC", help="faults of the link, as `tunstack run`")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--congestion", default="cubic", help="the algorithm")
    parser.add_argument("--profile", type=Path, help="file for cProfile's figures")
    options = parser.parse_args()
    run(serve(options), options.profile)


if __name__ == "__main__":
    main()
