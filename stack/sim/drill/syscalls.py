"""Every system call that a script may make."""

import errno

from stack.sim.drill import calls, socket_options
from stack.sim.drill.errors import Mismatch
from stack.sim.drill.kernel import Handler, Kernel, Running
from stack.sim.drill.poll import poll
from stack.sim.drill.script import Call
from stack.sim.drill.values import constant, is_any, number, spelled

HANDLERS: dict[str, Handler] = {**calls.HANDLERS, **socket_options.HANDLERS, "poll": poll}


def start(kernel: Kernel, call: Call) -> Running:
    """Begins a call. Raises Mismatch for one that does not exist here."""
    handler = HANDLERS.get(call.name)
    if handler is None:
        known = ", ".join(sorted(HANDLERS))
        raise Mismatch(f"there is no system call {call.name}: there are {known}")
    return handler(kernel, call)


def check(call: Call, value: int, error: OSError | None) -> None:
    """Compares what a call returned with what the script says. Raises Mismatch."""
    if is_any(call.result) and not call.errno:
        return
    name = errno.errorcode.get(error.errno or 0, "an error") if error else ""
    if number(call.result, "the result") == value and constant(call.errno) == constant(name):
        return
    expected = f"{spelled(call.result)} {call.errno}".rstrip()
    actual = f"{value} {name}".rstrip()
    said = f" ({error.strerror})" if error else ""
    raise Mismatch(f"{call.name} returned {actual}{said} instead of {expected}")
