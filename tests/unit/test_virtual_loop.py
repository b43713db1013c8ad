"""The event loop in virtual time."""

import asyncio
import socket
import time

import pytest

from stack.run.virtual import Stalled, VirtualLoop


def run(main, **options):
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(**options)) as runner:
        return runner.run(main)


def test_sleeping_takes_virtual_time_only():
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(86_400 * 365)
        return loop.time() - before

    began = time.monotonic()
    assert run(main()) == 86_400 * 365
    assert time.monotonic() - began < 1


def test_time_stands_still_while_callbacks_run():
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.now
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop.now - before

    assert run(main()) == 0


def test_every_microsecond_survives_the_way_through_float():
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(2000):
            due = loop.now + 1
            fired = loop.create_future()
            loop.call_at(due / 1e6, fired.set_result, None)
            await fired
            assert loop.now == due == round(loop.time() * 1e6)

    run(main(), start=999_999_123)


def test_timers_fire_in_the_order_of_their_deadlines():
    async def main():
        loop = asyncio.get_running_loop()
        fired = []
        for delay in (0.3, 0.1, 0.2):
            loop.call_later(delay, fired.append, delay)
        await asyncio.sleep(1)
        return fired

    assert run(main()) == [0.1, 0.2, 0.3]


def test_a_timeout_fires_at_its_deadline():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().now

    assert run(main(), start=7) == 5_000_007


def test_waiting_for_what_cannot_happen_is_an_error():
    async def main():
        await asyncio.sleep(2)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled, match="everything waits at 2000000 µs"):
        run(main())


def test_functions_for_a_thread_run_at_once_and_their_errors_arrive():
    async def main():
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    run(main())


def test_names_are_never_looked_up():
    async def main():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("192.0.2.1", 80, type=socket.SOCK_STREAM)
        assert found[0][4] == ("192.0.2.1", 80)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("name.test", 80)

    run(main())


class Clockwork:
    """A world that ticks at the times given."""

    def __init__(self, ticks):
        self.now = 0
        self.ticks = list(ticks)
        self.seen = []
        self.waiting = None

    def next_deadline(self):
        return self.ticks[0] if self.ticks else None

    def advance(self, now):
        while self.ticks and self.ticks[0] <= now:
            self.seen.append(self.ticks.pop(0))
            if self.waiting and not self.waiting.done():
                self.waiting.set_result(self.seen[-1])
        self.now = now


def test_a_world_and_the_loop_share_one_time():
    world = Clockwork([10, 20, 3_000_000])

    async def main():
        loop = asyncio.get_running_loop()
        for tick in (10, 20):
            world.waiting = loop.create_future()
            assert await world.waiting == tick == loop.now == world.now
        await asyncio.sleep(1)
        assert loop.now == world.now == 1_000_020
        assert world.seen == [10, 20]

    run(main(), world=world)
