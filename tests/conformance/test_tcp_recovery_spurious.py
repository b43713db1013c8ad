"""Recoveries that were not needed: late segments tell by echoed timestamps, D-SACKs and F-RTO."""

import pytest

from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND

RTT = 50 * MS
PLAIN = {"ts": False}
STAMPED = {"ts": True}


def connected(t):
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(RTT)
    t.inject("A")
    t.accept()
    return t


def flight(t, segments):
    """So many full segments leave; returns what they say their time is."""
    t.send(bytes(segments * t.tcb.snd_mss))
    sent = t.take()
    assert len(sent) == segments
    return sent[0].tsval


def seg(t, number):
    return 1 + number * t.tcb.snd_mss


def open_again(t, cwnd, ssthresh):
    """The recovery has left no trace."""
    assert t.tcb.recovery == Recovery.OPEN
    assert t.tcb.ssthresh == ssthresh
    assert t.tcb.cwnd >= cwnd
    assert t.tcb.lost == 0


# ---- fast retransmit ---------------------------------------------------------------------------


def retransmitted(t, segments=10):
    """The first of ten segments counts as lost and has been repeated."""
    stamp = flight(t, segments)
    before = t.tcb.cwnd, t.tcb.ssthresh
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(t, 1), seg(t, 4))], tsecr=stamp)
    t.expect("A", seq=1, why=Why.RACK_LOST)
    t.take()
    assert t.tcb.recovery == Recovery.FAST
    assert t.tcb.ssthresh < before[0]
    return stamp, before


@pytest.mark.rfc("3522", "3.2")
@pytest.mark.rfc("4015", "3.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr"])
def test_an_old_echo_undoes_a_fast_retransmit(tcp, congestion):
    t = connected(tcp(congestion=congestion, peer=STAMPED))
    if congestion == "bbr":
        t.tcb.cwnd = 20 * t.tcb.snd_mss
        t.tcp.pacer.ask(0)
        t.tcp.congestion.pacing_rate = 0
    stamp = flight(t, 10)
    before = t.tcb.cwnd, t.tcb.ssthresh
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(t, 1), seg(t, 4))], tsecr=stamp)
    t.expect("A", seq=1, within=RTT, why=Why.RACK_LOST)
    t.take()
    t.advance(5 * MS)
    t.inject("A", ack=seg(t, 4), tsecr=stamp)
    open_again(t, *before)
    assert t.host.counters["TCPFullUndo"] == 1


@pytest.mark.rfc("3522", "3.2")
def test_a_new_echo_lets_the_recovery_go_on(tcp):
    t = connected(tcp(peer=STAMPED))
    _, before = retransmitted(t)
    t.advance(RTT)
    t.inject("A", ack=seg(t, 4))
    assert t.tcb.recovery == Recovery.FAST
    t.advance(RTT)
    t.inject("A", ack=seg(t, 10))
    t.take()
    assert t.tcb.recovery == Recovery.OPEN
    assert t.tcb.cwnd < before[0]
    assert t.host.counters["TCPFullUndo"] == 0


@pytest.mark.rfc("2883", "5")
@pytest.mark.rfc("3708", "3")
@pytest.mark.rfc("4015", "3.2")
@pytest.mark.parametrize("peer", [PLAIN, STAMPED])
def test_dsacks_for_everything_repeated_undo_a_recovery(tcp, peer):
    t = connected(tcp(peer=peer))
    _, before = retransmitted(t)
    t.advance(RTT)
    t.inject("A", ack=seg(t, 10))
    assert t.tcb.recovery == Recovery.OPEN
    assert t.tcb.cwnd < before[0]
    t.inject("A", ack=seg(t, 10), sack=[(1, seg(t, 1))])
    open_again(t, *before)


@pytest.mark.rfc("3708", "3")
def test_a_dsack_for_one_of_two_undoes_nothing(tcp):
    t = connected(tcp(peer=PLAIN))
    flight(t, 10)
    cwnd = t.tcb.cwnd
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(t, 2), seg(t, 6))])
    t.expect("A", seq=1)
    t.advance(10 * MS)
    t.inject("A", ack=1, sack=[(seg(t, 2), seg(t, 8))])
    t.expect("A", seq=seg(t, 1))
    t.advance(RTT)
    t.inject("A", ack=seg(t, 10), sack=[(1, seg(t, 1))])
    assert t.tcb.cwnd < cwnd
    assert t.host.counters["TCPFullUndo"] == 0


@pytest.mark.rfc("8985", "6.2")
def test_reordering_that_undoes_a_recovery_does_not_start_the_next(tcp):
    """The same late segments must not be found lost again with the next acknowledgement."""
    t = connected(tcp(peer=STAMPED))
    stamp = flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(t, 2), seg(t, 6))], tsecr=stamp)
    t.take()
    t.advance(2 * MS)
    t.inject("A", ack=seg(t, 1), sack=[(seg(t, 2), seg(t, 6))], tsecr=stamp)
    assert t.host.counters["TCPFullUndo"] == 1
    t.advance(MS)
    t.inject("A", ack=seg(t, 6), tsecr=stamp)
    t.inject("A", ack=seg(t, 10), tsecr=stamp)
    assert t.tcb.recovery == Recovery.OPEN
    t.take()


# ---- timeouts ----------------------------------------------------------------------------------


def timed_out(t, segments=10):
    """Nothing was heard of a flight, and its first segment has been repeated."""
    stamp = flight(t, segments)
    before = t.tcb.cwnd, t.tcb.ssthresh
    while t.expect(within=5 * SECOND).why is not Why.RTO:
        pass
    assert t.tcb.recovery == Recovery.LOSS
    assert t.tcb.cwnd == t.tcb.snd_mss
    return stamp, before


