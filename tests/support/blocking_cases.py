"""What blocking TCP sockets are asked, in every world that has some."""

import errno
import socket
import struct
import time

from tests.support.two_worlds import outcome

CASES = []


def case(function):
    """Registers a scenario: a list of outcomes that must be the same in both worlds."""
    CASES.append(function)
    return function


def settle():
    """Long enough for packets to cross a link within this machine."""
    time.sleep(0.05)


@case
def unconnected_sockets(world):
    fresh = world.client
    yield fresh().getsockname()
    yield outcome(fresh().getpeername)
    yield outcome(lambda: fresh().send(b"x"))
    yield outcome(lambda: fresh().sendall(b"x"))
    yield outcome(lambda: fresh().recv(1))
    yield outcome(fresh().accept)
    yield outcome(lambda: fresh().shutdown(socket.SHUT_WR))


@case
def closed_sockets(world):
    gone = world.client()
    gone.close()
    gone.close()
    yield outcome(gone.getsockname)[:2]
    yield outcome(gone.getpeername)[:2]
    yield outcome(lambda: gone.send(b"x"))[:2]
    yield outcome(lambda: gone.recv(1))[:2]
    yield outcome(gone.accept)[:2]
    yield outcome(gone.listen)[:2]
    yield outcome(lambda: gone.bind((world.address, 0)))[:2]
    yield outcome(lambda: gone.connect((world.address, 1)))[:2]
    yield outcome(lambda: gone.shutdown(socket.SHUT_RD))[:2]
    yield outcome(lambda: gone.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))[:2]


@case
def addresses_that_make_no_sense(world):
    for call in (world.client().bind, world.client().connect):
        yield outcome(lambda call=call: call("192.0.2.1:80"))
        yield outcome(lambda call=call: call((world.address, 65_536)))
        yield outcome(lambda call=call: call((world.address, -1)))
        yield outcome(lambda call=call: call((world.address, "80")))[0]
        yield outcome(lambda call=call: call((1, 80)))[0]
        yield outcome(lambda call=call: call((world.address,)))[0]
        yield outcome(lambda call=call: call(("::1", 80)))[:2]


@case
def binding(world):
    bound = world.server()
    bound.bind((world.address, 0))
    port = bound.getsockname()[1]
    yield bound.getsockname()[0] == world.address, port > 0
    yield outcome(lambda: bound.bind((world.address, 0)))
    yield outcome(lambda: world.server().bind((world.address, port)))
    yield outcome(lambda: world.server().bind(("", port)))
    yield outcome(lambda: world.server().bind(("203.0.113.1", 0)))
    everywhere = world.server()
    everywhere.bind(("", 0))
    yield everywhere.getsockname()[0]
    bound.close()
    yield outcome(lambda: world.server().bind((world.address, port)))


@case
def sharing_a_port(world):
    first, second = world.server(), world.server()
    for one in (first, second):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind((world.address, 0))
    yield outcome(lambda: second.bind(first.getsockname()))
    yield outcome(first.listen)
    yield outcome(second.listen)
    third = world.server()
    third.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    yield outcome(lambda: third.bind(first.getsockname()))


@case
def listening(world):
    listener = world.listener()
    yield outcome(listener.listen)
    yield outcome(listener.getpeername)
    yield outcome(lambda: listener.send(b"x"))
    yield outcome(lambda: listener.recv(1))
    yield outcome(lambda: listener.connect(listener.getsockname()))
    yield outcome(lambda: listener.bind((world.address, 0)))
    yield outcome(lambda: listener.shutdown(socket.SHUT_WR))
    unbound = world.server()
    unbound.listen()
    yield unbound.getsockname()[0], unbound.getsockname()[1] > 0
    client, _ = world.pair()
    yield outcome(client.listen)


@case
def accepting(world):
    listener = world.listener()
    listener.settimeout(0)
    yield outcome(listener.accept)
    listener.settimeout(0.02)
    yield outcome(listener.accept)
    listener.settimeout(10)
    client = world.client()
    client.connect(listener.getsockname())
    accepted, name = listener.accept()
    with accepted:
        yield name == client.getsockname(), accepted.getpeername() == name
        yield accepted.getsockname() == listener.getsockname() == client.getpeername()
        yield accepted.gettimeout(), accepted.family, accepted.type
    listener.shutdown(socket.SHUT_RD)
    yield outcome(listener.accept)


