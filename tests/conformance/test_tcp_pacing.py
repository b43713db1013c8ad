"""Pacing on whole connections: every algorithm keeps the rate, and nothing else is delayed."""

from itertools import pairwise

import pytest

from stack.core.tcp.congestion import ALGORITHMS
from stack.core.tcp.timers import Timer
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.states import established

BBR = "draft-ietf-ccwg-bbr"
MSS = 1460
RATE = 1_000_000  # bytes a second


def paced(t, rate=RATE):
    established(t)
    t.tcp.set("pacing", rate)
    t.tcb.cwnd = 1_000 * MSS
    t.tcb.ssthresh = 1_000 * MSS
    return t


def distant(t):
    """ESTABLISHED, with a round trip of 100 ms."""
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(100 * MS)
    t.inject("A")
    t.accept()
    return t


def sent(t, us):
    """Segments with text that leave within so many µs."""
    t.advance(us)
    return [one for one in t.take() if one.text]


@pytest.mark.rfc(BBR, "5.6.2")
@pytest.mark.parametrize("congestion", ALGORITHMS)
@pytest.mark.parametrize("rate", [100_000, RATE, 5 * RATE])
def test_every_algorithm_keeps_the_rate_that_is_allowed(tcp, congestion, rate):
    t = paced(tcp(congestion=congestion, peer={"wscale": 8, "window": 8 << 20}), rate)
    t.inject("A")  # announces the scaled window
    t.tcb.cwnd = 1_000 * MSS
    t.send(bytes(250_000))
    segments = [one for one in t.take() if one.text] + sent(t, 40 * MS)
    octets = sum(one.length for one in segments)
    if congestion != "bbr":  # which begins below the larger of these rates
        assert octets >= 0.04 * rate - MSS
    assert octets <= 0.04 * rate + rate / 1000 + 2 * MSS
    t.tcp.set("pacing", 0)
    assert congestion == "bbr" or t.tcp.pacer.rate == 0


@pytest.mark.rfc(BBR, "5.6.2")
def test_segments_leave_at_even_distances(tcp):
    t = paced(tcp(), 100 * MSS)
    t.send(bytes(5 * MSS))
    times = [t.expect(length=MSS, within=20 * MS).now for _ in range(5)]
    assert [b - a for a, b in pairwise(times)] == [10 * MS] * 4


def test_no_probe_overtakes_a_segment_that_waits_for_its_turn(tcp):
    """Nor does it keep the timeout from coming, however low the rate is."""
    t = paced(tcp(), 1_000)
    t.send(bytes(5 * MSS))
    segments = t.take() + sent(t, 4 * SECOND)
    assert [one.why for one in segments] == [Why.DATA, Why.RTO, Why.RTO]
    assert [b.now - a.now for a, b in pairwise(segments)] == [1_460_000] * 2


@pytest.mark.rfc(BBR, "5.6.3")
def test_a_fast_connection_sends_bursts_of_a_millisecond(tcp):
    t = paced(tcp(peer={"wscale": 8, "window": 8 << 20}), 20_000_000)
    t.inject("A")
    t.send(bytes(250_000))
    segments = [one for one in t.take() if one.text] + sent(t, 10 * MS)
    by_time = {}
    for one in segments:
        by_time[one.now] = by_time.get(one.now, 0) + one.length
    assert max(by_time.values()) <= 20_000 + MSS
    assert len(by_time) <= 11, "a timer for each burst, not for each segment"
    assert sum(by_time.values()) >= 200_000


@pytest.mark.rfc(BBR, "5.6.3")
@pytest.mark.parametrize("version", [4, 6])
def test_super_segments_hold_no_more_than_a_millisecond(tcp, version):
    t = paced(tcp(version, offload=True, peer={"wscale": 8, "window": 8 << 20}), 10_000_000)
    t.inject("A")
    t.send(bytes(250_000))
    segments = [one for one in t.take() if one.text] + sent(t, 20 * MS)
    by_time = {}
    for one in segments:
        by_time[one.now] = by_time.get(one.now, 0) + one.length
    assert max(by_time.values()) <= 2 * 10_000
    assert any(size > MSS for size in by_time.values())
    octets = sum(by_time.values())
    assert 200_000 - 10_000 <= octets <= 200_000 + 2 * 10_000


