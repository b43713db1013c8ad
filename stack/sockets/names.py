"""Addresses and errors in the shapes that the standard library's sockets give them."""

import ipaddress
import operator
import os
import socket
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SocketName = tuple[str, int] | tuple[str, int, int, int]

_WILDCARD = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
_FLOW_LABEL_MAX = (1 << 20) - 1
_MAPPED = "::ffff:"


def error_of(number: int) -> OSError:
    """The exception that a socket raises for an errno; Python picks the subclass."""
    return OSError(number, os.strerror(number))


def family_of(version: int) -> socket.AddressFamily:
    """The address family of an IP version."""
    return socket.AF_INET if version == 4 else socket.AF_INET6


def socket_name(address: tuple[str, int], version: int) -> SocketName:
    """(address, port) as socket.getsockname has it: for IPv6 flow label and scope follow.

    An IPv4 address on an IPv6 socket is shown mapped (RFC 3493 §3.7).
    """
    if version == 4:
        return address
    host, port = address
    if ":" not in host:
        host = _MAPPED + host
    return host, port, 0, 0


def numeric_address(text: str) -> Address | None:
    """The address that `text` spells, None when it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def check_port(port: int, call: str) -> None:
    """Raises OverflowError in the standard library's words unless `port` has 16 bits."""
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")


def parse_name(name: Any, family: socket.AddressFamily, call: str) -> tuple[str, int]:
    """What was given to `call` as an address, as (numeric address, port).

    Raises what the standard library does: TypeError, OverflowError, socket.gaierror.
    """
    if not isinstance(name, tuple):
        raise TypeError(f"{call}(): {family.name} address must be tuple, not {type(name).__name__}")
    most = 2 if family == socket.AF_INET else 4
    if not 2 <= len(name) <= most:
        raise TypeError(
            f"{call}(): {family.name} address must be a pair (host, port)"
            if most == 2
            else f"{call}(): {family.name} address must be a tuple "
            "(host, port[, flowinfo[, scopeid]])"
        )
    host, port = name[0], operator.index(name[1])
    if not isinstance(host, str | bytes | bytearray):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    address = _address(host if isinstance(host, str) else host.decode("idna"), family)
    check_port(port, call)
    if len(name) > 2 and operator.index(name[2]) & 0xFFFFFFFF > _FLOW_LABEL_MAX:
        raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
    return address, port


def _address(host: str, family: socket.AddressFamily) -> str:
    if not host:
        return _WILDCARD[family]
    if host == "<broadcast>" and family == socket.AF_INET:
        return "255.255.255.255"
    address = numeric_address(host)
    if address is not None and family_of(address.version) == family:
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return str(mapped or address)
    flags = socket.AI_NUMERICHOST if address is not None else 0
    found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, 0, flags)
    return str(found[0][4][0])
