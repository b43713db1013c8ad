"""Datagram endpoints for asyncio: compared with asyncio's own where the kernel can follow."""

import asyncio
import errno
import socket

import pytest

from stack.core.config import HostConfig
from stack.core.udp.config import UdpConfig
from tests.support import datagram_worlds
from tests.support.datagram_worlds import Recorder
from tests.support.two_hosts import CLIENT, CLIENT6, SERVER, SERVER6, run

CASES = []
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def case(function):
    """Registers a scenario that must return the same in both worlds."""
    CASES.append(function)
    return function


async def outcome(awaitable):
    try:
        return await awaitable
    except (OSError, ValueError, TypeError) as error:
        return type(error).__name__, getattr(error, "errno", None)


def called(call, *arguments):
    try:
        return call(*arguments)
    except (ValueError, TypeError) as error:
        return type(error).__name__


@case
async def datagrams_between_two(world):
    seen = []
    for family in FAMILIES:
        server = await world.server(family)
        name = server.transport.get_extra_info("sockname")
        client = await world.endpoint("client", remote_addr=name[:2])
        client.transport.sendto(b"hello")
        client.transport.sendto(bytearray(b"by name"), name)
        client.transport.sendto(memoryview(b"again"), None)
        await world.settle()
        peer = client.transport.get_extra_info("sockname")
        seen += [server.texts, server.calls[1][1] == peer, peer[0] == world.client_address(family)]
        server.transport.sendto(b"answer", peer)
        await world.settle()
        seen += [client.calls[0], client.texts, client.calls[1][1] == name]
        seen += [client.transport.get_extra_info("peername") == name]
        seen += [server.transport.get_extra_info("peername")]
    return seen


@case
async def an_endpoint_for_anyone(world):
    server = await world.server()
    name = server.transport.get_extra_info("sockname")
    client = await world.endpoint("client", family=socket.AF_INET)
    seen = [client.transport.get_extra_info("sockname")]
    for number in range(5):
        client.transport.sendto(b"%d" % number, name)
    await world.settle()
    return [*seen, server.texts]


@case
async def what_makes_no_sense(world):
    server = await world.server()
    name = server.transport.get_extra_info("sockname")
    client = await world.endpoint("client", remote_addr=name)
    make = world.endpoint
    address = world.server_address()
    return [
        called(client.transport.sendto, "text"),
        called(client.transport.sendto, b"x", (name[0], 9)),
        await outcome(make("client")),
        await outcome(make("client", local_addr=address)),
        await outcome(make("client", local_addr=(address, 1, 2))),
        await outcome(make("client", local_addr=("203.0.113.1", 0))),
        await outcome(make("server", local_addr=name)),
        await outcome(make("client", local_addr=("::1", 0), remote_addr=(address, 9))),
        (await outcome(make("client", local_addr=(address, 0), family=socket.AF_INET6)))[0],
        await outcome(make("client", remote_addr=("255.255.255.255", 9))),
    ]


@case
async def nobody_there(world):
    seen = []
    for family in FAMILIES:
        server = await world.server(family)
        name = server.transport.get_extra_info("sockname")
        server.transport.close()
        await world.settle()
        client = await world.endpoint("client", remote_addr=name[:2])
        client.transport.sendto(b"anyone?")
        await world.settle()
        seen += client.calls
        seen.append(client.transport.is_closing())
        stranger = await world.endpoint("client", family=family)
        stranger.transport.sendto(b"anyone?", name)
        await world.settle()
        seen += stranger.calls
    return seen


@case
async def too_long_a_datagram_is_an_error_and_no_end(world):
    server = await world.server()
    name = server.transport.get_extra_info("sockname")
    client = await world.endpoint("client", remote_addr=name)
    client.transport.sendto(bytes(65_508))
    client.transport.sendto(bytes(65_507))
    await world.settle()
    return list(client.calls), list(map(len, server.texts)), client.transport.is_closing()


@case
async def broadcast_without_leave_is_an_error(world):
    client = await world.endpoint("client", family=socket.AF_INET)
    client.transport.sendto(b"x", ("255.255.255.255", 9))
    await world.settle()
    return list(client.calls)


@case
async def closing(world):
    server = await world.server()
    name = server.transport.get_extra_info("sockname")
    client = await world.endpoint("client", remote_addr=name)
    client.transport.sendto(b"last words")
    client.transport.close()
    seen = [client.transport.is_closing(), list(client.calls)]
    client.transport.close()
    client.transport.abort()
    await world.settle()
    client.transport.sendto(b"from beyond")
    await world.settle()
    return [*seen, client.calls, server.texts]


