"""TCP Fast Open through blocking sockets (RFC 7413 appendix A)."""

import errno
import socket

import pytest

from tests.support.two_worlds import in_thread, ours, outcome


@pytest.fixture
def world():
    with ours() as world:
        yield world


def fast_listener(world, limit=8):
    listener = world.server()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, limit)
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) == limit
    listener.bind((world.address, 0))
    listener.listen()
    return listener


def ask(world, listener, timeout=None):
    """One connection with its first bytes given to sendto."""
    client = world.client(timeout)
    sent = client.sendto(b"question", socket.MSG_FASTOPEN, listener.getsockname())
    accepted, _ = listener.accept()
    with accepted:
        assert accepted.recv(100) == b"question"
        accepted.sendall(b"answer")
    assert client.recv(100) == b"answer"
    return client, sent


def early(listener):
    """How many connections the server's application had before their handshake was over."""
    return listener._host.host.counters["TCPFastOpenPassive"]


@pytest.mark.rfc("7413", "A")
def test_the_second_connection_carries_its_data_in_the_syn(world):
    listener = fast_listener(world)
    assert ask(world, listener)[1] == 8
    assert early(listener) == 0
    assert ask(world, listener)[1] == 8
    assert early(listener) == 1


@pytest.mark.rfc("7413", "A")
def test_without_waiting_a_socket_sends_only_what_a_cookie_lets_go(world):
    listener = fast_listener(world)
    client = world.client(0)
    call = lambda: client.sendto(b"x", socket.MSG_FASTOPEN, listener.getsockname())  # noqa: E731
    assert outcome(call)[1] == errno.EINPROGRESS
    listener.accept()[0].close()
    assert ask(world, listener)[1] == 8
    client = world.client(0)
    assert client.sendto(b"question", socket.MSG_FASTOPEN, listener.getsockname()) == 8
    accepted, _ = listener.accept()
    assert accepted.recv(100) == b"question"
    accepted.close()


def test_more_than_a_syn_holds_follows_it(world):
    listener = fast_listener(world)
    ask(world, listener)
    text = bytes(range(256)) * 100
    client = world.client()
    sending = in_thread(lambda: client.sendto(text, socket.MSG_FASTOPEN, listener.getsockname()))
    accepted, _ = listener.accept()
    assert accepted.recv(len(text), socket.MSG_WAITALL) == text
    assert sending() == len(text)
    accepted.close()


def test_a_socket_connects_once_only(world):
    listener = fast_listener(world)
    client, _ = ask(world, listener)
    call = lambda: client.sendto(b"x", socket.MSG_FASTOPEN, listener.getsockname())  # noqa: E731
    assert outcome(call)[1] == errno.EISCONN


def test_sendto_on_a_connection_is_send(world):
    client, server = world.pair()
    assert client.sendto(b"hello", server.getsockname()) == 5
    assert server.recv(10) == b"hello"
    assert outcome(lambda: client.sendto(b"hello"))[0] == "TypeError"


def test_a_refused_fast_open_says_so(world):
    client = world.client()
    call = lambda: client.sendto(b"x", socket.MSG_FASTOPEN, (world.address, 9))  # noqa: E731
    assert outcome(call)[1] == errno.ECONNREFUSED


def test_a_limit_set_while_listening_counts_at_once(world):
    listener = world.listener()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 4)
    ask(world, listener)
    ask(world, listener)
    assert early(listener) == 1
