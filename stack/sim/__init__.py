"""Networks in virtual time: one seed, no root, no waiting."""

from stack.sim.network import Network
from stack.sim.wire import TapPoint, Wire

__all__ = ["Network", "TapPoint", "Wire"]
