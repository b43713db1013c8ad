"""Keep-alives, the user timeout, and what lies between R1 and R2 (RFC 9293 §3.8.3, §3.8.4)."""

import errno
import time

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.states import established

HOUR = 3600 * SECOND
IDLE, INTERVAL, COUNT = 10 * SECOND, 5 * SECOND, 3


def watched(t, idle=IDLE, interval=INTERVAL, count=COUNT):
    """ESTABLISHED and idle from now on, with keep-alives."""
    established(t)
    alive = t.tcp.keepalive
    alive.idle, alive.interval, alive.count = idle, interval, count
    alive.set(t.tcp, True, t.now)
    return t


# ---- keep-alive --------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-25")
@pytest.mark.rfc("9293", "MAY-5")
def test_it_is_off_unless_asked_for(tcp):
    t = tcp()
    established(t)
    t.expect_nothing(100 * HOUR)
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "MUST-28")
def test_the_first_probe_comes_after_two_hours_by_default(tcp):
    t = tcp()
    established(t)
    t.tcp.keepalive.set(t.tcp, True, t.now)
    t.expect("A", after=2 * HOUR, why=Why.KEEPALIVE)
    t.expect("A", after=75 * SECOND, why=Why.KEEPALIVE)


@pytest.mark.rfc("9293", "MUST-24")
@pytest.mark.rfc("9293", "MUST-27")
@pytest.mark.rfc("9293", "SHLD-12")
def test_a_probe_is_below_the_window_and_carries_nothing(tcp):
    t = watched(tcp())
    t.expect("A", seq=0, ack=1, text=b"", after=IDLE, why=Why.KEEPALIVE)


@pytest.mark.rfc("9293", "MUST-24")
def test_it_can_be_switched_off_again(tcp):
    t = watched(tcp())
    t.advance(IDLE - 1)
    t.tcp.keepalive.set(t.tcp, False, t.now)
    t.expect_nothing(HOUR)


@pytest.mark.rfc("9293", "MUST-29")
def test_answered_probes_never_count_however_short_the_idle_time(tcp):
    """Where the idle time is below the interval, each probe finds silence again."""
    t = watched(tcp(), idle=IDLE, interval=2 * IDLE)
    t.expect("A", seq=0, after=IDLE, why=Why.KEEPALIVE)
    for _ in range(3 * COUNT):
        t.advance(10 * MS)
        t.inject("A")
        t.expect("A", seq=0, within=2 * IDLE, why=Why.KEEPALIVE)
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "MUST-29")
def test_a_late_answer_is_soon_enough(tcp):
    t = watched(tcp())
    for _ in range(COUNT):
        t.expect("A", seq=0, within=IDLE)
    t.advance(INTERVAL - 1)
    t.inject("A")
    t.expect("A", seq=0, after=IDLE, why=Why.KEEPALIVE)
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "MUST-29")
def test_when_no_probe_is_answered_the_connection_ends(tcp):
    t = watched(tcp())
    t.ready_of()
    for number in range(COUNT):
        t.expect("A", seq=0, after=IDLE if number == 0 else INTERVAL)
    t.advance(INTERVAL)
    t.expect_state(State.CLOSED)
    assert t.ready_of() & Ready.ERROR
    with pytest.raises(TimeoutError):
        t.receive()
    t.expect_nothing(HOUR)


@pytest.mark.rfc("9293", "3.8.4")
def test_a_peer_that_knows_nothing_of_us_ends_it_by_its_reset(tcp):
    t = watched(tcp())
    t.expect("A", seq=0, after=IDLE)
    t.inject("R", seq=1)
    t.expect_state(State.CLOSED)
    with pytest.raises(ConnectionResetError):
        t.receive()


@pytest.mark.rfc("9293", "MUST-26")
def test_whatever_comes_from_the_peer_begins_the_idle_time_anew(tcp):
    t = watched(tcp())
    t.advance(IDLE - SECOND)
    t.inject("PA", text=b"x")
    t.expect("A", ack=2)
    t.expect("A", seq=0, after=IDLE, why=Why.KEEPALIVE)


@pytest.mark.rfc("9293", "MUST-26")
def test_nothing_is_probed_while_data_is_outstanding(tcp):
    t = watched(tcp())
    t.send(b"x")
    t.advance(12 * IDLE)
    assert all(one.why in (Why.DATA_PUSHED, Why.LOSS_PROBE, Why.RTO) for one in t.take())
    t.inject("A")
    t.expect("A", seq=1, within=2 * IDLE, why=Why.KEEPALIVE)


@pytest.mark.rfc("9293", "MUST-26")
def test_nothing_is_probed_while_our_fin_is_outstanding(tcp):
    t = watched(tcp())
    t.shutdown()
    t.expect("FA")
    t.advance(12 * IDLE)
    assert all("F" in one.flags for one in t.take())


