"""The driver on asyncio's ordinary loop, with descriptors and real time."""

import asyncio
import errno
import hashlib
import socket
import time
from types import SimpleNamespace

import pytest

from stack._native import lib
from stack.run.aio import AsyncioDriver
from stack.sockets.aio import AsyncHost
from tests.support.packet_link import PacketLink, hosts


async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


def run(main, **settings):
    async def inside():
        links = PacketLink.pair()
        both = zip(hosts(), links, strict=True)
        client, server = (AsyncHost(host, link, **settings) for host, link in both)
        try:
            await asyncio.wait_for(main(client, server), 60)
        finally:
            await client.aclose()
            await server.aclose()

    asyncio.run(inside())


@pytest.mark.parametrize("busy_poll", [0, 100])
def test_megabytes_cross_a_link_with_descriptors(busy_poll):
    async def main(client, server):
        await server.start_server(echo, None, 7)
        reader, writer = await client.open_connection("192.0.2.2", 7)
        sent, received = hashlib.sha256(), hashlib.sha256()

        async def send():
            for number in range(80):
                data = bytes([number]) * 50_000
                sent.update(data)
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        async def receive():
            while data := await reader.read(1 << 16):
                received.update(data)

        await asyncio.gather(send(), receive())
        assert sent.digest() == received.digest()
        writer.close()

    run(main, busy_poll=busy_poll)


def test_connections_one_after_another_and_at_once():
    async def main(client, server):
        await server.start_server(echo, None, 7)

        async def one(number):
            reader, writer = await client.open_connection("192.0.2.2", 7)
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await reader.read() == b"%d" % number
            writer.close()
            await writer.wait_closed()

        for number in range(20):
            await one(number)
        await asyncio.gather(*map(one, range(50)))

    run(main)


def test_polling_finds_what_comes_while_it_looks_and_then_the_driver_sleeps(monkeypatch):
    """The packet that comes in the middle is not left to the loop's own descriptors."""
    polls, told = [], []

    class Driver(AsyncioDriver):
        def _on_readable(self):
            told.append(None)
            super()._on_readable()

    def poll(descriptor, microseconds):
        polls.append(microseconds)
        if len(polls) == 1:
            other.send(b"second")
        return lib.tun_poll(descriptor, microseconds)

    other, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("stack.run.aio.lib", SimpleNamespace(tun_poll=poll))

    async def main():
        host = hosts()[0]
        driver = Driver(host, PacketLink(ours), busy_poll=50)
        other.send(b"first")
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert host.counters["IpInReceives"] == 2
        assert len(told) == 1
        # Behind the first, behind the second, and no more when nothing came.
        assert polls == [50, 50]
        driver.close()

    asyncio.run(main())
    other.close()
    ours.close()


def test_timers_run_in_real_time():
    async def main(client, server):
        loop = asyncio.get_running_loop()
        server.driver.close()  # nobody answers: the first SYN is repeated after a second
        began = loop.time()
        sent = client.host.counters.as_dict
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await client.open_connection("192.0.2.2", 7)
        assert 1.4 < loop.time() - began < 3
        assert sent()["IpOutRequests"] == 2

    run(main)


class Fake:
    """A host and a link in one, which count what is asked of them."""

    def __init__(self):
        self.mtu = 1500
        self.offload = True
        self.pending = False
        self.observed = False
        self.flushes = 0
        self.count = 0
        self.full = False
        self.deadline = None
        self.place = None  # an earlier time, at which a host that moved a timer is asked again
        self.expired = []
        self.told = []
        self.switched = []
        self.flows = "flows"
        self.landing = []
        self.changed = None

    def fileno(self):
        return -1

    def receive(self, *_):
        return self

    def transmit(self, *_):
        self.flushes += 1
        return self

    def next_deadline(self):
        self.place = None
        return self.deadline

    def next_wake(self):
        return self.place or self.deadline

    def on_deadline(self, now):
        self.expired.append(now)
        self.deadline = None

    def on_change(self, call):
        self.changed = call

    def set_offload(self, on):
        self.switched.append(on)

    def land(self, flows):
        self.landing.append(flows)

    def events(self):
        told, self.told = self.told, []
        return told

    def close(self, *_):
        pass


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def turn(loop, seconds=0.0):
    loop.run_until_complete(asyncio.sleep(seconds))


