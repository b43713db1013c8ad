"""Delivery-rate samples from single transmissions and acknowledgements."""

import pytest

from stack._native import ffi
from stack.core.tcp.flight import Transmission
from stack.core.tcp.rate import RateSampler
from stack.core.tcp.recovery import Delivery

BBR = "draft-ietf-ccwg-bbr"
MSS = 1000
MS = 1_000


class Sender:
    """A transmission record and a sampler; what is acknowledged leaves the flight."""

    def __init__(self):
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = MSS
        self.tcb.cwnd = 100 * MSS
        self.sampler = RateSampler(self.tcb)
        self.buffered(1 << 20)

    def buffered(self, unsent):
        """So many bytes wait to be sent."""
        self.tcb.snd.length = self.tcb.snd_nxt - self.tcb.snd_una + unsent

    def send(self, now, length=MSS):
        record = Transmission(self.tcb.snd_nxt, self.tcb.snd_nxt + length, now)
        self.tcb.snd_nxt = record.end
        self.sampler.on_sent(record, now)
        return record

    def resend(self, record, now):
        record.retransmitted = True
        record.sent_at = now
        self.tcb.lost -= record.length
        self.sampler.on_sent(record, now)

    def lose(self, record):
        self.tcb.lost += record.length
        self.sampler.on_lost(record)

    def ack(self, now, *records):
        delivery = Delivery(0, now)
        delivery.acked = list(records)
        for record in records:
            rtt = now - record.sent_at
            self.tcb.min_rtt = min(self.tcb.min_rtt or rtt, rtt)
            if record.seq == self.tcb.snd_una:
                self.tcb.snd_una = record.end
            else:
                self.tcb.sacked += record.length
        return self.sampler.sample(delivery)


@pytest.mark.rfc(BBR, "4.1.1.2")
def test_what_arrives_in_a_round_trip_is_the_rate():
    s = Sender()
    records = [s.send(10 * MS + n * MS) for n in range(10)]
    for n in range(9):
        s.ack(110 * MS + n * MS, records[n])
    sample = s.ack(119 * MS, records[9])
    # The flight began at 10 ms; its ACKs ended at 119 ms.
    assert (sample.delivered, sample.acked) == (10 * MSS, MSS)
    assert sample.rate == 10 * MSS * 1000 // 109


@pytest.mark.rfc(BBR, "4.1.1.2")
def test_in_a_running_flow_the_rate_is_that_of_the_acknowledgements():
    """A segment every millisecond, each acknowledged after fifty."""
    s = Sender()
    waiting = []
    for ms in range(300):
        if len(waiting) >= 50:
            sample = s.ack(ms * MS, waiting.pop(0))
        waiting.append(s.send(ms * MS))
    assert sample.rate == 1_000_000
    assert sample.in_flight == 50 * MSS


@pytest.mark.rfc(BBR, "4.1.1.2.2")
def test_acknowledgements_in_a_bunch_show_no_more_than_the_rate_of_sending():
    s = Sender()
    records = [s.send(n * 10 * MS) for n in range(1, 11)]
    s.ack(110 * MS, records[0])
    later = [s.send(110 * MS + n * 10 * MS) for n in range(10)]
    for record in records[1:]:
        s.ack(111 * MS, record)
    sample = s.ack(211 * MS, *later)
    assert sample.rate <= 110_000


@pytest.mark.rfc(BBR, "4.1.2.3")
def test_the_newest_of_the_acknowledged_segments_counts():
    s = Sender()
    first, second = s.send(1 * MS), s.send(3 * MS)
    sample = s.ack(50 * MS, second, first)
    assert sample.in_flight == 2 * MSS
    assert s.sampler.first_sent_at == 3 * MS


@pytest.mark.rfc(BBR, "4.1.2.3")
def test_an_interval_shorter_than_any_round_trip_gives_no_rate():
    s = Sender()
    first, second = s.send(1 * MS), s.send(1 * MS)
    s.ack(51 * MS, first)
    s.lose(second)
    s.resend(second, 55 * MS)
    sample = s.ack(56 * MS, second)  # the original was only late
    s.tcb.min_rtt = 50 * MS
    assert sample.acked == MSS
    s = Sender()
    first, second = s.send(1 * MS), s.send(1 * MS)
    s.ack(51 * MS, first)
    s.lose(second)
    s.resend(second, 55 * MS)
    delivery = Delivery(0, 56 * MS)
    delivery.acked = [second]
    assert s.sampler.sample(delivery).rate == 0


@pytest.mark.rfc(BBR, "4.1.1.3")
@pytest.mark.rfc(BBR, "4.1.2.4")
def test_a_pause_of_the_application_marks_the_next_round_trip():
    s = Sender()
    record = s.send(1 * MS)
    s.buffered(0)
    s.sampler.check_app_limited()
    assert s.sampler.app_limited
    s.buffered(1 << 20)
    limited = s.send(2 * MS)
    s.ack(51 * MS, record)
    assert s.sampler.app_limited, "what left with the gap is still on its way"
    assert s.ack(52 * MS, limited).app_limited
    free = s.send(53 * MS)
    assert not s.sampler.app_limited
    assert not s.ack(103 * MS, free).app_limited


@pytest.mark.rfc(BBR, "4.1.2.4")
@pytest.mark.parametrize("why", ["unsent", "window", "lost"])
def test_who_has_something_to_send_or_may_not_is_not_limited_by_the_application(why):
    s = Sender()
    record = s.send(1 * MS)
    s.buffered(1 if why == "unsent" else 0)
    if why == "window":
        s.tcb.cwnd = MSS
    elif why == "lost":
        s.lose(record)
    s.sampler.check_app_limited()
    assert not s.sampler.app_limited


@pytest.mark.rfc(BBR, "4.1.2.2")
def test_after_silence_the_interval_begins_with_the_sending():
    s = Sender()
    s.ack(60 * MS, s.send(10 * MS))
    record = s.send(10_000 * MS)
    assert s.ack(10_050 * MS, record).rate == MSS * 1000 // 50


def test_losses_are_counted_from_when_the_acknowledged_segment_left():
    s = Sender()
    early = [s.send(1 * MS) for _ in range(5)]
    s.lose(early[0])
    later = s.send(2 * MS)
    s.lose(early[1])
    s.lose(early[2])
    sample = s.ack(52 * MS, later)
    assert sample.lost == 2 * MSS
    assert sample.newly_lost == 3 * MSS
    assert s.ack(53 * MS, early[3]).newly_lost == 0


def test_the_path_rate_leaves_out_what_pacing_held_back():
    s = Sender()
    s.sampler.share = 0.5
    record = s.send(1 * MS)
    sample = s.ack(51 * MS, record)
    assert sample.path_rate == 2 * sample.rate > 0


def test_a_window_algorithm_pays_nothing(tcp):
    from tests.support.states import established

    t = tcp(congestion="cubic")
    established(t)
    t.send(b"x" * 3000)
    t.take()
    assert t.tcp.rate is None
    assert all(record.snapshot is None for record in t.tcp.flight)
    t.inject("A")
