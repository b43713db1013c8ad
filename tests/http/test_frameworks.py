"""Applications written for a framework run unchanged."""

import contextlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from tests.support.fetching import get as fetch
from tests.support.http_world import Wired, run, run_virtual, serving, settle

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"greeting": "hello"}


async def greet(request: Request):
    body = await request.body()
    return JSONResponse({"greeting": request.state.greeting, "size": len(body)})


async def stream(request: Request):
    async def parts():
        for number in range(5):
            yield f"{number}\n"

    return StreamingResponse(parts())


async def shout(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).upper())
    await websocket.close()


app = Starlette(
    routes=[
        Route("/greet", greet, methods=["GET", "POST"]),
        Route("/stream", stream),
        WebSocketRoute("/ws", shout),
    ],
    lifespan=lifespan,
)


def test_starlette_runs_with_lifespan_bodies_and_streams():
    async def main():
        async with serving(app) as served:
            for version in ("1.1", "2-prior-knowledge"):
                answer = await fetch(
                    served.host,
                    f"{served.http}/greet",
                    method="POST",
                    body=bytes(100_000),
                    http_version=version,
                )
                assert answer.body == b'{"greeting":"hello","size":100000}'
                answer = await fetch(served.host, f"{served.http}/stream", http_version=version)
                assert answer.body == b"0\n1\n2\n3\n4\n"
                missing = await fetch(served.host, f"{served.http}/none", http_version=version)
                assert missing.status == 404

    run(main)


def test_starlettes_websockets_run():
    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(UPGRADE)
            await settle(30)
            assert wire.take().startswith(b"HTTP/1.1 101 ")
            client = Connection(ConnectionType.CLIENT)
            wire.feed(client.send(TextMessage(data="quiet")))
            await settle(30)
            client.receive_data(wire.take())
            assert next(iter(client.events())) == TextMessage(data="QUIET")

    run_virtual(main)
