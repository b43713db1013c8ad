"""asyncio's datagram endpoints on the kernel's loopback, and ours in virtual time, side by side."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.two_hosts import CLIENT, CLIENT6, SERVER, SERVER6, TwoHosts
from tests.support.two_hosts import run as run_ours

Scenario = Callable[["DatagramWorld"], Awaitable[Any]]


class Recorder(asyncio.DatagramProtocol):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.transport: Any = None
        self.paused = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.calls.append("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.calls.append((data, addr))

    def error_received(self, exc: OSError) -> None:
        self.calls.append((type(exc).__name__, exc.errno))

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(("lost", exc))

    def pause_writing(self) -> None:
        self.paused += 1

    @property
    def texts(self) -> list[bytes]:
        """The data of what arrived."""
        return [call[0] for call in self.calls if isinstance(call[0], bytes)]


class DatagramWorld:
    """Makes endpoints for a client and a server, and closes them all at the end."""

    def __init__(self, makers: dict[str, Any], addresses: dict[int, tuple[str, str]]) -> None:
        self._makers = makers
        self._addresses = addresses
        self._made: list[Any] = []

    def client_address(self, family: int = socket.AF_INET) -> str:
        """Where the client is."""
        return self._addresses[family][0]

    def server_address(self, family: int = socket.AF_INET) -> str:
        """Where the server is."""
        return self._addresses[family][1]

    async def endpoint(self, side: str, factory: Any = Recorder, **options: Any) -> Any:
        """The protocol of a new endpoint on one side."""
        transport, protocol = await self._makers[side].create_datagram_endpoint(factory, **options)
        self._made.append(transport)
        return protocol

    async def server(self, family: int = socket.AF_INET, factory: Any = Recorder) -> Any:
        """An endpoint that is bound on the server's side."""
        address = self.server_address(family)
        return await self.endpoint("server", factory, local_addr=(address, 0))

    async def settle(self) -> None:
        """Long enough for packets to cross a link."""
        await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Aborts what is open still."""
        for transport in self._made:
            transport.abort()
        await asyncio.sleep(0)


def ours(scenario: Scenario) -> Any:
    """What a scenario returns on two hosts of ours."""

    async def main(hosts: TwoHosts) -> Any:
        addresses = {socket.AF_INET: (CLIENT, SERVER), socket.AF_INET6: (CLIENT6, SERVER6)}
        world = DatagramWorld({"client": hosts.client, "server": hosts.server}, addresses)
        return await scenario(world)

    return run_ours(main)


def kernels(scenario: Scenario) -> Any:
    """What a scenario returns on the kernel's loopback."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        addresses = {
            socket.AF_INET: ("127.0.0.1", "127.0.0.1"),
            socket.AF_INET6: ("::1", "::1"),
        }
        world = DatagramWorld({"client": loop, "server": loop}, addresses)
        try:
            return await scenario(world)
        finally:
            await world.close()

    return asyncio.run(main())
