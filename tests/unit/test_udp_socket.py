"""Blocking UDP sockets on hosts of ours: threads, ends, and what a loopback cannot show."""

import errno
import socket
import struct
import threading
import time

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts
from tests.support.two_worlds import in_thread
from tests.support.udp_worlds import ours, tried

DATAGRAM = socket.SOCK_DGRAM
EVERYONE = ("<broadcast>", 7)


@pytest.fixture
def world():
    with ours() as world:
        yield world


@pytest.fixture
def alone():
    """A host whose packets go nowhere, and that has two ephemeral ports."""
    config = HostConfig(tcp=TcpConfig(first_ephemeral_port=50_000, last_ephemeral_port=50_001))
    link, other = PacketLink.pair()
    with BlockingHost(hosts(config)[0], link) as host:
        yield host
    other.close()


def test_what_is_made():
    link, other = PacketLink.pair()
    with BlockingHost(hosts()[0], link) as host:
        made = host.socket(socket.AF_INET6, DATAGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP)
        assert (made.family, made.type, made.proto) == (socket.AF_INET6, DATAGRAM, 17)
        assert made.gettimeout() == 0
        assert repr(made) == "<UdpSocket AF_INET6 open>"
        made.close()
        assert repr(made) == "<UdpSocket AF_INET6 closed>"
        for wrong in (socket.IPPROTO_TCP, socket.IPPROTO_ICMP):
            refused = tried(host.socket, socket.AF_INET, DATAGRAM, wrong)
            assert refused[1] == errno.EPROTONOSUPPORT
    other.close()


@pytest.mark.parametrize("bound", [True, False])
def test_closing_wakes_whoever_waits(world, bound):
    one = world.bound(timeout=None) if bound else world.server()
    waiting = in_thread(lambda: one.recv(1))
    time.sleep(0.05)
    one.close()
    assert waiting()[1] == errno.EBADF


@pytest.mark.parametrize("bound", [True, False])
def test_a_host_that_goes_down_wakes_whoever_waits(bound):
    link, other = PacketLink.pair()
    host = BlockingHost(hosts()[0], link)
    one = host.socket(socket.AF_INET, DATAGRAM)
    if bound:
        one.bind(("", 7))
    waiting = in_thread(lambda: one.recv(1))
    time.sleep(0.05)
    host.close()
    assert waiting()[1] == errno.ECONNABORTED
    assert tried(one.send, b"x")[1] == errno.ECONNABORTED
    one.close()
    assert tried(one.recv, 1)[1] == errno.EBADF
    other.close()


def test_many_threads_share_one_socket(world):
    server = world.bound(timeout=None)
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            data, name = server.recvfrom(100)
            server.sendto(data.upper(), name)

    servers = [threading.Thread(target=serve) for _ in range(3)]
    for one in servers:
        one.start()

    def ask(number):
        with world.client(timeout=10) as client:
            client.connect(server.getsockname())
            for turn in range(50):
                question = b"question %d of %d" % (turn, number)
                client.send(question)
                assert client.recv(100) == question.upper()
        return number

    asked = [in_thread(lambda number=number: ask(number)) for number in range(10)]
    assert [wait() for wait in asked] == list(range(10))
    stop.set()
    client = world.client()
    for _ in servers:
        client.sendto(b"that is all", server.getsockname())
    for one in servers:
        one.join(10)
        assert not one.is_alive()


def test_each_datagram_wakes_one_of_those_who_wait(world):
    server = world.bound(timeout=None)
    waiting = [in_thread(lambda: server.recv(10)) for _ in range(5)]
    time.sleep(0.05)
    client = world.client()
    for number in range(5):
        client.sendto(b"%d" % number, server.getsockname())
    assert sorted(wait() for wait in waiting) == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.rfc("1122", "3.3.6")
def test_a_broadcast_is_heard_by_all_who_listen(world):
    first, second = (world.server(timeout=10) for _ in range(2))
    for one in (first, second):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("", EVERYONE[1]))
    client = world.client(timeout=10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    client.sendto(b"who is there?", EVERYONE)
    for one in (first, second):
        assert one.recv(100) == b"who is there?"


def test_without_a_free_port_nothing_can_be_sent(alone):
    held = [alone.socket(socket.AF_INET, DATAGRAM) for _ in range(3)]
    for one in held[:2]:
        one.bind(("", 0))
    assert tried(held[2].bind, ("", 0))[1] == errno.EADDRINUSE
    for timeout in (None, 5, 0):
        held[2].settimeout(timeout)
        began = time.monotonic()
        assert tried(held[2].sendto, b"x", ("192.0.2.2", 9))[1] == errno.EAGAIN
        assert time.monotonic() - began < 1


def test_a_full_send_buffer_makes_senders_wait(alone):
    one = alone.socket(socket.AF_INET, DATAGRAM)
    one.connect(("192.0.2.2", 9))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    alone.driver.error = OSError("held back for a while")  # nothing leaves any more
    one.setblocking(False)
    assert [one.send(bytes(1000)) for _ in range(4)] == [1000] * 4
    with pytest.raises(BlockingIOError):
        one.send(bytes(1000))
    one.settimeout(0.05)
    with pytest.raises(TimeoutError):
        one.send(bytes(1000))
    one.settimeout(None)
    waiting = in_thread(lambda: one.send(b"at last"))
    time.sleep(0.05)
    alone.driver.error = None
    with alone.driver.calling():
        pass
    assert waiting() == 7


def test_flags_that_would_need_more_than_one_datagram_are_refused(world):
    client, _ = world.pair()
    assert tried(client.send, b"x", socket.MSG_MORE)[1] == errno.EOPNOTSUPP


def test_a_buffer_can_be_made_smaller(world):
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 8192
    for _ in range(50):
        client.send(bytes(1000))
    time.sleep(0.1)
    server.settimeout(0)
    received = 0
    while tried(server.recv, 2000) == bytes(1000):
        received += 1
    assert received == 7


def test_the_mtu_of_the_path_can_be_asked(world):
    client, _ = world.pair()
    assert client.getsockopt(socket.IPPROTO_IP, 14) == 1500
    client, _ = world.pair(socket.AF_INET6)
    assert client.getsockopt(socket.IPPROTO_IPV6, 24) == 1500


def test_a_source_address_can_be_given_for_one_datagram(world):
    server, client = world.bound(), world.client()
    server.setsockopt(socket.IPPROTO_IP, 8, 1)
    info = struct.pack("i4s4s", 0, socket.inet_aton("192.0.2.1"), bytes(4))
    client.bind(("", 0))
    client.connect(server.getsockname())
    client.sendmsg([b"x"], [(socket.IPPROTO_IP, 8, info)])
    assert server.recvfrom(10)[1] == ("192.0.2.1", client.getsockname()[1])
    six, answers = world.client(socket.AF_INET6), world.bound(socket.AF_INET6)
    info = struct.pack("16sI", socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 0)
    hops = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("i", 3))
    kind = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", 0xB8))
    answers.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    answers.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    items = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info), hops, kind]
    six.sendmsg([b"x"], items, 0, answers.getsockname())
    data, told, _, name = answers.recvmsg(10, 200)
    assert (data, name[0]) == (b"x", "2001:db8::1")
    assert told == [hops, kind]
