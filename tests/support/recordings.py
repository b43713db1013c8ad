"""Recordings for tests: two hosts over a bad wire, each with a recording of its own."""

import asyncio
from binascii import crc32
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack_into
from typing import Any

from stack.core.events import KeyLogged
from stack.core.host import Host
from stack.http.demo import app
from stack.http.server import HttpServer
from stack.observe.recording.frames import MAGIC, FrameReader, Kind
from stack.observe.recording.player import Player
from stack.observe.recording.recorder import Recorder
from stack.observe.tcb import tcb_text
from stack.observe.trace import TextTrace
from stack.sim import Network
from tests.support.fetching import get
from tests.support.two_hosts import CLIENT, SERVER, SERVER6

HEAD = 10  # bytes before a frame's content
BAD_WIRE = {
    "delay": 5_000,
    "jitter": 2_000,
    "rate": 50_000_000,
    "loss": 0.03,
    "reorder": 0.03,
    "duplicate": 0.02,
    "corrupt": 0.01,
}


@dataclass
class Visit:
    """What was seen while it was recorded: the server's trace, and the variables of its
    connections behind some events.
    """

    client: Path
    server: Path
    trace: str = ""
    variables: dict[int, list[str]] = field(default_factory=dict)


def record_visit(folder: Path) -> Visit:
    """HTTP over TLS and without, and datagrams, with every fault on the wire."""
    visit = Visit(folder / "client.rec", folder / "server.rec")
    recorders = Recorder(visit.client), Recorder(visit.server)
    net = Network(seed=3)
    client = net.host("client", f"{CLIENT}/24", "2001:db8::1/64", make=recorders[0].host)
    server = net.host("server", f"{SERVER}/24", f"{SERVER6}/64", make=recorders[1].host)
    net.link(client, server, **BAD_WIRE)
    lines: list[str] = []
    trace = TextTrace(lines.append, ours={SERVER, SERVER6})
    server.observe(trace)

    def look() -> None:
        connections = list(server.connections.values())
        visit.variables[recorders[1].events] = [tcb_text(one, server.now) for one in connections]

    for step in range(40):
        net.call_at(net.now + 20_000 * step + 7, look)
    loop = net.loop()
    try:
        loop.run_until_complete(_visit(net, client, server))
    finally:
        loop.close()
    trace.flush()
    for recorder in recorders:
        recorder.close()
        assert recorder.error == ""
    visit.trace = "".join(lines)
    return visit


async def _visit(net: Network, client_host: Host, server_host: Host) -> None:
    loop = asyncio.get_running_loop()
    async with net.sockets(client_host) as client, net.sockets(server_host) as server:
        served = HttpServer(
            server,
            app,
            clock=loop.time,
            keylog=lambda line: server.host.publish(KeyLogged(server.driver.now(), line)),
        )
        await served.start()
        echo, _ = await server.create_datagram_endpoint(_Echo, local_addr=(SERVER, 7))
        asked, answers = await client.create_datagram_endpoint(_Ask, remote_addr=(SERVER, 7))
        for number in range(30):
            asked.sendto(b"x" * (100 * number))
        for url in (f"https://{SERVER}/bytes/300000", f"http://[{SERVER6}]/bytes/200000"):
            answer = await get(client, url, verify=False)
            assert len(answer.body) in (300_000, 200_000)
        text = bytes(150_000)
        await get(client, f"http://{SERVER}/sha256", method="POST", body=text)
        assert answers.heard
        asked.close()
        echo.close()
        await served.close()
        await asyncio.sleep(1)


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class _Ask(asyncio.DatagramProtocol):
    def __init__(self):
        self.heard = 0

    def datagram_received(self, data, addr):
        self.heard += 1


def recording(monkeypatch: Any, folder: Path, module: str) -> list[tuple[Recorder, Path]]:
    """Has every host that is made by the name `module` recorded; returns the recorders and
    their files.
    """
    made: list[tuple[Recorder, Path]] = []

    def make(*args: Any, **given: Any) -> Host:
        path = folder / f"{len(made)}.rec"
        made.append((Recorder(path), path))
        return made[-1][0].host(*args, **given)

    monkeypatch.setattr(module, make)
    return made


def play(path: Path) -> Player:
    """A recording that was replayed to its end."""
    player = Player(path)
    try:
        player.play()
    finally:
        player.close()
    return player


@dataclass
class Place:
    """A frame in a file: `event` counts the calls up to it, itself included."""

    offset: int
    kind: Kind
    content: bytes
    event: int

    @property
    def end(self) -> int:
        return self.offset + HEAD + 1 + len(self.content)


def places(path: Path) -> list[Place]:
    """All frames behind the header."""
    reader = FrameReader(path)
    found, event = [], 0
    while (frame := reader.next()) is not None:
        event += frame.kind is Kind.CALL
        found.append(Place(frame.offset, frame.kind, frame.cursor.rest, event))
    reader.close()
    return found


def spoil(path: Path, place: Place, content: bytes) -> None:
    """Gives a frame another content of the same length, and checks that are right."""
    data = bytearray(path.read_bytes())
    assert data.startswith(MAGIC) and len(content) == len(place.content)
    pack_into("<I", data, place.offset + 6, crc32(content, crc32(place.kind.value)))
    data[place.offset + HEAD + 1 : place.end] = content
    path.write_bytes(data)
