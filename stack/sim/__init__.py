"""Networks in virtual time: one seed, no root, no waiting."""

from stack.link.codel import CoDel
from stack.link.loss import EveryNth, GilbertElliott
from stack.link.queue import DropTail
from stack.sim.channel import TapPoint
from stack.sim.dumbbell import Dumbbell
from stack.sim.network import Network
from stack.sim.passing import Passing
from stack.sim.router import Router
from stack.sim.rules import Rule, data_segment, retransmission
from stack.sim.wire import Wire

__all__ = [
    "CoDel",
    "DropTail",
    "Dumbbell",
    "EveryNth",
    "GilbertElliott",
    "Network",
    "Passing",
    "Router",
    "Rule",
    "TapPoint",
    "Wire",
    "data_segment",
    "retransmission",
]
