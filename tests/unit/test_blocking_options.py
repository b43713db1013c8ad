"""Options of TCP sockets, compared with the kernel's, and what they do."""

import errno
import socket
import struct
import time
from functools import partial

import pytest

from stack.sockets.tcp_options import IP_MTU, IP_PKTOPTIONS, SO_MAX_PACING_RATE
from tests.support.two_worlds import in_thread, kernels, ours, outcome

SOCKET, TCP, IP, IPV6 = (
    socket.SOL_SOCKET,
    socket.IPPROTO_TCP,
    socket.IPPROTO_IP,
    socket.IPPROTO_IPV6,
)
CASES = []


def case(function):
    """Registers a scenario: a list of outcomes that must be the same in both worlds."""
    CASES.append(function)
    return function


def settle():
    """Long enough for packets to cross a link within this machine."""
    time.sleep(0.05)


SWITCHES = [
    (SOCKET, socket.SO_KEEPALIVE),
    (SOCKET, socket.SO_OOBINLINE),
    (TCP, socket.TCP_NODELAY),
    (TCP, socket.TCP_CORK),
]
NUMBERS = [
    (TCP, socket.TCP_KEEPIDLE, (0, 1, 77, 32767, 32768, -1)),
    (TCP, socket.TCP_KEEPINTVL, (0, 1, 77, 32767, 32768, -1)),
    (TCP, socket.TCP_KEEPCNT, (0, 1, 5, 127, 128, -1)),
    (TCP, socket.TCP_USER_TIMEOUT, (0, 1, 30_000, -1)),
    (IP, socket.IP_TOS, (0, 0x10, 0xB8, 0xFF, 3)),
    (IP, socket.IP_TTL, (1, 64, 255, 0, 256, -2)),
]


RAW = [
    (IP, socket.IP_OPTIONS, (b"\x83\x07\x04\xc0\0\2\7", b"\x07\x07\x04" + bytes(4), b"\x83", b"")),
    (IP, socket.IP_RECVTOS, (1, 0, b"\1", b"\0")),
]


@case
def options_of_ip(world):
    one = world.client()
    for level, name, values in RAW:
        yield name, one.getsockopt(level, name, 40)
        for value in values:
            yield value, outcome(partial(one.setsockopt, level, name, value))
            yield one.getsockopt(level, name, 40)


@case
def the_traffic_class_of_a_handshake_is_known(world):
    listener = world.server()
    listener.bind((world.address, 0))
    listener.listen()
    listener.setsockopt(IP, socket.IP_RECVTOS, 1)
    client = world.client()
    client.setsockopt(IP, socket.IP_TOS, 0x28)
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    yield accepted.getsockopt(IP, IP_PKTOPTIONS, 64)[:20]
    yield client.getsockopt(IP, IP_PKTOPTIONS, 64)
    accepted.close()


def every_way(world, one, level, name, values):
    """The option's default, then each value set and read again."""
    yield name, one.getsockopt(level, name)
    for value in values:
        yield value, outcome(lambda value=value: one.setsockopt(level, name, value))
        yield one.getsockopt(level, name)


@case
def switches(world):
    for one in (world.client(), world.pair()[0]):
        for level, name in SWITCHES:
            yield from every_way(world, one, level, name, (1, 0, 77, 0))


@case
def numbers(world):
    for one in (world.client(), *world.pair()):
        for level, name, values in NUMBERS:
            yield from every_way(world, one, level, name, values)


@case
def what_is_set_before_connecting_stays(world):
    listener = world.listener()
    client = world.client()
    for level, name, value in (
        (SOCKET, socket.SO_KEEPALIVE, 1),
        (SOCKET, socket.SO_OOBINLINE, 1),
        (TCP, socket.TCP_NODELAY, 1),
        (TCP, socket.TCP_KEEPIDLE, 30),
        (TCP, socket.TCP_KEEPINTVL, 7),
        (TCP, socket.TCP_KEEPCNT, 3),
        (TCP, socket.TCP_USER_TIMEOUT, 4000),
        (IP, socket.IP_TOS, 0x28),
        (IP, socket.IP_TTL, 33),
    ):
        client.setsockopt(level, name, value)
        listener.setsockopt(level, name, value)
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    with accepted:
        for one in (client, accepted):
            yield one.getsockopt(SOCKET, socket.SO_KEEPALIVE)
            yield one.getsockopt(SOCKET, socket.SO_OOBINLINE)
            yield one.getsockopt(TCP, socket.TCP_NODELAY)
            yield one.getsockopt(TCP, socket.TCP_KEEPIDLE)
            yield one.getsockopt(TCP, socket.TCP_KEEPINTVL)
            yield one.getsockopt(TCP, socket.TCP_KEEPCNT)
            yield one.getsockopt(TCP, socket.TCP_USER_TIMEOUT)
            yield one.getsockopt(IP, socket.IP_TOS)
            yield one.getsockopt(IP, socket.IP_TTL)


