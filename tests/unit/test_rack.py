"""RACK on its own: what it marks as lost, and when (RFC 8985 §6)."""

import pytest

from stack.core.tcp.timers import Timer
from tests.support import states
from tests.support.endpoint import MS, Endpoint

MSS = 1460
RTT = 40 * MS


@pytest.fixture
def sender():
    """A connection with ten segments in flight, one sent each millisecond."""
    t = Endpoint()
    t.listen()
    t.inject("S")
    t.advance(RTT)
    t.inject("A")
    t.accept()
    t.tcp.nodelay = True
    for _ in range(10):
        t.send(bytes(MSS))
        t.advance(1 * MS)
    t.take()
    t.advance(RTT - 10 * MS)
    return t


def lost(t):
    return [
        (record.seq - t.tcb.iss - 1) // MSS
        for record in t.tcp.flight
        if record.lost or record.retransmitted
    ]


def seg(number):
    return 1 + number * MSS


@pytest.mark.rfc("8985", "6.2")
def test_what_was_sent_before_a_delivered_segment_is_lost_after_a_quarter_round_trip(sender):
    sender.advance(9 * MS)
    sender.inject("A", ack=1, sack=[(seg(9), seg(10))])
    assert lost(sender) == []
    sender.advance(9 * MS)  # the last suspect left 1 ms before what was delivered
    assert lost(sender) == list(range(9))


@pytest.mark.rfc("8985", "6.2")
def test_what_was_sent_after_a_delivered_segment_is_not_judged(sender):
    for _ in range(3):
        sender.inject("A", ack=1, sack=[(seg(2), seg(3))])
    sender.advance(RTT // 2)
    assert lost(sender) == [0, 1]


@pytest.mark.rfc("8985", "6.2")
def test_the_reordering_timer_runs_until_the_last_suspect_is_judged(sender):
    sender.inject("A", ack=1, sack=[(seg(3), seg(4))])
    assert sender.tcp.deadlines[Timer.REORDERING] > sender.now
    sender.advance(RTT)
    assert lost(sender) == [0, 1, 2]
    assert sender.tcp.deadlines[Timer.REORDERING] == 0


@pytest.mark.rfc("8985", "6.2")
def test_delivery_of_an_original_below_the_highest_is_reordering(sender):
    sender.inject("A", ack=1, sack=[(seg(3), seg(4))])
    assert not sender.tcp.detector._reordering_seen
    sender.inject("A", ack=1, sack=[(seg(1), seg(2)), (seg(3), seg(4))])
    assert sender.tcp.detector._reordering_seen


@pytest.mark.rfc("8985", "6.2")
def test_once_reordering_was_seen_three_segments_are_no_proof(sender):
    sender.inject("A", ack=1, sack=[(seg(2), seg(3))])
    sender.inject("A", ack=seg(1), sack=[(seg(2), seg(3))])  # the first one was only late
    assert sender.tcp.detector._reordering_seen
    for right in (4, 5, 6):
        sender.inject("A", ack=seg(1), sack=[(seg(2), seg(right))])
    assert lost(sender) == []
    sender.advance(RTT)
    assert lost(sender) == [1]


@pytest.mark.rfc("8985", "6.2")
def test_dsacks_widen_the_window_once_a_round_trip(sender):
    rack = sender.tcp.detector
    sender.inject("A", ack=seg(1), sack=[(1, seg(1))])
    sender.inject("A", ack=seg(2), sack=[(1, seg(1))])
    assert rack._multiplier == 2
    sender.inject("A", ack=seg(10))
    sender.send(bytes(MSS))
    sender.inject("A", ack=seg(10), sack=[(1, seg(1))])
    assert rack._multiplier == 3


@pytest.mark.rfc("8985", "6.3")
def test_on_a_timeout_fresh_segments_are_not_lost(sender):
    sender.inject("A", ack=seg(9))
    while sender.tcb.recovery != 2:
        sender.send(bytes(100))
        sender.advance(20 * MS)
    assert lost(sender)[0] == 9
    assert len(lost(sender)) < len(sender.tcp.flight)


def test_what_is_judged_needs_established():
    """A connection without SACK has no RACK."""
    t = Endpoint(sack=False)
    states.established(t)
    assert type(t.tcp.detector).__name__ == "NewReno"
