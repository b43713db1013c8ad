"""ASGI's extensions: trailers, early hints, server push, who is at the other end of TLS."""

import asyncio

import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, HeadersFrame

from stack.http.limits import Limits
from tests.support.http2_peer import request_headers, with_peer
from tests.support.http_world import Wired, path_app, raw_exchange, respond, run_virtual, settle

BODY = {"type": "http.response.body"}


def trailing(*messages, headers=()):
    """An application that ends its body with trailers."""

    async def app(scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send({**start, "trailers": True})
        await send({**BODY, "body": b"data", "more_body": False})
        for message in messages:
            await send({"type": "http.response.trailers", **message})

    return app


def hinting(links):
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": links})
        await path_app(scope, receive, send)

    return app


def of(peer, kind):
    return [event for event in peer.events if isinstance(event, kind)]


# ---- trailers


@pytest.mark.rfc("9113", "8.1")
def test_trailers_end_an_http2_response():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        (trailers,) = of(peer, h2.events.TrailersReceived)
        assert dict(trailers.headers) == {"x-sum": "1", "x-more": "2"}
        assert peer.bodies[1] == b"data"
        assert peer.ended == {1}
        assert "content-length" not in peer.heads[1]

    app = trailing(
        {"headers": [(b"X-Sum", b"1")], "more_trailers": True}, {"headers": [(b"x-more", b"2")]}
    )
    with_peer(app, test)


@pytest.mark.rfc("9112", "7.1.2")
def test_trailers_end_a_chunked_response_for_who_says_that_he_takes_them():
    app = trailing({"headers": [(b"x-sum", b"1")]})
    out, _ = raw_exchange(
        app, b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
    )
    assert out.endswith(b"\r\n4\r\ndata\r\n0\r\nx-sum: 1\r\n\r\n")
    out, _ = raw_exchange(app, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert out.endswith(b"\r\n4\r\ndata\r\n0\r\n\r\n")


def test_there_is_no_room_for_trailers_behind_a_body_of_known_length():
    app = trailing({"headers": [(b"x-sum", b"1")]}, headers=[(b"content-length", b"4")])
    out, _ = raw_exchange(app, b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n")
    assert out.endswith(b"\r\n\r\ndata")


@pytest.mark.rfc("9113", "8.1")
def test_a_requests_trailers_come_with_the_end_of_its_body():
    seen = []

    async def app(scope, receive, send):
        while True:
            seen.append(await receive())
            if not seen[-1].get("more_body"):
                break
        await respond()(scope, receive, send)

    async def test(peer, wire, wired):
        peer.put(1)
        peer.h2.send_data(1, b"abc")
        peer.h2.send_headers(1, [("x-sum", "9")], end_stream=True)
        await peer.turn()
        assert seen[-1]["trailers"] == [(b"x-sum", b"9")]
        assert peer.ended == {1}

    with_peer(app, test)
    seen.clear()
    raw_exchange(
        app,
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n",
    )
    assert seen[-1]["trailers"] == [(b"x-sum", b"9")]


@pytest.mark.parametrize("missing", ["announcement", "body"])
def test_trailers_need_to_be_announced_and_come_last(missing, caplog):
    async def app(scope, receive, send):
        await send(
            {"type": "http.response.start", "status": 200, "trailers": missing != "announcement"}
        )
        if missing == "announcement":
            await send(BODY)
        with pytest.raises(RuntimeError, match=r"announce|behind the body"):
            await send({"type": "http.response.trailers", "headers": []})
        if missing == "body":
            await send(BODY)
            await send({"type": "http.response.trailers", "headers": []})

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert peer.ended == {1}
        assert not caplog.records

    with_peer(app, test)


# ---- informational responses


@pytest.mark.rfc("9110", "15.2")
def test_early_hints_go_ahead_of_the_response():
    link = b"</style.css>; rel=preload"

    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        (hint,) = of(peer, h2.events.InformationalResponseReceived)
        assert dict(hint.headers) == {":status": "103", "link": link.decode()}
        assert peer.statuses[1] == ["103", "200"]

    with_peer(hinting([link]), test)
    out, _ = raw_exchange(hinting([link]), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: " + link + b"\r\n\r\nHTTP/1.1 200 ")


def test_http_1_0_has_no_informational_responses():
    async def app(scope, receive, send):
        assert "http.response.early_hint" not in scope["extensions"]
        await path_app(scope, receive, send)

    assert raw_exchange(app, b"GET / HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 200 ")


# ---- server push


async def pushing(scope, receive, send):
    if scope["path"] == "/":
        assert "http.response.push" in scope["extensions"]
        for path in ("/a", "/b"):
            await send({"type": "http.response.push", "path": path, "headers": []})
    await path_app(scope, receive, send)


@pytest.mark.rfc("9113", "8.4")
def test_a_push_promises_first_and_answers_then():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        promises = of(peer, h2.events.PushedStreamReceived)
        assert [event.pushed_stream_id for event in promises] == [2, 4]
        assert dict(promises[0].headers)[":path"] == "/a"
        assert peer.bodies[2] == b"GET /a "
        assert peer.bodies[4] == b"GET /b "
        kinds = [type(event) for event in peer.events]
        assert kinds.index(h2.events.PushedStreamReceived) < kinds.index(h2.events.ResponseReceived)
        assert wired.server.counters["http_pushes"] == 2

    with_peer(pushing, test)


@pytest.mark.rfc("9113", "8.4")
def test_who_disables_push_is_not_pushed_at_and_the_application_can_know():
    async def app(scope, receive, send):
        assert "http.response.push" not in scope["extensions"]
        await path_app(scope, receive, send)

    async def test(peer, wire, wired):
        peer.h2.update_settings({SettingCodes.ENABLE_PUSH: 0})
        await peer.turn()
        peer.get(1)
        await peer.turn()
        assert peer.bodies[1] == b"GET / "

    with_peer(app, test)


def test_no_more_is_pushed_than_allowed_and_the_response_comes_all_the_same():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert len(of(peer, h2.events.PushedStreamReceived)) == 1
        assert peer.bodies[1] == b"GET / "

    with_peer(pushing, test, Limits(pushes=1))


def test_a_refused_push_cancels_its_application():
    ended = []

    async def app(scope, receive, send):
        if scope["path"] != "/":
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(scope["path"])
        await pushing(scope, receive, send)

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        peer.h2.reset_stream(2, ErrorCodes.REFUSED_STREAM)
        await peer.turn()
        assert ended == ["/a"]
        assert peer.ended == {1}

    with_peer(app, test)


# ---- padding, credentials


@pytest.mark.rfc("9113", "6.1")
def test_padding_is_dropped_and_counts_in_flow_control():
    seen = []

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            seen.append(message["body"])
            more = message["more_body"]
        await respond()(scope, receive, send)

    async def test(peer, wire, wired):
        block = peer.h2.encoder.encode(request_headers("/", "PUT"))
        wire.feed(
            HeadersFrame(1, block, pad_length=77, flags=["END_HEADERS", "PADDED"]).serialize()
        )
        frame = DataFrame(1, b"abc", pad_length=255, flags=["PADDED"]).serialize()
        for _ in range(100):
            wire.feed(frame)
            await settle()
        wire.feed(DataFrame(1, b"", flags=["END_STREAM"]).serialize())
        await settle()
        out = wire.take()
        assert b"".join(seen) == b"abc" * 100
        # 25,900 bytes of flow control came back in WINDOW_UPDATEs though only 300 were data.
        assert out.count(b"\x00\x00\x04\x08\x00\x00\x00\x00\x01") >= 1

    with_peer(app, test, Limits(stream_window=16_384))


@pytest.mark.rfc("7541", "7.1.3")
def test_credentials_are_never_indexed():
    async def app(scope, receive, send):
        headers = [(b"set-cookie", b"secret=1"), (b"x-other", b"y")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(BODY)

    async def main():
        async with Wired(app) as wired:
            from hpack import Decoder, NeverIndexedHeaderTuple

            from tests.support.http2_peer import Peer

            wire = wired.connect()
            peer = Peer(wire)
            peer.get(1)
            wire.feed(peer.h2.data_to_send())
            await settle()
            out = wire.take()
            at = 0
            while out[at + 3] != 1:
                at += 9 + int.from_bytes(out[at : at + 3], "big")
            block = out[at + 9 : at + 9 + int.from_bytes(out[at : at + 3], "big")]
            fields = {field[0]: field for field in Decoder().decode(block)}
            assert isinstance(fields["set-cookie"], NeverIndexedHeaderTuple)
            assert not isinstance(fields["x-other"], NeverIndexedHeaderTuple)

    run_virtual(main)
