"""BBR before a bottleneck: the test cases of the draft's appendix A, and what lies between."""

import random

import pytest

from stack.core.tcp.congestion.bbr import HEADROOM, PACING_MARGIN, PROBE_RTT_DURATION
from stack.core.tcp.congestion.bbr_model import (
    LOSS_THRESHOLD,
    PROBE_RTT_INTERVAL,
    in_flight_at_loss,
)
from stack.core.tcp.congestion.bbr_phases import PROBE_BW, Phase
from stack.core.tcp.recovery_state import Recovery
from tests.support.bottleneck import MSS, SECOND, Bottleneck

BBR = "draft-ietf-ccwg-bbr"
MS = 1_000
RATE = 1_000_000  # bytes a second
RTT = 50 * MS
BDP = 50 * MSS


def made(**settings):
    return Bottleneck(**{"rate": RATE, "rtt": RTT, **settings})


def reach(path, phase, seconds=20.0):
    path.run_until(lambda: path.control.phase is phase, seconds)
    return path


def phases(path, seconds):
    """The phases that follow within so many seconds, with their lengths in µs."""
    seen = [[path.control.phase, path.now]]
    for _ in path.steps(seconds):
        if path.control.phase is not seen[-1][0]:
            seen.append([path.control.phase, path.now])
    ends = [*(begin for _, begin in seen[1:]), path.now]
    return [(phase, end - begin) for (phase, begin), end in zip(seen, ends, strict=True)]


# ---- Startup and Drain -------------------------------------------------------------------------


@pytest.mark.rfc(BBR, "5.6.2")
def test_the_initial_window_is_paced_over_a_round_trip():
    path = made()
    assert path.control.pacing_rate == int(2.77 * 10 * MSS * SECOND / RTT)
    path.tcb.srtt = 0
    path.control.on_mss()
    assert path.control.pacing_rate == int(2.77 * 10 * MSS * 1000)


@pytest.mark.rfc(BBR, "5.3.1.1")
def test_startup_doubles_the_rate_each_round_trip():
    path = made(rate=100_000_000)
    rates = {}
    path.run_until(lambda: path.control.model.rounds == 8)
    path = made(rate=100_000_000)
    for _ in path.steps(1.0):
        rates.setdefault(path.control.model.rounds, path.control.model.max_bw)
        if path.control.model.rounds == 8:
            break
    for earlier, later in zip(range(4, 7), range(5, 8), strict=True):
        assert 1.7 < rates[later] / rates[earlier] < 2.8


@pytest.mark.rfc(BBR, "5.3.1.2")
@pytest.mark.rfc(BBR, "A.1")
def test_startup_ends_when_the_rate_grows_no_more_for_three_round_trips():
    path = reach(made(), Phase.DRAIN)
    model = path.control.model
    assert model.max_bw == pytest.approx(RATE, rel=0.02)
    assert model.full_bw_reached and model.full_bw_now
    assert model.rounds < 12
    assert path.dropped == 0


@pytest.mark.rfc(BBR, "5.3.1.3")
@pytest.mark.rfc(BBR, "A.2")
def test_high_loss_ends_startup_even_when_the_application_is_the_limit():
    chance = random.Random(1)
    path = made(rate=100 * RATE, lost=lambda number: number > 400 and chance.random() < 0.1)
    path.unsent = 0
    for _ in range(200):
        path.write(60 * MSS)
        path.run(RTT / SECOND / 2)
        if path.control.phase is not Phase.STARTUP:
            break
    assert path.control.model.full_bw_reached
    assert path.control.model.has_longterm


@pytest.mark.rfc(BBR, "5.3.1.3")
def test_a_few_losses_do_not_end_startup():
    path = made(rate=10 * RATE, lost=lambda number: number in (100, 200, 300))
    path.run_until(lambda: path.control.model.max_bw > 5 * RATE)
    assert path.control.phase is Phase.STARTUP


@pytest.mark.rfc(BBR, "5.3.1.3")
def test_without_sack_any_loss_ends_startup():
    path = made(rate=10 * RATE, sack=False, lost=lambda number: number == 100)
    path.run_until(lambda: path.control.phase is not Phase.STARTUP)
    assert path.control.model.max_bw < 5 * RATE


@pytest.mark.rfc(BBR, "5.3.2")
@pytest.mark.rfc(BBR, "A.3")
def test_drain_sends_at_half_the_rate_until_the_queue_is_empty():
    path = reach(made(), Phase.DRAIN)
    assert path.queued > BDP / 2
    path.run(0.001)
    assert path.control.pacing_rate == pytest.approx(RATE / 2 * PACING_MARGIN, rel=0.02)
    reach(path, Phase.CRUISE, 0.5)
    assert path.queued <= 2 * MSS
    assert path.in_flight <= path.control.model.bdp + MSS