@case
async def aborting(world):
    client = await world.endpoint("client", family=socket.AF_INET)
    client.transport.abort()
    seen = [client.transport.is_closing(), list(client.calls)]
    await world.settle()
    return [*seen, client.calls]


@case
async def nothing_is_received_after_close(world):
    server = await world.server()
    name = server.transport.get_extra_info("sockname")
    client = await world.endpoint("client", remote_addr=name)
    client.transport.sendto(b"one")
    await world.settle()
    client.transport.sendto(b"two")
    server.transport.close()
    await world.settle()
    return server.calls[0], server.texts, server.calls[-1]


@case
async def one_socket_for_both_versions(world):
    server = await world.endpoint("server", local_addr=("::", 0))
    port = server.transport.get_extra_info("sockname")[1]
    four = await world.endpoint("client", remote_addr=(world.server_address(), port))
    six = await world.endpoint("client", remote_addr=(world.server_address(socket.AF_INET6), port))
    four.transport.sendto(b"4")
    await world.settle()
    six.transport.sendto(b"6")
    await world.settle()
    mapped = "::ffff:" + world.client_address()
    seen = [server.texts, server.calls[1][1][0] == mapped, server.calls[1][1][2:]]
    for call in server.calls[1:]:
        server.transport.sendto(b"back", call[1])
    await world.settle()
    return [*seen, four.texts, six.texts]


@case
async def sharing_a_port(world):
    first = await world.endpoint("server", local_addr=(world.server_address(), 0), reuse_port=True)
    name = first.transport.get_extra_info("sockname")
    second = await world.endpoint("server", local_addr=name, reuse_port=True)
    for _ in range(40):
        client = await world.endpoint("client", remote_addr=name)
        client.transport.sendto(b"x")
        client.transport.sendto(b"x")
    await world.settle()
    counts = [len(one.texts) for one in (first, second)]
    return sum(counts), all(counts), [count % 2 for count in counts]


@case
async def the_socket_behind_it(world):
    server = await world.server()
    view = server.transport.get_extra_info("socket")
    level = socket.SOL_SOCKET
    view.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
    return [
        view.family,
        view.type,
        view.getsockname() == server.transport.get_extra_info("sockname"),
        view.getsockopt(level, socket.SO_TYPE),
        view.getsockopt(level, socket.SO_BROADCAST),
        view.getsockopt(socket.IPPROTO_IP, socket.IP_TTL),
        server.transport.get_extra_info("no such thing", 7),
    ]


@pytest.mark.parametrize("scenario", CASES, ids=lambda function: function.__name__)
def test_same_as_asyncio(scenario):
    assert datagram_worlds.ours(scenario) == datagram_worlds.kernels(scenario)


# ---- what a loopback cannot show ----------------------------------------------------


async def pair(hosts, **options):
    """(client's, server's) protocols; the client has one peer."""
    _, server = await hosts.server.create_datagram_endpoint(Recorder, (SERVER, 7))
    _, client = await hosts.client.create_datagram_endpoint(
        Recorder, remote_addr=(SERVER, 7), **options
    )
    return client, server


@pytest.mark.rfc("768", "length")
def test_an_empty_datagram_is_sent():
    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.sendto(b"")
        await asyncio.sleep(1)
        return server.texts

    assert run(main) == [b""]


def test_what_the_buffer_has_no_room_for_waits_and_pauses_the_protocol():
    config = HostConfig(udp=UdpConfig(send_buffer=10_000, receive_buffer=10 << 20))

    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.set_write_buffer_limits(high=50_000)
        texts = [b"%4d" % number * 250 for number in range(100)]
        for text in texts:
            client.transport.sendto(text)
        waiting = client.transport.get_write_buffer_size()
        await asyncio.sleep(1)
        assert client.transport.get_write_buffer_size() == 0
        return waiting, client.paused, server.texts == texts

    waiting, paused, complete = run(main, config=config)
    assert 80_000 < waiting < 100_000
    assert paused == 1
    assert complete


def test_closing_sends_what_waits():
    config = HostConfig(udp=UdpConfig(send_buffer=10_000, receive_buffer=10 << 20))

    async def main(hosts):
        client, server = await pair(hosts)
        for _ in range(100):
            client.transport.sendto(bytes(1000))
        client.transport.close()
        assert client.calls == ["made"]
        await asyncio.sleep(1)
        return len(server.texts), client.calls

    assert run(main, config=config) == (100, ["made", ("lost", None)])


