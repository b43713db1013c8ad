"""WebSockets over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441)."""

import asyncio

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from stack.http.limits import Limits
from tests.support.http2_peer import Peer
from tests.support.http_world import Wired, run_virtual, settle

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASK = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
    b"Sec-WebSocket-Protocol: chat, other\r\n\r\n"
)
CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/chat?room=1"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat, other"),
]


class Client:
    """The client's end of a WebSocket, whichever version of HTTP carries it."""

    def __init__(self, wired, *, http2: bool) -> None:
        self.wire = wired.connect()
        self.peer = Peer(self.wire) if http2 else None
        self.ws = Connection(ConnectionType.CLIENT)
        self.status = ""
        self.head: dict[str, str] = {}
        self.events = []
        self._head = b""

    async def open(self) -> None:
        if self.peer is None:
            self.wire.feed(ASK)
        else:
            self.peer.h2.send_headers(1, CONNECT)
        await self.turn()

    async def turn(self) -> None:
        if self.peer is not None:
            await self.peer.turn()
            self.head = self.peer.heads.get(1, {})
            self.status = self.head.get(":status", "")
            data, self.peer.bodies[1] = self.peer.bodies[1], b""
        else:
            await settle(30)
            data = self.wire.take()
            if not self.status:
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                self.status = lines[0].split()[1]
                self.head = dict(line.split(": ") for line in lines[1:])
        if self.status in {"101", "200"} and data:
            self.ws.receive_data(data)
            self.events += list(self.ws.events())

    async def send(self, *events) -> None:
        await self.raw(b"".join(self.ws.send(event) for event in events))

    async def raw(self, data: bytes) -> None:
        if self.peer is None:
            self.wire.feed(data)
        else:
            self.peer.h2.send_data(1, data)
        await self.turn()

    @property
    def over(self) -> bool:
        return self.wire.eof if self.peer is None else 1 in self.peer.ended


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def http2(request):
    return request.param


def talking(app, test, http2, limits=None):
    async def main():
        async with Wired(app, limits) as wired:
            client = Client(wired, http2=http2)
            await client.open()
            await test(client, wired)

    run_virtual(main)


async def echo(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-y", b"z")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    echo.left = message


@pytest.mark.rfc("6455", "4.2.2")
@pytest.mark.rfc("8441", "5")
def test_a_websocket_is_accepted_and_carries_messages_both_ways(http2):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await echo(scope, receive, send)

    async def test(client, wired):
        assert client.status == ("200" if http2 else "101")
        assert client.head["sec-websocket-protocol"] == "chat"
        assert client.head["x-y"] == "z"
        if not http2:
            # The value that RFC 6455 §1.3 computes for this key.
            assert client.head["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await client.send(TextMessage(data="grüße"), BytesMessage(data=b"\x00" * 60_000))
        text = "".join(e.data for e in client.events if isinstance(e, TextMessage))
        data = b"".join(e.data for e in client.events if isinstance(e, BytesMessage))
        assert (text, data) == ("grüße", b"\x00" * 60_000)
        (scope,) = seen
        assert scope["type"] == "websocket"
        assert scope["scheme"] == "ws"
        assert scope["path"] == "/chat"
        assert scope["query_string"] == b"room=1"
        assert scope["subprotocols"] == ["chat", "other"]
        assert scope["http_version"] == ("2" if http2 else "1.1")
        assert "method" not in scope

    talking(app, test, http2)


@pytest.mark.rfc("6455", "5.5.1")
def test_a_close_is_answered_and_the_application_learns_its_code(http2):
    async def test(client, wired):
        await client.send(CloseConnection(code=1001, reason="bye"))
        (close,) = client.events
        assert close.code == 1001
        assert client.over
        assert echo.left == {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}

    talking(echo, test, http2)


@pytest.mark.rfc("6455", "5.5.3")
def test_a_ping_is_answered_with_its_payload(http2):
    async def test(client, wired):
        await client.send(Ping(payload=b"abc"))
        assert client.events == [Pong(payload=b"abc")]

    talking(echo, test, http2)


def test_an_application_may_refuse(http2):
    async def app(scope, receive, send):
        await send({"type": "websocket.close"})

    async def test(client, wired):
        assert client.status == "403"

    talking(app, test, http2)


def test_an_application_may_refuse_with_a_response_of_its_own(http2):
    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"who?"})

    async def test(client, wired):
        assert client.status == "401"

    talking(app, test, http2)


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.rfc("6455", "7.4.1")
def test_an_application_that_ends_closes_and_says_whether_by_an_error(http2, error, caplog):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        if error:
            raise ValueError("oops")

    async def test(client, wired):
        (close,) = client.events
        code = CloseReason.INTERNAL_ERROR if error else CloseReason.NORMAL_CLOSURE
        assert close.code == code
        assert client.over

    talking(app, test, http2)


