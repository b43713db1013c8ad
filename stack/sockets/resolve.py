"""From what an application names to addresses and ports, as asyncio does it."""

import asyncio
import socket
from collections.abc import Iterable

from stack.sockets.names import family_of, numeric_address

Host = str | bytes | None
Port = int | str | bytes | None
Endpoint = tuple[str, int]


async def resolve(
    loop: asyncio.AbstractEventLoop,
    host: Host,
    port: Port,
    *,
    family: int = 0,
    flags: int = 0,
    kind: int = socket.SOCK_STREAM,
) -> list[Endpoint]:
    """All (address, port) that the names stand for.

    Numbers are taken as they are; names go to the loop's getaddrinfo. Raises
    socket.gaierror for a name that is unknown or has no address of this family.
    """
    name = host.decode("idna") if isinstance(host, bytes) else host
    number = _port_number(port)
    address = numeric_address(name) if name else None
    if address is not None and number is not None:
        if family not in (socket.AF_UNSPEC, family_of(address.version)):
            raise socket.gaierror(
                socket.EAI_ADDRFAMILY, "Address family for hostname not supported"
            )
        return [(str(address), number)]
    found = await loop.getaddrinfo(name, port, family=family, type=kind, flags=flags)
    if not found:
        raise OSError("getaddrinfo() returned empty list")
    return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))


async def resolve_listening(
    loop: asyncio.AbstractEventLoop,
    host: Host | Iterable[str],
    port: Port,
    *,
    family: int = 0,
    flags: int = 0,
) -> list[tuple[str | None, int]]:
    """What a server shall listen on; address None stands for all addresses of the host."""
    if host is None or host in ("", b""):
        number = _port_number(port)
        if number is None:
            number = (await resolve(loop, None, port, family=family, flags=flags))[0][1]
        return [(_WILDCARDS[family], number)]
    hosts: Iterable[Host] = (host,) if isinstance(host, str | bytes) else host
    endpoints: dict[tuple[str | None, int], None] = {}
    for one in hosts:
        endpoints |= dict.fromkeys(await resolve(loop, one, port, family=family, flags=flags))
    return list(endpoints)


_WILDCARDS: dict[int, str | None] = {
    socket.AF_UNSPEC: None,
    socket.AF_INET: "0.0.0.0",
    socket.AF_INET6: "::",
}


def _port_number(port: Port) -> int | None:
    """The port as a number; None for the name of a service."""
    if port is None or port in ("", b""):
        return 0
    try:
        return int(port)
    except ValueError:
        return None
