"""Repairing losses: timeouts, and fast retransmit without SACK."""

from itertools import pairwise

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.transfer import MSS, PLAIN, RTT, connected, flight, seg

# ---- the retransmission timeout ----------------------------------------------------------------


@pytest.mark.rfc("8961", "4(2)")
@pytest.mark.rfc("6298", "2.2")
@pytest.mark.rfc("6298", "2.3")
@pytest.mark.rfc("9293", "MUST-18")
def test_round_trips_give_srtt_and_rttvar_and_these_the_timeout(tcp):
    t = connected(tcp(minimum_rto=1), 100 * MS)
    assert (t.tcb.srtt, t.tcb.rttvar, t.tcb.rto) == (100_000, 50_000, 300_000)
    t.send(b"x")
    t.expect("PA")
    t.advance(60 * MS)
    t.inject("A")
    assert (t.tcb.srtt, t.tcb.rttvar) == (95_000, 47_500)
    assert t.tcb.rto == 95_000 + 4 * 47_500


@pytest.mark.rfc("6298", "2.4")
@pytest.mark.rfc("6298", "2.5")
def test_the_timeout_keeps_within_its_bounds(tcp):
    t = connected(tcp(minimum_rto=SECOND, maximum_rto=60 * SECOND), 1)
    assert t.tcb.rto == SECOND + 1
    t.send(b"x")
    t.take()
    t.advance(1000 * SECOND)
    gaps = [one.now for one in t.take()]
    assert max(b - a for a, b in pairwise(gaps)) == 60 * SECOND


@pytest.mark.rfc("6298", "5.6")
@pytest.mark.rfc("8961", "4(3)")
@pytest.mark.rfc("6298", "5.1")
@pytest.mark.rfc("6298", "5.4")
@pytest.mark.rfc("6298", "5.5")
@pytest.mark.rfc("9293", "MUST-19")
def test_an_unanswered_segment_is_repeated_with_exponential_backoff(tcp):
    t = connected(tcp(peer=PLAIN))
    rto = t.tcb.rto
    t.send(b"hello?")
    t.expect("PA")
    t.expect("PA", seq=1, text=b"hello?", after=rto, why=Why.RTO)
    for factor in (2, 4, 8, 16):
        t.expect("PA", seq=1, text=b"hello?", after=factor * rto, why=Why.RTO)


@pytest.mark.rfc("6298", "5.2")
@pytest.mark.rfc("6298", "5.3")
def test_the_timer_runs_from_the_last_new_acknowledgement(tcp):
    t = connected(tcp(peer=PLAIN, minimum_rto=SECOND))
    flight(t, 4)
    t.advance(500 * MS)
    t.inject("A", ack=seg(1))
    rto = t.tcb.rto
    t.expect_nothing(rto - 1)
    t.expect("A", seq=seg(1), after=1, why=Why.RTO)
    t.inject("A", ack=seg(4))
    t.expect_nothing(100 * SECOND)


