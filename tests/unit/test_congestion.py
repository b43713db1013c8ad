"""Reno and CUBIC by themselves (RFC 5681, RFC 9438)."""

import pytest

from stack._native import ffi
from stack.core.tcp.congestion import create
from stack.core.tcp.congestion.base import INFINITE, Sample, grow
from stack.errors import UsageError

MSS = 1000
SECOND = 1_000_000


def made(name, initial_window=10):
    tcb = ffi.new("struct tcb *")
    tcb.snd_mss = MSS
    tcb.srtt = 100_000
    return tcb, create(name, tcb, initial_window)


def ack(control, tcb, acked, now=SECOND, *, limited=True):
    control.on_ack(Sample(acked, limited, tcb.cwnd, 0, now))


def test_an_unknown_algorithm_is_refused_by_name():
    with pytest.raises(UsageError, match="choose one of"):
        made("vegas-of-1994")


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_it_begins_with_ten_segments_and_no_threshold(name):
    tcb, _ = made(name)
    assert tcb.cwnd == 10 * MSS
    assert tcb.ssthresh == INFINITE


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_slow_start_adds_what_was_acknowledged_up_to_the_threshold(name):
    tcb, control = made(name)
    ack(control, tcb, 2 * MSS)
    assert tcb.cwnd == 12 * MSS
    tcb.ssthresh = 13 * MSS
    ack(control, tcb, 5 * MSS)
    assert 13 * MSS <= tcb.cwnd < 14 * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_it_does_not_grow_where_it_was_not_the_limit(name):
    tcb, control = made(name)
    ack(control, tcb, 5 * MSS, limited=False)
    tcb.ssthresh = 5 * MSS
    ack(control, tcb, 50 * MSS, limited=False)
    assert tcb.cwnd == 10 * MSS


@pytest.mark.rfc("5681", "3.1")
def test_reno_adds_a_segment_for_each_window_acknowledged():
    tcb, control = made("reno")
    tcb.ssthresh = 5 * MSS
    ack(control, tcb, MSS)
    for _ in range(8):
        grow(tcb, MSS)
    assert tcb.cwnd == 10 * MSS + 900
    grow(tcb, MSS)
    assert tcb.cwnd == 11 * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("9438", "4.6")
@pytest.mark.parametrize(("name", "left"), [("reno", 10), ("cubic", 14)])
def test_a_loss_multiplies_the_flight(name, left):
    tcb, control = made(name)
    tcb.cwnd = 20 * MSS
    control.on_congestion(20 * MSS, SECOND)
    assert tcb.ssthresh == left * MSS
    assert tcb.cwnd == left * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_no_threshold_is_below_two_segments(name):
    tcb, control = made(name)
    control.on_congestion(MSS, SECOND)
    assert tcb.ssthresh == 2 * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("9438", "4.8")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_a_timeout_leaves_one_segment(name):
    tcb, control = made(name)
    control.on_timeout(10 * MSS, SECOND)
    assert tcb.cwnd == MSS
    assert tcb.ssthresh >= 5 * MSS


@pytest.mark.rfc("5681", "4.1")
@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_idleness_leaves_the_initial_window(name):
    tcb, control = made(name)
    tcb.cwnd = 100 * MSS
    control.on_idle()
    assert tcb.cwnd == 10 * MSS
    tcb.cwnd = 3 * MSS
    control.on_idle()
    assert tcb.cwnd == 3 * MSS


def cubic_rounds(rounds, rtt=100_000):
    """cwnd in segments at the end of each round trip after a loss at 100 segments."""
    tcb, control = made("cubic")
    tcb.cwnd = 100 * MSS
    now = SECOND
    control.on_congestion(100 * MSS, now)
    control.on_recovered(now)
    windows = []
    for _ in range(rounds):
        now += rtt
        left = tcb.cwnd
        while left > 0:
            ack(control, tcb, min(2 * MSS, left), now)
            left -= 2 * MSS
        windows.append(tcb.cwnd / MSS)
    return windows


@pytest.mark.rfc("9438", "4.2")
def test_cubic_returns_to_its_last_window_after_k_seconds():
    """K is the cube root of (100 - 70) / 0.4, about 4.2 s; the last bit takes one of them."""
    windows = cubic_rounds(60)
    assert 68 <= windows[0] <= 74
    reached = next(number for number, window in enumerate(windows, 1) if window >= 99.5)
    assert 28 <= reached <= 44


@pytest.mark.rfc("9438", "4.4")
@pytest.mark.rfc("9438", "4.5")
@pytest.mark.rfc("9438", "4.2")
def test_cubic_is_flat_near_its_last_window_and_steep_beyond():
    windows = cubic_rounds(90)
    start, plateau, beyond = (windows[b] - windows[a] for a, b in ((0, 10), (35, 45), (75, 85)))
    assert plateau < start
    assert plateau < beyond


@pytest.mark.rfc("9438", "4.3")
def test_cubic_is_never_slower_than_reno_on_a_short_path():
    windows = cubic_rounds(200, rtt=2000)
    assert windows[-1] >= 70 + 0.5 * 200


@pytest.mark.rfc("9438", "4.7")
def test_cubic_gives_way_when_its_window_falls_again():
    """Fast convergence: the plateau of the next epoch lies below this window."""
    tcb, control = made("cubic")
    tcb.cwnd = 100 * MSS
    control.on_congestion(100 * MSS, SECOND)
    assert control._w_max == 100
    control.on_congestion(70 * MSS, 2 * SECOND)
    assert control._w_max == pytest.approx(70 * 0.85)


@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_the_window_does_not_overflow(name):
    tcb, control = made(name)
    for now in range(1, 200):
        ack(control, tcb, 1 << 30, now * SECOND)
        assert 0 < tcb.cwnd <= INFINITE
