"""Signs that a recovery was needless (RFC 3522, RFC 3708), and what they restore (RFC 4015)."""

from types import SimpleNamespace

import pytest

from stack._native import ffi
from stack.core.tcp.congestion import create
from stack.core.tcp.flight import Flight
from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.undo import Undo

MSS = 1000
MS = 1_000


class Sender:
    """Ten segments in flight, the first of which counts as lost."""

    def __init__(self, *, timestamps=True, congestion="reno"):
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = MSS
        self.tcb.ts_ok = timestamps
        self.tcb.sack_ok = 1
        self.flight = Flight(self.tcb)
        self.congestion = create(congestion, self.tcb, 10)
        self.undo = Undo()
        self.counted = []
        self.changed = []
        self.host = SimpleNamespace(counters=SimpleNamespace(count=self.counted.append))
        for number in range(10):
            self.flight.sent(number * MSS, (number + 1) * MSS, 1 * MS)
        self.tcb.snd_nxt = 10 * MSS
        self.tcb.cwnd = 10 * MSS

    def timestamp(self, now):
        return now // MS

    def cwnd_changed(self, cause, now):
        self.changed.append(cause)

    def enter(self):
        self.undo.remember(self)
        self.tcb.recover = self.tcb.snd_nxt
        self.tcb.recovery = Recovery.FAST
        self.congestion.on_congestion(10 * MSS, 0)
        return self

    def resend(self, number, now):
        record = next(one for one in self.flight if one.seq == number * MSS)
        self.flight.mark_lost(record)
        self.flight.resent(record, now)
        self.undo.on_retransmission(self, record, now)

    def ack(self, upto, *, tsecr=None, dsack=None):
        delivery = Delivery(upto * MSS, 60 * MS)
        delivery.advanced = upto * MSS - self.tcb.snd_una
        delivery.tsecr = tsecr
        delivery.dsack = dsack and (dsack[0] * MSS, dsack[1] * MSS)
        self.flight.acknowledge(upto * MSS)
        self.tcb.snd_una = upto * MSS
        return self.undo.shows_spurious(self, delivery)


# ---- Eifel -------------------------------------------------------------------------------------


@pytest.mark.rfc("3522", "3.2")
def test_an_echo_from_before_the_retransmission_shows_that_the_original_arrived():
    s = Sender().enter()
    s.resend(0, 50 * MS)
    assert s.ack(1, tsecr=1)


@pytest.mark.rfc("3522", "3.2")
@pytest.mark.parametrize("tsecr", [50, 51])
def test_an_echo_of_the_retransmission_shows_that_it_was_needed(tsecr):
    s = Sender().enter()
    s.resend(0, 50 * MS)
    assert not s.ack(1, tsecr=tsecr)
    assert not s.ack(2, tsecr=1), "only the first acknowledgement tells"


@pytest.mark.rfc("3522", "3.2")
def test_an_echo_for_another_segment_tells_nothing():
    """A segment repeated by an earlier recovery is still at the left edge."""
    s = Sender().enter()
    s.resend(3, 50 * MS)
    assert not s.ack(1, tsecr=1)
    assert not s.ack(3, tsecr=1)
    assert s.ack(4, tsecr=1)


@pytest.mark.rfc("3522", "3.2")
def test_one_acknowledgement_over_several_holes_tells_nothing_of_the_later():
    s = Sender().enter()
    s.resend(3, 50 * MS)
    assert not s.ack(5, tsecr=1)
    assert not s.ack(6, tsecr=1)


@pytest.mark.rfc("3522", "3.2")
def test_without_timestamps_nothing_is_concluded_from_them():
    s = Sender(timestamps=False).enter()
    s.resend(0, 50 * MS)
    assert not s.ack(1)


# ---- D-SACK ------------------------------------------------------------------------------------


@pytest.mark.rfc("3708", "3")
def test_a_dsack_for_all_that_was_repeated_shows_a_needless_recovery():
    s = Sender(timestamps=False).enter()
    s.resend(0, 50 * MS)
    s.resend(2, 50 * MS)
    assert not s.ack(10, dsack=(0, 1))
    assert s.ack(10, dsack=(2, 3))


@pytest.mark.rfc("3708", "3")
def test_one_needed_retransmission_makes_the_recovery_genuine():
    s = Sender(timestamps=False).enter()
    for number in range(3):
        s.resend(number, 50 * MS)
    assert not s.ack(10, dsack=(0, 1))
    assert not s.ack(10, dsack=(2, 3))


@pytest.mark.rfc("3708", "3")
@pytest.mark.parametrize("block", [(-1, 0), (10, 11), (9, 11)])
def test_a_dsack_for_something_else_counts_for_nothing(block):
    s = Sender(timestamps=False).enter()
    s.resend(0, 50 * MS)
    left, right = ((edge * MSS) % (1 << 32) // MSS for edge in block)
    assert not s.ack(10, dsack=(left, right))


@pytest.mark.rfc("3708", "3")
def test_without_a_recovery_a_dsack_restores_nothing():
    s = Sender()
    s.resend(9, 50 * MS)  # a tail loss probe
    assert not s.ack(10, dsack=(9, 10))


# ---- the response ------------------------------------------------------------------------------


@pytest.mark.rfc("4015", "3.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_the_window_and_the_threshold_come_back(congestion):
    s = Sender(congestion=congestion)
    before = s.tcb.cwnd, s.tcb.ssthresh
    s.enter()
    s.resend(0, 50 * MS)
    s.flight.mark_lost(s.flight.last())
    s.undo.revert(s, 60 * MS)
    assert (s.tcb.cwnd, s.tcb.ssthresh) == before
    assert (s.tcb.recovery, s.tcb.lost) == (Recovery.OPEN, 0)
    assert s.counted == ["TCPFullUndo"]
    assert s.changed


@pytest.mark.rfc("4015", "3.2")
def test_a_recovery_is_undone_once():
    s = Sender().enter()
    s.resend(0, 50 * MS)
    s.undo.revert(s, 60 * MS)
    assert not s.ack(1, tsecr=1)


@pytest.mark.rfc("9438", "4.9")
def test_cubic_goes_on_along_its_old_curve():
    s = Sender(congestion="cubic")
    s.congestion.on_congestion(100 * MSS, 0)
    s.tcb.cwnd = 90 * MSS
    s.enter()
    curve = s.congestion._before
    s.undo.revert(s, 60 * MS)
    now = s.congestion._w_max, s.congestion._k, s.congestion._epoch
    assert now == curve[:3]
