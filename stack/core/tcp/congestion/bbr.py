"""BBR, version 3 (draft-ietf-ccwg-bbr-06): sends as fast as the path delivers, and keeps in
flight what that takes.

The model of the path is in `bbr_model`; here is the state machine that probes it, and the
pacing rate and window that follow. It departs from the draft in three places, each where a
loss would count for more than it says: `PathModel.adapt_to_losses`, `REFILL_ROUNDS` and
`Bbr._too_high` tell.
"""

from math import sqrt
from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import INFINITE, CongestionControl, Sample
from stack.core.tcp.congestion.bbr_model import (
    BETA,
    LOSS_THRESHOLD,
    PathModel,
    in_flight_at_loss,
)
from stack.core.tcp.congestion.bbr_phases import PROBE_BW, PROBING, Feedback, Phase
from stack.core.tcp.rate import RateSampler
from stack.core.tcp.recovery_state import Recovery

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.flight import Transmission
    from stack.core.tcp.rate import RateSample

SECOND = 1_000_000
HEADROOM = 0.15
PACING_MARGIN = 0.99
PROBE_RTT_DURATION = 200_000  # µs
STARTUP_FULL_LOSSES = 6  # separate ranges in one round trip
DRAIN_ROUNDS = 3
REFILL_ROUNDS = 2  # after ProbeRTT: one to send at the full rate, one to hear of it
RENO_ROUNDS = 63  # probes at least that often, so that Reno beside it is not starved
_QUANTUM = 1_000  # µs worth of data that may leave as one burst, §5.6.3
_QUANTUM_MAX = 1 << 16
_ASSUMED_RTT = 1_000  # µs, before the first measurement, §5.6.2