@pytest.mark.rfc(BBR, "5.3.2")
@pytest.mark.rfc(BBR, "A.4")
def test_drain_ends_after_three_round_trips_whatever_is_in_flight():
    path = made()
    path.run_until(lambda: path.control.model.max_bw > 0.98 * RATE)
    path.rate = RATE // 4  # the queue cannot be drained at half of the old rate
    reach(path, Phase.DRAIN)
    began = path.control.model.rounds
    reach(path, Phase.DOWN, 2.0)
    assert path.control.model.rounds - began == 4
    assert path.in_flight > BDP


# ---- ProbeBW -----------------------------------------------------------------------------------


@pytest.mark.rfc(BBR, "5.3.3")
def test_the_phases_of_probing_follow_each_other():
    path = reach(made(), Phase.CRUISE)
    order = [phase for phase, _ in phases(path, 4.0)]
    assert order[:5] == [Phase.CRUISE, Phase.REFILL, Phase.UP, Phase.DOWN, Phase.CRUISE]


@pytest.mark.rfc(BBR, "5.6.1")
@pytest.mark.parametrize("phase", [Phase.CRUISE, Phase.REFILL, Phase.UP, Phase.DOWN])
def test_each_phase_has_its_gain(phase):
    path = reach(made(), phase)
    path.run(0.002)
    if path.control.phase is phase:
        wanted = phase.pacing_gain * path.control.model.bw * PACING_MARGIN
        assert path.control.pacing_rate == pytest.approx(wanted, rel=0.001)
    assert (Phase.DOWN.pacing_gain, Phase.UP.pacing_gain) == (0.9, 1.25)
    assert Phase.UP.cwnd_gain == 2.25


@pytest.mark.rfc(BBR, "5.3.3.2")
def test_cruising_fills_the_path_without_a_queue():
    path = reach(made(), Phase.CRUISE)
    before = path.arrived
    path.run(1.0)
    assert path.arrived - before >= 0.98 * RATE
    assert path.queued <= 2 * MSS


@pytest.mark.rfc(BBR, "5.3.3.3")
def test_refill_takes_one_round_trip():
    path = reach(made(), Phase.REFILL)
    (_, took), (following, _) = phases(path, 0.12)[:2]
    assert following is Phase.UP
    assert RTT <= took <= 1.2 * RTT


@pytest.mark.rfc(BBR, "5.3.3.5")
@pytest.mark.rfc(BBR, "5.3.3.7")
@pytest.mark.rfc(BBR, "A.5")
def test_up_ends_when_the_rate_does_not_rise():
    path = reach(made(), Phase.UP)
    rounds = path.control.model.rounds
    reach(path, Phase.DOWN, 1.0)
    assert 3 <= path.control.model.rounds - rounds <= 5
    assert path.control.model.full_bw_now
    assert path.dropped == 0


@pytest.mark.rfc(BBR, "5.3.3.7")
@pytest.mark.rfc(BBR, "5.5.10.2")
@pytest.mark.rfc(BBR, "A.6")
def test_losses_end_up_and_bound_what_may_be_in_flight():
    path = reach(made(), Phase.UP)
    path.buffer = BDP // 10
    reach(path, Phase.DOWN, 1.0)
    control = path.control
    assert control.model.has_longterm
    assert BDP <= control.model.inflight_longterm <= 1.3 * BDP
    reach(path, Phase.CRUISE, 1.0)
    path.run(0.2)
    assert path.tcb.cwnd <= (1 - HEADROOM) * control.model.inflight_longterm + MSS


@pytest.mark.rfc(BBR, "5.3.3.6")
def test_after_a_probe_that_went_too_high_the_next_one_is_careful():
    """It stops where the last one failed; when that was well, it probes again at once."""
    path = reach(made(), Phase.UP)
    path.buffer = BDP // 10
    reach(path, Phase.DOWN, 1.0)
    path.buffer = 100 * BDP
    path.control.model.schedule_probe_rtt(path.now)
    reach(path, Phase.UP, 4.0)
    following = phases(path, 1.0)
    assert [phase for phase, _ in following[:4]] == [
        Phase.UP,
        Phase.DOWN,
        Phase.REFILL,
        Phase.UP,
    ]
    assert following[0][1] < 2 * RTT