@case
def congestion_control(world):
    for one in (world.client(), world.pair()[0]):
        yield outcome(lambda one=one: one.setsockopt(TCP, socket.TCP_CONGESTION, b"reno"))
        yield one.getsockopt(TCP, socket.TCP_CONGESTION, 16)
        yield one.getsockopt(TCP, socket.TCP_CONGESTION, 3)
        yield outcome(lambda one=one: one.setsockopt(TCP, socket.TCP_CONGESTION, b"cubic\0"))
        yield one.getsockopt(TCP, socket.TCP_CONGESTION, 16)
        yield outcome(lambda one=one: one.setsockopt(TCP, socket.TCP_CONGESTION, b"none"))
        yield one.getsockopt(TCP, socket.TCP_CONGESTION, 16)


@case
def pacing(world):
    for one in (world.client(), world.pair()[0]):
        yield one.getsockopt(SOCKET, SO_MAX_PACING_RATE, 8)
        one.setsockopt(SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", 5_000_000_000))
        yield one.getsockopt(SOCKET, SO_MAX_PACING_RATE, 8)
        one.setsockopt(SOCKET, SO_MAX_PACING_RATE, 1_000_000)
        yield one.getsockopt(SOCKET, SO_MAX_PACING_RATE, 8)
        one.setsockopt(SOCKET, SO_MAX_PACING_RATE, -1)
        yield one.getsockopt(SOCKET, SO_MAX_PACING_RATE, 8)


@case
def segment_size(world):
    one = world.client()
    for value in (88, 1000, 0, 87, 32767, 32768):
        yield outcome(lambda value=value: one.setsockopt(TCP, socket.TCP_MAXSEG, value))
    listener = world.listener()
    one.setsockopt(TCP, socket.TCP_MAXSEG, 600)
    one.connect(listener.getsockname())
    accepted, _ = listener.accept()
    with accepted:
        yield one.getsockopt(TCP, socket.TCP_MAXSEG), accepted.getsockopt(TCP, socket.TCP_MAXSEG)


@case
def lingering(world):
    one = world.client()
    yield one.getsockopt(SOCKET, socket.SO_LINGER, 8)
    one.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    yield one.getsockopt(SOCKET, socket.SO_LINGER, 8)
    one.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 5))
    yield one.getsockopt(SOCKET, socket.SO_LINGER, 8)[:4]
    yield outcome(lambda: one.setsockopt(SOCKET, socket.SO_LINGER, 1))


@case
def linger_off_sends_the_rest_behind_the_applications_back(world):
    client, server = world.pair()
    client.sendall(bytes(1 << 16))
    started = time.monotonic()
    client.close()
    yield time.monotonic() - started < 1
    yield len(server.recv(1 << 17, socket.MSG_WAITALL))


@case
def linger_of_zero_resets(world):
    client, server = world.pair()
    client.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(b"lost")
    settle()
    client.close()
    settle()
    yield outcome(lambda: server.send(b"x"))


@case
def linger_waits_until_the_peer_has_everything(world):
    client, server = world.pair()
    client.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    client.sendall(b"kept")
    started = time.monotonic()
    client.close()
    yield time.monotonic() - started < 1
    yield server.recv(10)
    yield server.recv(10)