@pytest.mark.rfc("9293", "MUST-26")
def test_nothing_is_probed_while_a_closed_window_is(tcp):
    t = watched(tcp())
    t.inject("A", window=0)
    t.send(b"x")
    t.advance(6 * IDLE)
    assert {one.why for one in t.take()} == {Why.ZERO_WINDOW_PROBE}


@pytest.mark.rfc("9293", "MUST-26")
def test_a_connection_that_only_receives_is_probed_when_that_stops(tcp):
    t = watched(tcp())
    for _ in range(5):
        t.advance(IDLE - SECOND)
        t.inject("PA", text=b"x")
        t.expect("A", within=SECOND)
    t.expect("A", seq=0, within=IDLE + SECOND, why=Why.KEEPALIVE)


@pytest.mark.parametrize("state", [State.FIN_WAIT_2, State.CLOSE_WAIT])
def test_a_half_closed_connection_is_watched_too(tcp, state):
    t = watched(tcp())
    if state is State.FIN_WAIT_2:
        t.shutdown()
        t.expect("FA")
        t.inject("A")
    else:
        t.inject("FA")
        t.expect("A")
    t.expect_state(state)
    t.expect("A", within=2 * IDLE, why=Why.KEEPALIVE)


def test_an_idle_hour_takes_milliseconds(tcp):
    t = watched(tcp(), idle=HOUR)
    began = time.monotonic()
    for _ in range(500):
        t.expect("A", seq=0, after=HOUR, why=Why.KEEPALIVE)
        t.inject("A")
    assert time.monotonic() - began < 500 * 0.01


# ---- the user timeout --------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-21")
@pytest.mark.rfc("5482", "2")
def test_data_that_nobody_acknowledges_in_time_ends_the_connection(tcp):
    t = tcp()
    established(t)
    t.tcp.set("user_timeout", 3500 * MS)
    t.send(b"x")
    t.advance(3499 * MS)
    t.expect_state(State.ESTABLISHED)
    t.advance(2 * MS)
    t.expect_state(State.CLOSED)
    with pytest.raises(TimeoutError):
        t.receive()
    t.take()


@pytest.mark.rfc("5482", "2")
def test_every_acknowledgement_of_new_data_begins_it_anew(tcp):
    t = tcp()
    established(t)
    t.tcp.set("user_timeout", 3 * SECOND)
    for _ in range(5):
        t.send(b"x")
        t.advance(2 * SECOND)
        t.inject("A")
        t.take()
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("5482", "2")
def test_idleness_is_no_reason(tcp):
    t = tcp()
    established(t)
    t.tcp.set("user_timeout", SECOND)
    t.expect_nothing(HOUR)
    t.send(b"x")
    t.expect("PA")
    t.inject("A")
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("5482", "2")
def test_a_longer_one_than_the_default_is_kept_too(tcp):
    t = tcp(r2=100 * SECOND)
    established(t)
    t.tcp.set("user_timeout", 1000 * SECOND)
    t.send(b"x")
    t.advance(999 * SECOND)
    t.expect_state(State.ESTABLISHED)
    t.advance(SECOND)
    t.expect_state(State.CLOSED)
    t.take()


@pytest.mark.rfc("9293", "MUST-21")
def test_it_bounds_the_opening_as_well(tcp):
    t = tcp()
    t.connect()
    t.tcp.set("user_timeout", 2 * SECOND)
    t.advance(4 * SECOND)
    t.expect_state(State.CLOSED)
    t.take()


def test_with_a_user_timeout_keepalive_ends_by_that(tcp):
    t = watched(tcp())
    t.tcp.set("user_timeout", IDLE + INTERVAL)
    t.expect("A", seq=0, after=IDLE)
    t.advance(INTERVAL)
    t.expect_state(State.CLOSED)


# ---- between R1 and R2 -------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-20")
@pytest.mark.rfc("9293", "SHLD-9")
@pytest.mark.rfc("9293", "SHLD-10")
def test_after_r1_the_application_hears_that_something_is_wrong(tcp):
    t = tcp(initial_rto=SECOND)
    established(t)
    t.send(b"x")
    t.ready_of()
    timeouts = 0
    while not t.ready_of() & Ready.SOFT_ERROR:
        timeouts += t.expect(within=60 * SECOND).why is Why.RTO
    assert timeouts == t.config.r1 >= 3
    assert t.tcp.soft_error == errno.ETIMEDOUT
    t.expect_state(State.ESTABLISHED)
    t.inject("A")
    assert t.receive() == b"", "nothing failed"
    t.take()


@pytest.mark.rfc("9293", "MUST-37")
@pytest.mark.rfc("9293", "SHLD-17")
def test_a_window_that_stays_closed_never_times_out(tcp):
    t = tcp()
    established(t)
    t.inject("A", window=0)
    t.send(b"x")
    for _ in range(1000):
        t.expect("A", text=b"", within=61 * SECOND, why=Why.ZERO_WINDOW_PROBE)
        t.inject("A", window=0)
    assert t.now > 15 * HOUR
    t.inject("A", window=1000)
    t.expect("PA", text=b"x")