@pytest.mark.rfc("8961", "4(2)")
@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("9293", "MUST-18")
def test_a_repeated_segment_is_not_measured_without_timestamps(tcp):
    t = connected(tcp(peer=PLAIN))
    before = t.tcb.srtt
    t.send(b"x")
    t.expect("PA")
    t.expect("PA", within=SECOND, why=Why.RTO)
    t.advance(3 * SECOND // 10)
    t.inject("A")
    t.take()
    assert t.tcb.srtt == before


@pytest.mark.rfc("9293", "MUST-18")
@pytest.mark.rfc("6298", "5")
def test_the_timeout_stays_backed_off_until_something_sent_once_is_measured(tcp):
    t = connected(tcp(peer=PLAIN))
    rto = t.tcb.rto
    t.send(b"x")
    t.expect("PA")
    t.expect("PA", after=rto, why=Why.RTO)
    t.expect("PA", after=2 * rto, why=Why.RTO)
    t.inject("A")
    t.send(b"y")
    t.expect("PA")
    t.expect("PA", text=b"y", after=4 * rto, why=Why.RTO)
    t.inject("A")
    t.send(b"z")
    t.expect("PA")
    t.advance(RTT)
    t.inject("A")
    assert t.tcb.rto < 2 * rto


@pytest.mark.rfc("7323", "4.1")
def test_with_timestamps_a_repeated_segment_is_measured_by_its_echo(tcp):
    t = connected(tcp(peer={"ts": True, "sack": False}))
    t.send(b"x")
    t.expect("PA")
    again = t.expect("PA", within=SECOND, why=Why.RTO)
    t.advance(80 * MS)
    t.inject("A", tsecr=again.tsval)
    assert t.tcb.min_rtt == RTT
    assert RTT < t.tcb.srtt < 80 * MS


@pytest.mark.rfc("8985", "6.2")
def test_an_echo_within_one_tick_is_not_the_smallest_round_trip(tcp):
    """RACK's reordering window is a quarter of that one, and would be zero from then on."""
    t = connected(tcp(peer={"ts": True}), 100)
    t.send(b"x")
    t.expect("PA")
    again = t.expect("PA", within=SECOND, why=Why.LOSS_PROBE)
    t.advance(100)
    t.inject("A", tsecr=again.tsval)
    assert t.tcb.min_rtt == 100


@pytest.mark.rfc("7323", "4")
@pytest.mark.parametrize("echo", [1, 1000, 0x7FFF_FFFF])
def test_an_echo_from_the_future_is_no_round_trip(tcp, echo):
    t = connected(tcp(peer={"ts": True, "sack": False}))
    before = t.tcb.srtt
    t.send(b"x")
    t.expect("PA")
    again = t.expect("PA", within=SECOND)
    t.inject("A", tsecr=again.tsval + echo & 0xFFFF_FFFF)
    assert t.tcb.srtt == before


@pytest.mark.rfc("8961", "4(4)")
@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("sack", [False, True])
def test_after_a_timeout_one_segment_leaves_and_slow_start_begins(tcp, sack):
    t = connected(tcp(peer={"sack": sack}, congestion="reno"))
    data = flight(t, 10)
    t.expect(within=3 * SECOND)  # the loss probe, where there is SACK
    if sack:
        t.expect("A", seq=1, within=3 * SECOND, why=Why.RTO)
    t.expect_nothing()
    assert t.tcb.cwnd == MSS
    assert t.tcb.ssthresh == 5 * MSS
    t.advance(RTT)
    t.inject("A", ack=seg(1))
    assert [one.seq for one in t.take()] == [seg(1), seg(2)]
    t.inject("A", ack=seg(3))
    more = t.take()
    assert more[0].seq == seg(3)
    assert len(more) <= 4
    t.inject("A", ack=len(data) + 1)
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("5681", "3.1")
def test_a_second_timeout_for_the_same_segment_does_not_halve_again(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    for _ in range(3):
        t.expect("A", seq=1, within=10 * SECOND, why=Why.RTO)
    assert t.tcb.ssthresh == 5 * MSS


@pytest.mark.rfc("9293", "MUST-20")
@pytest.mark.rfc("9293", "SHLD-10")
@pytest.mark.rfc("9293", "SHLD-11")
def test_a_connection_whose_peer_is_silent_ends_after_r2(tcp):
    t = connected(tcp())
    t.send(b"x")
    t.advance(100 * SECOND)
    assert sum(one.why is Why.RTO for one in t.take()) >= 3
    t.expect_state(State.ESTABLISHED)
    t.advance(1000 * SECOND)
    t.expect_state(State.CLOSED)
    with pytest.raises(TimeoutError):
        t.receive()
    t.take()


def test_r2_counts_from_the_last_progress_and_not_from_idle_time(tcp):
    t = connected(tcp())
    t.advance(10_000 * SECOND)
    t.send(b"x")
    t.expect("PA")
    t.advance(800 * SECOND)
    t.expect_state(State.ESTABLISHED)
    t.take()


# ---- fast retransmit without SACK -----------------------------------------------------------------


@pytest.mark.rfc("5681", "3.2")
@pytest.mark.rfc("6582", "3.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("segments", [4, 5, 10])
def test_the_third_duplicate_ack_repeats_the_lost_segment_at_once(tcp, congestion, segments):
    t = connected(tcp(peer=PLAIN, congestion=congestion))
    data = flight(t, segments)
    t.advance(RTT)
    t.inject("A", ack=1)
    t.inject("A", ack=1)
    t.expect_nothing()
    t.inject("A", ack=1)
    t.expect("A" if segments > 1 else "PA", seq=1, text=data[:MSS], why=Why.FAST_RETRANSMIT)
    t.expect_nothing()


@pytest.mark.rfc("5681", "3.2")
def test_fast_recovery_halves_the_window_and_ends_with_it(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for _ in range(9):
        t.inject("A", ack=1)
    t.expect("A", seq=1)
    t.expect_nothing()
    assert t.tcb.ssthresh == 5 * MSS
    t.inject("A", ack=seg(10))
    assert t.tcb.cwnd == 5 * MSS


@pytest.mark.rfc("5681", "3.2")
def test_in_fast_recovery_each_duplicate_ack_lets_a_new_segment_go_when_enough_have_left(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    t.send(bytes(40 * MSS))
    assert len(t.take()) == 10
    for _ in range(3):
        t.inject("A", ack=1)
    limited = t.take()
    assert [one.seq for one in limited] == [seg(10), seg(11), 1]
    new = 0
    for _ in range(6):
        t.inject("A", ack=1)
        new += len(t.take())
    assert 1 <= new <= 4


@pytest.mark.rfc("6582", "3.2")
def test_a_partial_acknowledgement_repeats_the_next_hole_at_once(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for _ in range(3):
        t.inject("A", ack=1)
    t.expect("A", seq=1, why=Why.FAST_RETRANSMIT)
    t.inject("A", ack=seg(4))
    t.expect("A", seq=seg(4), why=Why.PARTIAL_ACK)
    t.inject("A", ack=seg(7))
    t.expect("A", seq=seg(7), why=Why.PARTIAL_ACK)
    t.inject("A", ack=seg(10))
    t.expect_nothing(10 * SECOND)


@pytest.mark.rfc("6582", "3.2")
@pytest.mark.rfc("6582", "4.1")
def test_duplicate_acks_after_a_timeout_start_no_fast_retransmit(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.expect("A", seq=1, within=SECOND, why=Why.RTO)
    for _ in range(4):
        t.inject("A", ack=1)
    t.expect_nothing()
    assert t.tcb.ssthresh == 5 * MSS


@pytest.mark.rfc("3042", "2")
@pytest.mark.parametrize("sack", [False, True])
def test_the_first_two_duplicate_acks_let_one_new_segment_go_each(tcp, sack):
    t = connected(tcp(peer={"sack": sack}))
    t.send(bytes(20 * MSS))
    assert len(t.take()) == 10
    t.advance(RTT)
    for number in (1, 2):
        block = [(seg(number), seg(number + 1))] if sack else []
        t.inject("A", ack=1, sack=block)
        t.expect("A", seq=seg(9 + number), length=MSS)
        t.expect_nothing()
    assert t.tcb.cwnd == 10 * MSS


@pytest.mark.rfc("5681", "2")
@pytest.mark.parametrize(
    "fields",
    [
        {"text": b"x"},
        {"window": 50_000},
        {"flags": "FA"},
    ],
)
def test_only_a_bare_repetition_is_a_duplicate_acknowledgement(tcp, fields):
    t = connected(tcp(peer=PLAIN))
    flight(t, 5)
    t.inject(fields.pop("flags", "A"), ack=1, **fields)
    assert t.tcb.dupacks == 0
    t.take()
