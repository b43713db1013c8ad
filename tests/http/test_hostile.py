"""Whatever bytes arrive, a connection parses them or ends; it never raises, and others live."""

import asyncio
import random

import pytest
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from stack.http.limits import Limits
from tests.support.http2_peer import Peer, request_headers
from tests.support.http_world import Wired, path_app, run_virtual, settle

ROUNDS = 2000
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADE = (
    b"GET /c HTTP/1.1\r\nHost: y\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n"
)
LIMITS = Limits(disconnect_grace=0.01, linger_timeout=0.1, header_timeout=1, idle_timeout=1)


def http1_session(chance: random.Random) -> bytes:
    requests = [
        GET,
        b"POST /a HTTP/1.1\r\nHost: y\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /b HTTP/1.1\r\nHost: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n",
        UPGRADE,
        b"HEAD /d HTTP/1.0\r\n\r\n",
        b"GET /e HTTP/1.1\r\nHost: y\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    ]
    return b"".join(chance.choices(requests, k=chance.randint(1, 4)))


def http2_session(chance: random.Random) -> bytes:
    peer = Peer(None)  # type: ignore[arg-type]
    data = peer.h2.data_to_send()
    for stream in range(1, 2 * chance.randint(1, 6), 2):
        block = peer.h2.encoder.encode(request_headers(f"/{stream}", chance.choice(["GET", "PUT"])))
        ended = chance.random() < 0.5
        flags = ["END_HEADERS", "END_STREAM"] if ended else ["END_HEADERS"]
        data += HeadersFrame(stream, block, flags=flags).serialize()
        if not ended:
            data += DataFrame(stream, chance.randbytes(chance.randint(0, 50))).serialize()
        data += chance.choice(
            [
                WindowUpdateFrame(stream, window_increment=chance.randint(1, 1 << 30)),
                RstStreamFrame(stream, error_code=chance.randint(0, 20)),
                PingFrame(0, b"12345678"),
                SettingsFrame(0, settings={chance.randint(1, 9): chance.randint(0, 1 << 20)}),
                PriorityFrame(stream, depends_on=0, stream_weight=1),
                GoAwayFrame(0, last_stream_id=0, error_code=chance.randint(0, 1)),
            ]
        ).serialize()
    return data


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Flips, cuts, doubles and inserts, here and there."""
    spoilt = bytearray(data)
    for _ in range(chance.randint(0, 4)):
        if not spoilt:
            break
        place = chance.randrange(len(spoilt))
        kind = chance.randrange(4)
        if kind == 0:
            spoilt[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del spoilt[place : place + chance.randint(1, 20)]
        elif kind == 2:
            spoilt[place:place] = spoilt[place : place + chance.randint(1, 40)]
        else:
            spoilt[place:place] = chance.randbytes(chance.randint(1, 10))
    return bytes(spoilt)


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 200))


@pytest.mark.parametrize("make", [http1_session, http2_session, noise])
def test_spoilt_input_never_raises_and_never_harms_the_next_connection(make, caplog):
    chance = random.Random(f"hostile {make.__name__}")
    complaints = []

    async def one(wired: Wired) -> None:
        wire = wired.connect(secure=chance.random() < 0.2)
        data = spoil(make(chance), chance)
        while data and not (wire.closed or wire.eof) and wire.reading:
            size = chance.choice([1, 7, 100, 1000])
            wire.feed(data[:size])
            data = data[size:]
            if chance.random() < 0.3:
                await settle(4)
        if chance.random() < 0.5 and not wire.closed:
            wire.feed_eof()
        await settle(4)
        wire.abort()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))
        async with Wired(path_app, LIMITS) as wired:
            for _ in range(ROUNDS):
                await one(wired)
            await asyncio.sleep(100)
            assert not wired.server.connections
            assert not wired.server.service.running.tasks
            wire = wired.connect()
            wire.feed(GET)
            await settle()
            assert wire.take().startswith(b"HTTP/1.1 200 OK")

    run_virtual(main)
    assert complaints == []
    assert [record.message for record in caplog.records] == []
