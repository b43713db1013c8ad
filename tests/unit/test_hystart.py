"""HyStart++ leaves slow start when the delay rises, and only then (RFC 9406)."""

import random

import pytest

from stack._native import ffi
from stack.core.tcp.congestion import create
from stack.core.tcp.congestion.base import INFINITE, Sample
from stack.core.tcp.congestion.hystart import (
    CSS_GROWTH_DIVISOR,
    CSS_ROUNDS,
    N_RTT_SAMPLE,
    HyStart,
)

MSS = 1000
MS = 1_000


class SlowStart:
    """Rounds of acknowledgements, one for each segment, with the RTTs that are given."""

    def __init__(self):
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_mss = MSS
        self.control = create("cubic", self.tcb, 10)
        self.tcb.srtt = 40 * MS
        self.now = 1_000 * MS

    def round(self, rtts):
        """Acknowledges a round of len(rtts) segments; returns by how much cwnd grew."""
        tcb = self.tcb
        before = tcb.cwnd
        tcb.snd_nxt = tcb.snd_una + len(rtts) * MSS
        for rtt in rtts:
            self.now += MS
            tcb.snd_una += MSS
            tcb.snd_nxt += MSS  # the window slides on
            self.control.on_ack(Sample(MSS, True, tcb.cwnd, rtt, self.now))
        tcb.snd_nxt = tcb.snd_una
        return tcb.cwnd - before

    @property
    def over(self):
        return self.tcb.ssthresh != INFINITE


@pytest.mark.rfc("9406", "4.2")
def test_a_rising_delay_slows_growth_and_then_ends_slow_start():
    s = SlowStart()
    assert s.round([40 * MS] * 20) == 20 * MSS
    s.round([46 * MS] * 20)
    rounds = 0
    while not s.over:
        grown = s.round([47 * MS] * 20)
        rounds += 1
        if not s.over:
            assert grown == 20 * MSS // CSS_GROWTH_DIVISOR
    # The round in which the delay rose counts, too.
    assert rounds == CSS_ROUNDS
    assert s.tcb.ssthresh <= s.tcb.cwnd


@pytest.mark.rfc("9406", "4.2")
@pytest.mark.parametrize("seed", range(5))
def test_jitter_does_not_end_it(seed):
    """The smallest of a round counts, and some of many segments always get through fast."""
    chance = random.Random(seed)
    s = SlowStart()
    for _ in range(8):
        rtts = [40 * MS + int(chance.expovariate(1 / (10 * MS))) for _ in range(60)]
        assert s.round(rtts) == 60 * MSS
    assert not s.over


@pytest.mark.rfc("9406", "4.2")
def test_a_rise_that_passes_lets_slow_start_go_on():
    s = SlowStart()
    s.round([40 * MS] * 20)
    s.round([50 * MS] * 20)
    assert s.round([50 * MS] * 20) == 20 * MSS // CSS_GROWTH_DIVISOR
    s.round([41 * MS] * 20)
    assert s.round([41 * MS] * 20) == 20 * MSS
    assert not s.over


@pytest.mark.rfc("9406", "4.2")
@pytest.mark.parametrize(
    ("rtt", "rise", "leaves"),
    [
        (40, 5, True),  # an eighth of the RTT
        (40, 4, False),
        (10, 4, True),  # at least 4 ms
        (10, 3, False),
        (400, 16, True),  # at most 16 ms
        (400, 15, False),
    ],
)
def test_the_threshold_is_an_eighth_within_bounds(rtt, rise, leaves):
    s = SlowStart()
    s.round([rtt * MS] * 20)
    s.round([(rtt + rise) * MS] * 20)
    grown = s.round([(rtt + rise) * MS] * 20)
    assert (grown < 20 * MSS) == leaves


@pytest.mark.rfc("9406", "4.2")
def test_too_few_samples_in_a_round_decide_nothing():
    s = SlowStart()
    s.round([40 * MS] * (N_RTT_SAMPLE - 1))
    for _ in range(3):
        assert s.round([80 * MS] * (N_RTT_SAMPLE - 1)) == (N_RTT_SAMPLE - 1) * MSS
    assert not s.over


@pytest.mark.rfc("9406", "4.2")
def test_after_a_loss_slow_start_goes_to_the_threshold_without_it():
    s = SlowStart()
    s.control.on_congestion(100 * MSS, s.now)
    s.control.on_timeout(100 * MSS, s.now)
    s.tcb.ssthresh = 100 * MSS
    s.round([40 * MS] * 20)
    s.round([80 * MS] * 20)
    assert s.round([80 * MS] * 20) == 20 * MSS


def test_an_acknowledgement_without_a_round_trip_time_counts_for_nothing():
    tcb = ffi.new("struct tcb *")
    tcb.snd_nxt = 100
    hystart = HyStart()
    for _ in range(50):
        assert not hystart.on_ack(tcb, 0)
    assert hystart.growth(1000) == 1000