@case
def linger_gives_up_when_its_time_is_over(world):
    listener = world.server()
    listener.setsockopt(SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind((world.address, 0))
    listener.listen()
    client = world.client(0)
    outcome(lambda: client.connect(listener.getsockname()))
    server, _ = listener.accept()
    with server:
        sent = 0
        while isinstance(taken := outcome(lambda: client.send(bytes(4096))), int) and sent < 1e8:
            sent += taken
            time.sleep(0.001)
        client.setsockopt(SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        started = time.monotonic()
        client.close()
        yield 0.9 < time.monotonic() - started < 3


@case
def levels_that_are_not_the_sockets(world):
    one = world.client()
    yield outcome(lambda: one.getsockopt(IPV6, socket.IPV6_TCLASS))
    yield outcome(lambda: one.setsockopt(IPV6, socket.IPV6_TCLASS, 1))
    yield outcome(lambda: one.getsockopt(TCP, 99))
    yield outcome(lambda: one.setsockopt(TCP, 99, 1))
    yield outcome(lambda: one.getsockopt(IP, IP_MTU))
    yield outcome(lambda: one.setsockopt(TCP, socket.TCP_INFO, 1))


@case
def info_of_sockets_in_each_phase(world):
    def state(one):
        return one.getsockopt(TCP, socket.TCP_INFO, 1)

    fresh, listener = world.client(), world.listener()
    yield state(fresh), state(listener)
    client, server = world.pair()
    yield state(client), state(server)
    server.close()
    settle()
    yield state(client)


@case
def info_counts_what_went_over_the_wire(world):
    client, server = world.pair()
    client.sendall(bytes(5000))
    server.recv(5000, socket.MSG_WAITALL)
    settle()
    yield fields(client)["bytes_acked"] in (5000, 5001), fields(client)["bytes_sent"]
    yield fields(server)["bytes_received"], fields(client)["unacked"]
    one = fields(client)
    yield one["data_segs_out"] > 0, one["total_retrans"], one["ca_state"], one["backoff"]
    yield one["options"] & 7, one["snd_cwnd"] >= 10, one["rtt"] > 0, one["min_rtt"] > 0
    yield fields(server)["data_segs_in"] > 0, one["notsent_bytes"], one["last_data_sent"] < 2000


def fields(one):
    """A few fields of struct tcp_info, by their places in Linux's header."""
    data = one.getsockopt(TCP, socket.TCP_INFO, 248)
    places = {
        "ca_state": ("B", 1),
        "backoff": ("B", 4),
        "options": ("B", 5),
        "unacked": ("I", 24),
        "last_data_sent": ("I", 44),
        "rtt": ("I", 68),
        "snd_cwnd": ("I", 80),
        "total_retrans": ("I", 100),
        "bytes_acked": ("Q", 120),
        "bytes_received": ("Q", 128),
        "notsent_bytes": ("I", 144),
        "min_rtt": ("I", 148),
        "data_segs_in": ("I", 152),
        "data_segs_out": ("I", 156),
        "bytes_sent": ("Q", 200),
    }
    return {
        name: struct.unpack_from(f"={kind}", data, at)[0] for name, (kind, at) in places.items()
    }


@pytest.mark.parametrize("scenario", CASES, ids=lambda scenario: scenario.__name__)
def test_options_are_what_they_are_to_the_kernel(scenario):
    outcomes = []
    for world in (kernels, ours):
        with world() as one:
            outcomes.append(list(scenario(one)))
    kernel, us = outcomes
    assert us == kernel


@pytest.fixture
def world():
    with ours() as world:
        yield world


def test_the_cork_holds_what_does_not_fill_a_segment(world):
    client, server = world.pair()
    client.setsockopt(TCP, socket.TCP_CORK, 1)
    client.sendall(b"half")
    server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.recv(10)
    client.sendall(b" and half")
    client.setsockopt(TCP, socket.TCP_CORK, 0)
    server.settimeout(5)
    assert server.recv(100) == b"half and half"


def test_more_to_come_holds_it_for_one_call(world):
    client, server = world.pair()
    client.sendall(b"half", socket.MSG_MORE)
    server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.recv(10)
    client.sendall(b" and half")
    server.settimeout(5)
    assert server.recv(100) == b"half and half"


def test_quick_acknowledgements_can_be_asked_for(world):
    client, _ = world.pair()
    assert client.getsockopt(TCP, socket.TCP_QUICKACK) == 1
    client.setsockopt(TCP, socket.TCP_QUICKACK, 0)
    assert client.getsockopt(TCP, socket.TCP_QUICKACK) == 0


def test_a_size_that_was_set_is_the_size_of_the_buffer(world):
    client, server = world.pair()
    before = client.getsockopt(SOCKET, socket.SO_RCVBUF)
    assert before == 128 << 10
    client.setsockopt(SOCKET, socket.SO_RCVBUF, 20_000_000)
    assert client.getsockopt(SOCKET, socket.SO_RCVBUF) == 20_000_000
    server.setsockopt(SOCKET, socket.SO_SNDBUF, 3_000_000)
    sending = in_thread(lambda: server.sendall(bytes(3_000_000)))
    assert sending() is None
    assert server.getsockopt(SOCKET, socket.SO_SNDBUF) == 3_000_000


def test_ipv6_has_its_own_names_for_hops_and_class():
    with ours() as world:
        host = world.client()._host
        one = host.socket(socket.AF_INET6)
        for name, good, bad in (
            (socket.IPV6_TCLASS, 0xB8, 256),
            (socket.IPV6_UNICAST_HOPS, 12, 256),
        ):
            one.setsockopt(IPV6, name, good)
            assert one.getsockopt(IPV6, name) == good
            assert outcome(lambda name=name, bad=bad: one.setsockopt(IPV6, name, bad))[1] == (
                errno.EINVAL
            )
        one.close()


def test_the_path_mtu_of_a_connection(world):
    client, _ = world.pair()
    assert client.getsockopt(IP, IP_MTU) == 1500
