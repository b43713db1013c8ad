"""One device, and a queue of it for each of several processes: the option `--workers`."""

import asyncio
import fcntl
import os
import signal
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace

import stack.http.server  # noqa: F401 - once here instead of once in every worker
from stack.cli.application import AppSource
from stack.cli.crew import Crew, Post
from stack.cli.options import ServerOptions, WatchOptions
from stack.cli.station import open_station, server_certificate, write_stderr
from stack.http.tls import server_context
from stack.link.share import Exchange, SharedLink
from stack.link.steering import steer
from stack.link.tun import TunLink


@dataclass(frozen=True, slots=True)
class Workplace:
    """All that the parent prepares, and what its workers have in common."""

    queues: Sequence[TunLink]
    exchange: Exchange
    key: int
    tls: ssl.SSLContext
    """One for all: a session that one worker began can be resumed at another."""
    turn: int
    """A file to lock: what is printed at length must not be mixed with what another prints."""
    server: ServerOptions
    watch: WatchOptions

    def link(self, number: int) -> SharedLink:
        """What worker `number` reads and writes; closes what belongs to others."""
        for other, (queue, inbox) in enumerate(
            zip(self.queues, self.exchange.inboxes, strict=True)
        ):
            if other != number:
                queue.close()
                inbox.close()
        return SharedLink(self.queues[number], self.exchange, number, self.key)

    def say(self, text: str) -> None:
        """Prints to standard error when nobody else does."""
        fcntl.lockf(self.turn, fcntl.LOCK_EX)
        write_stderr(text)
        fcntl.lockf(self.turn, fcntl.LOCK_UN)


def serve_with_workers(
    queues: Sequence[TunLink], server: ServerOptions, watch: WatchOptions, crew: Crew
) -> int:
    """Serves from a process for each queue of a device, as long as their crew works; returns
    its exit status, in the workers their own.
    """
    source = AppSource(server.app)  # loaded by each worker, so that a new one has the newest
    size = len(queues)
    key = int.from_bytes(watch.random_bytes()(4))
    steer(queues[0].fileno(), size, key)
    tls = server_context(server_certificate(server))
    turn = os.memfd_create("turn", os.MFD_CLOEXEC)
    place = Workplace(queues, Exchange(size), key, tls, turn, server, watch)
    post = crew.run()
    return post if isinstance(post, int) else asyncio.run(_work(place, post, source))


async def _work(place: Workplace, post: Post, source: AppSource) -> int:
    """What a worker does until it is told to end, or its parent is gone."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def orphaned() -> None:
        loop.remove_reader(post.orphaned)
        stop.set()

    loop.add_reader(post.orphaned, orphaned)
    link = place.link(post.number)
    watch = place.watch
    if watch.seed is not None:  # repeatable, and not the same faults in every worker
        watch = replace(watch, seed=watch.seed + post.number)

    def say(text: str) -> None:
        place.say(f"{link.summary()}\n{text}")

    async with open_station(link, source, place.server, watch, tls=place.tls, say=say) as station:
        station.host.host.elsewhere = link.take_rebuilt
        link.begin()
        post.ready()
        await stop.wait()
    return 0
