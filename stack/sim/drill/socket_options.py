"""setsockopt, getsockopt and ioctl."""

import errno
import struct

from stack.sim.drill.errors import Mismatch
from stack.sim.drill.kernel import Handler, Kernel, Running, argument, at_once
from stack.sim.drill.script import Anything, Call, Expression, Struct, Text
from stack.sim.drill.sockets import Descriptor
from stack.sim.drill.values import constant, is_any, number, spelled
from stack.sockets.names import error_of
from stack.sockets.udp_socket import UdpSocket

_INT = struct.Struct("i")
_LINGER = struct.Struct("ii")


def _value(expression: Expression) -> bytes:
    """The bytes of an option's value: a number in brackets, a string, or a linger."""
    if isinstance(expression, Text):
        return expression.value.encode()
    if isinstance(expression, Struct):
        return _LINGER.pack(_part(expression, "onoff"), _part(expression, "linger"))
    return _INT.pack(_signed(number(expression, "the value of the option")))


def _part(expression: Struct, name: str) -> int:
    given = expression.get(name)
    return 0 if given is None else number(given, name)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _setsockopt(kernel: Kernel, call: Call) -> Running:
    level = number(argument(call, 1), "the level")
    name = number(argument(call, 2), "the option")
    kernel.descriptor(call).socket.setsockopt(level, name, _value(argument(call, 3)))
    return at_once(0)


def _getsockopt(kernel: Kernel, call: Call) -> Running:
    level = number(argument(call, 1), "the level")
    name = number(argument(call, 2), "the option")
    given = argument(call, 3)
    size = 1024 if isinstance(given, Text) else _LINGER.size if isinstance(given, Struct) else 0
    found = kernel.descriptor(call).socket.getsockopt(level, name, size)
    if not is_any(given):
        _compare(call, given, found)
    return at_once(0)


def _compare(call: Call, given: Expression, found: int | bytes) -> None:
    if isinstance(given, Text) and isinstance(found, bytes):
        text = found.rstrip(b"\0").decode("utf-8", "replace")
        same, shown = text == given.value, f'"{text}"'
    elif isinstance(given, Struct) and isinstance(found, bytes):
        onoff, linger = _LINGER.unpack(found)
        wanted = _part(given, "onoff"), _part(given, "linger")
        same, shown = (onoff, linger) == wanted, f"{{onoff={onoff}, linger={linger}}}"
    else:
        same, shown = found == number(given, "the value of the option"), f"[{found!r}]"
    if not same:
        raise Mismatch(f"{call.name} gave {shown} instead of {spelled(given)}")


# ---- ioctl ------------------------------------------------------------------------------


def _ioctl(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    request = number(argument(call, 1), "the request")
    given = argument(call, 2) if len(call.arguments) > 2 else Anything()
    if request == constant("FIONBIO"):
        descriptor.waits = number(given, "the switch") == 0
        return at_once(0)
    value = _answer(descriptor, request)
    if not is_any(given) and number(given, "the value") != value:
        raise Mismatch(f"ioctl gave [{value}] instead of {spelled(given)}")
    return at_once(0)


def _answer(descriptor: Descriptor, request: int) -> int:
    """What the kernel tells about a connection's queues (tcp(7))."""
    connection = descriptor.connection
    if isinstance(descriptor.socket, UdpSocket) and request == constant("FIONREAD"):
        datagram = descriptor.socket._endpoint.peek()
        return 0 if datagram is None else len(datagram.data)
    if connection is None:
        raise error_of(errno.EINVAL)
    if request == constant("SIOCINQ"):
        return connection.available
    if request == constant("SIOCATMARK"):
        return int(connection.at_mark)
    if request == constant("SIOCOUTQ"):
        return connection.send_queued
    if request == constant("SIOCOUTQNSD"):
        tcb = connection.tcb
        in_flight = (tcb.snd_nxt - tcb.snd_una) & 0xFFFF_FFFF
        return max(connection.send_queued - in_flight, 0)
    raise error_of(errno.ENOTTY)


HANDLERS: dict[str, Handler] = {
    "setsockopt": _setsockopt,
    "getsockopt": _getsockopt,
    "ioctl": _ioctl,
}
