"""UDP between two hosts of ours: whatever the wire does, what arrives was sent."""

import asyncio
import errno
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stack.core.config import HostConfig
from stack.core.udp.config import UdpConfig
from stack.core.udp.datagram import OVERHEAD
from stack.core.udp.settings import Discovery
from stack.sim import Network
from stack.wire.address import text
from tests.support.datagram_worlds import Recorder
from tests.support.packets import OURS, PEER
from tests.support.two_hosts import CLIENT, CLIENT6, SERVER, SERVER6, run
from tests.support.udp_bench import UdpBench, error, udp

SERVERS = {4: SERVER, 6: SERVER6}
ROOMY = HostConfig(udp=UdpConfig(send_buffer=16 << 20, receive_buffer=64 << 20))
# Bursts of fragments must not meet the end of a queue where nothing shall be lost.
LONG_QUEUE = {"queue": 100_000}


def network(seed=1, mtu=1500, config=ROOMY, **faults):
    net = Network(seed)
    client = net.host("client", f"{CLIENT}/24", f"{CLIENT6}/64", mtu=mtu, config=config)
    server = net.host("server", f"{SERVER}/24", f"{SERVER6}/64", mtu=mtu, config=config)
    net.link(client, server, **{"delay": 5000, **LONG_QUEUE, **faults})
    return net, client, server


def drain(endpoint, now):
    found = []
    while (datagram := endpoint.receive(now)) is not None:
        found.append(datagram)
    return found


versions = st.sampled_from([4, 6])
sizes = st.one_of(
    st.integers(0, 100),
    st.integers(1200, 1600),
    st.sampled_from([65_507, 65_499, 1472, 1473, 1452, 1453]),
    st.integers(0, 65_507),
)


@pytest.mark.rfc("768", "user interface")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(versions, sizes), max_size=12),
    st.integers(1280, 9000),
    st.integers(0, 2**32),
    st.integers(1, 65_535),
)
def test_a_clean_wire_brings_every_datagram_once_and_in_order(datagrams, mtu, seed, port):
    net, client, server = network(seed, mtu)
    receiver = server.open_udp(None, port)
    sender = client.open_udp()
    chance = random.Random(seed)
    texts = [(version, chance.randbytes(size)) for version, size in datagrams]
    for version, data in texts:
        sender.send_to(data, SERVERS[version], port, net.now)
    net.run()
    froms = {4: CLIENT, 6: CLIENT6}
    assert drain(receiver, net.now) == [
        (data, froms[version], sender.port) for version, data in texts
    ]
    assert server.counters["UdpInErrors"] == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.integers(0, 20_000),
)
def test_a_hostile_wire_brings_only_what_was_sent(seed, loss, reorder, duplicate, corrupt, jitter):
    net, client, server = network(
        seed, loss=loss, reorder=reorder, duplicate=duplicate, corrupt=corrupt, jitter=jitter
    )
    receiver, sender = server.open_udp(None, 7), client.open_udp()
    chance = random.Random(seed)
    # The checksum finds one spoilt bit for sure, but not always one in each of two fragments.
    most = 1400 if corrupt else 6000
    texts = [n.to_bytes(4, "big") + chance.randbytes(chance.randrange(most)) for n in range(60)]
    for number, data in enumerate(texts):
        sender.send_to(data, SERVERS[4 if number % 2 else 6], 7, net.now)
        net.run(net.now + 1000)
    net.run()
    found = [data for data, _, _ in drain(receiver, net.now)]
    assert set(found) <= set(texts)
    if not (loss or corrupt):
        assert set(found) == set(texts)
    if not duplicate:
        assert len(found) == len(set(found))
    assert len(server.reassembly) == 0  # what stayed incomplete was given up