@pytest.mark.rfc(BBR, "A.7")
@pytest.mark.parametrize("phase", [Phase.STARTUP, Phase.UP])
def test_an_application_that_is_the_limit_ends_no_probe(phase):
    path = reach(made(), phase)
    path.unsent = 0
    path.run(0.5)
    control = path.control
    control.phase = phase
    control.model.look_for_full_pipe(RATE)
    control.model.full_bw_reached = phase is Phase.UP
    control.model.schedule_probe_rtt(path.now)
    for _ in range(100):
        path.write(2 * MSS)
        path.run(0.02)
        assert control.phase is phase


@pytest.mark.rfc(BBR, "5.3.3.1")
@pytest.mark.rfc(BBR, "A.8")
def test_down_drains_the_queue_that_up_made():
    path = reach(made(), Phase.DOWN)
    assert path.queued > BDP / 2
    reach(path, Phase.CRUISE, 2.0)
    assert path.queued <= 2 * MSS
    assert path.in_flight <= path.control.model.bdp + MSS


@pytest.mark.rfc(BBR, "A.9")
def test_down_lasts_no_longer_than_the_wait_for_the_next_probe():
    path = reach(made(), Phase.DOWN)
    path.rate = RATE * 8 // 10
    path.control.model.schedule_probe_rtt(path.now)
    following = phases(path, 3.5)
    assert [phase for phase, _ in following[:2]] == [Phase.DOWN, Phase.REFILL]
    assert following[0][1] <= 3 * SECOND


@pytest.mark.rfc(BBR, "5.3.3.8")
def test_the_wait_for_the_next_probe_is_two_to_three_seconds():
    waits = []
    for number in range(12):
        path = made(rate=700_000, rtt=100 * MS)
        path.tcb.iss = 1000 * number
        reach(path, Phase.CRUISE)
        waits.append(phases(path, 3.5)[0][1])
    assert all(1.8 * SECOND <= wait <= 3 * SECOND for wait in waits)
    assert max(waits) - min(waits) > SECOND // 3, "they are random"


@pytest.mark.rfc(BBR, "5.3.3.8")
def test_a_small_window_is_probed_as_often_as_reno_would_lose_something():
    path = reach(made(rate=100_000), Phase.CRUISE)  # 5 segments in flight
    (_, took), (following, _) = phases(path, 2.0)[:2]
    assert following is Phase.REFILL
    assert took < 10 * RTT


@pytest.mark.rfc(BBR, "A.15")
def test_ten_times_the_bandwidth_is_found_within_seconds():
    path = reach(made(), Phase.CRUISE)
    path.rate = 10 * RATE
    path.run_until(lambda: path.control.model.max_bw > 9.5 * RATE, 15.0)
    assert path.dropped == 0


@pytest.mark.rfc(BBR, "5.5.6")
def test_a_lower_bandwidth_is_accepted_after_two_cycles():
    path = reach(made(), Phase.CRUISE)
    path.rate = RATE // 2
    path.run_until(lambda: path.control.model.max_bw < 0.52 * RATE, 15.0)
    path.run(1.0)
    assert path.queued < BDP


@pytest.mark.rfc(BBR, "A.14")
def test_a_path_that_holds_less_than_a_segment_gets_four():
    path = made(rate=10_000, rtt=20 * MS)  # 200 bytes
    reach(path, Phase.CRUISE, 60.0)
    path.run(1.0)
    assert path.tcb.cwnd >= 4 * MSS
    assert path.control.model.bw == pytest.approx(10_000, rel=0.02)
    before = path.arrived
    path.run(3.0)
    assert path.arrived - before >= 0.9 * 30_000


# ---- ProbeRTT and idleness ---------------------------------------------------------------------


@pytest.mark.rfc(BBR, "5.3.4")
@pytest.mark.rfc(BBR, "A.10")
def test_every_five_seconds_the_flight_is_halved_to_measure_the_delay():
    path = reach(made(), Phase.PROBE_RTT)
    assert path.now - SECOND >= PROBE_RTT_INTERVAL
    path.run(0.12)
    assert path.in_flight <= BDP // 2 + MSS
    following = phases(path, 1.0)
    assert following[1][0] is Phase.CRUISE
    assert PROBE_RTT_DURATION <= following[0][1] + 120 * MS <= PROBE_RTT_DURATION + 3 * RTT
    path.run(0.1)
    assert path.in_flight >= 0.95 * BDP


