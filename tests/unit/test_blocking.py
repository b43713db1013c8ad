"""Blocking sockets on hosts of ours, over a link with real descriptors and threads."""

import errno
import hashlib
import socket
import struct
import threading
import time

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.states import State
from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts
from tests.support.two_worlds import in_thread, ours, outcome


@pytest.fixture
def world():
    with ours() as world:
        yield world


def test_megabytes_arrive_whole_in_both_directions(world):
    client, server = world.pair()
    text = bytes(i % 251 for i in range(1 << 20)) * 4

    def receive(one):
        received = hashlib.sha256()
        while data := one.recv(1 << 16):
            received.update(data)
        return received.digest()

    digests = [in_thread(lambda one=one: receive(one)) for one in (client, server)]
    for one in (client, server):
        sent = in_thread(lambda one=one: one.sendall(text) or one.shutdown(socket.SHUT_WR))
        assert sent() is None
    assert [digest() for digest in digests] == [hashlib.sha256(text).digest()] * 2


def test_many_threads_share_one_host(world):
    listener = world.listener(backlog=64)

    def serve():
        for _ in range(40):
            accepted, _ = listener.accept()
            threading.Thread(target=echo, args=(accepted,)).start()

    def echo(accepted):
        with accepted:
            while data := accepted.recv(1000):
                accepted.sendall(data)

    def ask(number):
        client = world.client()
        client.connect(listener.getsockname())
        with client, client.makefile("rwb") as file:
            for turn in range(20):
                file.write(b"%d %d\n" % (number, turn))
                file.flush()
                assert file.readline() == b"%d %d\n" % (number, turn)
        return number

    serving = in_thread(serve)
    asked = [in_thread(lambda number=number: ask(number)) for number in range(40)]
    assert [wait() for wait in asked] == list(range(40))
    assert serving() is None


@pytest.mark.parametrize("call", ["recv", "accept", "sendall", "connect"])
def test_closing_wakes_whoever_waits(world, call):
    listener = world.listener()
    client = world.client()
    if call == "accept":
        waiting, work = listener, listener.accept
    elif call == "connect":
        waiting, work = client, lambda: client.connect(("192.0.2.77", 80))
    else:
        client.connect(listener.getsockname())
        waiting = client
        work = {"recv": lambda: client.recv(1), "sendall": lambda: client.sendall(bytes(64 << 20))}[
            call
        ]
    result = in_thread(work)
    time.sleep(0.05)
    waiting.close()
    assert result()[1] == errno.EBADF


def test_shutting_a_listener_down_wakes_accept(world):
    listener = world.listener()
    result = in_thread(listener.accept)
    time.sleep(0.05)
    listener.shutdown(socket.SHUT_RDWR)
    assert result()[1] == errno.EINVAL
    listener.listen()
    client = world.client()
    client.connect(listener.getsockname())


def test_connecting_to_an_address_that_never_answers_times_out(world):
    client = world.client(timeout=0.05)
    assert outcome(lambda: client.connect(("192.0.2.77", 80))) == (
        "TimeoutError",
        None,
        "timed out",
    )
    assert world.client(timeout=0.05).connect_ex(("192.0.2.77", 80)) == errno.EAGAIN
    client.settimeout(0)
    assert client.connect_ex(("192.0.2.77", 80)) == errno.EALREADY
    client = world.client(timeout=0)
    assert client.connect_ex(("192.0.2.77", 80)) == errno.EINPROGRESS
    with pytest.raises(BlockingIOError):
        client.send(b"x")
    with pytest.raises(BlockingIOError):
        client.recv(1)


@pytest.mark.rfc("9293", "MUST-23")
def test_a_connect_that_the_network_never_answers_ends_with_etimedout():
    config = HostConfig(tcp=TcpConfig(initial_rto=10_000, minimum_rto=10_000, syn_r2=100_000))
    with ours(config) as world:
        client = world.client()
        assert outcome(lambda: client.connect(("192.0.2.77", 80)))[1] == errno.ETIMEDOUT
        assert client.connect_ex(("", 0)) == errno.ENETUNREACH


def test_ipv6_and_mapped_addresses():
    first, second = hosts()
    links = PacketLink.pair()
    with BlockingHost(first, links[0]) as ours_, BlockingHost(second, links[1]) as theirs:
        listener = theirs.socket(socket.AF_INET6)
        listener.bind(("::", 0))
        port = listener.getsockname()[1]
        assert listener.getsockname() == ("::", port, 0, 0)
        listener.listen()
        for family, address, seen in (
            (socket.AF_INET6, "2001:db8::2", "2001:db8::1"),
            (socket.AF_INET, "192.0.2.2", "::ffff:192.0.2.1"),
            (socket.AF_INET6, "::ffff:192.0.2.2", "::ffff:192.0.2.1"),
        ):
            client = ours_.socket(family)
            client.connect((address, port))
            accepted, name = listener.accept()
            assert name[0] == accepted.getpeername()[0] == seen
            assert len(name) == 4
            assert client.getpeername()[:2] == (address, port)
            accepted.close()
            client.close()
        with pytest.raises(socket.gaierror):
            ours_.socket(socket.AF_INET6).connect(("192.0.2.2", port))


