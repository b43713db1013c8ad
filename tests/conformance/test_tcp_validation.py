"""What cwnd is worth when the application does not use it (RFC 7661, RFC 5681 §4.1)."""

import pytest

from stack.core.tcp.recovery_state import Recovery
from tests.support.endpoint import MS, SECOND

MSS = 1460
RTT = 50 * MS
MINUTE = 60 * SECOND
WINDOWED = ["reno", "cubic"]


def connected(t, cwnd):
    """ESTABLISHED with a window of so many segments, in congestion avoidance."""
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(RTT)
    t.inject("A")
    t.accept()
    t.tcb.cwnd = cwnd * MSS
    t.tcb.ssthresh = cwnd * MSS
    return t


def rounds(t, number, segments, gap=0):
    """So many round trips with so many segments each, `gap` µs apart."""
    for _ in range(number):
        t.send(bytes(segments * MSS))
        t.take()
        t.advance(RTT)
        t.inject("A")
        t.take()
        t.advance(gap)


def keeping(tcp, **settings):
    """A host that keeps its window over pauses as RFC 7661 has it."""
    return tcp(idle_restart=False, **settings)


@pytest.mark.rfc("7661", "4.4")
@pytest.mark.parametrize("congestion", WINDOWED)
def test_a_window_that_is_not_used_does_not_grow(tcp, congestion):
    t = connected(tcp(congestion=congestion), 40)
    rounds(t, 40, 10)
    assert t.tcb.cwnd == 40 * MSS


@pytest.mark.rfc("7661", "4.3")
@pytest.mark.parametrize("congestion", WINDOWED)
def test_little_traffic_leaves_the_window_for_later(tcp, congestion):
    t = connected(keeping(tcp, congestion=congestion), 40)
    rounds(t, 10, 2, gap=10 * SECOND)
    assert t.tcb.cwnd == 40 * MSS
    t.send(bytes(40 * MSS))
    assert len(t.take()) == 40, "it may return to its old rate at once"
    t.inject("A")


@pytest.mark.rfc("5681", "4.1")
def test_by_default_a_pause_brings_the_initial_window_back(tcp):
    t = connected(tcp(), 40)
    rounds(t, 1, 2, gap=10 * SECOND)
    t.send(bytes(40 * MSS))
    assert len(t.take()) == 10
    t.inject("A")
    t.take()
    t.inject("A")
    t.take()
    t.inject("A")


@pytest.mark.rfc("7661", "4.4.3")
@pytest.mark.parametrize("congestion", WINDOWED)
def test_after_five_minutes_without_use_it_is_halved(tcp, congestion):
    t = connected(keeping(tcp, congestion=congestion), 80)
    t.tcb.ssthresh = 20 * MSS
    rounds(t, 3, 2)
    t.advance(4 * MINUTE)
    rounds(t, 1, 1)
    assert t.tcb.cwnd == 80 * MSS
    t.advance(MINUTE)
    rounds(t, 1, 1)
    assert t.tcb.cwnd == 40 * MSS
    assert t.tcb.ssthresh == 60 * MSS


@pytest.mark.rfc("7661", "4.4.3")
def test_every_five_minutes_count_down_to_the_initial_window(tcp):
    t = connected(keeping(tcp, congestion="reno"), 80)
    rounds(t, 3, 2)
    t.advance(60 * MINUTE)
    rounds(t, 1, 1)
    assert t.tcb.cwnd == 10 * MSS


@pytest.mark.rfc("7661", "4.4.3")
def test_steady_use_of_a_small_part_is_no_proof_either(tcp):
    t = connected(tcp(congestion="reno"), 80)
    rounds(t, 5 * 60 * 5 + 30, 2, gap=150 * MS)
    assert t.tcb.cwnd == 40 * MSS


@pytest.mark.rfc("7661", "4.2")
@pytest.mark.rfc("7661", "4.3")
def test_use_of_half_of_it_validates_it(tcp):
    t = connected(keeping(tcp, congestion="reno"), 40)
    t.advance(4 * MINUTE)
    rounds(t, 3, 20)
    t.advance(4 * MINUTE)
    rounds(t, 1, 1)
    assert t.tcb.cwnd == 40 * MSS


@pytest.mark.rfc("7661", "4.4.1")
def test_a_loss_counts_from_what_was_really_in_use(tcp):
    t = connected(keeping(tcp, congestion="reno"), 80)
    rounds(t, 10, 6)
    t.send(bytes(6 * MSS))
    first = t.take()[0].seq
    t.advance(RTT)
    t.inject("A", ack=first, sack=[(first + MSS, first + 5 * MSS)])
    t.take()
    assert t.tcb.recovery == Recovery.FAST
    assert t.tcb.ssthresh == 3 * MSS
    t.advance(RTT)
    t.inject("A", ack=first + 6 * MSS)
    # What had to be sent again counts against it: (6 - 1) / 2 segments.
    assert t.tcb.cwnd == t.tcb.ssthresh == int(2.5 * MSS)


@pytest.mark.rfc("7661", "4.4.1")
def test_what_was_carried_lately_counts_when_less_is_in_flight(tcp):
    """pipeACK is the most of the last round trips, not of this one."""
    t = connected(keeping(tcp, congestion="reno"), 80)
    rounds(t, 5, 12)
    t.send(bytes(5 * MSS))
    first = t.take()[0].seq
    t.advance(RTT)
    t.inject("A", ack=first, sack=[(first + MSS, first + 4 * MSS)])
    t.take()
    assert t.tcb.ssthresh == 6 * MSS
    t.inject("A", ack=first + 5 * MSS)


@pytest.mark.rfc("7661", "4.2")
def test_while_nothing_was_measured_the_window_counts_as_validated(tcp):
    t = connected(tcp(congestion="reno"), 20)
    assert t.tcp.validation.pipe_ack(t.tcb, t.now) is None
    t.send(bytes(20 * MSS))
    first = t.take()[0].seq
    t.advance(RTT)
    t.inject("A", ack=first, sack=[(first + MSS, first + 4 * MSS)])
    t.take()
    assert t.tcb.ssthresh == 10 * MSS
    t.advance(RTT)
    t.inject("A")
    t.take()
    t.inject("A")


def test_bbr_has_a_model_instead(tcp):
    t = connected(tcp(congestion="bbr"), 40)
    rounds(t, 3, 2)
    assert t.tcp.validation.pipe_ack(t.tcb, t.now) is None
