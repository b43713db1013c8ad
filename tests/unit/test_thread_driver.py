"""The driver with a thread of its own."""

import errno
import threading
import time

import pytest

from stack.core.tcp.states import State
from stack.run.thread import ThreadDriver
from tests.support.packet_link import PacketLink, hosts


class Owner:
    """Waits for events under the driver's lock."""

    def __init__(self, driver):
        self.changed = driver.condition()
        self.ready = 0

    def on_ready(self, ready):
        self.ready |= ready
        self.changed.notify_all()

    def wait(self, predicate):
        with self.changed:
            assert self.changed.wait_for(predicate, 10)


@pytest.fixture
def drivers():
    links = PacketLink.pair()
    pair = [ThreadDriver(*both) for both in zip(hosts(), links, strict=True)]
    yield pair
    for driver, link in zip(pair, links, strict=True):
        driver.close()
        link.close()


def connect(drivers):
    client, server = drivers
    with server.calling():
        listener = server.host.listen(None, 80)
        accepting = listener.owner = Owner(server)
    with client.calling() as now:
        connection = client.host.connect("192.0.2.2", 80, now)
        connecting = connection.owner = Owner(client)
    connecting.wait(lambda: connection.state == State.ESTABLISHED)
    accepting.wait(lambda: accepting.ready)
    with server.calling():
        return connection, listener.accept()


def test_what_a_caller_does_leaves_without_another_call(drivers):
    client, server = drivers
    connection, accepted = connect(drivers)
    owner = Owner(server)
    with server.lock:
        accepted.owner = owner
    with client.calling() as now:
        connection.send(b"hello", now)
    owner.wait(lambda: accepted.available == 5)


def test_timers_run_without_any_traffic(drivers):
    client, server = drivers
    server.close()
    with client.calling() as now:
        client.host.connect("192.0.2.2", 80, now)
    sent = client.host.counters.as_dict()["IpOutRequests"]
    time.sleep(1.3)
    with client.lock:
        assert client.host.counters.as_dict()["IpOutRequests"] == sent + 1


def test_idle_threads_do_not_run(drivers):
    connect(drivers)
    time.sleep(0.1)
    began = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - began < 0.1


def test_closing_ends_the_thread_and_may_be_repeated(drivers):
    before = threading.active_count()
    for driver in drivers:
        driver.close()
        driver.close()
        driver.wake()
    assert threading.active_count() == before - 2


def test_an_owner_that_fails_does_not_end_the_thread(drivers, monkeypatch):
    reports = []
    monkeypatch.setattr(threading, "excepthook", reports.append)
    client, server = drivers
    connection, accepted = connect(drivers)

    class Failing:
        def on_ready(self, ready):
            raise ZeroDivisionError

    with server.lock:
        accepted.owner = Failing()
    with client.calling() as now:
        connection.send(b"x", now)
    deadline = time.monotonic() + 10
    while not reports and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reports[0].exc_type is ZeroDivisionError
    owner = Owner(server)
    with server.lock:
        accepted.owner = owner
    with client.calling() as now:
        connection.send(b"y", now)
    owner.wait(lambda: accepted.available == 2)


def test_a_link_that_fails_ends_every_connection(drivers, monkeypatch):
    client, _ = drivers
    connection, _ = connect(drivers)
    owner = Owner(client)
    with client.lock:
        connection.owner = owner

    def fail(*_):
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(client.link, "transmit", fail)
    with client.calling() as now:
        connection.send(b"x", now)
    owner.wait(lambda: connection.error == errno.ECONNABORTED)
    assert client.error.errno == errno.EIO


class Asker:
    """Waits at the lookout as a socket does, and notes who took packets in."""

    def __init__(self, driver, monkeypatch):
        self.driver = driver
        self.ready = 0
        self.receivers = set()
        receive = driver._pump.receive

        def noted(now):
            count = receive(now)
            if count:
                self.receivers.add(threading.current_thread().name)
            return count

        monkeypatch.setattr(driver._pump, "receive", noted)

    def on_ready(self, ready):
        self.ready |= ready

    def wait(self, predicate):
        with self.driver.calling():
            while not predicate():
                assert self.driver.lookout.free
                self.driver.lookout.lead(10)
                self.driver.take_turn()
            self.driver.lookout.leave()


def test_what_a_caller_waits_for_is_taken_in_by_the_caller(drivers, monkeypatch):
    client, server = drivers
    connection, accepted = connect(drivers)
    asker = Asker(server, monkeypatch)
    for turn in range(1, 50):
        waiting = threading.Thread(
            target=asker.wait, args=(lambda turn=turn: accepted.available == turn,), name="caller"
        )
        with server.lock:
            accepted.owner = asker
        waiting.start()
        while not server.lookout.led:
            time.sleep(0)
        with client.calling() as now:
            connection.send(b"x", now)
        waiting.join(10)
        assert not waiting.is_alive()
    assert asker.receivers == {"caller"}


def test_the_thread_takes_in_what_arrives_when_the_caller_that_waited_is_gone(drivers, monkeypatch):
    client, server = drivers
    connection, accepted = connect(drivers)
    asker = Asker(server, monkeypatch)
    with server.calling():
        server.lookout.lead(0.001)
        server.lookout.leave()
    owner = Owner(server)
    with server.lock:
        accepted.owner = owner
    with client.calling() as now:
        connection.send(b"hello", now)
    owner.wait(lambda: accepted.available == 5)
    assert asker.receivers == {"tunstack"}


def test_timers_run_in_time_while_a_caller_waits(drivers):
    """A leader sleeps without a limit; the thread has the timers."""
    client, server = drivers
    server.close()
    with client.calling() as now:
        connection = client.host.connect("192.0.2.2", 80, now)

        class Woken:
            def on_ready(self, _):
                client.lookout.ring()

        connection.owner = Woken()
        connection.set("user_timeout", 50_000)
        while connection.state == State.SYN_SENT:
            client.take_turn()
            client.lookout.lead(None)
        client.lookout.leave()
    assert connection.error == errno.ETIMEDOUT


def test_timers_run_though_calls_follow_each_other_without_a_pause(drivers):
    """The thread rests while callers call, but not beyond a timer that one of them started."""
    client, server = drivers
    server.close()
    with client.calling() as now:
        connection = client.host.connect("192.0.2.2", 80, now)
        connection.set("user_timeout", 50_000)
    end = time.monotonic() + 10
    while connection.state == State.SYN_SENT:
        with client.calling():
            assert time.monotonic() < end
    assert connection.error == errno.ETIMEDOUT