@pytest.mark.rfc(BBR, "5.3.4")
def test_probe_rtt_finds_a_longer_path_after_ten_seconds():
    path = reach(made(), Phase.CRUISE)
    path.rtt = 2 * RTT
    path.run(12.0)
    assert path.control.model.min_rtt == pytest.approx(2 * RTT, rel=0.05)


@pytest.mark.rfc(BBR, "5.3.4")
def test_a_shorter_path_is_noticed_at_once():
    path = reach(made(), Phase.CRUISE)
    path.rtt = RTT // 2
    path.run(0.2)
    assert path.control.model.min_rtt == pytest.approx(RTT // 2, rel=0.1)


@pytest.mark.rfc(BBR, "5.3.4.4")
def test_probe_rtt_in_startup_leads_back_to_startup():
    path = made(rate=1000 * RATE)
    path.unsent = 0
    for _ in range(120):
        path.write(4 * MSS)
        path.run(RTT / SECOND)
        assert path.control.phase in (Phase.STARTUP, Phase.PROBE_RTT)
    assert path.control.phase is Phase.STARTUP


@pytest.mark.rfc(BBR, "5.4.1")
@pytest.mark.rfc(BBR, "A.11")
def test_a_pause_of_the_application_replaces_probe_rtt():
    path = reach(made(), Phase.CRUISE)
    path.unsent = 0
    path.run(PROBE_RTT_INTERVAL / SECOND + 1)
    cwnd = path.tcb.cwnd
    path.write(1 << 30)
    path.run(0.001)
    assert path.control.pacing_rate == pytest.approx(RATE * PACING_MARGIN, rel=0.02)
    assert path.tcb.cwnd >= cwnd, "the window outlives the pause"
    assert Phase.PROBE_RTT not in [phase for phase, _ in phases(path, 1.0)]


# ---- aggregation -------------------------------------------------------------------------------


@pytest.mark.rfc(BBR, "5.5.9")
@pytest.mark.rfc(BBR, "A.12")
@pytest.mark.rfc(BBR, "A.13")
def test_acknowledgements_in_bunches_widen_the_window():
    path = reach(made(hold=40 * MS), Phase.CRUISE)
    model = path.control.model
    assert model.max_bw == pytest.approx(RATE, rel=0.1)
    assert model.extra_acked >= 0.3 * 40 * MSS
    assert path.tcb.cwnd > 2 * model.bdp
    before = path.arrived
    path.run(1.5)
    assert path.arrived - before >= 1.5 * 0.9 * RATE


# ---- losses outside of probes ------------------------------------------------------------------


@pytest.mark.rfc(BBR, "5.5.10.3")
def test_a_slower_path_that_drops_is_followed_within_round_trips():
    path = reach(made(buffer=4 * BDP), Phase.CRUISE)
    path.rate = RATE // 2
    path.buffer = BDP // 4
    path.run(0.6)
    assert path.control.phase is Phase.CRUISE
    assert path.control.model.bw <= 0.65 * RATE
    assert path.control.model.max_bw >= 0.98 * RATE, "the long-term model remembers"


@pytest.mark.rfc(BBR, "5.5.10.3")
def test_the_bound_falls_by_no_more_than_beta_in_a_round_trip():
    path = reach(made(), Phase.CRUISE)
    path.rate = RATE // 10
    path.buffer = BDP // 4
    model = path.control.model
    path.run_until(lambda: model.bw_shortterm < RATE)
    first = model.bw_shortterm
    assert first >= 0.69 * model.max_bw
    path.run_until(lambda: model.bw_shortterm < first)
    assert model.bw_shortterm >= 0.69 * first


@pytest.mark.rfc(BBR, "5.5.10.3")
def test_losses_of_the_path_do_not_add_up_to_more_than_they_are():
    """One in a thousand: neither the pacing margin nor the gain of DOWN lowers the rate."""
    chance = random.Random(3)
    path = made(lost=lambda number: chance.random() < 0.001)
    reach(path, Phase.CRUISE)
    before = path.arrived
    path.run(4.0)
    assert path.arrived - before >= 4 * 0.93 * RATE


@pytest.mark.rfc(BBR, "5.3.3.3")
def test_refill_forgets_what_losses_allowed():
    path = reach(made(), Phase.CRUISE)
    chance = random.Random(5)
    path.lost = lambda number: chance.random() < 0.2
    path.run(0.3)
    path.lost = lambda number: False
    assert path.control.model.bw < 0.97 * RATE
    reach(path, Phase.REFILL, 4.0)
    path.run(0.001)
    assert path.control.model.bw >= 0.98 * RATE


@pytest.mark.rfc(BBR, "5.5.10.2")
def test_loss_below_the_threshold_stops_no_probe():
    assert LOSS_THRESHOLD == 0.02
    path = reach(made(rate=10 * RATE), Phase.UP, 30.0)
    drops = {path.sent + 40, path.sent + 400}
    path.lost = lambda number: number in drops
    reach(path, Phase.DOWN, 2.0)
    assert not path.control.model.has_longterm


@pytest.mark.rfc(BBR, "5.5.10.2")
def test_chance_among_few_segments_is_no_sign_of_too_much_in_flight():
    """Of 300 segments 2 % are 6: one that exceeds them by little proves nothing yet."""
    control = made().control
    assert not control._too_high(8 * MSS, 300 * MSS)
    assert control._too_high(9 * MSS, 300 * MSS)
    assert not control._too_high(200 * MSS, 10_000 * MSS)
    assert control._too_high(220 * MSS, 10_000 * MSS)


@pytest.mark.rfc(BBR, "5.5.10.2")
def test_the_flight_at_the_loss_counts_up_to_where_the_threshold_was_passed():
    assert in_flight_at_loss(MSS, 7 * MSS, 300 * MSS) == 299 * MSS
    burst = in_flight_at_loss(100 * MSS, 100 * MSS, 200 * MSS)  # the first 2 % of 102 segments
    assert 102 * MSS <= burst < 103 * MSS


@pytest.mark.rfc(BBR, "5.6.4.4")
def test_a_timeout_leaves_one_segment_and_recovery_brings_the_window_back():
    path = reach(made(), Phase.CRUISE)
    control, tcb = path.control, path.tcb
    before = tcb.cwnd
    control.on_timeout(path.in_flight, path.now)
    assert tcb.cwnd == MSS
    tcb.recovery = Recovery.LOSS
    control.on_recovered(path.now)
    assert tcb.cwnd == before


@pytest.mark.rfc(BBR, "5.5.11")
def test_an_undone_recovery_restores_the_bounds():
    path = reach(made(), Phase.CRUISE)
    control, model = path.control, path.control.model
    bounds = model.bw_shortterm, model.inflight_shortterm, model.inflight_longterm
    chance = random.Random(5)
    path.lost = lambda number: chance.random() < 0.2
    path.run_until(lambda: model.bw_shortterm < RATE)
    control.on_undo()
    assert (model.bw_shortterm, model.inflight_shortterm, model.inflight_longterm) == bounds


@pytest.mark.rfc(BBR, "5.5.11")
def test_an_undone_recovery_returns_to_the_probe_that_it_ended():
    path = reach(made(), Phase.UP)
    path.buffer = BDP // 10
    reach(path, Phase.DOWN, 1.0)
    path.control.on_undo()
    assert path.control.phase is Phase.REFILL
    assert not path.control.model.has_longterm


# ---- marks -------------------------------------------------------------------------------------


@pytest.mark.rfc(BBR, "3.7")
def test_marks_end_startup():
    path = made()
    path.run_until(lambda: path.control.model.rounds == 4)
    path.control.on_ecn(path.in_flight, path.now)
    path.run(0.02)
    assert path.control.phase is not Phase.STARTUP


@pytest.mark.rfc(BBR, "3.7")
def test_marks_end_a_probe_and_bound_what_may_be_in_flight():
    path = reach(made(), Phase.UP)
    path.run(0.06)
    path.control.on_ecn(path.in_flight, path.now)
    path.run(0.01)
    assert path.control.phase is Phase.DOWN
    assert path.control.model.has_longterm


@pytest.mark.rfc(BBR, "3.7")
def test_marks_while_cruising_count_as_losses():
    path = reach(made(), Phase.CRUISE)
    path.rate = RATE // 2
    path.run(0.1)
    path.control.on_ecn(path.in_flight, path.now)
    path.run(0.3)
    assert path.control.model.bw < 0.8 * RATE


# ---- with random losses ------------------------------------------------------------------------


@pytest.mark.rfc(BBR, "3.1")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_percent_of_losses_leaves_most_of_the_bandwidth(seed):
    chance = random.Random(seed)
    path = made(rate=4 * RATE, buffer=10 * BDP, lost=lambda number: chance.random() < 0.01)
    path.run(2.0)
    before = path.arrived
    path.run(5.0)
    assert path.arrived - before >= 0.85 * 5 * 4 * RATE
    assert path.control.phase in PROBE_BW | {Phase.PROBE_RTT}