@pytest.mark.rfc("6455", "5.1")
def test_frames_without_a_mask_end_it(http2):
    async def test(client, wired):
        await client.raw(b"\x81\x02hi")
        (close,) = client.events
        assert close.code == CloseReason.PROTOCOL_ERROR
        assert client.over
        assert wired.server.counters["websocket_breaches"] == 1

    talking(echo, test, http2)


@pytest.mark.rfc("6455", "7.4.1")
def test_a_message_over_the_limit_ends_it(http2):
    async def test(client, wired):
        await client.send(BytesMessage(data=bytes(2000)))
        (close,) = client.events
        assert close.code == CloseReason.MESSAGE_TOO_BIG

    talking(echo, test, http2, Limits(websocket_message=1000))


def test_messages_that_come_before_the_accept_wait_for_it(http2):
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await echo(scope, receive, send)

    async def main():
        async with Wired(app) as wired:
            client = Client(wired, http2=http2)
            early = client.ws.send(TextMessage(data="early"))
            if http2:
                client.peer.h2.send_headers(1, CONNECT)
                client.peer.h2.send_data(1, early)
                await client.peer.turn()
            else:
                client.wire.feed(ASK + early)
            await asyncio.sleep(2)
            await client.turn()
            assert client.events == [TextMessage(data="early")]

    run_virtual(main)


def test_an_application_that_does_not_receive_stops_the_peer():
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await asyncio.sleep(10)
        await receive()
        for _ in range(20):
            await receive()

    async def test(client, wired):
        fed = 0
        while client.wire.reading and fed < 100:
            client.wire.feed(client.ws.send(BytesMessage(data=bytes(10_000))))
            fed += 1
        assert 10 <= fed < 25
        await asyncio.sleep(11)
        assert client.wire.reading

    talking(app, test, False, Limits(body_buffer=100_000))


def test_a_peer_that_vanishes_is_a_disconnect_with_1006(http2):
    async def test(client, wired):
        client.wire.feed_eof()
        await settle(30)
        assert echo.left["code"] == 1006

    talking(echo, test, http2)


def test_a_silent_websocket_stays_open(http2):
    async def test(client, wired):
        await asyncio.sleep(1000)
        await client.send(TextMessage(data="still here"))
        assert client.events == [TextMessage(data="still here")]

    talking(echo, test, http2)


def test_a_server_that_closes_says_going_away(http2):
    async def test(client, wired):
        closing = asyncio.ensure_future(wired.server.close(5))
        await client.turn()
        closes = [event for event in client.events if isinstance(event, CloseConnection)]
        assert [close.code for close in closes] == [CloseReason.GOING_AWAY]
        if not http2:
            client.wire.feed_eof()
        await closing

    talking(echo, test, http2)


@pytest.mark.rfc("8441", "3")
def test_the_settings_offer_extended_connect_and_other_protocols_are_not_served():
    async def main():
        async with Wired(echo) as wired:
            peer = Peer(wired.connect())
            await peer.turn()
            assert peer.h2.remote_settings[8] == 1
            headers = [(":protocol", "masque") if h[0] == ":protocol" else h for h in CONNECT]
            peer.h2.send_headers(1, headers)
            await peer.turn()
            assert peer.heads[1][":status"] == "501"

    run_virtual(main)


@pytest.mark.rfc("9113", "8.5")
def test_a_plain_connect_is_not_served():
    async def main():
        async with Wired(echo) as wired:
            peer = Peer(wired.connect())
            await peer.turn()
            peer.h2.send_headers(1, [(":method", "CONNECT"), (":authority", "x:80")])
            await peer.turn()
            assert peer.heads[1][":status"] == "501"

    run_virtual(main)