def test_an_application_that_asks_again_gets_through_any_loss():
    """Stop and wait over asyncio, half of the packets lost each way, in virtual time."""

    class Server(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.sendto(data.upper(), addr)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.answers = asyncio.Queue()

        def datagram_received(self, data, addr):
            self.answers.put_nowait(data)

    async def ask(transport, client, question):
        while True:
            transport.sendto(question)
            try:
                async with asyncio.timeout(1):
                    while (answer := await client.answers.get()) != question.upper():
                        pass
                    return answer
            except TimeoutError:
                continue

    async def main(hosts):
        await hosts.server.create_datagram_endpoint(Server, (SERVER6, 7))
        transport, client = await hosts.client.create_datagram_endpoint(
            Client, remote_addr=(SERVER6, 7)
        )
        return [await ask(transport, client, b"question %d" % n) for n in range(50)]

    assert run(main, loss=0.5) == [b"QUESTION %d" % n for n in range(50)]


# ---- over routers ----------------------------------------------------------------------

FAR = {4: "198.51.100.2", 6: "2001:db8:1::2"}


def beyond_routers(hops=1, **last_wire):
    """(network, client, server): `hops` routers between them; the last wire as given."""
    net = Network(1)
    client = net.host("client", f"{CLIENT}/24", f"{CLIENT6}/64", config=ROOMY)
    server = net.host("server", f"{FAR[4]}/24", f"{FAR[6]}/64", config=ROOMY)
    before = client
    for number in range(hops):
        router = net.router(f"router{number}")
        net.link(before, router, delay=1000)
        before = router
    net.link(before, server, delay=1000, **last_wire)
    return net, client, server


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize("version", [4, 6])
def test_a_narrow_path_costs_one_datagram_and_then_they_come_in_fragments(version):
    net, client, server = beyond_routers(mtu=1300)
    receiver, sender = server.open_udp(None, 7), client.open_udp()
    for number in range(5):
        sender.send_to(bytes([number]) * 1400, FAR[version], 7, net.now)
        net.run(net.now + 1_000_000)
    assert [data[0] for data, _, _ in drain(receiver, net.now)] == [1, 2, 3, 4]
    assert client.counters["PathMtuLowered"] == 1
    assert client.counters["IpFragCreates"] == 8


def test_datagrams_that_let_routers_fragment_are_never_lost_to_a_narrow_path():
    net, client, server = beyond_routers(mtu=1300)
    receiver, sender = server.open_udp(None, 7), client.open_udp()
    sender.ipv4.discovery = Discovery.DONT
    sender.send_to(bytes(1400), FAR[4], 7, net.now)
    net.run()
    assert len(drain(receiver, net.now)) == 1
    assert client.counters["IcmpInMsgs"] == 0


@pytest.mark.rfc("1122", "4.1.3.3")
@pytest.mark.parametrize("version", [4, 6])
def test_the_way_can_be_traced_by_what_routers_say(version):
    net, client, _ = beyond_routers(hops=3)
    probe = client.open_udp()
    probe.settings(version).report_errors = True
    way = []
    for hops in range(1, 5):
        probe.settings(version).ttl = hops
        probe.send_to(b"probe", FAR[version], 33_434, net.now)
        net.run()
        told = probe.take_send_error()
        way.append((text(told.offender, version), told.number))
    routers = [
        str(interface.ip)
        for number in range(3)
        for interface in net.routers[f"router{number}"].host.local.interfaces
        if interface.version == version
    ]
    assert way == [
        *((router, errno.EHOSTUNREACH) for router in routers),
        (FAR[version], errno.ECONNREFUSED),
    ]


# ---- whatever comes --------------------------------------------------------------------


def test_forty_thousand_spoilt_packets_neither_raise_nor_leak():
    bench = UdpBench(config=HostConfig(udp=UdpConfig(receive_buffer=100_000)))
    endpoints = [bench.open(53), bench.connected(4, 53, 4000), bench.connected(6, 53, 4001)]
    for endpoint in endpoints:
        endpoint.ipv4.report_errors = endpoint.ipv6.report_errors = True
    chance = random.Random(8)
    patterns = [udp(version, 53, port, bytes(40)) for version in (4, 6) for port in (53, 4000, 54)]
    for version, kind, code in ((4, 3, 3), (4, 3, 4), (4, 11, 0), (6, 1, 4), (6, 2, 0)):
        quote = udp(version, 53, 53, bytes(9), src=OURS[version], dst=PEER[version])
        patterns.append(error(version, kind, code, quote, rest=1300))
    for _ in range(40_000 // 8):
        bench.receive(*(spoilt(chance, chance.choice(patterns)) for _ in range(8)))
        bench.now += 1000
        for endpoint in endpoints:
            assert endpoint._held <= 100_000 + 65_535 + OVERHEAD
            if chance.random() < 0.02:
                empty(endpoint, bench.now)
    for endpoint in endpoints:
        empty(endpoint, bench.now)
        assert endpoint._held == 0
        endpoint.close(bench.now)
    assert bench.counted("UdpInErrors") > 1000
    assert bench.counted("UdpInDatagrams") > 100
    assert not bench.host.udp._ports


def spoilt(chance, packet):
    """A copy with some bytes changed, missing or added; at times none."""
    data = bytearray(packet)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    cut = chance.random()
    if cut < 0.1:
        del data[chance.randrange(len(data)) :]
    elif cut < 0.15:
        data += chance.randbytes(chance.randrange(1, 40))
    return bytes(data)


def empty(endpoint, now):
    """Reads everything that waits, errors too."""
    while True:
        try:
            if endpoint.take(now) is None:
                break
        except OSError:
            continue
    while endpoint.take_send_error() is not None:
        continue


class Endpoints(RuleBasedStateMachine):
    """Calls and datagrams in any order on one host, whose books must stay right."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed):
        config = HostConfig(udp=UdpConfig(send_buffer=5000, receive_buffer=3000))
        self.bench = UdpBench(config=config, seed=seed)
        self.host = self.bench.host
        self.open = []
        self.queued = 0

    def attempt(self, call, *arguments, **options):
        """Whatever is wrong comes as OSError."""
        try:
            return call(*arguments, **options)
        except OSError as problem:
            if problem.errno is None:
                raise
            return None

    @rule(version=st.sampled_from([0, 4, 6]))
    def make(self, version):
        self.open.append(self.host.udp.new(version))

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        address=st.sampled_from([None, "0.0.0.0", "::", OURS[4], OURS[6], "192.0.2.255"]),
        port=st.sampled_from([0, 53, 54]),
        reuse=st.booleans(),
    )
    def bind(self, data, address, port, reuse):
        endpoint = data.draw(st.sampled_from(self.open))
        if not endpoint.port:
            endpoint.reuse_address = reuse
        self.attempt(endpoint.bind, address, port)

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        address=st.sampled_from([PEER[4], PEER[6], "255.255.255.255", "127.0.0.1"]),
        port=st.sampled_from([53, 4000]),
    )
    def connect(self, data, address, port):
        self.attempt(data.draw(st.sampled_from(self.open)).connect, address, port, self.bench.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def disconnect(self, data):
        data.draw(st.sampled_from(self.open)).disconnect(self.bench.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), version=st.sampled_from([4, 6]), size=st.sampled_from([0, 100, 3000]))
    def send(self, data, version, size):
        endpoint = data.draw(st.sampled_from(self.open))
        self.attempt(endpoint.send_to, bytes(size), PEER[version], 53, self.bench.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), peek=st.booleans())
    def receive(self, data, peek):
        endpoint = data.draw(st.sampled_from(self.open))
        if peek:
            self.attempt(endpoint.peek)
        else:
            self.attempt(endpoint.take, self.bench.now)

    @rule(
        version=st.sampled_from([4, 6]),
        sport=st.sampled_from([53, 4000]),
        dport=st.sampled_from([53, 54]),
        size=st.sampled_from([0, 100, 1400]),
    )
    def arrive(self, version, sport, dport, size):
        self.bench.receive(udp(version, sport, dport, bytes(size)))

    @rule()
    def leave(self):
        self.bench.sent()
        assert all(endpoint.send_space == 5000 for endpoint in self.open)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data):
        endpoint = data.draw(st.sampled_from(self.open))
        self.open.remove(endpoint)
        endpoint.close(self.bench.now)

    @invariant()
    def the_books_are_right(self):
        if not hasattr(self, "host"):
            return
        ports = self.host.udp
        held = [endpoint for endpoints in ports._ports.values() for endpoint in endpoints]
        assert {id(e) for e in held} == {id(e) for e in self.open if e.port}
        connected = [e for endpoints in ports._connected.values() for e in endpoints]
        assert {id(e) for e in connected} == {id(e) for e in self.open if e.peer}
        for endpoint in self.open:
            waiting = sum(d.cost for d in endpoint._received)
            assert endpoint._held == waiting
            assert endpoint._unsent >= 0
            assert endpoint.local[1] == endpoint.port


Endpoints.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_calls_in_any_order_keep_the_books_right = Endpoints.TestCase
