"""The phases that BBR goes through (draft-ietf-ccwg-bbr-06 §5.1, §5.6.1).

    Startup ─▶ Drain ─▶ Down ─▶ Cruise ─▶ Refill ─▶ Up
                         ▲                          │
                         └──────────────────────────┘

ProbeRTT comes every five seconds, from anywhere, and leads to Cruise, or back to Startup.
"""

from enum import Enum, auto


class Phase(Enum):
    """Where the state machine is, with its pacing gain and its window gain (§5.6.1)."""

    STARTUP = ("Startup", 2.77, 2.0)
    DRAIN = ("Drain", 0.5, 2.0)
    DOWN = ("ProbeBW_DOWN", 0.9, 2.0)
    CRUISE = ("ProbeBW_CRUISE", 1.0, 2.0)
    REFILL = ("ProbeBW_REFILL", 1.0, 2.0)
    UP = ("ProbeBW_UP", 1.25, 2.25)
    PROBE_RTT = ("ProbeRTT", 1.0, 0.5)

    def __init__(self, label: str, pacing_gain: float, cwnd_gain: float) -> None:
        self.label = label
        self.pacing_gain = pacing_gain
        self.cwnd_gain = cwnd_gain


PROBE_BW = frozenset({Phase.DOWN, Phase.CRUISE, Phase.REFILL, Phase.UP})
PROBING = frozenset({Phase.STARTUP, Phase.REFILL, Phase.UP})


class Feedback(Enum):
    """What acknowledgements say of the last probe for bandwidth (BBR.ack_phase, §2.14)."""

    NONE = auto()
    REFILLING = auto()
    STARTING = auto()
    PROBE = auto()
    STOPPING = auto()