def test_only_ipv6_leaves_the_ipv4_port_free():
    _, both = hosts()
    link, other = PacketLink.pair()
    with BlockingHost(both, link) as host:
        six = host.socket(socket.AF_INET6)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", 8000))
        six.listen()
        four = host.socket()
        four.bind(("", 8000))
        four.listen()
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    other.close()


def test_a_bound_socket_connects_from_where_it_is_bound(world):
    listener = world.listener()
    client = world.client()
    client.bind(("192.0.2.1", 45_678))
    client.connect(listener.getsockname())
    _, name = listener.accept()
    assert name == ("192.0.2.1", 45_678) == client.getsockname()


def fill(client):
    """Sends until the buffer takes no more; the peer's window takes some of it first."""
    while True:
        client.send(bytes(50_000))


def test_the_send_buffer_bounds_what_is_taken(world):
    listener = world.listener()
    client = world.client()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 20_000
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 10_000
    client.settimeout(0)
    assert client.send(bytes(50_000)) == 20_000
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 4096
    with pytest.raises(BlockingIOError):
        fill(client)
    accepted.settimeout(10)
    assert len(accepted.recv(20_000, socket.MSG_WAITALL)) == 20_000
    accepted.close()


def test_a_receive_buffer_set_before_connecting_bounds_the_window(world):
    listener = world.listener()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    client = world.client()
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    client.settimeout(0)
    client.send(bytes(300_000))
    time.sleep(0.1)
    # The handshake announced the host's own window before the listener's could hold.
    waiting = len(accepted.recv(1 << 20, socket.MSG_PEEK))
    assert waiting <= 65_535
    accepted.close()


def test_lingering_waits_until_the_peer_has_everything(world):
    client, server = world.pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10))
    connection = client._stream.connection
    client.sendall(bytes(100_000))
    client.close()
    assert connection.send_queued == 0
    assert connection.state in (State.FIN_WAIT_2, State.TIME_WAIT)
    assert len(server.recv(100_000, socket.MSG_WAITALL)) == 100_000


def test_lingering_gives_up_after_its_time(world):
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    client.settimeout(0)
    client.send(bytes(4 << 20))
    began = time.monotonic()
    client.close()
    assert 0.9 < time.monotonic() - began < 5
    server.close()


def test_peeking_and_waiting_for_all_go_together_with_timeouts(world):
    client, server = world.pair()
    client.sendall(b"abc")
    server.settimeout(0.05)
    assert server.recv(10, socket.MSG_WAITALL) == b"abc"
    with pytest.raises(TimeoutError, match="timed out"):
        server.recv(10, socket.MSG_WAITALL)


def test_flags_that_do_nothing_here_are_refused(world):
    client, _ = world.pair()
    assert outcome(lambda: client.recv(1, socket.MSG_TRUNC))[1] == errno.EOPNOTSUPP


def test_only_tcp_sockets_are_made():
    host, _ = hosts()
    link, other = PacketLink.pair()
    with BlockingHost(host, link) as made:
        assert outcome(lambda: made.socket(socket.AF_UNIX))[1] == errno.EAFNOSUPPORT
        assert outcome(lambda: made.socket(type=socket.SOCK_RAW))[1] == errno.ESOCKTNOSUPPORT
        assert outcome(lambda: made.socket(proto=17))[1] == errno.EPROTONOSUPPORT
        assert made.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK).gettimeout() == 0
        one = made.socket()
        assert (one.family, one.type, one.proto) == (
            socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )
        assert repr(one) == "<Socket AF_INET idle>"
    other.close()


def test_closing_the_host_ends_what_waits(world):
    client, server = world.pair()
    waiting = in_thread(lambda: client.recv(1))
    time.sleep(0.05)
    with client._driver.calling() as now:
        client._host.host.close(now)
    assert waiting()[1] == errno.ECONNABORTED
    assert outcome(lambda: server.recv(1))[1] == errno.ECONNRESET


def test_all_ports_can_run_out():
    config = HostConfig(tcp=TcpConfig(first_ephemeral_port=40_000, last_ephemeral_port=40_002))
    with ours(config) as world:
        bound = [world.client() for _ in range(4)]
        for one in bound[:3]:
            one.bind(("", 0))
        assert sorted(one.getsockname()[1] for one in bound[:3]) == [40_000, 40_001, 40_002]
        assert outcome(lambda: bound[3].bind(("", 0)))[1] == errno.EADDRINUSE
        bound[0].close()
        bound[3].bind(("", 0))
