"""What BBR believes about the path (draft-ietf-ccwg-bbr-06 §2.9, §5.5): bandwidth, round-trip
time, aggregation, and what the losses of the last round trips allow.

Rates are in bytes a second, volumes in bytes, times in µs.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.filters import TwoSlotMax, WindowedMax

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.tcp.congestion.base import Sample
    from stack.core.tcp.rate import RateSample, RateSampler

SECOND = 1_000_000
BETA = 0.7
LOSS_THRESHOLD = 0.02
MIN_RTT_FILTER = 10 * SECOND
PROBE_RTT_INTERVAL = 5 * SECOND
EXTRA_ACKED_ROUNDS = 10
FULL_PIPE_GROWTH = 1.25
FULL_PIPE_ROUNDS = 3
MIN_PIPE_SEGMENTS = 4
_UNLIMITED = 1 << 62


class PathModel:
    """The model of one path; `round_start` says that the last sample began a round trip."""

    def __init__(self, tcb: "Tcb", sampler: "RateSampler") -> None:
        self._tcb = tcb
        self._sampler = sampler
        # Packet-timed round trips (§5.5.1).
        self.rounds = 0
        self.round_start = False
        self._round_ends = 0
        # Bandwidth (§5.5.2, §5.5.10).
        self._max_bw = TwoSlotMax()
        self.bw = 0
        self._bw_latest = 0
        self.bw_shortterm = _UNLIMITED
        # Volume.
        self.inflight_latest = 0
        self.inflight_shortterm = _UNLIMITED
        self.inflight_longterm = _UNLIMITED
        self.extra_acked = 0
        self._extra_acked = WindowedMax()
        self._extra_since = 0
        self._extra_delivered = 0
        # Delay (§5.3.4.3).
        self.min_rtt = 0  # 0: nothing measured yet
        self._min_rtt_at = 0
        self._probe_rtt_min = 0
        self._probe_rtt_at = 0
        self.probe_rtt_expired = False
        # Losses of this round trip (§5.5.10.3).
        self.loss_in_round = False
        self.loss_round_start = False
        self._loss_round_ends = 0
        # Is the pipe full (§5.3.1.2)?
        self.full_bw_reached = False
        self.full_bw_now = False
        self._full_bw = 0
        self._full_bw_rounds = 0

    # What follows from the model.

    @property
    def max_bw(self) -> int:
        """The largest rate measured in this and the last cycle of probing."""
        return self._max_bw.value

    @property
    def bdp(self) -> int:
        """Bandwidth-delay product; 0 while nothing is known."""
        return self.bw * self.min_rtt // SECOND

    @property
    def smallest_window(self) -> int:
        """Enough to keep a receiver busy that acknowledges every second segment (§5.6.4.3)."""
        return MIN_PIPE_SEGMENTS * int(self._tcb.snd_mss)

    # One acknowledgement.

    def update_rate(self, sample: "RateSample") -> None:
        """UpdateLatestDeliverySignals and UpdateMaxBw."""
        self._bw_latest = max(self._bw_latest, sample.path_rate)
        self.inflight_latest = max(self.inflight_latest, sample.delivered)
        self.loss_round_start = sample.prior_delivered >= self._loss_round_ends
        if self.loss_round_start:
            self._loss_round_ends = self._sampler.delivered
        self.round_start = sample.prior_delivered >= self._round_ends
        if self.round_start:
            self.start_round()
            self.rounds += 1
        if sample.rate and (sample.rate >= self.max_bw or not sample.app_limited):
            self._max_bw.update(sample.rate)

    def start_round(self) -> None:
        """A round trip ends with the delivery of something sent from now on."""
        self._round_ends = self._sampler.delivered

    def adapt_to_losses(self, *, probing: bool) -> None:
        """Once per round trip that had losses, unless losses are what is being looked for
        (UpdateCongestionSignals).

        The bandwidth is taken as the path would have delivered it without pacing below it:
        that we sent less is no sign of congestion, and must not add up from round to round.
        """
        if not self.loss_round_start:
            return
        if self.loss_in_round and not probing:
            bw = self.max_bw if self.bw_shortterm == _UNLIMITED else self.bw_shortterm
            self.bw_shortterm = max(min(self._bw_latest, bw), int(BETA * bw))
            volume = self.inflight_shortterm
            if volume == _UNLIMITED:
                volume = self._tcb.cwnd
            self.inflight_shortterm = max(self.inflight_latest, int(BETA * volume))
        self.loss_in_round = False

    def update_aggregation(self, sample: "RateSample", now: int) -> None:
        """How much more was acknowledged than the bandwidth explains (§5.5.9)."""
        expected = self.bw * (now - self._extra_since) // SECOND
        if self._extra_delivered <= expected:
            self.restart_aggregation(now)
            expected = 0
        self._extra_delivered += sample.acked
        extra = min(self._extra_delivered - expected, self._tcb.cwnd)
        length = EXTRA_ACKED_ROUNDS if self.full_bw_reached else 1
        self.extra_acked = self._extra_acked.update(extra, self.rounds, length)

    def restart_aggregation(self, now: int) -> None:
        """Acknowledgements are counted from `now` on."""
        self._extra_delivered = 0
        self._extra_since = now

    def check_full_pipe(self, sample: "RateSample") -> None:
        """Three round trips without much growth (§5.3.1.2)."""
        if self.full_bw_now or not self.round_start or sample.app_limited:
            return
        if sample.rate >= self._full_bw * FULL_PIPE_GROWTH:
            self.look_for_full_pipe(sample.rate)
            return
        self._full_bw_rounds += 1
        self.full_bw_now = self._full_bw_rounds >= FULL_PIPE_ROUNDS
        if self.full_bw_now:
            self.full_bw_reached = True

    def look_for_full_pipe(self, baseline: int = 0) -> None:
        """Starts looking anew (ResetFullBW), for growth beyond `baseline`."""
        self._full_bw = baseline
        self._full_bw_rounds = 0
        self.full_bw_now = False

    def update_min_rtt(self, sample: "Sample") -> None:
        """UpdateMinRTT: the smallest of 5 s, which ProbeRTT refreshes, and of 10 s."""
        now, rtt = sample.now, sample.rtt
        if self._probe_rtt_at == 0:
            self._probe_rtt_at = now
        self.probe_rtt_expired = now > self._probe_rtt_at + PROBE_RTT_INTERVAL
        unknown = self._probe_rtt_min == 0
        if rtt and (unknown or rtt < self._probe_rtt_min or self.probe_rtt_expired):
            self._probe_rtt_min = rtt
            self._probe_rtt_at = now
        expired = now > self._min_rtt_at + MIN_RTT_FILTER
        if self._probe_rtt_min and (
            self.min_rtt == 0 or self._probe_rtt_min < self.min_rtt or expired
        ):
            self.min_rtt = self._probe_rtt_min
            self._min_rtt_at = self._probe_rtt_at

    def schedule_probe_rtt(self, now: int) -> None:
        """ProbeRTT is over: the next one is due an interval from now."""
        self._probe_rtt_at = now

    def advance_signals(self, sample: "RateSample") -> None:
        """The round trip of the loss signals is over (AdvanceLatestDeliverySignals); bounds
        the bandwidth (BoundBWForModel).
        """
        if self.loss_round_start:
            self._bw_latest = sample.path_rate
            self.inflight_latest = sample.delivered
        self.bw = min(self.max_bw, self.bw_shortterm)

    # What the state machine tells.

    def advance_max_bw(self) -> None:
        """A cycle of probing is over."""
        self._max_bw.advance()

    def note_loss(self) -> bool:
        """Something was lost; returns whether it is the first loss of a round trip."""
        first = not self.loss_in_round
        if first:
            self._loss_round_ends = self._sampler.delivered
        self.loss_in_round = True
        return first

    def reset_signals(self) -> None:
        """ResetCongestionSignals."""
        self.loss_in_round = False
        self._bw_latest = 0
        self.inflight_latest = 0

    def forget_shortterm(self) -> None:
        """Losses of the past no longer bind (ResetShortTermModel)."""
        self.bw_shortterm = self.inflight_shortterm = _UNLIMITED

    @property
    def has_longterm(self) -> bool:
        """Whether some volume ever proved too much."""
        return self.inflight_longterm != _UNLIMITED


def in_flight_at_loss(length: int, lost: int, in_flight: int) -> int:
    """How much was in flight when losses passed the threshold, perhaps amid the lost
    transmission of `length` bytes (InflightAtLoss).
    """
    before = in_flight - length
    lost_before = lost - length
    prefix = (LOSS_THRESHOLD * before - lost_before) / (1 - LOSS_THRESHOLD)
    return before + max(int(prefix), 0)
