"""Applications written for a framework run unchanged."""

import contextlib

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi import WebSocket as FastWebSocket
from pydantic import BaseModel
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


# ---- FastAPI


class Item(BaseModel):
    name: str
    price: float = 1.0


kept: dict[int, Item] = {}
done: list[str] = []
api = FastAPI(lifespan=lifespan)


def number(page: int = 1) -> int:
    return page


@api.post("/items/{item_id}", status_code=201)
async def put_item(item_id: int, item: Item, tasks: BackgroundTasks):
    kept[item_id] = item
    tasks.add_task(done.append, item.name)
    return {"id": item_id, **item.model_dump()}


@api.get("/items/{item_id}")
def get_item(item_id: int, page: int = Depends(number)):  # noqa: FAST002
    """A plain function, which FastAPI runs in a thread."""
    if item_id not in kept:
        raise HTTPException(404, "there is none")
    return {"name": kept[item_id].name, "page": page}


@api.websocket("/ws")
async def whisper(websocket: FastWebSocket):
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).lower())
    await websocket.close()


@pytest.mark.parametrize("version", ["1.1", "2-prior-knowledge"])
def test_fastapi_runs_with_models_threads_and_background_tasks(version):
    async def main():
        async with serving(api) as served:

            async def ask(path, method="GET", body=None):
                headers = (("content-type", "application/json"),) if body else ()
                return await fetch(
                    served.host,
                    served.http + path,
                    method=method,
                    body=body,
                    headers=headers,
                    http_version=version,
                )

            made = await ask("/items/7", "POST", b'{"name": "cup"}')
            assert (made.status, made.body) == (201, b'{"id":7,"name":"cup","price":1.0}')
            assert (await ask("/items/7?page=3")).body == b'{"name":"cup","page":3}'
            assert (await ask("/items/8")).status == 404
            assert (await ask("/items/x")).status == 422
            assert (await ask("/items/9", "POST", b"{}")).status == 422
            assert (await ask("/openapi.json")).status == 200
            assert done[-1] == "cup"

    run(main)


@pytest.mark.parametrize(
    ("served", "said", "heard"), [(app, "quiet", "QUIET"), (api, "LOUD", "loud")]
)
def test_websockets_of_frameworks_run(served, said, heard):
    async def main():
        async with Wired(served) as wired:
            wire = wired.connect()
            wire.feed(UPGRADE)
            await settle(60)
            assert wire.take().startswith(b"HTTP/1.1 101 ")
            client = Connection(ConnectionType.CLIENT)
            wire.feed(client.send(TextMessage(data=said)))
            await settle(60)
            client.receive_data(wire.take())
            assert next(iter(client.events())) == TextMessage(data=heard)

    run_virtual(main)
