"""Peers that want to cost more than they pay: each limit, its error code and its counter."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from stack.http.counters import COUNTERS
from stack.http.limits import Limits
from tests.support.http2_peer import request_headers, sized, with_peer
from tests.support.http_world import path_app, settle

CALM = ErrorCodes.ENHANCE_YOUR_CALM


def many(frame, count: int = 200) -> bytes:
    return frame.serialize() * count


def counted(wired, name: str) -> int:
    assert name in COUNTERS
    return wired.server.counters[name]


def open_upload(peer) -> bytes:
    block = peer.h2.encoder.encode(request_headers("/", "PUT"))
    return HeadersFrame(1, block, flags=["END_HEADERS"]).serialize()


FLOODS = {
    "http2_ping_floods": lambda peer: many(PingFrame(0, bytes(8))),
    "http2_settings_floods": lambda peer: many(SettingsFrame(0, settings={4: 100}), 20),
    "http2_priority_floods": lambda peer: many(PriorityFrame(3, depends_on=0), 100),
    "http2_window_floods": lambda peer: many(WindowUpdateFrame(0, window_increment=1)),
    "http2_empty_floods": lambda peer: open_upload(peer) + many(DataFrame(1, b"")),
    "http2_other_floods": lambda peer: b"\x00\x00\x00\xfa\x00\x00\x00\x00\x00" * 200,
}


@pytest.mark.rfc("9113", "10.5")
@pytest.mark.parametrize("name", FLOODS)
def test_frames_that_ask_for_nothing_are_welcome_up_to_a_number(name):
    async def test(peer, wire, wired):
        wire.feed(FLOODS[name](peer))
        await settle()
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [CALM]
        assert counted(wired, name) == 1
        assert wire.eof

    with_peer(path_app, test, Limits(control_frames=150))


def test_the_same_frames_over_a_longer_time_are_no_flood():
    async def test(peer, wire, wired):
        for _ in range(10):
            wire.feed(many(PingFrame(0, bytes(8)), 100))
            await asyncio.sleep(11)
        assert not any(name.endswith("floods") for name in wired.server.counters)
        assert wired.server.counters["http_connections"] == 1

    with_peer(path_app, test, Limits(control_frames=150))


def test_a_reader_that_returns_its_window_piece_by_piece_is_no_flood():
    async def test(peer, wire, wired):
        peer.get(1)
        for _ in range(20):
            await peer.turn()
            for _ in range(30):
                peer.h2.increment_flow_control_window(1000)
                peer.h2.increment_flow_control_window(1000, 1)
        await peer.turn()
        assert peer.goaways == []
        assert len(peer.bodies[1]) == 65_535 + 600_000

    with_peer(sized(700_000), test, Limits(control_frames=300), auto_window=False)


@pytest.mark.rfc("9113", "10.5.1")
def test_a_header_list_over_the_limit_ends_the_connection():
    async def test(peer, wire, wired):
        fields = [*request_headers(), *[("x", "y" * 4000)] * 20]
        block = peer.h2.encoder.encode(fields)
        wire.feed(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
        await settle()
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [CALM]
        assert counted(wired, "http2_large_headers") == 1

    with_peer(path_app, test)


@pytest.mark.rfc("7541", "7.3")
def test_a_small_block_that_unpacks_to_megabytes_ends_the_connection():
    async def test(peer, wire, wired):
        encoder = peer.h2.encoder
        bomb = encoder.encode([*request_headers(), ("x", "y" * 3900)])
        bomb += encoder.encode([("x", "y" * 3900)]) * 4000
        assert len(bomb) < 16_384
        wire.feed(HeadersFrame(1, bomb, flags=["END_HEADERS", "END_STREAM"]).serialize())
        await settle()
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [CALM]
        assert counted(wired, "http2_large_headers") == 1

    with_peer(path_app, test)


def test_a_header_section_in_too_many_pieces_ends_the_connection():
    async def test(peer, wire, wired):
        wire.feed(HeadersFrame(1, b"").serialize() + many(ContinuationFrame(1, b"")))
        await settle()
        peer.hear(wire.take())
        assert len(peer.goaways) == 1
        assert counted(wired, "http2_continuation_floods") == 1

    with_peer(path_app, test)


def test_opening_and_resetting_is_counted():
    async def test(peer, wire, wired):
        for stream in range(1, 121, 2):
            peer.get(stream)
            peer.h2.reset_stream(stream, ErrorCodes.CANCEL)
        wire.feed(peer.h2.data_to_send())
        await settle()
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [CALM]
        assert counted(wired, "http2_rapid_resets") == 1

    async def app(scope, receive, send):
        await asyncio.sleep(10)

    with_peer(app, test, Limits(refusals=50))


def test_a_stream_that_never_opens_its_window_is_reset_and_the_application_ends():
    ended = []

    async def app(scope, receive, send):
        try:
            await sized(1 << 20, 10_000)(scope, receive, send)
        finally:
            ended.append(scope["path"])

    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        await asyncio.sleep(29)
        assert ended == []
        await asyncio.sleep(15)
        await peer.turn()
        assert ended == ["/x"]
        assert peer.resets == {1: ErrorCodes.CANCEL}
        assert counted(wired, "http2_stalled_streams") == 1

    with_peer(app, test, Limits(stall_timeout=30), window=0)


def test_a_body_that_never_comes_resets_its_stream():
    async def app(scope, receive, send):
        while (await receive())["type"] == "http.request":
            pass

    async def test(peer, wire, wired):
        peer.put(1)
        await peer.turn()
        await asyncio.sleep(45)
        await peer.turn()
        assert peer.resets == {1: ErrorCodes.CANCEL}
        assert counted(wired, "http2_stalled_streams") == 1

    with_peer(app, test, Limits(body_timeout=30))


def test_a_slow_response_of_the_applications_own_making_is_left_alone():
    async def app(scope, receive, send):
        await asyncio.sleep(500)
        await path_app(scope, receive, send)

    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        await asyncio.sleep(501)
        await peer.turn()
        assert peer.bodies[1] == b"GET /x "

    with_peer(app, test, Limits(stall_timeout=30, body_timeout=30))


def test_who_takes_no_byte_of_a_response_is_left():
    async def test(peer, wire, wired):
        wire.block()
        peer.h2.increment_flow_control_window(1 << 30)
        peer.get(1)
        await peer.turn()
        await asyncio.sleep(61)
        assert wire.aborted
        assert counted(wired, "http_slow_readers") == 1

    with_peer(sized(4 << 20, 65_536), test, window=1 << 30)
