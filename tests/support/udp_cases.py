"""What programs do with UDP sockets, as lists of outcomes that two worlds can be compared by."""

import socket
import time

from tests.support.two_worlds import in_thread
from tests.support.udp_worlds import tried

CASES = []
LEVEL = socket.SOL_SOCKET
FAMILIES = (socket.AF_INET, socket.AF_INET6)
MSG_ERRQUEUE = 0x2000
IP_RECVERR, IPV6_RECVERR = 11, 25


def case(function):
    """Registers a scenario: a list of outcomes that must be the same in both worlds."""
    CASES.append(function)
    return function


def settle():
    """Long enough for packets to cross a link within this machine."""
    time.sleep(0.05)


@case
def fresh_sockets(world):
    for family in FAMILIES:
        fresh = world.client
        yield fresh(family).getsockname(), fresh(family).type
        yield tried(fresh(family).getpeername)
        yield tried(fresh(family).send, b"x")
        yield tried(fresh(family).sendall, b"x")
        yield tried(fresh(family).shutdown, socket.SHUT_WR)
        yield tried(fresh(family).shutdown, 3)
        yield tried(fresh(family).listen)
        yield tried(fresh(family).accept)
        yield tried(fresh(family, 0).recv, 1)
        yield tried(fresh(family, 0.02).recvfrom, 1)
        yield tried(fresh(family, 0.02).recv, 0)


@case
def closed_sockets(world):
    gone = world.client()
    gone.close()
    gone.close()
    name = (world.servers[socket.AF_INET], 9)
    yield tried(gone.getsockname)[:2]
    yield tried(gone.getpeername)[:2]
    yield tried(gone.send, b"x")[:2]
    yield tried(gone.sendto, b"x", name)[:2]
    yield tried(gone.recv, 1)[:2]
    yield tried(gone.recvfrom, 1)[:2]
    yield tried(gone.bind, name)[:2]
    yield tried(gone.connect, name)[:2]
    yield tried(gone.listen)[:2]
    yield tried(gone.shutdown, socket.SHUT_RD)[:2]
    yield tried(gone.getsockopt, LEVEL, socket.SO_ERROR)[:2]


@case
def closing_wakes_nobody_by_an_error_that_was_pending(world):
    client = world.client()
    client.connect(world.nowhere())
    client.send(b"x")
    settle()
    client.close()
    yield tried(client.recv, 1)[:2]


@case
def addresses_that_make_no_sense(world):
    address = world.servers[socket.AF_INET]
    for call in (world.client().bind, world.client().connect):
        yield tried(call, "192.0.2.1:80")
        yield tried(call, (address, 65_536))
        yield tried(call, (address, "80"))[0]
        yield tried(call, (address,))[0]
    client = world.client()
    yield tried(client.sendto, b"x")
    yield tried(client.sendto, b"x", 5)
    yield tried(client.sendto, b"x", "a", (address, 9))
    yield tried(client.sendto, b"x", 0, (address, 9), 1)
    yield tried(client.sendto, "x", (address, 9))[0]
    yield tried(client.sendto, b"x", (address, 65_536))
    yield tried(client.sendto, b"x", (address, 0))


@case
def binding(world):
    for family in FAMILIES:
        bound = world.bound(family)
        name = bound.getsockname()
        yield name[0] == world.servers[family], name[1] > 0
        yield tried(bound.bind, (name[0], 0))
        yield tried(world.server(family).bind, name)
        yield tried(world.server(family).bind, ("", name[1]))
        everywhere = world.server(family)
        everywhere.bind(("", 0))
        yield everywhere.getsockname()[0]
        yield tried(world.server(family).bind, (name[0], everywhere.getsockname()[1]))
        bound.close()
        yield tried(world.server(family).bind, name)
    yield tried(world.server().bind, ("203.0.113.1", 0))
    yield tried(world.server(socket.AF_INET6).bind, ("2001:db8:ffff::1", 0))


@case
def sharing_a_port(world):
    first, second = world.server(timeout=0.05), world.server(timeout=0.05)
    first.setsockopt(LEVEL, socket.SO_REUSEADDR, 1)
    first.bind((world.servers[socket.AF_INET], 0))
    yield tried(second.bind, first.getsockname())
    second.setsockopt(LEVEL, socket.SO_REUSEADDR, 1)
    yield tried(second.bind, first.getsockname())
    third = world.server()
    third.setsockopt(LEVEL, socket.SO_REUSEPORT, 1)
    yield tried(third.bind, first.getsockname())
    client = world.client()
    client.sendto(b"to the last one", first.getsockname())
    yield tried(second.recv, 100), tried(first.recv, 100)
    second.close()
    client.sendto(b"to the first one", first.getsockname())
    yield tried(first.recv, 100)