class Bbr(CongestionControl):
    """The phases of BBR, and what they make of the model."""

    name = "bbr"

    def __init__(self, tcb: "Tcb", initial_window: int) -> None:
        self.rate: RateSampler = RateSampler(tcb)
        self.model = PathModel(tcb, self.rate)
        self.phase = Phase.STARTUP
        self._initial_cwnd = 0
        self._prior_cwnd = 0  # the last one that neither loss nor ProbeRTT made small
        self._idle_restart = False
        self._drain_start = 0  # round trips
        # Startup: losses of this round trip.
        self._lost_ranges = 0
        self._lost_end: int | None = None
        # ProbeBW.
        self._feedback = Feedback.NONE
        self._probe_sample = False  # acknowledgements are for what a probe sent
        self._probe_failed = False  # it went too high; the change of phase is still due
        self._was_too_high = False  # BBR.prev_probe_too_high
        self._was_precautionary = False
        self._cycle_start = 0  # µs
        self._probe_wait = 0  # µs
        self._rounds_since_probe = 0
        self._up_rounds = 0
        self._up_acked = 0
        self._up_acked_per_step = INFINITE
        self._limited_before = False  # the window was full in the last round trip
        self._limited_now = False
        # ProbeRTT.
        self._probe_rtt_until = 0  # µs, 0: the flight is still too large
        self._probe_rtt_round_done = False
        self._refilled_after = 0  # round trips
        # What to return to when losses turn out to have been none (§5.5.11).
        self._undo_phase: Phase | None = None
        self._undo_bounds = (0, 0, 0)
        self._chance = 0
        super().__init__(tcb, initial_window)

    def on_mss(self) -> None:
        """Nothing is known of the path: paces the initial window over an RTT (§5.6.2)."""
        super().on_mss()
        self._initial_cwnd = self.tcb.cwnd
        nominal = self._initial_cwnd * SECOND // (self.tcb.srtt or _ASSUMED_RTT)
        self.pacing_rate = int(Phase.STARTUP.pacing_gain * nominal)

    # One acknowledgement (§5.2.3).

    def on_ack(self, sample: Sample) -> None:
        """Updates the model, moves on to the next phase, sets pacing rate and window."""
        rate = sample.rate
        if rate is None or rate.acked == 0:
            return
        self._update(sample, rate)
        self._set_pacing_rate(self.phase.pacing_gain)
        self._set_cwnd(rate)

    def _update(self, sample: Sample, rate: "RateSample") -> None:
        model = self.model
        if self._probe_failed:
            self._probe_failed = False
            self._start_down(sample.now)
        model.update_rate(rate)
        self._count_round(sample)
        refilling = model.rounds <= self._refilled_after
        model.adapt_to_losses(probing=refilling or self.phase in PROBING)
        model.update_aggregation(rate, sample.now)
        model.check_full_pipe(rate)
        self._check_startup(rate)
        self._check_drain(sample.now)
        if model.full_bw_reached and not self._adapt_longterm(rate):
            self._cycle(rate, sample.now)
        model.update_min_rtt(sample)
        self._check_probe_rtt(sample.now)
        if rate.delivered:
            self._idle_restart = False
        model.advance_signals(rate)

    def _count_round(self, sample: Sample) -> None:
        self._limited_now = self._limited_now or sample.cwnd_limited
        if self.model.round_start:
            self._rounds_since_probe += 1
            self._limited_before, self._limited_now = self._limited_now, sample.cwnd_limited

    @property
    def _cwnd_limited(self) -> bool:
        """Whether the window was full at some time of the last round trip."""
        return self._limited_before or self._limited_now

    # Startup and Drain (§5.3.1, §5.3.2).

    def _check_startup(self, rate: "RateSample") -> None:
        if self.phase is Phase.STARTUP:
            if self._losses_end_startup(rate):
                self._pipe_overflows()
            if self.model.full_bw_reached:
                self.phase = Phase.DRAIN
                self._drain_start = self.model.rounds
        if self.model.loss_round_start:
            self._lost_ranges = 0
            self._lost_end = None

    def _losses_end_startup(self, rate: "RateSample") -> bool:
        """§5.3.1.3: high loss over a whole round trip of fast recovery."""
        if self.tcb.recovery != Recovery.FAST:
            return False
        if not self.tcb.sack_ok:
            return self._lost_ranges > 0
        return (
            self.model.loss_round_start
            and self._lost_ranges >= STARTUP_FULL_LOSSES
            and self._too_high(rate.lost, rate.in_flight)
        )

    def _pipe_overflows(self) -> None:
        self._undo_phase = Phase.STARTUP
        self.model.full_bw_reached = True
        self.model.inflight_longterm = max(self.model.bdp, self.model.inflight_latest)

    def _check_drain(self, now: int) -> None:
        if self.phase is Phase.DRAIN and (
            self.rate.in_flight <= self._inflight(self.model.bdp)
            or self.model.rounds > self._drain_start + DRAIN_ROUNDS
        ):
            self._start_down(now)

    # The cycle of ProbeBW (§5.3.3).

    def _cycle(self, rate: "RateSample", now: int) -> None:
        phase = self.phase
        if phase in (Phase.DOWN, Phase.CRUISE):
            if self._time_to_probe(now):
                self._start_refill()
            elif phase is Phase.DOWN and self._time_to_cruise():
                self.phase = Phase.CRUISE
        elif phase is Phase.REFILL:
            if self.model.round_start:
                self._probe_sample = True
                self._start_up(rate)
        elif phase is Phase.UP and self._time_to_go_down(rate):
            self._was_too_high = False
            self._start_down(now)

    def _start_down(self, now: int) -> None:
        self.model.reset_signals()
        self._up_acked_per_step = INFINITE
        self._rounds_since_probe = self._random(2)
        self._probe_wait = 2 * SECOND + self._random(SECOND)
        self._cycle_start = now
        self._feedback = Feedback.STOPPING
        self.model.start_round()
        self.phase = Phase.DOWN

    def _start_refill(self) -> None:
        self.model.forget_shortterm()
        self._up_rounds = 0
        self._up_acked = 0
        self._was_precautionary = False
        self._feedback = Feedback.REFILLING
        self.model.start_round()
        self.phase = Phase.REFILL

    def _start_up(self, rate: "RateSample") -> None:
        self._feedback = Feedback.STARTING
        self.model.start_round()
        self.model.look_for_full_pipe(rate.rate)
        self.phase = Phase.UP
        self._raise_slope()

    def _time_to_probe(self, now: int) -> bool:
        """After two to three seconds, or as often as Reno would lose something (§5.3.3.8)."""
        segments = self._target() // self.tcb.snd_mss
        return now > self._cycle_start + self._probe_wait or self._rounds_since_probe >= min(
            segments, RENO_ROUNDS
        )

    def _time_to_cruise(self) -> bool:
        in_flight = self.rate.in_flight
        model = self.model
        if in_flight > self._with_headroom():
            return False
        return in_flight <= self._inflight(model.max_bw * model.min_rtt // SECOND)

    def _time_to_go_down(self, rate: "RateSample") -> bool:
        model = self.model
        before = self.rate.in_flight + rate.acked
        if self._was_too_high and before + self.tcb.snd_mss > model.inflight_longterm:
            self._was_precautionary = True
            return True
        if self._cwnd_limited and self.tcb.cwnd >= model.inflight_longterm:
            model.look_for_full_pipe(rate.rate)  # the bound hides what the path could do
            return False
        return model.full_bw_now

    def _adapt_longterm(self, rate: "RateSample") -> bool:
        """Follows the probe's feedback (AdaptLongTermModel); True when that began a phase."""
        model = self.model
        if self._feedback is Feedback.STARTING and model.round_start:
            self._feedback = Feedback.PROBE
        elif self._feedback is Feedback.STOPPING and model.round_start:
            self._probe_sample = False
            self._feedback = Feedback.NONE
            if self.phase in PROBE_BW:
                if not rate.app_limited:
                    model.advance_max_bw()
                if self._was_precautionary and not self._was_too_high:
                    self._start_refill()
                    return True
        if model.has_longterm and not self._too_high(rate.lost, rate.in_flight):
            model.inflight_longterm = max(model.inflight_longterm, rate.in_flight)
            if self.phase is Phase.UP:
                self._probe_upward(rate)
        return False

    def _probe_upward(self, rate: "RateSample") -> None:
        """Raises the long-term bound, by one segment in the first round trip and by twice as
        many in each that follows (§5.3.3.5).
        """
        if not self._cwnd_limited or self.tcb.cwnd < self.model.inflight_longterm:
            return
        self._up_acked += rate.acked
        steps, self._up_acked = divmod(self._up_acked, self._up_acked_per_step)
        self.model.inflight_longterm += steps * self.tcb.snd_mss
        if self.model.round_start:
            self._raise_slope()

    def _raise_slope(self) -> None:
        growth = 1 << self._up_rounds
        self._up_rounds = min(self._up_rounds + 1, 30)
        self._up_acked_per_step = max(self.tcb.cwnd // growth, self.tcb.snd_mss)

    # ProbeRTT (§5.3.4).

    def _check_probe_rtt(self, now: int) -> None:
        if (
            self.phase is not Phase.PROBE_RTT
            and self.model.probe_rtt_expired
            and not self._idle_restart
        ):
            self._save_cwnd()
            self.phase = Phase.PROBE_RTT
            self._probe_rtt_until = 0
            self._feedback = Feedback.STOPPING
            self.model.start_round()
        if self.phase is Phase.PROBE_RTT:
            self._hold_probe_rtt(now)

    def _hold_probe_rtt(self, now: int) -> None:
        """200 ms and a round trip with half a bandwidth-delay product in flight."""
        self.rate.mark_app_limited()
        if self._probe_rtt_until == 0:
            if self.rate.in_flight <= self._probe_rtt_cwnd():
                self._probe_rtt_until = now + PROBE_RTT_DURATION
                self._probe_rtt_round_done = False
                self.model.start_round()
            return
        if self.model.round_start:
            self._probe_rtt_round_done = True
        if self._probe_rtt_round_done:
            self._end_probe_rtt(now)

    def _end_probe_rtt(self, now: int) -> None:
        if self._probe_rtt_until == 0 or now <= self._probe_rtt_until:
            return
        self.model.schedule_probe_rtt(now)
        # Until the pipe is full again, rates say nothing of the path.
        self._refilled_after = self.model.rounds + REFILL_ROUNDS
        self._restore_cwnd()
        self.model.forget_shortterm()
        if self.model.full_bw_reached:
            self._start_down(now)
            self.phase = Phase.CRUISE
        else:
            self.phase = Phase.STARTUP

    def on_restart(self, now: int) -> None:
        """Something leaves after a pause of the application: at the rate that the path had
        (§5.4.1).
        """
        if not self.rate.app_limited:
            return
        self._idle_restart = True
        self.model.restart_aggregation(now)
        if self.phase in PROBE_BW:
            self._set_pacing_rate(1.0)
        elif self.phase is Phase.PROBE_RTT:
            self._end_probe_rtt(now)

    # Losses (§5.5.10).

    def on_lost(self, record: "Transmission") -> None:
        """HandleLostPacket: one that a probe sent may show that the probe went too high."""
        self.rate.on_lost(record)
        self._note_loss()
        if record.seq != self._lost_end:
            self._lost_ranges += 1
        self._lost_end = record.end
        sent = record.snapshot
        if sent is None or not self._probe_sample:
            return
        lost = self.rate.lost - sent.lost
        if self._too_high(lost, sent.in_flight):
            self._probe_went_too_high(
                in_flight_at_loss(record.length, lost, sent.in_flight), sent.app_limited
            )

    def _too_high(self, lost: int, in_flight: int) -> bool:
        """Whether losses say that too much was in flight (IsInflightTooHigh), and not just
        chance: of a few hundred segments of which one in a hundred gets lost, often more than
        two in a hundred are. One standard deviation tells the two apart.
        """
        if not self.tcb.sack_ok:
            return lost > 0
        tolerated = in_flight * LOSS_THRESHOLD
        return lost > tolerated + sqrt(tolerated * self.tcb.snd_mss)

    def _probe_went_too_high(self, in_flight: int, app_limited: bool) -> None:
        self._was_too_high = True
        self._probe_sample = False  # once for each probe
        if not app_limited:
            self.model.inflight_longterm = max(in_flight, int(BETA * self._target()))
        if self.phase is Phase.UP:
            self._undo_phase = Phase.UP
            self._probe_failed = True

    def _note_loss(self) -> None:
        if self.model.note_loss():
            model = self.model
            self._save_cwnd()
            self._undo_phase = None
            self._undo_bounds = (
                model.bw_shortterm,
                model.inflight_shortterm,
                model.inflight_longterm,
            )

    def on_congestion(self, flight: int, now: int) -> None:
        """Recovery begins, or a tail loss probe had to repair something: the model has
        noted what was lost, and answers at the end of the round trip.
        """
        self._save_cwnd()
        self._note_loss()

    def on_ecn(self, flight: int, now: int) -> None:
        """Marks are congestion (§3.7): as losses, they end a probe, and bound what follows."""
        self._note_loss()
        if self.phase is Phase.STARTUP:
            self._pipe_overflows()
        elif self._probe_sample:
            self._probe_went_too_high(flight, app_limited=False)

    def on_recovered(self, now: int) -> None:
        """Back to the window from before, within what the model now says (§5.6.4.4)."""
        self._restore_cwnd()

    def on_timeout(self, flight: int, now: int) -> None:
        """One segment may leave; acknowledgements bring the window back (§5.6.4.4)."""
        self.on_congestion(flight, now)
        self.tcb.cwnd = self.tcb.snd_mss

    def on_undo(self) -> None:
        """Nothing had been lost (HandleSpuriousLossDetection)."""
        model = self.model
        self._restore_cwnd()
        model.loss_in_round = False
        model.look_for_full_pipe()
        bw, volume, longterm = self._undo_bounds
        model.bw_shortterm = max(model.bw_shortterm, bw)
        model.inflight_shortterm = max(model.inflight_shortterm, volume)
        model.inflight_longterm = max(model.inflight_longterm, longterm)
        undo, self._undo_phase = self._undo_phase, None
        self._probe_failed = False
        if undo is Phase.STARTUP and self.phase is not Phase.STARTUP:
            model.full_bw_reached = False
            if self.phase is not Phase.PROBE_RTT:
                self.phase = Phase.STARTUP
        elif undo is Phase.UP and self.phase not in (Phase.UP, Phase.PROBE_RTT):
            self._start_refill()

    def on_idle(self) -> None:
        """The model outlives a pause, and pacing prevents a burst (§5.4.2)."""

    def _save_cwnd(self) -> None:
        if self.tcb.recovery == Recovery.OPEN and self.phase is not Phase.PROBE_RTT:
            self._prior_cwnd = self.tcb.cwnd
        else:
            self._prior_cwnd = max(self._prior_cwnd, self.tcb.cwnd)

    def _restore_cwnd(self) -> None:
        self.tcb.cwnd = max(self.tcb.cwnd, self._prior_cwnd)

    # Pacing rate and window (§5.6).

    def _set_pacing_rate(self, gain: float) -> None:
        rate = int(gain * self.model.bw * PACING_MARGIN)
        if self.model.full_bw_reached or rate > self.pacing_rate:
            self.pacing_rate = max(rate, 1)
            self.rate.share = min(gain, 1.0) * PACING_MARGIN

    def _set_cwnd(self, rate: "RateSample") -> None:
        tcb, model = self.tcb, self.model
        volume = int(self.phase.cwnd_gain * model.bdp) + model.extra_acked
        most = self._inflight(volume)
        cwnd: int = tcb.cwnd
        if model.full_bw_reached:
            cwnd = min(cwnd + rate.acked, most)
        elif cwnd < most or self.rate.delivered < self._initial_cwnd:
            cwnd += rate.acked
        cwnd = max(cwnd, model.smallest_window)
        if self.phase is Phase.PROBE_RTT:
            cwnd = min(cwnd, self._probe_rtt_cwnd())
        tcb.cwnd = min(cwnd, self._cap(), INFINITE)

    def _cap(self) -> int:
        """What recent losses allow (BoundCwndForModel)."""
        model = self.model
        cap = model.inflight_shortterm
        if self.phase in (Phase.PROBE_RTT, Phase.CRUISE):
            cap = min(cap, self._with_headroom())
        elif self.phase in PROBE_BW:
            cap = min(cap, model.inflight_longterm)
        return max(cap, model.smallest_window)

    def _inflight(self, volume: int) -> int:
        """`volume` with room for bursts and few segments (QuantizationBudget)."""
        if self.model.min_rtt == 0:
            volume = self._initial_cwnd
        mss = self.tcb.snd_mss
        quantum = max(min(self.pacing_rate * _QUANTUM // SECOND, _QUANTUM_MAX), 2 * mss)
        volume = max(volume, 3 * quantum, self.model.smallest_window)
        return volume + 2 * mss if self.phase is Phase.UP else volume

    def _target(self) -> int:
        return min(self.model.bdp, self.tcb.cwnd)

    def _with_headroom(self) -> int:
        """The long-term bound less some room for other flows."""
        longterm = self.model.inflight_longterm
        if not self.model.has_longterm:
            return longterm
        headroom = max(self.tcb.snd_mss, int(HEADROOM * longterm))
        return max(longterm - headroom, self.model.smallest_window)

    def _probe_rtt_cwnd(self) -> int:
        volume = int(Phase.PROBE_RTT.cwnd_gain * self.model.bdp)
        return max(volume, self.model.smallest_window)

    def _random(self, below: int) -> int:
        """A number from 0 up to, not including, `below`: xorshift from the initial sequence
        number, which is as random as the host's secrets are.
        """
        x = self._chance or (self.tcb.iss | 1)
        x ^= x << 13 & 0xFFFF_FFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFF_FFFF
        self._chance = x
        return x % below
