"""How calls on blocking sockets wait: at the link themselves, and for each other."""

import errno
import gc
import signal
import socket
import threading
import time
import weakref
from contextlib import contextmanager

import pytest

from stack.core.tcp.states import State
from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts
from tests.support.two_worlds import in_thread, ours


@pytest.fixture
def world():
    with ours() as world:
        yield world


def wait_until(happens):
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.001)


def lookout_of(sock):
    return sock.host.driver.lookout


def test_threads_that_wait_on_one_host_are_each_woken_for_their_own(world):
    """One of them leads. Whoever it is: what comes for the others must reach them, and when it
    goes another one takes its place.
    """
    pairs = [world.pair() for _ in range(5)]
    received = [in_thread(lambda one=accepted: one.recv(10)) for _, accepted in pairs]
    for turn, (client, _) in enumerate(pairs):
        client.sendall(b"%d" % turn)
        assert received[turn]() == b"%d" % turn


def test_two_threads_accept_at_one_listener(world):
    listener = world.listener()
    accepted = [in_thread(lambda: listener.accept()[1]) for _ in range(2)]
    clients = [world.client() for _ in range(2)]
    for client in clients:
        client.connect(listener.getsockname())
    assert {wait() for wait in accepted} == {client.getsockname() for client in clients}


def test_a_call_that_waits_no_longer_leaves_the_link_to_another_one(world):
    (_, impatient), (client, patient) = world.pair(), world.pair()
    impatient.settimeout(0.2)
    timed_out = in_thread(lambda: impatient.recv(1))
    wait_until(lambda: lookout_of(impatient).led)
    received = in_thread(lambda: patient.recv(5))
    assert timed_out() == ("TimeoutError", None, "timed out")
    wait_until(lambda: lookout_of(patient).led)
    client.sendall(b"hello")
    assert received() == b"hello"


@contextmanager
def behind_the_driver():
    """(client, accepted) while the driver's thread of the second one's host can take nothing in."""
    first, second = hosts()
    links = PacketLink.pair()
    with BlockingHost(first, links[0]) as near, BlockingHost(second, links[1]) as far:
        listener = far.socket()
        listener.bind(("192.0.2.2", 80))
        listener.listen()
        client = near.socket()
        client.connect(("192.0.2.2", 80))
        accepted, _ = listener.accept()
        with far.driver.lock:
            yield client, accepted


def test_a_call_that_does_not_wait_takes_in_what_has_arrived():
    """Nobody else may have looked: EAGAIN is for what has not come."""
    with behind_the_driver() as (client, accepted):
        client.send(b"here")
        assert accepted.recv(10, socket.MSG_DONTWAIT) == b"here"


def test_closing_takes_in_what_has_arrived():
    """Bytes that came and that nobody read make the end a reset (RFC 9293 §3.6.1)."""
    with behind_the_driver() as (client, accepted):
        client.send(b"unread")
        accepted.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_who_closes_behind_the_peer_has_no_time_wait():
    with behind_the_driver() as (client, accepted):
        connection = accepted._stream.connection
        client.close()
        accepted.close()
        assert connection.state == State.LAST_ACK


def test_a_closed_socket_is_no_garbage(world):
    """An accept loop would make work for the collector with every connection."""
    listener, client = world.listener(), world.client()
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    gone = weakref.ref(accepted)
    gc.disable()
    try:
        accepted.close()
        del accepted
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("seconds", [1e7, 1e9])
def test_a_timeout_may_be_longer_than_the_kernel_can_wait(world, seconds):
    client, accepted = world.pair()
    accepted.settimeout(seconds)
    received = in_thread(lambda: accepted.recv(5))
    wait_until(lambda: lookout_of(accepted).led)
    client.sendall(b"hello")
    assert received() == b"hello"


def interrupted_by(sock, handler, call):
    """The outcome of a call in this thread, which a signal interrupts when it sleeps."""
    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.get_ident()

    def interrupt():
        wait_until(lambda: lookout_of(sock).led)
        signal.pthread_kill(main, signal.SIGUSR1)

    done = in_thread(interrupt)
    try:
        return call()
    finally:
        done()
        signal.signal(signal.SIGUSR1, before)


def test_control_c_ends_a_call_and_leaves_the_host_as_it_was(world):
    client, accepted = world.pair()

    def control_c(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_by(accepted, control_c, lambda: accepted.recv(1))
    client.sendall(b"hello")
    assert accepted.recv(5) == b"hello"
    received = in_thread(lambda: accepted.recv(2))
    client.sendall(b"no")
    assert received() == b"no"


def test_a_signals_handler_may_wait_on_another_socket(world):
    """The call it interrupts goes on behind it (PEP 475)."""
    (client, accepted), (other, waiting) = world.pair(), world.pair()
    told = []

    def handler(*_):
        other.sendall(b"one")
        told.append(waiting.recv(3))
        client.sendall(b"two")

    assert interrupted_by(accepted, handler, lambda: accepted.recv(3)) == b"two"
    assert told == [b"one"]


def test_closing_the_host_ends_a_call_that_leads(world):
    _, accepted = world.pair()
    received = in_thread(lambda: accepted.recv(1))
    wait_until(lambda: lookout_of(accepted).led)
    accepted.host.close(linger=0)
    assert received()[1] == errno.ECONNABORTED


def test_options_that_change_on_a_listener_reach_what_waits_there(world):
    """What is set while a connection waits to be accepted holds for it, too."""
    listener = world.listener()
    client = world.client()
    client.connect(listener.getsockname())
    wait_until(lambda: listener.readiness()[0])
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted, _ = listener.accept()
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