@case
def spreading_over_a_port(world):
    group = [world.server(timeout=0) for _ in range(4)]
    for one in group:
        one.setsockopt(LEVEL, socket.SO_REUSEPORT, 1)
    group[0].bind((world.servers[socket.AF_INET], 0))
    for one in group[1:]:
        one.bind(group[0].getsockname())
    for _ in range(64):
        client = world.client()
        for _ in range(2):
            client.sendto(b"x", group[0].getsockname())
    settle()
    counts = [drain(one) for one in group]
    yield sum(map(len, counts)), all(counts)
    yield [all(names.count(name) == 2 for name in names) for names in counts]


def drain(one):
    """The senders of all that waits."""
    names = []
    while not isinstance((found := tried(one.recvfrom, 10))[0], str):
        names.append(found[1])
    return names


@case
def connecting(world):
    for family in FAMILIES:
        server = world.bound(family)
        client = world.client(family)
        yield tried(client.connect, server.getsockname())
        yield client.getpeername() == server.getsockname()
        yield client.getsockname()[0] == world.clients[family], client.getsockname()[1] > 0
        yield tried(client.bind, (world.clients[family], 0))
        port = client.getsockname()[1]
        again = world.bound(family)
        yield client.connect_ex(again.getsockname())
        yield client.getpeername() == again.getsockname(), client.getsockname()[1] == port
        yield tried(client.connect, (world.servers[family], 0))
        yield tried(client.getpeername)


@case
def a_bound_socket_keeps_its_name_when_it_connects(world):
    client, server = world.client(), world.bound()
    client.bind(("", 0))
    port = client.getsockname()[1]
    client.connect(server.getsockname())
    yield client.getsockname() == (world.clients[socket.AF_INET], port)


@case
def sending_and_receiving(world):
    for family in FAMILIES:
        server = world.bound(family)
        client = world.client(family, 10)
        yield client.sendto(b"hello", server.getsockname())
        data, name = server.recvfrom(100)
        yield data, name[0] == world.clients[family], name[1:] == client.getsockname()[1:]
        yield server.sendto(b"answer", 0, name), client.recvfrom(100)[1] == server.getsockname()
        client.connect(server.getsockname())
        yield client.send(b"connected"), server.recv(100)
        yield client.sendall(memoryview(b"all of it")), server.recv(100)
        yield client.sendto(b"by name", server.getsockname()), server.recv(100)
        other = world.bound(family)
        yield client.sendto(b"elsewhere", other.getsockname()), other.recv(100)
        yield client.send(bytearray()), server.recvfrom(100)[0]
        yield client.sendall(b""), server.recv(100)


@case
def who_is_connected_hears_only_its_peer(world):
    for family in FAMILIES:
        client, server = world.pair(family)
        stranger = world.server(family)
        stranger.bind((world.servers[family], 0))
        stranger.sendto(b"psst", client.getsockname())
        server.send(b"hello")
        yield client.recv(100)
        client.settimeout(0.02)
        yield tried(client.recv, 100)


@case
def the_one_that_fits_best_hears(world):
    everyone = world.server(timeout=0.05)
    mine = world.server(timeout=0.05)
    for one in (everyone, mine):
        one.setsockopt(LEVEL, socket.SO_REUSEADDR, 1)
    everyone.bind(("", 0))
    port = everyone.getsockname()[1]
    mine.bind((world.servers[socket.AF_INET], port))
    client, other = world.client(), world.client()
    client.bind((world.clients[socket.AF_INET], 0))
    for number, sender in enumerate((client, other)):
        sender.sendto(b"%d" % number, mine.getsockname())
    yield mine.recv(10), mine.recv(10), tried(everyone.recv, 10)
    everyone.connect(client.getsockname())
    for number, sender in enumerate((client, other)):
        sender.sendto(b"%d" % number, mine.getsockname())
    yield everyone.recv(10), mine.recv(10), tried(mine.recv, 10)


@case
def sizes(world):
    for family, most in zip(FAMILIES, (65_507, 65_527), strict=True):
        server, client = world.bound(family), world.client(family)
        text = bytes(i % 251 for i in range(most))
        yield client.sendto(text, server.getsockname()), server.recv(70_000) == text
        yield tried(client.sendto, text + b"x", server.getsockname())
        yield tried(client.sendto, bytes(100_000), server.getsockname())
        for size in (0, 1, 1471, 1472, 1473, 5000, 20_001):
            client.sendto(text[:size], server.getsockname())
            yield server.recv(70_000) == text[:size]


