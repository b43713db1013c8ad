"""The arithmetic of proportional rate reduction (RFC 9937)."""

import pytest

from stack._native import ffi
from stack.core.tcp.prr import ProportionalRateReduction

MSS = 1000


class Recovery:
    """`flight` segments with the first lost; each ACK delivers one."""

    def __init__(self, flight, ssthresh, lost=1):
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = MSS
        self.tcb.ssthresh = ssthresh * MSS
        self.prr = ProportionalRateReduction()
        self.pipe = (flight - lost - 3) * MSS  # three are SACKed when the loss shows
        self.prr.begin(self.tcb, self.pipe, (flight - 2) * MSS)

    def ack(self, delivered=1, *, safe=True, segments=None):
        """An ACK comes; returns how many segments leave, all that may or `segments`."""
        self.pipe -= delivered * MSS
        self.prr.on_ack(self.tcb, self.pipe, delivered * MSS, safe=safe)
        room = max(self.tcb.cwnd - self.pipe, 0) // MSS
        sent = room if segments is None else min(room, segments)
        for _ in range(sent):
            self.prr.on_sent(MSS)
        self.pipe += sent * MSS
        return sent


@pytest.mark.rfc("9937", "6.2")
@pytest.mark.parametrize(("flight", "ssthresh"), [(20, 10), (20, 14), (100, 70)])
def test_while_the_pipe_is_above_the_target_segments_leave_in_proportion(flight, ssthresh):
    r = Recovery(flight, ssthresh)
    r.pipe += MSS  # the ACK that showed the loss delivers its segment now
    sent = delivered = 0
    while r.pipe - MSS > r.tcb.ssthresh:
        sent += r.ack()
        delivered += 1
        share = delivered * ssthresh / (flight - 2)
        assert share - 1 <= sent <= max(share + 1, 1)


@pytest.mark.rfc("9937", "6.2")
@pytest.mark.parametrize(("flight", "ssthresh"), [(20, 10), (20, 14), (100, 70), (10, 5)])
def test_at_the_end_the_target_is_in_flight(flight, ssthresh):
    r = Recovery(flight, ssthresh)
    r.pipe += MSS
    for _ in range(flight - 3):
        r.ack()
    assert r.pipe == r.tcb.ssthresh


@pytest.mark.rfc("9937", "6.2")
def test_the_first_retransmission_leaves_at_once():
    r = Recovery(20, 10)
    r.pipe += MSS
    assert r.ack() == 1


@pytest.mark.rfc("9937", "6.2")
def test_a_loss_that_a_timer_shows_lets_one_segment_go():
    r = Recovery(20, 10)
    assert r.tcb.cwnd == r.pipe + MSS


@pytest.mark.rfc("9937", "6.2")
def test_an_acknowledgement_that_delivers_nothing_gives_no_leave():
    r = Recovery(20, 10)
    before = r.tcb.cwnd
    r.prr.on_ack(r.tcb, r.pipe, 0, safe=False)
    assert r.tcb.cwnd == before


@pytest.mark.rfc("9937", "6.2")
def test_below_the_target_as_much_leaves_as_arrives_while_losses_still_show():
    """PRR-CRB: many losses have emptied the pipe; conservation of packets."""
    r = Recovery(20, 10, lost=14)
    assert r.pipe < r.tcb.ssthresh
    assert [r.ack(safe=False) for _ in range(3)] == [1, 1, 1]


@pytest.mark.rfc("9937", "6.2")
def test_below_the_target_good_progress_lets_one_more_go():
    """PRR-SSRB: snd_una moves, and no more losses show."""
    r = Recovery(20, 10, lost=14)
    assert [r.ack(safe=True) for _ in range(3)] == [2, 2, 2]


@pytest.mark.rfc("9937", "6.2")
def test_what_was_not_used_may_leave_later():
    r = Recovery(20, 10, lost=14)
    r.ack(safe=False, segments=0)
    r.ack(safe=False, segments=0)
    assert r.ack(safe=False) == 3


@pytest.mark.rfc("9937", "6.2")
def test_no_more_leaves_than_fills_the_target():
    r = Recovery(20, 10, lost=8)
    for _ in range(20):
        r.ack(safe=True)
        assert r.pipe <= r.tcb.ssthresh


@pytest.mark.rfc("9937", "6.2")
def test_the_share_is_rounded_up_to_a_byte():
    r = Recovery(30, 10)
    r.prr.on_sent(1)
    r.prr.on_ack(r.tcb, r.pipe, 7, safe=True)
    assert r.tcb.cwnd - r.pipe == 2  # 7 × 10 / 28, less the byte that has left


@pytest.mark.rfc("9937", "6.2")
@pytest.mark.parametrize(("before", "leave"), [(20, 1), (25, 2), (30, 3)])
def test_what_acknowledgements_of_the_same_batch_delivered_counts(before, leave):
    """Of `before` segments all but the last 20 were acknowledged since data could leave."""
    r = Recovery(20, 10)
    r.tcb.flight_before = before * MSS
    r.prr.begin(r.tcb, 19 * MSS, 20 * MSS)
    r.pipe = 19 * MSS
    assert r.ack() == leave
