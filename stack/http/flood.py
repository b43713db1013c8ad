"""How many frames a peer may send that cost work and ask for nothing (RFC 9113 §10.5)."""

from stack.http import frames
from stack.http.frames import FrameReader
from stack.http.limits import Limits

# What a frame of a kind weighs: how much work it makes beside that of a PING.
WEIGHTS = {
    frames.PING: 1,
    frames.SETTINGS: 20,
    frames.RST_STREAM: 1,
    frames.PRIORITY: 4,
    frames.PRIORITY_UPDATE: 4,
    frames.WINDOW_UPDATE: 1,
    frames.UNKNOWN: 1,
}
NAMES = {
    frames.PING: "http2_ping_floods",
    frames.SETTINGS: "http2_settings_floods",
    frames.RST_STREAM: "http2_reset_floods",
    frames.PRIORITY: "http2_priority_floods",
    frames.PRIORITY_UPDATE: "http2_priority_floods",
    frames.WINDOW_UPDATE: "http2_window_floods",
    frames.UNKNOWN: "http2_other_floods",
}
EMPTY = "http2_empty_floods"

# A reader that returns the window in pieces as small as this is still an honest one.
BYTES_PER_UPDATE = 512


class FloodGuard:
    """Weighs what came in a period against what an honest peer could need."""

    def __init__(self, reader: FrameReader, limits: Limits, now: float) -> None:
        self._reader = reader
        self._limits = limits
        self._since = now
        self._base = self._last = self._weights(0)

    def _weights(self, sent: int) -> dict[str, int]:
        """Weight by counter; WINDOW_UPDATEs are earned by what was sent."""
        weights = {EMPTY: self._reader.empty}
        for kind, weight in WEIGHTS.items():
            count = self._reader.counts[kind]
            if kind == frames.WINDOW_UPDATE:
                count -= sent // BYTES_PER_UPDATE
            weights[NAMES[kind]] = weights.get(NAMES[kind], 0) + weight * count
        return weights

    def exceeded(self, now: float, sent: int) -> str | None:
        """The counter of the flood that is going on; `sent` is what we sent so far, in bytes."""
        weights = self._weights(sent)
        if now - self._since > self._limits.control_period:
            self._since, self._base = now, self._last
        self._last = weights
        worst = max(weights, key=lambda name: weights[name] - self._base[name])
        if weights[worst] - self._base[worst] > self._limits.control_frames:
            return worst
        return None