@case
def a_backlog_of_zero_lets_one_in(world):
    listener = world.listener(backlog=0)
    clients = [world.client(timeout=0) for _ in range(3)]
    yield [client.connect_ex(listener.getsockname()) for client in clients]
    settle()
    listener.settimeout(1)
    accepted, _ = listener.accept()
    accepted.close()
    yield "one"


@case
def connecting(world):
    listener = world.listener()
    client = world.client()
    yield outcome(lambda: client.connect(listener.getsockname()))
    yield outcome(lambda: client.connect(listener.getsockname()))
    yield client.connect_ex(listener.getsockname())
    yield outcome(lambda: client.bind((world.address, 0)))


@case
def connecting_to_nobody(world):
    listener = world.listener()
    nowhere = listener.getsockname()
    listener.close()
    client = world.client()
    yield outcome(lambda: client.connect(nowhere))
    yield client.connect_ex(nowhere)
    yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    yield outcome(client.getpeername)
    again = world.listener()
    yield outcome(lambda: client.connect(again.getsockname()))
    yield client.getpeername() == again.getsockname()


@case
def connecting_without_waiting(world):
    listener = world.listener()
    client = world.client(timeout=0)
    number = client.connect_ex(listener.getsockname())
    yield number in (0, errno.EINPROGRESS)
    settle()
    yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    yield client.getpeername() == listener.getsockname()
    yield outcome(lambda: client.recv(1))
    client.connect_ex(listener.getsockname())
    yield client.connect_ex(listener.getsockname())


@case
def connecting_without_waiting_to_nobody(world):
    listener = world.listener()
    nowhere = listener.getsockname()
    listener.close()
    for ask in (
        lambda client: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
        lambda client: outcome(lambda: client.send(b"x")),
        lambda client: outcome(lambda: client.recv(1)),
    ):
        client = world.client(timeout=0)
        client.connect_ex(nowhere)
        settle()
        yield ask(client) in (
            errno.ECONNREFUSED,
            ("ConnectionRefusedError", 111, "Connection refused"),
        )
        yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        yield outcome(lambda client=client: client.send(b"x"))
        yield outcome(lambda client=client: client.recv(1))
        yield outcome(client.getpeername)


@case
def sending_and_receiving(world):
    client, server = world.pair()
    yield client.send(b"hello")
    yield server.recv(100)
    yield client.send(b""), client.sendall(bytearray(b"again")), server.recv(2), server.recv(0)
    yield server.recv(100)
    buffer = bytearray(6)
    server.sendall(memoryview(b"into it"))
    settle()
    yield client.recv_into(buffer), bytes(buffer), client.recv_into(buffer, 3), bytes(buffer)
    yield outcome(lambda: client.recv(-1))
    yield outcome(lambda: client.recv_into(buffer, -1))
    yield outcome(lambda: client.recv_into(buffer, 7))
    yield outcome(lambda: client.send("text"))[0]


