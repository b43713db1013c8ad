"""The pacer by itself: when may the next segment leave?"""

from math import inf

import pytest

from stack._native import ffi
from stack.core.tcp.pacing import Pacer

BBR = "draft-ietf-ccwg-bbr"
MS = 1_000
SECOND = 1_000_000
MSS = 1_448


def departures(pacer, count, *, length=MSS, start=SECOND, late=0):
    """Times at which so many segments leave when all are there from the start."""
    now, times = start, []
    while len(times) < count:
        due = pacer.wait_until(now)
        if due:
            now = due + late
            continue
        times.append(now)
        pacer.on_sent(length, now)
    return times


def test_without_a_rate_nothing_waits():
    pacer = Pacer(ffi.new("struct tcb *"))
    assert departures(pacer, 100) == [SECOND] * 100
    assert pacer.rate == 0


@pytest.mark.rfc(BBR, "5.6.2")
@pytest.mark.parametrize("rate", [1_000, 123_457, 1_000_000, 12_500_000, 125_000_000, 10**9])
def test_over_time_the_rate_is_exact(rate):
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(rate)
    times = departures(pacer, 2_000)
    took = times[-1] - times[0]
    ideal = 1_999 * MSS * SECOND / rate
    assert took <= ideal + 1
    assert took >= ideal - 1_000 - MSS * SECOND / rate


@pytest.mark.rfc(BBR, "5.6.3")
@pytest.mark.parametrize("rate", [1_000_000, 12_500_000, 125_000_000])
def test_no_more_leaves_at_once_than_a_millisecond_holds(rate):
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(rate)
    times = departures(pacer, 2_000)
    for start in range(0, 2_000, 7):
        within = sum(times[start] <= time < times[start] + MS for time in times[start:])
        assert within * MSS <= 2 * rate / 1000 + MSS


def test_slow_segments_leave_one_by_one():
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(MSS * 100)
    assert departures(pacer, 4) == [SECOND, SECOND + 10 * MS, SECOND + 20 * MS, SECOND + 30 * MS]


@pytest.mark.rfc(BBR, "5.6.2")
def test_silence_earns_no_burst():
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(MSS * 100)
    departures(pacer, 5)
    pacer.goes_on()
    assert departures(pacer, 3, start=60 * SECOND) == [
        60 * SECOND,
        60 * SECOND + 10 * MS,
        60 * SECOND + 20 * MS,
    ]


def test_a_driver_that_wakes_late_still_keeps_the_rate():
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(MSS * 1000)
    times = departures(pacer, 2_000, late=3 * MS)
    assert 1.98 * SECOND < times[-1] - times[0] < 2.01 * SECOND


def test_a_driver_that_slept_for_long_does_not_catch_up():
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(MSS * 100)
    departures(pacer, 2)
    assert pacer.wait_until(SECOND + 15 * MS)
    times = departures(pacer, 3, start=10 * SECOND)
    assert times == [10 * SECOND, 10 * SECOND + 10 * MS, 10 * SECOND + 20 * MS]


def test_the_smaller_of_what_is_asked_for_and_what_is_allowed_holds():
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.ask(1000)
    assert pacer.rate == 1000
    pacer.allow(500)
    assert (pacer.rate, pacer.limit) == (500, 500)
    pacer.ask(200)
    assert pacer.rate == 200
    pacer.ask(0)
    assert pacer.rate == 500
    pacer.allow(0)
    assert pacer.rate == 0


@pytest.mark.parametrize("rate", [1, 1_000, 10**6, 10**8])
def test_a_burst_is_a_whole_number_of_segments(rate):
    pacer = Pacer(ffi.new("struct tcb *"))
    pacer.allow(rate)
    assert pacer.burst(MSS) % MSS == 0
    assert MSS <= pacer.burst(MSS) <= max(rate / 1000, MSS) < inf
