"""F-RTO on scripted acknowledgements (RFC 5682 §3.1): was the timeout spurious?"""

from types import SimpleNamespace

import pytest

from stack._native import ffi
from stack.core.tcp.flight import Flight
from stack.core.tcp.frto import ForwardRto
from stack.core.tcp.recovery import Delivery
from stack.core.tcp.recovery_state import Recovery

MSS = 1000


class Sender:
    """Ten segments in flight; the timer has run out and the first is sent again."""

    def __init__(self, *, sack=True, recovery=Recovery.OPEN, backoff=0):
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = MSS
        self.tcb.sack_ok = sack
        self.tcb.recovery = recovery
        self.tcb.backoff = backoff
        self.flight = Flight(self.tcb)
        self.frto = ForwardRto()
        self.send(10)
        self.frto.begin(SimpleNamespace(tcb=self.tcb))
        self.tcb.recovery = Recovery.LOSS
        self.tcb.recover = self.tcb.snd_nxt
        self.tcb.cwnd = MSS
        for record in self.flight:
            self.flight.mark_lost(record)
        self.flight.resent(self.flight.first(), 2)

    def send(self, segments):
        for _ in range(segments):
            seq = self.tcb.snd_nxt
            self.flight.sent(seq, seq + MSS, 1)
            self.tcb.snd_nxt = seq + MSS

    def ack(self, upto, *sacks, duplicate=False):
        """An acknowledgement of so many segments, with SACK blocks counted in segments."""
        delivery = Delivery(upto * MSS, 3)
        delivery.advanced = upto * MSS - self.tcb.snd_una
        if delivery.advanced:
            gone = self.flight.acknowledge(upto * MSS)
            delivery.acked = [record for record in gone if not record.sacked]
            self.tcb.snd_una = upto * MSS
        for left, right in sacks:
            delivery.sacked += self.flight.sack(left * MSS, right * MSS)
        delivery.duplicate = duplicate or (not delivery.advanced and bool(sacks))
        self.tcb.cwnd += delivery.advanced
        return self.frto.shows_spurious(SimpleNamespace(tcb=self.tcb), delivery)


@pytest.mark.rfc("5682", "3.1")
def test_two_new_acknowledgements_of_what_was_sent_once_show_a_spurious_timeout():
    s = Sender()
    assert not s.ack(1)
    assert s.frto.holds_retransmissions
    s.send(2)
    assert s.ack(2)
    assert not s.frto.holds_retransmissions


@pytest.mark.rfc("5682", "3.1")
def test_a_sack_of_old_data_shows_it_too():
    """The second acknowledgement may tell of reordering, but of old segments."""
    s = Sender()
    s.ack(1)
    s.send(2)
    assert s.ack(1, (3, 4))


@pytest.mark.rfc("5682", "3.1")
def test_a_sack_of_only_new_data_shows_that_the_flight_was_lost():
    s = Sender()
    s.ack(1)
    s.send(2)
    s.tcb.cwnd = 8 * MSS
    assert not s.ack(1, (10, 11))
    assert not s.frto.holds_retransmissions
    assert s.tcb.cwnd == 3 * MSS


@pytest.mark.rfc("5682", "3.1")
def test_old_data_together_with_new_data_proves_nothing():
    s = Sender()
    s.ack(1)
    s.send(2)
    assert not s.ack(1, (3, 4), (10, 11))


@pytest.mark.rfc("5682", "3.1")
def test_a_duplicate_that_delivers_nothing_ends_the_algorithm():
    s = Sender()
    s.ack(1)
    s.send(2)
    assert not s.ack(1, duplicate=True)
    assert not s.frto.holds_retransmissions
    assert not s.ack(2), "the verdict has been given"


@pytest.mark.rfc("5682", "3.1")
def test_other_segments_are_ignored_while_the_second_acknowledgement_is_awaited():
    s = Sender()
    s.ack(1)
    s.send(2)
    assert not s.ack(1)  # a window update, say
    assert s.frto.holds_retransmissions
    assert s.ack(2)


@pytest.mark.rfc("5682", "3.1")
def test_sacks_before_the_first_acknowledgement_change_nothing():
    s = Sender()
    assert not s.ack(0, (4, 6))
    assert not s.ack(1)
    assert s.frto.holds_retransmissions
    s.send(2)
    assert s.ack(2)


@pytest.mark.rfc("5682", "3.1")
def test_an_acknowledgement_of_everything_tells_nothing():
    s = Sender()
    s.tcb.cwnd = 5 * MSS
    assert not s.ack(10)
    assert not s.frto.holds_retransmissions
    assert s.tcb.cwnd == 2 * MSS


@pytest.mark.rfc("5682", "3.1")
def test_two_new_segments_may_leave_and_no_more():
    s = Sender()
    s.ack(1)
    assert s.frto.room(s.tcb) == 2 * MSS
    s.send(1)
    assert s.frto.room(s.tcb) == MSS
    s.send(1)
    assert s.frto.room(s.tcb) == 0


@pytest.mark.rfc("5682", "3.1")
@pytest.mark.parametrize(
    "settings",
    [{"sack": False}, {"recovery": Recovery.FAST}, {"recovery": Recovery.LOSS}, {"backoff": 1}],
)
def test_only_the_first_timeout_of_an_undisturbed_flight_is_judged(settings):
    s = Sender(**settings)
    assert not s.ack(1)
    assert not s.frto.holds_retransmissions
    assert not s.ack(2)


@pytest.mark.rfc("5682", "3.1")
def test_without_new_data_the_timeout_counts_as_genuine():
    s = Sender()
    s.ack(1)
    s.frto.stop()
    assert not s.frto.holds_retransmissions
    assert not s.ack(2)


@pytest.mark.rfc("5682", "3.1")
def test_an_acknowledgement_of_what_sack_had_reported_ends_the_question():
    """It brings no news, and none will come: waiting would hold all data back for ever."""
    s = Sender()
    s.ack(0, (1, 10))
    s.ack(1)
    assert s.frto.holds_retransmissions
    assert not s.ack(10)
    assert not s.frto.holds_retransmissions