@case
def receiving_less_than_there_is(world):
    client, server = world.pair()
    for _ in range(8):
        client.send(b"0123456789")
    yield server.recv(4), server.recvfrom(4)[0]
    buffer = bytearray(6)
    yield server.recv_into(buffer), bytes(buffer)
    yield server.recv_into(buffer, 3), bytes(buffer)
    yield server.recvfrom_into(buffer, 2)[0], bytes(buffer)
    yield server.recvfrom(0)[0], server.recv(0)
    yield server.recv_into(bytearray(4), 4, socket.MSG_TRUNC)
    cut = server.recv(4, socket.MSG_TRUNC)
    yield cut[:4], len(cut)
    server.settimeout(None)
    yield tried(server.recv, 1, socket.MSG_DONTWAIT)
    yield tried(server.recv, -1)
    yield tried(server.recvfrom, -1)
    yield tried(server.recv_into, buffer, -1)
    yield tried(server.recv_into, buffer, 7)
    yield tried(server.recvfrom_into, buffer, -1)
    yield tried(server.recvfrom_into, buffer, 7)
    yield server.recv_into(bytearray(0))


@case
def flags(world):
    client, server = world.pair()
    server.settimeout(None)
    yield tried(server.recv, 1, socket.MSG_DONTWAIT)
    client.send(b"abcdef")
    settle()
    yield server.recv(3, socket.MSG_PEEK), server.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    yield server.recvfrom(100, socket.MSG_PEEK)[1] == client.getsockname()
    yield len(server.recv(2, socket.MSG_PEEK | socket.MSG_TRUNC))
    yield server.recv(100, socket.MSG_WAITALL), tried(server.recv, 1, socket.MSG_DONTWAIT)
    yield tried(client.send, b"x", socket.MSG_OOB)
    yield client.send(b"y", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL | socket.MSG_CONFIRM)
    yield server.recv(100)


@case
def timeouts(world):
    client = world.client()
    for seconds in (0, 0.02):
        client.settimeout(seconds)
        yield client.gettimeout(), client.timeout, client.getblocking()
        yield tried(client.recv, 1), tried(client.recvfrom, 1)
        yield tried(client.recv_into, bytearray(1))
    client.setblocking(False)
    yield client.gettimeout()
    yield tried(client.settimeout, -1)


@case
def nobody_there(world):
    for family in FAMILIES:
        for ask in (
            lambda client: client.recv(1),
            lambda client: client.recvfrom(1),
            lambda client: client.recv(1, socket.MSG_PEEK),
            lambda client: client.recv(1, socket.MSG_DONTWAIT),
            lambda client: client.send(b"x"),
            lambda client: client.sendto(b"x", client.getpeername()),
            lambda client: client.getsockopt(LEVEL, socket.SO_ERROR),
            lambda client: client.getsockname()[1] > 0,
            lambda client: client.connect(client.getpeername()),
            lambda client: client.shutdown(socket.SHUT_RD),
            lambda client: client.recv(0),
        ):
            client = world.client(family, 1)
            client.connect(world.nowhere(family))
            yield client.send(b"anyone?")
            settle()
            yield tried(ask, client)
            yield client.getsockopt(LEVEL, socket.SO_ERROR)


@case
def an_error_comes_before_what_has_arrived(world):
    client, server = world.pair()
    server.send(b"early")
    settle()
    server.close()
    client.send(b"too late")
    settle()
    yield tried(client.recv, 100), tried(client.recv, 100)


@case
def who_is_not_connected_hears_of_no_error(world):
    for family in FAMILIES:
        client = world.client(family, 0.05)
        client.sendto(b"anyone?", world.nowhere(family))
        settle()
        yield tried(client.recv, 1)
        yield client.getsockopt(LEVEL, socket.SO_ERROR)