def test_many_calls_make_one_flush(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    turn(loop)
    fake.flushes = 0
    for _ in range(100):
        driver.wake()
    assert fake.flushes == 0, "nothing is sent before the application is done"
    turn(loop)
    assert fake.flushes == 1
    turn(loop)
    assert fake.flushes == 1


def test_a_wake_from_a_callback_of_the_driver_needs_no_turn_of_its_own(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    turn(loop)

    class Source:
        owner = type("Owner", (), {"on_ready": lambda _, ready: driver.wake()})()

    fake.told = [(Source, 1)]
    driver.wake()
    turn(loop)
    fake.flushes = 0
    turn(loop)
    assert fake.flushes == 0


def test_one_timer_serves_deadlines_that_move(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    fake.deadline = driver.now() + 100_000
    driver.wake()
    turn(loop)
    timer = driver._timer
    fake.deadline += 200_000  # later: the timer that is set will look again
    driver.wake()
    turn(loop)
    assert driver._timer is timer
    due = fake.deadline
    turn(loop, 0.15)
    assert fake.expired == []
    turn(loop, 0.3)
    assert len(fake.expired) == 2, "the host's and the link's, which are one here"
    assert fake.expired[0] >= due


def test_a_place_without_a_deadline_is_looked_at_and_no_more(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    fake.place = driver.now() + 5_000
    fake.deadline = driver.now() + 60_000_000
    driver.wake()
    turn(loop, 0.02)
    assert fake.place is None
    assert fake.expired == []


def test_while_it_works_an_application_sees_one_time_that_never_goes_back(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    seen = []

    class Listening:
        def on_ready(self, ready):
            begin = driver.now()
            time.sleep(0.001)
            seen.append((begin, driver.now()))

    source = type("Source", (), {"owner": Listening()})
    for _ in range(2):
        fake.told = [(source, 1)]
        driver.wake()
        turn(loop)
    (first, also_first), (second, also_second) = seen
    assert first == also_first
    assert second == also_second
    assert first + 1_000 <= second <= driver.now()


def test_a_deadline_that_moves_nearer_is_met(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    fake.deadline = driver.now() + 60_000_000
    driver.wake()
    turn(loop)
    fake.deadline = driver.now() + 5_000
    fake.changed()
    turn(loop, 0.02)
    assert fake.expired


def test_offload_and_landing_are_off_while_someone_observes(loop):
    fake = Fake()
    driver = AsyncioDriver(fake, fake, loop)
    assert fake.switched == [True]
    for observed in (True, False):
        fake.observed = observed
        driver.wake()
        turn(loop)
    assert fake.switched == [True, False, True]
    driver.close()
    assert fake.landing == ["flows", None, "flows", None]


def test_an_owner_that_fails_is_reported_and_the_next_one_is_told(loop):
    fake = Fake()
    reports, told = [], []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    driver = AsyncioDriver(fake, fake, loop)

    class Failing:
        def on_ready(self, ready):
            raise ZeroDivisionError

    class Listening:
        def on_ready(self, ready):
            told.append(ready)

    for owner in (Failing(), None, Listening()):
        fake.told.append((type("Source", (), {"owner": owner}), 4))
    driver.wake()
    turn(loop)
    assert isinstance(reports[0], ZeroDivisionError)
    assert told == [4]


def test_a_link_that_fails_ends_every_connection(loop):
    reports, closed = [], []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))

    class Broken(Fake):
        def transmit(self, *_):
            self.count = 1 if not closed else 0
            if isinstance(_[0], Fake):
                raise OSError(errno.EIO, "gone")
            return self

        def close(self, *_):
            closed.append(True)

    fake = Broken()
    driver = AsyncioDriver(fake, fake, loop)
    turn(loop)
    assert reports[0].errno == errno.EIO
    assert closed == [True]
    driver.wake()
    turn(loop)
    driver.close()
    assert len(reports) == 1
