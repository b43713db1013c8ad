"""The application behind our HTTP server on our stack, or behind hypercorn on the kernel's.

Says "ready" when it listens; ends when its input does.
"""

import argparse
import time
from os import urandom
from pathlib import Path
from typing import Any

from scripts.benchmarks.application import app
from scripts.benchmarks.server import run, say_ready, until_input_ends
from stack.core.host import Host
from stack.http.certificate import Certificate
from stack.http.server import HttpServer
from stack.link.tun import TunLink
from stack.run import memory
from stack.sockets.aio import AsyncHost

CHAIN, KEY = "chain.pem", "key.pem"


async def serve(options: argparse.Namespace) -> dict[str, int]:
    """Ours, on the TUN device; returns what was counted."""
    link = TunLink(options.descriptor)
    host = Host([options.address], random_bytes=urandom, mtu=link.mtu)
    certificate = Certificate(
        (options.folder / CHAIN).read_bytes(), (options.folder / KEY).read_bytes()
    )
    async with AsyncHost(host, link) as running:
        server = HttpServer(running, app, certificate=certificate)
        await server.start([80], [443])
        memory.settle()
        say_ready()
        began = time.process_time_ns()
        await until_input_ends()
        used = (time.process_time_ns() - began) // 1000
        await server.close(0)
        return {"cpu.microseconds": used, **host.counters.non_zero()}


async def serve_hypercorn(folder: Path) -> dict[str, int]:
    """Hypercorn in one process, as ours is."""
    from hypercorn.asyncio import serve as run_hypercorn
    from hypercorn.config import Config

    config = Config()
    config.bind = ["0.0.0.0:443"]
    config.insecure_bind = ["0.0.0.0:80"]
    config.certfile, config.keyfile = str(folder / CHAIN), str(folder / KEY)
    config.loglevel = "WARNING"
    config.keep_alive_max_requests = 1 << 30  # it would end connections after a thousand
    application: Any = app
    say_ready()
    await run_hypercorn(application, config, shutdown_trigger=until_input_ends)
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="with the certificate")
    parser.add_argument("--hypercorn", action="store_true", help="on the kernel's sockets")
    parser.add_argument("--descriptor", type=int, help="of the TUN device")
    parser.add_argument("--address", help="with its prefix length")
    parser.add_argument("--profile", type=Path, help="file for cProfile's figures")
    options = parser.parse_args()
    serving = serve_hypercorn(options.folder) if options.hypercorn else serve(options)
    run(serving, options.profile)


if __name__ == "__main__":
    main()