@case
def flags(world):
    client, server = world.pair()
    yield outcome(lambda: server.recv(1, socket.MSG_DONTWAIT))
    client.sendall(b"abcdef")
    settle()
    yield server.recv(3, socket.MSG_PEEK), server.recv(3, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    buffer = bytearray(4)
    yield server.recv_into(buffer, 0, socket.MSG_PEEK), bytes(buffer)
    yield server.recv(6, socket.MSG_WAITALL)
    yield client.send(b"x", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    yield server.recv(1)
    yield outcome(lambda: server.recv(1, socket.MSG_OOB))
    client.sendall(b"end")
    client.close()
    yield server.recv(100, socket.MSG_WAITALL)


@case
def timeouts(world):
    client, server = world.pair()
    for seconds in (0, 0.02):
        server.settimeout(seconds)
        yield server.gettimeout(), server.timeout, server.getblocking()
        yield outcome(lambda: server.recv(1))
    server.setblocking(False)
    yield server.gettimeout()
    server.setblocking(True)
    yield server.gettimeout(), server.getblocking()
    yield outcome(lambda: server.settimeout(-1))
    client.settimeout(0.2)
    yield outcome(lambda: client.sendall(bytes(64 << 20)))


@case
def the_end_of_the_stream(world):
    client, server = world.pair()
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    client.shutdown(socket.SHUT_WR)
    yield outcome(lambda: client.send(b"x"))
    yield server.recv(100), server.recv(100), server.recv(100)
    server.sendall(b"answer")
    yield client.recv(100)
    server.close()
    yield client.recv(100)
    settle()
    yield outcome(lambda: client.shutdown(socket.SHUT_RDWR))
    yield outcome(client.getpeername)
    yield client.recv(1)
    yield outcome(lambda: client.send(b"x"))


@case
def shutting_down(world):
    client, server = world.pair()
    yield outcome(lambda: client.shutdown(3))
    client.shutdown(socket.SHUT_RD)
    yield client.recv(10)
    yield outcome(lambda: client.send(b"still writes"))
    yield server.recv(100)
    client.shutdown(socket.SHUT_RDWR)
    yield server.recv(100)


@case
def a_reset(world):
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.sendall(b"before")
    settle()
    server.close()
    settle()
    yield client.recv(6)
    yield outcome(lambda: client.recv(1))
    yield outcome(lambda: client.recv(1))
    yield outcome(lambda: client.send(b"x"))
    yield outcome(client.getpeername)
    yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


@case
def a_reset_told_by_the_option(world):
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    settle()
    yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    yield client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    yield outcome(lambda: client.recv(1))
    yield outcome(lambda: client.send(b"x"))


@case
def closing_with_unread_data_resets(world):
    client, server = world.pair()
    client.sendall(b"never read")
    settle()
    server.close()
    settle()
    yield outcome(lambda: client.recv(1))


@case
def sending_to_one_who_closed(world):
    client, server = world.pair()
    server.close()
    settle()
    yield client.recv(1)
    yield client.send(b"into the void")
    settle()
    yield outcome(lambda: client.send(b"x"))
    yield outcome(lambda: client.recv(1))


@case
def options(world):
    client, server = world.pair()
    listener = world.listener()
    level = socket.SOL_SOCKET
    for one in (client, server, listener, world.client()):
        yield [
            one.getsockopt(level, option)
            for option in (
                socket.SO_TYPE,
                socket.SO_DOMAIN,
                socket.SO_PROTOCOL,
                socket.SO_ACCEPTCONN,
                socket.SO_REUSEADDR,
                socket.SO_KEEPALIVE,
                socket.SO_ERROR,
            )
        ]
        yield one.getsockopt(level, socket.SO_LINGER, 8)
        yield one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        yield one.getsockopt(level, socket.SO_TYPE, 4), one.getsockopt(level, socket.SO_TYPE, 2)
        yield outcome(lambda one=one: one.getsockopt(level, socket.SO_TYPE, 4096))
        yield outcome(lambda one=one: one.getsockopt(level, 4711))
        yield outcome(lambda one=one: one.setsockopt(level, 4711, 1))
        yield outcome(lambda one=one: one.setsockopt(level, socket.SO_TYPE, 1))
        yield outcome(lambda one=one: one.setsockopt(level, socket.SO_LINGER, b"1"))
        yield outcome(lambda one=one: one.setsockopt(level, socket.SO_KEEPALIVE, b"1"))
    for option in ((level, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY)):
        client.setsockopt(*option, 1)
        yield client.getsockopt(*option)
        client.setsockopt(*option, struct.pack("i", 0))
        yield client.getsockopt(*option)
    client.setsockopt(level, socket.SO_LINGER, struct.pack("ii", 1, 7))
    yield client.getsockopt(level, socket.SO_LINGER, 8), client.getsockopt(level, socket.SO_LINGER)


@case
def what_a_listener_has_its_connections_get(world):
    listener = world.listener()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))
    client = world.client()
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    with accepted:
        yield accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        yield accepted.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        yield accepted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@case
def files(world):
    client, server = world.pair()
    with client.makefile("wb") as out, server.makefile("r", encoding="utf-8") as lines:
        out.write("zwei Zeilen\nüber TCP\n".encode())
        out.flush()
        yield lines.readline(), lines.readline()
        yield out.mode, lines.mode, out.writable(), lines.readable()
        client.close()
        out.write(b"after close\n")
        out.flush()
        yield lines.readline()
    yield outcome(lambda: client.send(b"x"))[:2]
    yield server.recv(1)
    yield outcome(lambda: server.makefile("x"))
    yield outcome(lambda: server.makefile("r", 0))
    with server.makefile("rwb", 0) as raw:
        server.settimeout(0)
        yield raw.readable(), raw.writable(), raw.read(1)
    both = world.pair()[0].makefile("rwb")
    yield type(both).__name__
    both.close()
    yield outcome(lambda: both.read(1))


@case
def a_file_after_a_timeout(world):
    _, server = world.pair()
    server.settimeout(0.02)
    with server.makefile("rb") as lines:
        yield outcome(lines.readline)
        yield outcome(lines.readline)
