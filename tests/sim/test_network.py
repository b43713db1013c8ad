"""Networks in virtual time, with and without asyncio."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.core.tcp.states import State
from stack.errors import UsageError
from stack.link.impair import Faults, ImpairmentSpec
from stack.sim import Network, TapPoint
from tests.support.two_hosts import SERVER, echo, make, run, tls_contexts

EVERY_FAULT = {
    "delay": 10_000,
    "jitter": 2_000,
    "rate": 20_000_000,
    "loss": 0.02,
    "reorder": 0.02,
    "duplicate": 0.01,
    "corrupt": 0.005,
}


def wire_of(seed, main, **faults):
    """Everything that a run puts on the wire."""
    seen = []

    async def tapped(hosts):
        hosts.wire.tap(lambda *packet: seen.append(packet))
        await main(hosts)

    run(tapped, seed=seed, **faults)
    return seen


async def transfers(hosts):
    await hosts.server.start_server(echo, None, 7)

    async def one(number):
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        writer.write(bytes([number]) * 100_000)
        writer.write_eof()
        assert await reader.read() == bytes([number]) * 100_000
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*map(one, range(5)))


def test_one_seed_gives_the_same_bytes_twice():
    first = wire_of(7, transfers, **EVERY_FAULT)
    assert len(first) > 700
    assert first == wire_of(7, transfers, **EVERY_FAULT)
    assert first != wire_of(8, transfers, **EVERY_FAULT)


def test_neither_hashes_nor_memory_addresses_matter():
    program = (
        "from tests.sim.test_network import *; import hashlib;"
        "print(hashlib.sha256(repr(wire_of(7, transfers, **EVERY_FAULT)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 65


def test_virtual_hours_take_no_time():
    began = time.monotonic()

    async def main(hosts):
        await hosts.server.start_server(echo, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        for _ in range(100):
            await asyncio.sleep(3600)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
        writer.close()

    run(main, limit=1e9, delay=50_000)
    assert time.monotonic() - began < 5


class Script:
    """An owner without asyncio: reads what comes and keeps what it was told."""

    def __init__(self, net, connection):
        self.net = net
        self.connection = connection
        self.ready = []
        self.received = bytearray()
        connection.owner = self

    def on_ready(self, ready):
        self.ready.append(ready)
        self.received += self.connection.receive(1 << 20, self.net.now)


def connected(net):
    """(client's, server's) scripts of one connection."""
    client, server = net.hosts["client"], net.hosts["server"]
    listener = server.listen(None, 80)
    ours = Script(net, client.connect(SERVER, 80, net.now))
    accepted = []

    def has_accepted():
        connection = listener.accept()
        accepted.extend([Script(net, connection)] if connection else [])
        return bool(accepted)

    assert net.run_until(has_accepted)
    return ours, accepted[0]


def test_hosts_talk_without_any_event_loop():
    net, _ = make(delay=10_000)
    began = net.now
    ours, theirs = connected(net)
    assert net.now - began == 30_000, "SYN, SYN-ACK, ACK"
    ours.connection.send(b"hello", net.now)
    assert net.run_until(lambda: theirs.received == b"hello")
    ours.connection.close(net.now)
    assert net.run_until(lambda: theirs.connection.eof)
    theirs.connection.close(net.now)
    net.run(until=net.now + 1_000_000)
    assert ours.connection.state == State.TIME_WAIT
    assert theirs.connection.state == State.CLOSED
    net.run()
    assert ours.connection.state == State.CLOSED
    assert net.next_deadline() is None


def test_time_passes_to_where_it_is_asked_to():
    net, _ = make()
    net.run(until=5_000_000)
    assert net.now == 5_000_000
    assert not net.run_until(lambda: False)
    called = []
    for when in (9_000_000, 7_000_000, 7_000_000):
        net.call_at(when, lambda when=when: called.append((when, net.now)))
    assert net.run_until(lambda: len(called) == 2)
    assert net.now == 7_000_000
    net.run()
    assert called == [(7_000_000, 7_000_000)] * 2 + [(9_000_000, 9_000_000)]
    net.call_at(net.now + 10_000_000, lambda: None)
    assert not net.run_until(lambda: False, limit=1_000_000)


def test_what_a_scripted_call_does_takes_effect_at_its_time():
    net, _ = make(delay=1_000)
    ours, theirs = connected(net)
    when = net.now + 500_000
    net.call_at(when, lambda: ours.connection.send(b"later", net.now))
    assert net.run_until(lambda: theirs.received)
    assert net.now == when + 1_000


def test_an_application_that_fails_stops_the_run():
    net, _ = make()
    ours, theirs = connected(net)

    def fail(ready):
        raise ZeroDivisionError

    theirs.on_ready = fail
    ours.connection.send(b"x", net.now)
    with pytest.raises(ZeroDivisionError):
        net.run(until=net.now + 1_000_000)


def test_taps_see_what_is_sent_and_what_arrives():
    net, wire = make(delay=3_000, loss=0.0)
    sent, arrived = [], []
    wire.tap(lambda *packet: sent.append(packet))
    detach = wire.tap(lambda *packet: arrived.append(packet), TapPoint.EXIT)
    connected(net)
    net.run(until=net.now + 100_000)
    assert [direction for _, direction, _ in sent[:3]] == [
        "client>server",
        "server>client",
        "client>server",
    ]
    assert [(now + 3_000, *rest) for now, *rest in sent] == arrived
    assert all(data[0] >> 4 == 4 for _, _, data in sent)
    detach()
    count = len(arrived)
    net.run()
    assert len(arrived) == count


def test_directions_can_have_different_faults():
    net = Network(3)
    a = net.host("a", "192.0.2.1/24")
    b = net.host("b", "192.0.2.2/24")
    net.link(a, b, ImpairmentSpec(inbound=Faults(delay=30_000), outbound=Faults(delay=1_000)))
    b.listen(None, 80)
    began = net.now
    connection = a.connect("192.0.2.2", 80, net.now)
    assert net.run_until(lambda: connection.state == State.ESTABLISHED)
    assert net.now - began == 31_000


def test_names_and_links_are_unique():
    net, _ = make()
    client = net.hosts["client"]
    with pytest.raises(UsageError, match="already"):
        net.host("client", "192.0.2.9/24")
    other = net.host("other", "192.0.2.9/24")
    with pytest.raises(UsageError, match="has a link already"):
        net.link(other, client)
    with pytest.raises(UsageError, match="not of this network"):
        net.link(other, Network(1).host("x", "192.0.2.8/24"))


def test_tls_runs_in_virtual_time():
    ours, theirs = tls_contexts()

    async def main(hosts):
        await hosts.server.start_server(echo, None, 443, ssl=ours)
        reader, writer = await hosts.client.open_connection(SERVER, 443, ssl=theirs)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()

    run(main)


def test_a_closing_listener_resets_in_the_order_of_the_syns():
    net = Network(1)
    client = net.host("client", "192.0.2.1/24")
    server = net.host("server", "192.0.2.2/24")
    # The SYN-ACKs never arrive, so every connection stays half open.
    wire = net.link(client, server, ImpairmentSpec(inbound=Faults(loss=1.0)))
    listener = server.listen(None, 80)
    for _ in range(40):
        client.connect("192.0.2.2", 80, net.now)
    net.run(until=net.now + 100_000)
    answers = []
    wire.tap(lambda _, direction, data: answers.append(data) if direction[0] == "s" else None)
    opened = [connection.remote[1] for connection in server.connections.values()]
    listener.close(net.now)
    net.run(until=net.now + 100_000)
    assert len(opened) == 40
    assert [int.from_bytes(data[22:24], "big") for data in answers] == opened
