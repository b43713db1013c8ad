"""poll: which descriptors are ready for what."""

import select

from stack.core.tcp.states import State
from stack.sim.drill.errors import Mismatch
from stack.sim.drill.kernel import Kernel, Running, argument
from stack.sim.drill.script import Array, Call, Struct
from stack.sim.drill.sockets import Descriptor
from stack.sim.drill.values import is_any, number, number_or_none, spelled
from stack.sockets.udp_socket import UdpSocket

_MILLISECOND = 1_000


def ready(descriptor: Descriptor) -> int:
    """The events of poll(2) that hold for a descriptor now."""
    if descriptor.accepts():
        return select.POLLIN | select.POLLRDNORM
    connection = descriptor.connection
    if connection is None:
        return _ready_without_connection(descriptor)
    if descriptor.connects():
        return 0
    tcb = connection.tcb
    over = connection.state in (State.CLOSED, State.TIME_WAIT)
    events = 0
    if connection.available or tcb.fin_received or over:
        events |= select.POLLIN | select.POLLRDNORM
    if connection.send_space * 3 >= tcb.snd.limit or tcb.fin_queued or over:
        events |= select.POLLOUT | select.POLLWRNORM
    if connection.urgent_remaining:
        events |= select.POLLPRI
    if tcb.fin_received or over:
        events |= select.POLLRDHUP
    if over or (tcb.fin_received and tcb.fin_queued):
        events |= select.POLLHUP
    if descriptor.has_error():
        events |= select.POLLERR
    return events


def _ready_without_connection(descriptor: Descriptor) -> int:
    """A listener, a socket that was never connected, or one of UDP."""
    if isinstance(descriptor.socket, UdpSocket):
        waiting = descriptor.socket._endpoint.readable
        return select.POLLOUT | (select.POLLIN if waiting else 0)
    return 0 if descriptor.listens() else select.POLLOUT | select.POLLHUP


_ALWAYS = select.POLLERR | select.POLLHUP | select.POLLNVAL


def poll(kernel: Kernel, call: Call) -> Running:
    """`poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 1000) = 1`"""
    given = argument(call, 0)
    items = given.items if isinstance(given, Array) else ()
    entries = [item for item in items if isinstance(item, Struct)]
    timeout = number(argument(call, 2), "the timeout")
    patience = None if timeout < 0 else kernel.now() + timeout * _MILLISECOND
    while True:
        found = [_events_of(kernel, entry) for entry in entries]
        count = sum(1 for events in found if events)
        if count or (patience is not None and kernel.now() >= patience):
            break
        yield patience
    for entry, events in zip(entries, found, strict=True):
        _check_events(entry, events)
    return count


def _events_of(kernel: Kernel, entry: Struct) -> int:
    descriptor = kernel.descriptors.get(_field(entry, "fd"))
    if descriptor is None:
        return select.POLLNVAL
    return ready(descriptor) & (_field(entry, "events") | _ALWAYS)


def _check_events(entry: Struct, events: int) -> None:
    given = entry.get("revents")
    if given is not None and not is_any(given) and number_or_none(given) != events:
        fd = _field(entry, "fd")
        raise Mismatch(f"poll gave {_names(events)} for {fd} instead of {spelled(given)}")


def _names(events: int) -> str:
    names = [
        name
        for name in ("POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL")
        if events & getattr(select, name)
    ]
    rest = events & ~sum(getattr(select, name) for name in names)
    names += [f"{rest:#x}"] if rest else []
    return "|".join(names) or "0"


def _field(entry: Struct, name: str) -> int:
    given = entry.get(name)
    return 0 if given is None else number(given, name)
