"""Opening a UDP endpoint as asyncio does: names looked up, addresses tried in turn."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from stack.core.udp.endpoint import UdpEndpoint
from stack.run.pump import Driver
from stack.sockets.datagram import UdpTransport
from stack.sockets.names import check_port, family_of
from stack.sockets.resolve import Endpoint, resolve

P = TypeVar("P", bound=asyncio.BaseProtocol)
Pair = tuple[Endpoint | None, Endpoint | None]

_WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


async def create_datagram_endpoint(
    loop: asyncio.AbstractEventLoop,
    driver: Driver,
    protocol_factory: Callable[[], P],
    local: Any,
    remote: Any,
    *,
    family: int,
    flags: int,
    reuse_port: bool,
    allow_broadcast: bool,
) -> tuple[UdpTransport, P]:
    """See `AsyncHost.create_datagram_endpoint`."""
    errors: list[OSError] = []
    for which, pair in await _pairs(loop, local, remote, family=family, flags=flags):
        try:
            endpoint = _open(
                driver, which, pair, reuse_port=reuse_port, allow_broadcast=allow_broadcast
            )
        except OSError as error:
            errors.append(error)
        else:
            return await _serve(loop, driver, endpoint, which, pair[1], protocol_factory)
    raise errors[0]


async def _pairs(
    loop: asyncio.AbstractEventLoop,
    local: Any,
    remote: Any,
    *,
    family: int,
    flags: int,
) -> list[tuple[socket.AddressFamily, Pair]]:
    """(family, (local, remote)) to try in turn, as asyncio joins what two names stand for.

    Raises TypeError for what is no pair of host and port, ValueError when no family has all
    that was asked for.
    """
    if not (local or remote):
        if family == socket.AF_UNSPEC:
            raise ValueError("unexpected address family")
        return [(socket.AddressFamily(family), (None, None))]
    joined: dict[socket.AddressFamily, list[Endpoint | None]] = {}
    for index, address in enumerate((local, remote)):
        if address is None:
            continue
        if not (isinstance(address, tuple) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        found = await resolve(loop, *address, family=family, flags=flags, kind=socket.SOCK_DGRAM)
        for one in found:
            version = 6 if ":" in one[0] else 4
            joined.setdefault(family_of(version), [None, None])[index] = one
    complete = [
        (which, (pair[0], pair[1]))
        for which, pair in joined.items()
        if not ((local and pair[0] is None) or (remote and pair[1] is None))
    ]
    if not complete:
        raise ValueError("can not get address information")
    return complete


def _open(
    driver: Driver,
    family: socket.AddressFamily,
    pair: Pair,
    *,
    reuse_port: bool,
    allow_broadcast: bool,
) -> UdpEndpoint:
    """An endpoint that is bound and connected as the pair says. Raises OSError.

    As in asyncio one that may broadcast is not connected, since answers come from others.
    """
    local, remote = pair
    endpoint = driver.host.unbound_udp(4 if family == socket.AF_INET else 0)
    endpoint.reuse_port = reuse_port
    endpoint.broadcast = allow_broadcast
    try:
        if local:
            address, port = local
            check_port(port, "bind")
            endpoint.bind(None if address == _WILDCARDS[family] else address, port)
        if remote and not allow_broadcast:
            check_port(remote[1], "connect")
            endpoint.connect(*remote, driver.now())
    except BaseException:
        endpoint.close(driver.now())
        raise
    return endpoint


async def _serve(
    loop: asyncio.AbstractEventLoop,
    driver: Driver,
    endpoint: UdpEndpoint,
    family: socket.AddressFamily,
    remote: Endpoint | None,
    protocol_factory: Callable[[], P],
) -> tuple[UdpTransport, P]:
    """Puts a protocol on an endpoint, and waits until it knows."""
    waiter: asyncio.Future[None] = loop.create_future()
    try:
        protocol = protocol_factory()
        transport = UdpTransport(
            loop, driver, endpoint, protocol, family=family, address=remote, waiter=waiter
        )
    except BaseException:
        endpoint.close(driver.now())
        raise
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    return transport, protocol
