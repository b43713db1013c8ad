"""Which sockets live on which host, and modules like `socket` for it."""

import ipaddress
import os
import socket as standard
import types
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from stack.core.host import Host
from stack.link import loopback
from stack.link.base import Link
from stack.sockets.blocking import BlockingHost
from stack.sockets.dropin.sock import Socket, close
from stack.sockets.names import numeric_address
from stack.wire.address import pack

_getaddrinfo = standard.getaddrinfo
_gethostbyaddr = standard.gethostbyaddr
_UNSPECIFIED = ("", "0.0.0.0", "::")


@dataclass(eq=False)
class Place:
    """Where sockets live: on `host`, or where that is `shared`, in the kernel as well.

    Then a socket belongs to the host when it is bound to one of the host's addresses or to
    all, or connects to the host's networks; else it is the kernel's.
    """

    host: BlockingHost
    shared: bool = False
    socket_class: type[Socket] = field(default=Socket)

    def takes_name(self, name: Any, family: int) -> bool:
        """Whether a socket that is bound to `name` is the host's."""
        given = _host_part(name)
        if given in _UNSPECIFIED:
            return True
        address = _address(given, family)
        return address is not None and self.owns(address)

    def owns(self, text: str) -> bool:
        """Whether a numeric address is one of the host's."""
        address = numeric_address(text)
        return address is not None and self.host.host.local.owns(pack(address))

    def reaches(self, name: Any, family: int) -> bool:
        """Whether a socket that connects or sends to `name` first of all is the host's."""
        text = _address(_host_part(name), family)
        address = None if text is None else numeric_address(text)
        return address is not None and any(
            address.version == interface.version and address in interface.network
            for interface in self.host.host.local.interfaces
        )

    def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the standard library's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As socket.getaddrinfo: numbers as they are, names as the system knows them."""
        if isinstance(host, str) and numeric_address(host) is not None:
            # Which addresses the kernel has says nothing about the host.
            flags &= ~standard.AI_ADDRCONFIG
        return _getaddrinfo(host, port, family, type, proto, flags)

    def gethostbyaddr(self, host: str) -> tuple[str, list[str], list[str]]:
        """As socket.gethostbyaddr; nobody needs to be asked about the host's own addresses."""
        if self.owns(host):
            return host, [], [host]
        return _gethostbyaddr(host)


def _host_part(name: Any) -> str | None:
    if not isinstance(name, tuple) or not name:
        return None
    host = name[0]
    if isinstance(host, bytes | bytearray):
        host = host.decode("idna", "replace")
    return host if isinstance(host, str) else None


def _address(host: str | None, family: int) -> str | None:
    """The numeric address that `host` stands for; None for what the kernel may judge."""
    if not host:
        return None
    address = numeric_address(host)
    if address is None:
        try:
            return str(_getaddrinfo(host, None, family, standard.SOCK_STREAM)[0][4][0])
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def open_host(link: Link | None, *addresses: str, **settings: Any) -> BlockingHost:
    """A host on `link` that can also talk to itself, as every host can; without a link, only
    that. `settings` are those of Host: `random_bytes` is the system's unless given, and
    `loopback` gives it 127.0.0.1 and ::1, too.
    """
    settings.setdefault("random_bytes", os.urandom)
    settings.setdefault("mtu", link.mtu if link else loopback.DEFAULT_MTU)
    host = Host(addresses, **settings)
    packed = [pack(interface.ip) for interface in host.local.interfaces]
    return BlockingHost(host, loopback.LoopbackLink(packed, link))


# ---- modules -------------------------------------------------------------------------------


def module(host: BlockingHost) -> types.ModuleType:
    """A module like `socket` whose internet sockets all live on `host`.

    Its functions are those of the standard library, on the module's own class `socket`. What
    is no internet socket, such as AF_UNIX, is the kernel's.
    """
    place = Place(host)
    made = types.ModuleType("socket", standard.__doc__)
    names = vars(made)
    own = {key: value for key, value in vars(standard).items() if not key.startswith("__")}
    names.update(own)
    for name, value in own.items():
        if isinstance(value, types.FunctionType) and value.__module__ == "socket":
            names[name] = _rebound(value, names)
    place.socket_class = type("socket", (Socket,), {"place": place, "__module__": "socket"})
    names["socket"] = place.socket_class
    names["close"] = close
    names["getaddrinfo"] = place.getaddrinfo
    names["gethostbyaddr"] = place.gethostbyaddr
    return made


def _rebound(function: types.FunctionType, names: dict[str, Any]) -> types.FunctionType:
    """The same function, which finds other things under the names that it uses."""
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__doc__ = function.__doc__
    return made


# ---- in place of `import socket` -----------------------------------------------------------

_default: list[Place] = []
_of_thread: ContextVar[Place | None] = ContextVar("place", default=None)


def current_place() -> Place | None:
    """Where sockets live that are made here and now; None: in the kernel."""
    return _of_thread.get() or (_default[-1] if _default else None)


@contextmanager
def installed(host: BlockingHost, *, shared: bool = True) -> Iterator[Place]:
    """Puts the drop-in in place of `import socket` for the whole process.

    `shared` leaves to the kernel what has nothing to do with the host's addresses. Modules
    that took something out of `socket` before (`from socket import socket`) keep what they have.
    """
    place = Place(host, shared=shared)
    kept = {
        name: getattr(standard, name)
        for name in ("socket", "close", "getaddrinfo", "gethostbyaddr")
    }
    _default.append(place)
    standard.socket = Socket  # type: ignore[misc]
    standard.close = close  # type: ignore[assignment]
    standard.getaddrinfo = place.getaddrinfo
    standard.gethostbyaddr = place.gethostbyaddr
    try:
        yield place
    finally:
        _default.remove(place)
        for name, value in kept.items():
            setattr(standard, name, value)


@contextmanager
def on(host: BlockingHost, *, shared: bool = False) -> Iterator[Place]:
    """Where the drop-in is installed, has the sockets that this thread or task makes live on
    `host`: so several hosts of one process have each their programs.
    """
    place = Place(host, shared=shared)
    token = _of_thread.set(place)
    try:
        yield place
    finally:
        _of_thread.reset(token)