def test_aborting_drops_what_waits():
    config = HostConfig(udp=UdpConfig(send_buffer=10_000))

    async def main(hosts):
        client, server = await pair(hosts)
        for _ in range(100):
            client.transport.sendto(bytes(1000))
        client.transport.abort()
        await asyncio.sleep(1)
        return len(server.texts)

    assert 0 < run(main, config=config) < 15


def test_who_may_broadcast_hears_the_answers_of_all():
    async def main(hosts):
        _, server = await hosts.server.create_datagram_endpoint(Recorder, ("0.0.0.0", 7))
        _, client = await hosts.client.create_datagram_endpoint(
            Recorder, remote_addr=("192.0.2.255", 7), allow_broadcast=True
        )
        client.transport.sendto(b"who is there?")
        await asyncio.sleep(1)
        server.transport.sendto(b"me", server.calls[1][1])
        await asyncio.sleep(1)
        return server.texts, list(client.calls)

    heard, answers = run(main)
    assert heard == [b"who is there?"]
    assert answers == ["made", (b"me", (SERVER, 7))]


def test_a_protocol_that_raises_hears_the_next_datagram_nonetheless():
    class Clumsy(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise ValueError(data)

    async def main(hosts):
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"].args[0])
        )
        _, server = await hosts.server.create_datagram_endpoint(Clumsy, (SERVER, 7))
        _, client = await hosts.client.create_datagram_endpoint(Recorder, remote_addr=(SERVER, 7))
        for text in (b"one", b"two"):
            client.transport.sendto(text)
        await asyncio.sleep(1)
        return reported, server.texts

    assert run(main) == ([b"one", b"two"], [b"one", b"two"])


def test_datagrams_that_come_before_the_protocol_is_made_are_kept():
    async def main(hosts):
        made = hosts.server.create_datagram_endpoint(Recorder, (SERVER, 7))
        hosts.client.host.open_udp().send_to(b"early", SERVER, 7, hosts.client.driver.now())
        hosts.client.driver.wake()
        _, server = await made
        await asyncio.sleep(1)
        return server.calls[0], server.texts

    assert run(main) == ("made", [b"early"])


def test_a_host_that_goes_down_tells_the_protocol():
    protocols = []

    async def main(hosts):
        protocols.extend(await pair(hosts))

    run(main)
    for protocol in protocols:
        what, error = protocol.calls[-1]
        assert (what, error.errno) == ("lost", errno.ECONNABORTED)


def test_a_kernel_socket_and_a_foreign_protocol_are_refused():
    async def main(hosts):
        make = hosts.client.create_datagram_endpoint
        with pytest.raises(ValueError, match="kernel"):
            await make(Recorder, sock=object())
        with pytest.raises(OSError) as raised:
            await make(Recorder, (CLIENT, 0), proto=socket.IPPROTO_TCP)
        assert raised.value.errno == errno.EPROTONOSUPPORT

    run(main)


def test_a_factory_that_fails_leaves_no_port_behind():
    def fail():
        raise RuntimeError("no protocol today")

    async def main(hosts):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no protocol today"):
                await hosts.client.create_datagram_endpoint(fail, (CLIENT6, 7))
        _, protocol = await hosts.client.create_datagram_endpoint(Recorder, (CLIENT6, 7))
        return protocol.transport.get_extra_info("sockname")

    assert run(main) == (CLIENT6, 7, 0, 0)


def test_names_of_both_versions_are_tried_in_turn():
    async def main(hosts):
        loop = asyncio.get_running_loop()

        async def getaddrinfo(host, port, **_):
            assert host == "server.test"
            return [
                (socket.AF_INET6, 0, 0, "", ("2001:db8::77", port, 0, 0)),
                (socket.AF_INET, 0, 0, "", (CLIENT, port)),
            ]

        loop.getaddrinfo = getaddrinfo
        _, protocol = await hosts.client.create_datagram_endpoint(Recorder, ("server.test", 7))
        return protocol.transport.get_extra_info("sockname")

    assert run(main) == (CLIENT, 7)


def test_the_same_seed_sends_the_same_bytes_from_the_same_ports():
    def wire(seed):
        seen = []

        async def main(hosts):
            hosts.wire.tap(lambda *packet: seen.append(packet))
            _, server = await hosts.server.create_datagram_endpoint(Recorder, (SERVER6, 7))
            for number in range(20):
                _, client = await hosts.client.create_datagram_endpoint(
                    Recorder, remote_addr=(SERVER6, 7)
                )
                client.transport.sendto(bytes([number]) * 3000)
                await asyncio.sleep(0.01)
            return len(server.texts)

        return run(main, seed=seed, loss=0.1, reorder=0.1, delay=1000), seen

    assert wire(3) == wire(3)
    assert wire(3) != wire(4)
