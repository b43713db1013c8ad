"""What the expressions of a system call stand for."""

import errno
import fcntl
import os
import select
import socket
import termios
from collections.abc import Sequence

from stack.sim.drill.errors import Mismatch
from stack.sim.drill.script import (
    Anything,
    Apply,
    Array,
    Either,
    Expression,
    Name,
    Number,
    Struct,
    Text,
)

MSG_FASTOPEN = 0x20000000

# Constants of Linux that the standard library does not name.
_LINUX = {
    "FIONREAD": 0x541B,
    "SIOCINQ": 0x541B,
    "SIOCOUTQ": 0x5411,
    "SIOCOUTQNSD": 0x894B,
    "SIOCATMARK": 0x8905,
    "SOL_TCP": socket.IPPROTO_TCP,
    "SOL_IP": socket.IPPROTO_IP,
    "SOL_IPV6": socket.IPPROTO_IPV6,
    "SO_INCOMING_CPU": 49,
    "SO_MAX_PACING_RATE": 47,
    "SO_TIMESTAMPING": 37,
    "SO_ZEROCOPY": 60,
    "TCP_SAVE_SYN": 27,
    "TCP_SAVED_SYN": 28,
    "TCP_REPAIR": 19,
    "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_THIN_DUPACK": 17,
    "TCP_TIMESTAMP": 24,
    "TCP_CC_INFO": 26,
    "TCP_FASTOPEN_CONNECT": 30,
    "TCP_FASTOPEN_KEY": 33,
    "TCP_FASTOPEN_NO_COOKIE": 34,
    "TCP_INQ": 36,
    "TCP_TX_DELAY": 37,
    "IP_MTU": 14,
    "IP_MTU_DISCOVER": 10,
    "IPV6_MTU": 24,
    "IPV6_MTU_DISCOVER": 23,
    "IP_PMTUDISC_DONT": 0,
    "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2,
    "IP_PMTUDISC_PROBE": 3,
    "MSG_FASTOPEN": MSG_FASTOPEN,
    "MSG_ZEROCOPY": 0x4000000,
}
_MODULES = (socket, errno, os, fcntl, select, termios)


def constant(name: str) -> int | None:
    """The number of a constant of the socket interface; None when there is none so called."""
    if name in _LINUX:
        return int(_LINUX[name])
    for module in _MODULES:
        value = getattr(module, name, None)
        if isinstance(value, int):
            return int(value)
    return None


def number(expression: Expression, what: str) -> int:
    """The integer that an expression stands for. Raises Mismatch: it stands for none."""
    value = number_or_none(expression)
    if value is None:
        raise Mismatch(f"{what}: write a number or a constant here, not {spelled(expression)}")
    return value


def number_or_none(expression: Expression) -> int | None:
    """The integer that an expression stands for, None for anything else."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Name):
        return constant(expression.name)
    if isinstance(expression, Apply) and expression.function in ("htons", "htonl"):
        return number_or_none(expression.argument)
    if isinstance(expression, Either):
        return _joined(expression.parts)
    if isinstance(expression, Array) and len(expression.items) == 1:
        return number_or_none(expression.items[0])
    return None


def _joined(parts: Sequence[Expression]) -> int | None:
    total = 0
    for part in parts:
        value = number_or_none(part)
        if value is None:
            return None
        total |= value
    return total


def is_any(expression: Expression) -> bool:
    """Whether the script leaves this open: `...`, or `[...]`."""
    if isinstance(expression, Array) and len(expression.items) == 1:
        return is_any(expression.items[0])
    return isinstance(expression, Anything)


def address(expression: Expression, default: tuple[str, int]) -> tuple[str, int]:
    """Address and port that a sockaddr names; `default` for `...`, also for single fields."""
    if not isinstance(expression, Struct):
        return default
    host, port = default
    for name in ("sin_addr", "sin6_addr"):
        given = expression.get(name)
        if isinstance(given, Apply) and isinstance(given.argument, Text):
            host = given.argument.value
    for name in ("sin_port", "sin6_port"):
        given = expression.get(name)
        if given is not None and not is_any(given):
            port = number(given, name)
    return host, port


def spelled(expression: Expression) -> str:
    """An expression as a script has it."""
    match expression:
        case Anything():
            return "..."
        case Number(value):
            return str(value)
        case Name(name):
            return name
        case Text(value, open_ended):
            return f'"{value}"' + ("..." if open_ended else "")
        case Either(parts):
            return "|".join(map(spelled, parts))
        case Array(items):
            return f"[{', '.join(map(spelled, items))}]"
        case Apply(function, argument):
            return f"{function}({spelled(argument)})"
        case Struct(fields):
            inside = (f"{name}={spelled(v)}" if name else spelled(v) for name, v in fields)
            return "{" + ", ".join(inside) + "}"