def test_a_slow_rate_cuts_super_segments_to_single_ones(tcp):
    t = paced(tcp(offload=True), 100 * MSS)
    t.send(bytes(4 * MSS))
    assert [one.length for one in t.take()] == [MSS]
    assert [one.length for one in sent(t, 30 * MS)] == [MSS] * 3


def test_acknowledgements_are_not_held_back(tcp):
    t = paced(tcp(), 1_000)
    t.send(bytes(3 * MSS))
    t.expect(length=MSS)
    t.inject("PA", text=b"x", ack=1)
    t.expect("A", text=b"", ack=2, within=SECOND)


def test_a_fin_waits_behind_the_data(tcp):
    t = paced(tcp(), 100 * MSS)
    t.send(bytes(3 * MSS))
    t.shutdown()
    assert ["F" in one.flags for one in (*t.take(), *sent(t, 40 * MS))] == [False, False, True]


@pytest.mark.rfc("6298", "5.4")
def test_retransmissions_are_paced_and_come_before_new_data(tcp):
    t = paced(tcp(), 100 * MSS)
    t.send(bytes(6 * MSS))
    t.take()
    sent(t, 25 * MS)
    t.inject("A", ack=1, sack=[(1 + MSS, 1 + 3 * MSS)])
    t.inject("A", ack=1, sack=[(1 + MSS, 1 + 4 * MSS)])
    following = sent(t, 60 * MS)
    again = [one for one in following if one.why is Why.RACK_LOST]
    assert [one.seq for one in again] == [1]
    gaps = [b.now - a.now for a, b in pairwise(following)]
    assert min(gaps) >= 10 * MS
    t.inject("A")
    t.take()


def test_taking_the_limit_away_lets_everything_go(tcp):
    t = paced(tcp(), 1_000)
    t.send(bytes(10 * MSS))
    assert len(t.take()) == 1
    t.tcp.set("pacing", 0)
    t.receive()  # any call after which a driver looks for output
    assert len(t.take()) == 9


@pytest.mark.rfc("7661", "4.4")
def test_a_window_that_pacing_leaves_unused_does_not_grow(tcp):
    t = tcp(congestion="cubic")
    established(t)
    t.tcp.set("pacing", 50 * MSS)
    before = t.tcb.cwnd
    t.send(bytes(60 * MSS))
    for _ in range(50):
        t.advance(20 * MS)
        t.take()
        t.inject("A")
    assert t.tcb.cwnd == before


@pytest.mark.rfc(BBR, "5.6.2")
def test_bbr_paces_by_itself(tcp):
    t = distant(tcp(congestion="bbr"))
    assert t.tcp.pacer.rate == int(2.77 * 10 * MSS * 10)
    t.send(bytes(10 * MSS))
    segments = t.take() + sent(t, 100 * MS)
    assert len(segments) == 10
    assert 30 * MS <= segments[-1].now - segments[0].now <= 36 * MS
    t.inject("A")


def test_the_algorithm_can_be_changed_while_data_flows(tcp):
    t = distant(tcp(congestion="cubic"))
    t.send(bytes(20 * MSS))
    first = t.take()
    for name in ("bbr", "reno", "bbr", "cubic"):
        cwnd = t.tcb.cwnd
        t.tcp.use_congestion(name)
        assert t.tcb.cwnd == cwnd
        assert t.tcp.congestion.name == name
        assert bool(t.tcp.pacer.rate) == (name == "bbr")
    t.tcp.use_congestion("bbr")
    t.advance(50 * MS)
    t.inject("A")
    segments = first + t.take() + sent(t, 50 * MS)
    assert sum(one.length for one in segments) == 20 * MSS
    t.inject("A")


def test_no_timer_runs_for_the_pace_of_nothing(tcp):
    t = tcp()
    established(t)
    t.tcp.set("pacing", 1000)
    t.send(bytes(500))
    t.expect(length=500)
    t.inject("PA", text=b"x")
    t.expect("A")
    assert not t.tcp.deadlines[Timer.PACING]
    t.send(bytes(100))
    t.expect(length=100, after=500 * MS)