@pytest.mark.rfc("3522", "3.2")
@pytest.mark.rfc("4015", "3.2")
def test_an_old_echo_undoes_a_timeout_at_its_first_acknowledgement(tcp):
    t = connected(tcp(peer=STAMPED))
    stamp, before = timed_out(t)
    t.inject("A", ack=seg(t, 1), tsecr=stamp)
    open_again(t, *before)
    t.expect_nothing()


@pytest.mark.rfc("5682", "3.1")
def test_without_timestamps_two_new_segments_ask_whether_the_flight_was_late(tcp):
    t = connected(tcp(peer=PLAIN))
    _, before = timed_out(t)
    end = t.our_number(t.tcb.snd_nxt)
    t.send(bytes(4 * t.tcb.snd_mss))
    t.expect_nothing()
    t.advance(20 * MS)
    t.inject("A", ack=seg(t, 1))
    new = t.take()
    assert [one.seq for one in new] == [end, end + t.tcb.snd_mss]
    assert all(one.why in (Why.DATA, Why.DATA_PUSHED) for one in new)
    t.inject("A", ack=seg(t, 2))
    open_again(t, *before)
    assert t.host.counters["TCPFullUndo"] == 1
    t.take()


@pytest.mark.rfc("5682", "3.1")
def test_what_else_undoes_a_timeout_ends_the_question(tcp):
    """Else the limit of two new segments would hold for ever."""
    t = connected(tcp(peer=PLAIN))
    timed_out(t)
    t.send(bytes(4 * t.tcb.snd_mss))
    t.inject("A", ack=seg(t, 1))
    t.inject("A", ack=seg(t, 1), sack=[(1, seg(t, 1))])
    assert t.tcb.recovery == Recovery.OPEN
    assert t.host.counters["TCPFullUndo"] == 1
    t.take()
    t.inject("A")
    t.take()
    t.inject("A")
    t.send(bytes(5000))
    assert sum(one.length for one in t.take()) == 5000


@pytest.mark.rfc("5682", "3.1")
def test_when_only_the_new_segments_arrive_the_flight_is_repeated(tcp):
    t = connected(tcp(peer=PLAIN))
    timed_out(t)
    end = t.our_number(t.tcb.snd_nxt)
    t.send(bytes(4 * t.tcb.snd_mss))
    t.advance(20 * MS)
    t.inject("A", ack=seg(t, 1))
    new = t.take()
    assert len(new) == 2
    t.advance(RTT)
    t.inject("A", ack=seg(t, 1), sack=[(end, new[-1].end)])
    again = t.take()
    assert again[0].seq == seg(t, 1), "the second segment, sent once so far, is lost"
    assert all(one.seq < end for one in again)
    assert t.tcb.recovery == Recovery.LOSS
    assert t.host.counters["TCPFullUndo"] == 0


@pytest.mark.rfc("5682", "3.1")
def test_without_new_data_the_rest_is_repeated_at_once(tcp):
    t = connected(tcp(peer=PLAIN))
    timed_out(t)
    t.advance(20 * MS)
    t.inject("A", ack=seg(t, 1))
    assert [one.seq for one in t.take()] == [seg(t, 1), seg(t, 2)]


@pytest.mark.rfc("5682", "3.1")
def test_an_acknowledgement_of_everything_ends_the_recovery_with_a_small_window(tcp):
    t = connected(tcp(peer=PLAIN))
    timed_out(t)
    t.inject("A")
    assert t.tcb.recovery == Recovery.OPEN
    assert t.tcb.lost == 0


@pytest.mark.rfc("5682", "3.1")
def test_the_second_timeout_of_a_flight_is_never_taken_for_spurious(tcp):
    t = connected(tcp(peer=PLAIN))
    timed_out(t)
    t.expect(seq=1, within=5 * SECOND, why=Why.RTO)
    t.send(bytes(4 * t.tcb.snd_mss))
    t.inject("A", ack=seg(t, 1))
    t.take()
    t.inject("A", ack=seg(t, 2))
    assert t.tcb.recovery == Recovery.LOSS
    t.take()


@pytest.mark.rfc("5682", "2.1")
def test_without_sack_a_timeout_is_taken_at_its_word(tcp):
    t = connected(tcp(peer={"ts": False, "sack": False}))
    timed_out(t)
    t.send(bytes(4 * t.tcb.snd_mss))
    t.inject("A", ack=seg(t, 1))
    assert [one.seq for one in t.take()] == [seg(t, 1), seg(t, 2)]


@pytest.mark.rfc("6298", "5.7")
def test_recovery_from_a_timeout_grows_though_nothing_new_waits(tcp):
    """What counts as lost fills the window, also when the application has no more."""
    t = connected(tcp(peer=PLAIN))
    t.tcb.cwnd = 100 * t.tcb.snd_mss
    timed_out(t, 40)
    acked = 0
    for segments in (1, 2, 4, 8, 16):
        t.advance(RTT)
        acked += segments
        t.inject("A", ack=seg(t, acked))
        assert len(t.take()) == min(2 * segments, 40 - acked)


@pytest.mark.rfc("5681", "3.1")
def test_what_sack_reported_before_does_not_open_the_window_again(tcp):
    """After a timeout snd_una leaps over nine segments of which one was news."""
    t = connected(tcp(peer=PLAIN))
    flight(t, 10)
    t.inject("A", ack=1, sack=[(seg(t, 1), seg(t, 9))])
    t.take()
    while t.tcb.recovery != Recovery.LOSS:
        t.expect(within=5 * SECOND)
    t.take()
    cwnd = t.tcb.cwnd
    t.inject("A", ack=seg(t, 9))
    assert t.tcb.cwnd <= cwnd + 2 * t.tcb.snd_mss
    t.take()
