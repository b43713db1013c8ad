"""Scripts that test the stack, in packetdrill's language and in virtual time."""

from stack.sim.drill.errors import Mismatch, ScriptError
from stack.sim.drill.parser import load, parse
from stack.sim.drill.runner import Failure, Outcome, run
from stack.sim.drill.script import Script

__all__ = ["Failure", "Mismatch", "Outcome", "Script", "ScriptError", "load", "parse", "run"]
