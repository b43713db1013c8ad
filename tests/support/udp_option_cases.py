"""What programs set on UDP sockets, and what comes and goes beside the data."""

import socket
import struct

from tests.support.udp_cases import FAMILIES, IP_RECVERR, IPV6_RECVERR, LEVEL, case
from tests.support.udp_worlds import tried

IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVTTL, IP_MTU = 8, 10, 12, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24

# What an application gives, sound and not: source routes, record route, timestamps.
IP_OPTIONS = [
    b"\x07\x07\x04" + bytes(4),
    b"\x07\x08\x04" + bytes(5),
    b"\x07\x07\x08" + bytes(4),
    b"\x07\x07\x05" + bytes(4),
    b"\x83\x07\x04\x7f\0\0\1",
    b"\x89\x0b\x04\x7f\0\0\1\x7f\0\0\2",
    b"\x83\x03\x04",
    b"\x83\x07\x08\x7f\0\0\1",
    b"\x83\x08\x04\x7f\0\0\1\0",
    b"\x83\x07\x04\x7f\0\0\1\x89\x07\x04\x7f\0\0\1",
    b"\x44\x08\x05\0" + bytes(4),
    b"\x44\x0c\x05\3" + bytes(8),
    b"\x44\x06\x05\0" + bytes(2),
    b"\x44\x08\x04\0" + bytes(4),
    b"",
]


@case
def options(world):
    for family in FAMILIES:
        one = world.client(family)
        yield [
            one.getsockopt(LEVEL, option)
            for option in (
                socket.SO_TYPE,
                socket.SO_DOMAIN,
                socket.SO_PROTOCOL,
                socket.SO_ACCEPTCONN,
                socket.SO_REUSEADDR,
                socket.SO_REUSEPORT,
                socket.SO_BROADCAST,
                socket.SO_ERROR,
                socket.SO_SNDBUF,
                socket.SO_RCVBUF,
            )
        ]
        yield tried(one.getsockopt, LEVEL, 4711)
        yield tried(one.setsockopt, LEVEL, 4711, 1)
        yield tried(one.setsockopt, LEVEL, socket.SO_TYPE, 1)
        yield tried(one.setsockopt, LEVEL, socket.SO_BROADCAST, b"1")
        yield tried(one.getsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
            one.setsockopt(LEVEL, option, 5)
            yield one.getsockopt(LEVEL, option), one.getsockopt(LEVEL, option, 4)
    four = world.client()
    yield tried(four.getsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    yield tried(four.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


@case
def numbers_that_ip_takes(world):
    numbers = (-2, -1, 0, 1, 2, 5, 6, 64, 0xB8, 255, 256)
    four, six = world.client(), world.client(socket.AF_INET6)
    for option in (
        socket.IP_TTL,
        socket.IP_TOS,
        socket.IP_MULTICAST_TTL,
        IP_MTU_DISCOVER,
        IP_RECVERR,
    ):
        for number in numbers:
            yield option, number, tried(four.setsockopt, socket.IPPROTO_IP, option, number)
            yield four.getsockopt(socket.IPPROTO_IP, option)
        yield tried(four.setsockopt, socket.IPPROTO_IP, option, b"\1")
        yield tried(four.setsockopt, socket.IPPROTO_IP, option, b"")
    for option in (
        socket.IPV6_UNICAST_HOPS,
        socket.IPV6_MULTICAST_HOPS,
        socket.IPV6_TCLASS,
        IPV6_MTU_DISCOVER,
        IPV6_RECVERR,
    ):
        for number in numbers:
            yield option, number, tried(six.setsockopt, socket.IPPROTO_IPV6, option, number)
            yield six.getsockopt(socket.IPPROTO_IPV6, option)
        yield tried(six.setsockopt, socket.IPPROTO_IPV6, option, b"\1")
    yield tried(four.getsockopt, socket.IPPROTO_IP, IP_MTU)
    yield tried(six.getsockopt, socket.IPPROTO_IPV6, IPV6_MTU)
    yield six.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)


@case
def ancillary_data(world):
    four, six = world.bound(), world.bound(socket.AF_INET6)
    for option in (IP_PKTINFO, IP_RECVTTL, socket.IP_RECVTOS):
        four.setsockopt(socket.IPPROTO_IP, option, 1)
    for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS):
        six.setsockopt(socket.IPPROTO_IPV6, option, 1)
    client = world.client()
    client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
    client.sendto(b"4", four.getsockname())
    data, items, result, name = four.recvmsg(10, 1000)
    yield data, result, name[1] == client.getsockname()[1]
    yield [(level, kind) for level, kind, _ in items], items[1:]
    yield items[0][2][8:] == socket.inet_aton(world.servers[socket.AF_INET])
    client = world.client(socket.AF_INET6)
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 9)
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0xB8)
    client.sendto(b"6", six.getsockname())
    data, items, result, _ = six.recvmsg(10, 1000)
    yield data, result, [(level, kind) for level, kind, _ in items], items[1:]
    yield items[0][2][:16] == socket.inet_pton(socket.AF_INET6, world.servers[socket.AF_INET6])
    for room in (0, 10, 16, 20, 27, 28, 40, 52, 56, 200):
        client.sendto(b"6", six.getsockname())
        _, items, result, _ = six.recvmsg(10, room)
        yield room, [(level, kind, len(data)) for level, kind, data in items], result


