"""Joins two TUN devices, so that the kernel's TCP meets itself beyond a link with faults.

The faults are those of `tunstack run --impair`, seen from the second device: packets to it
are inbound, packets from it outbound. Says "ready" when it runs; ends when its input does.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable

from scripts.benchmarks.server import until_input_ends
from stack.link.base import Link
from stack.link.impair import parse_impairments
from stack.link.impaired import ImpairedLink
from stack.link.tun import TunLink
from stack.wire.batch import CAPACITY, Outbound


class Relay:
    """Moves packets between two links on an asyncio loop, as the driver of a host would."""

    def __init__(self, near: Link, far: Link) -> None:
        self._loop = asyncio.get_running_loop()
        self._out = Outbound()
        self._timer: asyncio.TimerHandle | None = None
        self._near = near
        self._far = far
        for link in (near, far):
            self._loop.add_reader(link.fileno(), self._moving(self._move))

    def close(self) -> None:
        for link in (self._near, self._far):
            self._loop.remove_reader(link.fileno())
            link.close()

    def _moving(self, work: Callable[[int], None]) -> Callable[[], None]:
        """Does `work`, then sets the timer for what is still on its way."""

        def run() -> None:
            work(self._now())
            self._rearm()

        return run

    def _now(self) -> int:
        return round(self._loop.time() * 1e6)

    def _move(self, now: int) -> None:
        self._pass_on(self._near, self._far, now)
        self._pass_on(self._far, self._near, now)

    def _expire(self, now: int) -> None:
        self._timer = None
        self._near.on_deadline(now)
        self._move(now)

    def _pass_on(self, source: Link, target: Link, now: int) -> None:
        while True:
            arrived = source.receive(now)
            self._out.clear()
            for index in range(arrived.count):
                self._out.push_raw(arrived.data(index), None)
            if arrived.count:
                target.transmit(self._out, now)
            if arrived.count < CAPACITY:
                return

    def _rearm(self) -> None:
        due = self._near.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due / 1e6, self._moving(self._expire))


async def relay(options: argparse.Namespace) -> None:
    near, far = (TunLink(descriptor) for descriptor in options.descriptors)
    far.set_offload(False)
    joined = Relay(ImpairedLink(near, parse_impairments(options.impair), options.seed), far)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await until_input_ends()
    joined.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("descriptors", type=int, nargs=2, help="of the TUN devices")
    parser.add_argument("--impair", required=True, metavar="SPEC", help="faults of the link")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    asyncio.run(relay(parser.parse_args()))


if __name__ == "__main__":
    main()
