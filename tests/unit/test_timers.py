"""The timer queue, held against a list that is searched each time."""

from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.core.timers import TimerQueue


class Owner:
    def __init__(self, owners):
        self.tcb = ffi.gc(
            lib.tcb_new(ffi.new("struct segment_path *"), len(owners) + 1, 0, PATH), lib.tcb_free
        )
        self.expired = []
        self.then = None
        owners[self.tcb.number] = self

    @property
    def deadlines(self):
        return self.tcb.deadlines

    def on_timer(self, timer, now):
        self.expired.append((timer, now))
        if self.then:
            self.then(timer, now)


PATH = ffi.new("struct path *")


def queue_of(count):
    """A queue, and so many owners."""
    owners = {}
    return TimerQueue(owners), *(Owner(owners) for _ in range(count))


def test_a_timer_runs_out_once_at_its_time():
    queue, owner = queue_of(1)
    queue.start(owner, 0, 100)
    queue.expire(99)
    assert owner.expired == []
    assert queue.next_deadline() == 100
    queue.expire(100)
    queue.expire(1000)
    assert owner.expired == [(0, 100)]
    assert queue.next_deadline() is None


def test_a_timer_that_is_started_again_runs_from_then():
    for second in (50, 150, 100):
        queue, owner = queue_of(1)
        queue.start(owner, 0, 100)
        queue.start(owner, 0, second)
        assert queue.next_deadline() == second
        queue.expire(second - 1)
        assert owner.expired == []
        queue.expire(1000)
        assert owner.expired == [(0, 1000)]


def test_a_stopped_timer_does_not_run_out():
    queue, owner = queue_of(1)
    queue.start(owner, 0, 100)
    owner.deadlines[0] = 0
    assert queue.next_deadline() is None
    queue.expire(1000)
    assert owner.expired == []


def test_an_owner_that_is_gone_is_not_missed():
    queue, owner, stays = queue_of(2)
    queue.start(owner, 0, 100)
    queue.start(owner, 1, 200)
    queue.start(stays, 0, 300)
    queue._owners.clear()
    del owner
    assert queue.next_deadline() == 300
    assert queue.places == 1


def test_timers_may_be_started_again_after_all_were_forgotten():
    queue, owner = queue_of(1)
    queue.start(owner, 0, 100)
    lib.timers_let_go(owner.tcb)
    queue.start(owner, 0, 300)
    queue.expire(1000)
    assert owner.expired == [(0, 1000)]


def test_a_timer_may_be_started_while_it_runs_out():
    queue, owner = queue_of(1)
    owner.then = lambda timer, now: queue.start(owner, timer, now + 10) if now < 50 else None
    queue.start(owner, 0, 10)
    for now in range(100):
        queue.expire(now)
    assert owner.expired == [(0, now) for now in (10, 20, 30, 40, 50)]


def test_timers_run_out_in_the_order_of_their_deadlines():
    queue, *owners = queue_of(3)
    order = []
    for number, (owner, deadline) in enumerate(zip(owners, (30, 10, 20), strict=True)):
        owner.then = lambda timer, now, number=number: order.append(number)
        queue.start(owner, 1, deadline)
    queue.expire(100)
    assert order == [1, 2, 0]


def test_all_timers_of_an_owner_can_be_forgotten():
    queue, gone, stays = queue_of(2)
    for kind in range(lib.TIMER_COUNT):
        queue.start(gone, kind, 10 + kind)
    queue.start(stays, 0, 50)
    lib.timers_let_go(gone.tcb)
    assert queue.next_deadline() == 50
    queue.expire(100)
    assert gone.expired == []
    assert stays.expired == [(0, 100)]


calls = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 60)),
        st.tuples(st.just("stop"), st.integers(0, 2), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.just(0), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(calls)
def test_the_lazy_queue_does_what_a_plain_list_would(steps):
    queue, *owners = queue_of(3)
    model = {}
    now = 0
    for kind, owner, timer, amount in steps:
        if kind == "start":
            queue.start(owners[owner], timer, now + amount)
            model[owner, timer] = now + amount
        elif kind == "stop":
            owners[owner].deadlines[timer] = 0
            model.pop((owner, timer), None)
        else:
            now += amount
            for one in owners:
                one.expired.clear()
            queue.expire(now)
            due = {key for key, when in model.items() if when <= now}
            found = [(i, timer) for i, one in enumerate(owners) for timer, _ in one.expired]
            assert sorted(found) == sorted(due)
            for key in due:
                del model[key]
        assert queue.next_deadline() == min(model.values(), default=None)
