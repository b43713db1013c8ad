"""Who waits for the descriptor of a link."""

import os
import signal
import threading

import pytest

from stack.run.lookout import Lookout
from tests.support.two_worlds import in_thread


class Relief:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def stand_down(self):
        self.told.append("stand down")

    def take_over(self):
        self.told.append("take over")


class Scene:
    """A lookout over the reading end of a pipe."""

    def __init__(self):
        self.lock = threading.RLock()
        self.relief = Relief()
        self.reader, self.writer = os.pipe()
        self.lookout = Lookout(self.lock, self.reader, self.relief)

    def leading(self, seconds=None):
        """Leads in a thread of its own; returns when it sleeps. What it returns waits for it."""

        def lead():
            with self.lock:
                assert self.lookout.free
                self.lookout.lead(seconds)
                return self.lookout.led

        joined = in_thread(lead)
        self.wait_for(lambda: self.lookout.led)
        return joined

    def following(self, condition, seconds=None):
        """The same for one that follows."""

        def follow():
            with self.lock:
                assert not self.lookout.free
                self.lookout.follow(condition, seconds)
                return "woken"

        joined = in_thread(follow)
        self.wait_for(lambda: condition._waiters)
        return joined

    def wait_for(self, happens):
        while True:
            with self.lock:
                if happens():
                    return


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    with scene.lock:
        scene.lookout.close()
    os.close(scene.reader)
    os.close(scene.writer)


def test_a_leader_wakes_for_what_arrives(scene):
    leader = scene.leading()
    os.write(scene.writer, b"x")
    assert leader() is False


def test_a_leader_wakes_when_it_is_rung_and_sleeps_again(scene):
    leader = scene.leading()
    with scene.lock:
        scene.lookout.ring()
    assert leader() is False
    with scene.lock:
        scene.lookout.ring()  # nobody leads: this is not for the next one
        scene.lookout.lead(0.001)


def test_the_relief_stands_down_for_a_leader_and_takes_over_behind_the_last_one(scene):
    with scene.lock:
        scene.lookout.lead(0.001)
        assert scene.relief.told == ["stand down"]
        scene.lookout.leave()
        assert scene.relief.told == ["stand down", "take over"]


def test_one_that_goes_while_another_leads_changes_nothing(scene):
    leader = scene.leading()
    with scene.lock:
        scene.lookout.leave()
        assert scene.relief.told == ["stand down"]
        scene.lookout.ring()
    leader()


def test_the_one_that_follows_longest_is_woken_to_lead(scene):
    leader = scene.leading()
    conditions = [threading.Condition(scene.lock) for _ in range(2)]
    followers = [scene.following(condition) for condition in conditions]
    with scene.lock:
        scene.lookout.ring()
    leader()
    with scene.lock:
        scene.lookout.leave()
    assert followers[0]() == "woken"
    with scene.lock:
        assert conditions[1]._waiters
        scene.lookout.leave()
    assert followers[1]() == "woken"


def test_the_lock_is_free_while_a_leader_sleeps_however_often_it_has_it(scene):
    def lead():
        with scene.lock, scene.lock:
            scene.lookout.lead(None)

    leader = in_thread(lead)
    scene.wait_for(lambda: scene.lookout.led)
    with scene.lock:
        scene.lookout.ring()
    leader()


def test_closing_wakes_the_leader_and_nobody_leads_again(scene):
    leader = scene.leading()
    with scene.lock:
        scene.lookout.close()
        scene.lookout.close()
    assert leader() is False
    assert not scene.lookout.free


def test_a_link_that_is_lost_has_no_leader(scene):
    leader = scene.leading()
    with scene.lock:
        scene.lookout.lose_link()
    leader()
    with scene.lock:
        assert not scene.lookout.free
        scene.lookout.leave()
    assert scene.relief.told == ["stand down"]


def test_without_a_descriptor_everybody_follows():
    lock = threading.RLock()
    lookout = Lookout(lock, -1, Relief())
    with lock:
        assert not lookout.free
        lookout.close()


def signalled(scene, handler, deliver):
    """Leads in this thread; a signal's handler runs once it sleeps."""
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        main = threading.get_ident()

        def interrupt():
            scene.wait_for(lambda: scene.lookout.led)
            deliver(main)

        done = in_thread(interrupt)
        with scene.lock:
            scene.lookout.lead(None)
            assert not scene.lookout.led
        done()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exception_of_a_signal_ends_the_leading(scene):
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        signalled(scene, interrupted, lambda main: signal.pthread_kill(main, signal.SIGUSR1))
    assert not scene.lookout.led
    assert scene.lock.acquire(blocking=False)
    scene.lock.release()
    with pytest.raises(RuntimeError):
        scene.lock.release()  # it was not taken twice


def test_a_handler_leads_above_the_leader_that_it_interrupted(scene):
    """What rings meanwhile is for both: neither may miss it."""

    def handler(*_):
        with scene.lock:
            assert scene.lookout.free
            scene.lookout.lead(None)
            assert scene.lookout.led

    def deliver(main):
        signal.pthread_kill(main, signal.SIGUSR1)
        scene.wait_for(lambda: scene.lookout.led)
        with scene.lock:
            scene.lookout.ring()

    signalled(scene, handler, deliver)
    assert scene.relief.told == ["stand down"]