@case
def ancillary_data_of_ipv4_on_an_ipv6_socket(world):
    server = world.server(socket.AF_INET6, 10)
    server.bind(("::", 0))
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    server.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    world.client().sendto(b"4", (world.servers[socket.AF_INET], server.getsockname()[1]))
    _, items, _, _ = server.recvmsg(10, 1000)
    yield [(level, kind) for level, kind, _ in items]
    yield items[0][2][:16] == b"\0" * 10 + b"\xff\xff" + socket.inet_aton(world.servers[2])


@case
def sending_with_ancillary_data(world):
    server, client = world.bound(), world.client()
    server.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    name = server.getsockname()
    ip = socket.IPPROTO_IP
    yield client.sendmsg([b"one ", b"datagram"], [], 0, name), server.recv(100)
    number = struct.Struct("i").pack
    yield client.sendmsg([b"x"], [(ip, socket.IP_TTL, number(7))], 0, name)
    yield server.recvmsg(10, 100)[:3]
    yield client.sendmsg([b"x"], [(ip, socket.IP_TOS, b"\x10")], 0, name)
    yield server.recvmsg(10, 100)[:3]
    yield client.sendmsg([b"x"], [(ip, socket.IP_TOS, number(0x20))], 0, name)
    yield server.recvmsg(10, 100)[:3]
    for bad in (
        (ip, socket.IP_TTL, number(0)),
        (ip, socket.IP_TTL, number(256)),
        (ip, socket.IP_TTL, b"\1"),
        (ip, 4711, b""),
    ):
        yield tried(client.sendmsg, [b"x"], [bad], 0, name)
    yield tried(client.sendmsg, [b"x"])
    own = socket.inet_aton(world.clients[socket.AF_INET])
    info = struct.pack("i4s4s", 0, own, bytes(4))
    yield client.sendmsg([b"x"], [(ip, IP_PKTINFO, info)], 0, name), server.recvfrom(10)[0]
    foreign = struct.pack("i4s4s", 0, socket.inet_aton("203.0.113.1"), bytes(4))
    yield tried(client.sendmsg, [b"x"], [(ip, IP_PKTINFO, foreign)], 0, name)[:2]
    client.connect(name)
    yield client.sendmsg([b"by", b" connection"]), server.recv(100)
    yield client.sendmsg([]), server.recv(100)


@case
def receiving_into_several_buffers(world):
    client, server = world.pair()
    client.send(b"0123456789")
    first, second = bytearray(4), bytearray(4)
    yield server.recvmsg_into([first, second])[:3], bytes(first), bytes(second)
    client.send(b"012")
    yield server.recvmsg_into([first, second])[:3], bytes(first), bytes(second)
    client.send(b"0123456789")
    yield server.recvmsg(4)[:3]
    client.send(b"0123456789")
    yield server.recvmsg(4, 0, socket.MSG_TRUNC)[2]


@case
def files(world):
    client, server = world.pair()
    with client.makefile("wb") as out, server.makefile("rb", 0) as raw:
        out.write(b"one datagram")
        out.flush()
        yield raw.read(100)
        client.close()
        out.write(b"after close")
        out.flush()
        yield raw.read(100)
    yield tried(client.send, b"x")[:2]


@case
def ip_options(world):
    server, client = world.bound(), world.client()
    ip = socket.IPPROTO_IP
    server.setsockopt(ip, socket.IP_RECVOPTS, 1)
    yield client.getsockopt(ip, socket.IP_OPTIONS, 40)
    for bad in (b"\x94", b"\x94\x00\x00\x00", b"\x94\x09\x00\x00", bytes(44)):
        yield tried(client.setsockopt, ip, socket.IP_OPTIONS, bad)
    for given in IP_OPTIONS:
        yield given, tried(client.setsockopt, ip, socket.IP_OPTIONS, given)
        yield client.getsockopt(ip, socket.IP_OPTIONS, 40)
        yield client.getsockopt(ip, socket.IP_OPTIONS)
    router_alert = b"\x94\x04\x00\x00"
    client.setsockopt(ip, socket.IP_OPTIONS, router_alert)
    yield client.getsockopt(ip, socket.IP_OPTIONS, 40)
    for size in (10, 3000):
        yield client.sendto(bytes(size), server.getsockname())
        data, items, _, _ = server.recvmsg(5000, 200)
        yield len(data), items
    yield tried(client.sendto, bytes(65_504), server.getsockname())
    yield client.sendto(bytes(65_503), server.getsockname()), len(server.recv(70_000))
    client.setsockopt(ip, socket.IP_OPTIONS, b"")
    client.sendto(b"without", server.getsockname())
    yield server.recvmsg(100, 200)[:2]