@case
def errors_that_were_asked_for(world):
    for family, level, option in (
        (socket.AF_INET, socket.IPPROTO_IP, IP_RECVERR),
        (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_RECVERR),
    ):
        for first in ("errno", "queue"):
            client = world.client(family, 0.05)
            client.setsockopt(level, option, 1)
            nowhere = world.nowhere(family)
            client.sendto(b"anyone?", nowhere)
            settle()
            if first == "errno":
                yield tried(client.recv, 1)
            data, ancillary, result, name = client.recvmsg(100, 1000, MSG_ERRQUEUE)
            (at, kind, error) = ancillary[0]
            yield data, at, kind, error[:16], len(error), result, name == nowhere
            yield error[16:18], error[18:20]
            yield tried(client.recvmsg, 9, 9, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            yield tried(client.recv, 1)


@case
def several_errors_are_told_one_by_one(world):
    client = world.client(timeout=0.05)
    client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    for text in (b"one", b"two"):
        client.sendto(text, world.nowhere())
        settle()
        yield tried(client.recv, 100)
    yield client.recvmsg(100, 0, MSG_ERRQUEUE)[:3]
    yield tried(client.recv, 100), client.recv(100, MSG_ERRQUEUE)
    yield tried(client.recv, 100)


@case
def broadcast_needs_leave(world):
    client = world.client()
    everyone = ("255.255.255.255", 9)
    yield tried(client.sendto, b"x", everyone)
    yield tried(client.sendto, b"x", ("<broadcast>", 9))
    yield tried(client.connect, everyone)
    yield client.getsockopt(LEVEL, socket.SO_BROADCAST)
    client.setsockopt(LEVEL, socket.SO_BROADCAST, 1)
    yield client.getsockopt(LEVEL, socket.SO_BROADCAST)


@case
def shutting_down(world):
    client, server = world.pair()
    yield tried(client.shutdown, 3)
    server.send(b"1")
    settle()
    client.shutdown(socket.SHUT_RD)
    client.settimeout(None)
    yield client.recv(10), client.recv(10), client.recvfrom(10)[0]
    client.settimeout(0.02)
    yield tried(client.recv, 10), tried(client.recv, 10, socket.MSG_DONTWAIT)
    yield server.send(b"2"), client.recv(10)
    yield client.send(b"3"), server.recv(10)
    client.shutdown(socket.SHUT_WR)
    yield tried(client.send, b"x")
    yield tried(client.sendto, b"x", server.getsockname())
    yield client.getpeername() == server.getsockname()
    client.connect(server.getsockname())
    yield tried(client.send, b"x")


@case
def shutting_down_without_a_peer(world):
    client = world.client(timeout=0.02)
    yield tried(client.shutdown, socket.SHUT_RDWR)
    yield tried(client.recv, 1)
    yield tried(client.sendto, b"x", (world.servers[socket.AF_INET], 9))


@case
def shutting_down_wakes_who_waits(world):
    client, _ = world.pair()
    client.settimeout(None)
    waiting = in_thread(lambda: client.recv(10))
    settle()
    client.shutdown(socket.SHUT_RD)
    yield waiting()


@case
def both_versions_on_one_socket(world):
    server = world.server(socket.AF_INET6, 10)
    server.bind(("::", 0))
    port = server.getsockname()[1]
    mapped = "::ffff:" + world.clients[socket.AF_INET]
    four, six = world.client(), world.client(socket.AF_INET6)
    four.sendto(b"4", (world.servers[socket.AF_INET], port))
    data, name = server.recvfrom(10)
    yield data, name[0] == mapped, name[2:]
    four.settimeout(10)
    yield server.sendto(b"back", name), four.recv(10)
    six.sendto(b"6", (world.servers[socket.AF_INET6], port))
    data, name = server.recvfrom(10)
    yield data, name[0] == world.clients[socket.AF_INET6]
    yield tried(world.server().bind, ("", port))
    yield tried(world.server().bind, (world.servers[socket.AF_INET], port))
    six = world.client(socket.AF_INET6, 10)
    six.connect(("::ffff:" + world.servers[socket.AF_INET], port))
    yield six.getsockname()[0] == mapped, six.getpeername()[0] == "::ffff:" + world.servers[2]
    yield six.send(b"mapped"), server.recv(10)


@case
def only_ipv6(world):
    server = world.server(socket.AF_INET6, 0.05)
    yield server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    yield server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    server.bind(("::", 0))
    port = server.getsockname()[1]
    yield tried(server.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    four = world.server(timeout=10)
    yield tried(four.bind, ("", port))
    world.client().sendto(b"4", (world.servers[socket.AF_INET], port))
    yield four.recv(10), tried(server.recv, 10)
    mapped = ("::ffff:" + world.servers[socket.AF_INET], port)
    client = world.client(socket.AF_INET6)
    client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    yield tried(client.sendto, b"x", mapped)
    yield tried(client.connect, mapped)
    yield tried(client.bind, ("::ffff:" + world.clients[socket.AF_INET], 0))
    bound = world.client(socket.AF_INET6)
    bound.bind((world.clients[socket.AF_INET6], 0))
    yield tried(bound.sendto, b"x", mapped)
    yield tried(bound.connect, mapped)
    yield bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    bound = world.client(socket.AF_INET6)
    bound.bind(("::ffff:" + world.clients[socket.AF_INET], 0))
    yield bound.getsockname()[0] == "::ffff:" + world.clients[socket.AF_INET]
    yield tried(bound.sendto, b"x", (world.servers[socket.AF_INET6], port))
    yield tried(bound.connect, (world.servers[socket.AF_INET6], port))
