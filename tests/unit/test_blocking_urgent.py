"""Urgent data through blocking sockets, compared call by call with the kernel's."""

import socket
import time

import pytest

from tests.support.two_worlds import in_thread, kernels, ours, outcome

OOB = socket.MSG_OOB
CASES = []


def case(function):
    """Registers a scenario: a list of outcomes that must be the same in both worlds."""
    CASES.append(function)
    return function


def settle():
    """Long enough for packets to cross a link within this machine."""
    time.sleep(0.05)


@case
def an_octet_out_of_band(world):
    client, server = world.pair()
    client.sendall(b"usual")
    yield client.send(b"abc!", OOB)
    client.sendall(b"behind")
    settle()
    yield outcome(lambda: server.recv(10, OOB | socket.MSG_PEEK))
    yield outcome(lambda: server.recv(10, OOB))
    yield outcome(lambda: server.recv(10, OOB))
    yield server.recv(100)
    yield server.recv(100)


@case
def without_urgent_data(world):
    client, server = world.pair()
    yield outcome(lambda: server.recv(1, OOB))
    client.sendall(b"usual")
    settle()
    yield outcome(lambda: server.recv(1, OOB))
    yield outcome(lambda: world.client().recv(1, OOB))
    yield outcome(lambda: world.client().send(b"x", OOB))


@case
def inline(world):
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    yield bool(server.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE))
    yield bool(client.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE))
    client.sendall(b"usual")
    client.send(b"!", OOB)
    client.sendall(b"behind")
    settle()
    yield outcome(lambda: server.recv(10, OOB))
    yield server.recv(100)
    yield server.recv(100)


@case
def reads_stop_at_the_mark(world):
    client, server = world.pair()
    client.send(b"0123!", OOB)
    client.sendall(b"56789")
    settle()
    yield server.recv(10, socket.MSG_WAITALL)
    yield server.recv(3, socket.MSG_PEEK)
    yield server.recv(5, socket.MSG_WAITALL)


@case
def an_octet_that_nobody_fetches(world):
    client, server = world.pair()
    client.send(b"!", OOB)
    settle()
    server.setblocking(False)
    yield outcome(lambda: server.recv(10))
    client.sendall(b"behind")
    settle()
    yield outcome(lambda: server.recv(10))
    yield outcome(lambda: server.recv(10, OOB))


@case
def two_marks(world):
    client, server = world.pair()
    client.send(b"ab!", OOB)
    settle()
    client.send(b"cd?", OOB)
    settle()
    yield outcome(lambda: server.recv(10, OOB))
    yield server.recv(100)


@case
def the_end_behind_the_mark(world):
    client, server = world.pair()
    client.send(b"ab!", OOB)
    client.shutdown(socket.SHUT_WR)
    settle()
    yield server.recv(100)
    yield outcome(lambda: server.recv(100, OOB))
    yield server.recv(100)


@case
def into_a_buffer(world):
    client, server = world.pair()
    client.send(b"ab!", OOB)
    settle()
    buffer = bytearray(10)
    yield server.recv_into(buffer, 0, OOB), bytes(buffer)
    yield server.recv_into(buffer), bytes(buffer)


@pytest.mark.rfc("6093", "2.1")
@pytest.mark.parametrize("scenario", CASES, ids=lambda scenario: scenario.__name__)
def test_urgent_data_is_what_it_is_to_the_kernel(scenario):
    outcomes = []
    for world in (kernels, ours):
        with world() as one:
            outcomes.append(list(scenario(one)))
    kernel, us = outcomes
    assert us == kernel, f"{us} is not {kernel}"


@pytest.mark.rfc("9293", "MUST-33")
def test_sockatmark_tells_where_the_reader_stands():
    with ours() as world:
        client, server = world.pair()
        client.send(b"ab!", OOB)
        client.sendall(b"cd")
        settle()
        assert not server.sockatmark()
        assert server.recv(10) == b"ab"
        assert server.sockatmark()
        assert server.recv(10) == b"cd"
        assert not server.sockatmark()


def test_a_caller_that_waits_hears_of_urgent_data():
    with ours() as world:
        client, server = world.pair()
        reading = in_thread(lambda: server.recv(10))
        client.send(b"ab!", OOB)
        assert reading() == b"ab"
        assert server.recv(1, OOB) == b"!"
