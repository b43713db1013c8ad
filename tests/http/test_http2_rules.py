"""Peers that break the rules of HTTP/2."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from stack.http.limits import Limits
from tests.support.http2_peer import Peer, request_headers, with_peer
from tests.support.http_world import path_app, settle

MiB = 1 << 20


# ---- peers that break the rules


def frames(*some) -> bytes:
    return b"".join(frame.serialize() for frame in some)


def headers_of(peer: Peer, stream: int, fields, *flags) -> HeadersFrame:
    return HeadersFrame(stream, peer.h2.encoder.encode(fields), flags=["END_HEADERS", *flags])


def uppercase(peer):
    return headers_of(peer, 1, [*request_headers(), ("Upper", "x")], "END_STREAM")


def no_path(peer):
    return headers_of(peer, 1, request_headers()[:3], "END_STREAM")


def pseudo_behind(peer):
    return headers_of(peer, 1, [*request_headers()[:3], ("a", "b"), (":path", "/")], "END_STREAM")


def connection_field(peer):
    return headers_of(peer, 1, [*request_headers(), ("connection", "close")], "END_STREAM")


def garbled_block(peer):
    return HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"])


def even_stream(peer):
    return headers_of(peer, 2, request_headers(), "END_STREAM")


def data_on_idle(peer):
    return DataFrame(5, b"x")


def reset_of_idle(peer):
    frame = HeadersFrame(1, peer.h2.encoder.encode(request_headers()), flags=["END_HEADERS"])
    return frame, DataFrame(3, b"x")


def long_frame(peer):
    return DataFrame(1, bytes(70_000))


def begin_of_long_frame(peer):
    return DataFrame(1, bytes(70_000)).serialize()[:9]


def window_overflow(peer):
    return WindowUpdateFrame(0, window_increment=(1 << 31) - 1)


def zero_increment(peer):
    return WindowUpdateFrame(0, window_increment=0)


def wrong_setting(peer):
    return SettingsFrame(0, settings={SettingsFrame.MAX_FRAME_SIZE: 5})


def short_ping(peer):
    return b"\x00\x00\x04\x06\x00\x00\x00\x00\x00abcd"


def ping_on_a_stream(peer):
    return b"\x00\x00\x08\x06\x00\x00\x00\x00\x01abcdefgh"


def continuation_alone(peer):
    return ContinuationFrame(1, b"")


def data_within_headers(peer):
    block = peer.h2.encoder.encode(request_headers())
    return HeadersFrame(1, block), DataFrame(1, b"x")


def longer_than_declared(peer):
    fields = [*request_headers("/", "PUT"), ("content-length", "1")]
    return headers_of(peer, 1, fields), DataFrame(1, b"xy", flags=["END_STREAM"])


def huge_header_list(peer):
    fields = [*request_headers(), *[("x", "y" * 4000)] * 20]
    block = peer.h2.encoder.encode(fields)
    return HeadersFrame(1, block, flags=["END_HEADERS"])


def endless_continuation(peer):
    return HeadersFrame(1, b""), *[ContinuationFrame(1, b"")] * 100


def settings_on_a_stream(peer):
    return b"\x00\x00\x00\x04\x00\x00\x00\x00\x01"


def settings_of_odd_length(peer):
    return b"\x00\x00\x05\x04\x00" + bytes(9)


def acknowledgement_with_settings(peer):
    return b"\x00\x00\x06\x04\x01" + bytes(4) + b"\x00\x04\x00\x00\x00\x01"


def large_initial_window(peer):
    return b"\x00\x00\x06\x04\x00" + bytes(4) + b"\x00\x04\x80\x00\x00\x00"


def push_that_is_no_flag(peer):
    return b"\x00\x00\x06\x04\x00" + bytes(4) + b"\x00\x02\x00\x00\x00\x02"


def data_on_the_connection(peer):
    return b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x"


def headers_on_the_connection(peer):
    return b"\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82"


def reset_of_the_connection(peer):
    return b"\x00\x00\x04\x03\x00" + bytes(8)


def short_reset(peer):
    return headers_of(peer, 1, request_headers()).serialize() + (
        b"\x00\x00\x03\x03\x00\x00\x00\x00\x01abc"
    )


def pushed_by_a_client(peer):
    return headers_of(peer, 1, request_headers()).serialize() + (
        b"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82"
    )


def goaway_on_a_stream(peer):
    return b"\x00\x00\x08\x07\x00\x00\x00\x00\x01" + bytes(8)


def short_window_update(peer):
    return b"\x00\x00\x03\x08\x00" + bytes(4) + b"abc"


def padding_longer_than_the_frame(peer):
    return headers_of(peer, 1, request_headers()).serialize() + (
        b"\x00\x00\x02\x00\x08\x00\x00\x00\x01\x05x"
    )


def response_field_in_a_request(peer):
    return headers_of(peer, 1, [*request_headers(), (":status", "200")], "END_STREAM")


def method_twice(peer):
    return headers_of(peer, 1, [(":method", "GET"), *request_headers()], "END_STREAM")


def line_end_in_a_value(peer):
    return headers_of(peer, 1, [*request_headers(), ("x", "a\r\nb")], "END_STREAM")


def te_other_than_trailers(peer):
    return headers_of(peer, 1, [*request_headers(), ("te", "gzip")], "END_STREAM")


def index_zero(peer):
    return HeadersFrame(1, b"\x80", flags=["END_HEADERS", "END_STREAM"])


def index_beyond_the_table(peer):
    return HeadersFrame(1, b"\xff\x80\x01", flags=["END_HEADERS", "END_STREAM"])


def table_size_over_the_setting(peer):
    return HeadersFrame(1, b"\x3f\xe2\x1f\x82", flags=["END_HEADERS", "END_STREAM"])


def table_size_behind_a_field(peer):
    return HeadersFrame(1, b"\x82\x20", flags=["END_HEADERS", "END_STREAM"])


def endless_integer(peer):
    return HeadersFrame(1, b"\xff" + b"\xff" * 12, flags=["END_HEADERS", "END_STREAM"])


def end_of_string_in_huffman(peer):
    return HeadersFrame(1, b"\x40\x84\xff\xff\xff\xff\x00", flags=["END_HEADERS", "END_STREAM"])


def rule(section, wrong, code, rfc="9113"):
    return pytest.param(wrong, code, id=wrong.__name__, marks=pytest.mark.rfc(rfc, section))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        rule("6.5-4", settings_on_a_stream, ErrorCodes.PROTOCOL_ERROR),
        rule("6.5-6", settings_of_odd_length, ErrorCodes.FRAME_SIZE_ERROR),
        rule("6.5-3", acknowledgement_with_settings, ErrorCodes.FRAME_SIZE_ERROR),
        rule("6.5.2-6", large_initial_window, ErrorCodes.FLOW_CONTROL_ERROR),
        rule("6.5.2-3", push_that_is_no_flag, ErrorCodes.PROTOCOL_ERROR),
        rule("6.1-2", data_on_the_connection, ErrorCodes.PROTOCOL_ERROR),
        rule("6.2-3", headers_on_the_connection, ErrorCodes.PROTOCOL_ERROR),
        rule("6.4-3", reset_of_the_connection, ErrorCodes.PROTOCOL_ERROR),
        rule("6.4-5", short_reset, ErrorCodes.FRAME_SIZE_ERROR),
        rule("8.4-6", pushed_by_a_client, ErrorCodes.PROTOCOL_ERROR),
        rule("6.8-2", goaway_on_a_stream, ErrorCodes.PROTOCOL_ERROR),
        rule("6.9-6", short_window_update, ErrorCodes.FRAME_SIZE_ERROR),
        rule("6.1-4", padding_longer_than_the_frame, ErrorCodes.PROTOCOL_ERROR),
        rule("8.3-2", response_field_in_a_request, ErrorCodes.PROTOCOL_ERROR),
        rule("8.3-5", method_twice, ErrorCodes.PROTOCOL_ERROR),
        rule("8.2.1-3", line_end_in_a_value, ErrorCodes.PROTOCOL_ERROR),
        rule("8.2.2-3", te_other_than_trailers, ErrorCodes.PROTOCOL_ERROR),
        rule("6.1-1", index_zero, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("2.3.3-1", index_beyond_the_table, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("6.3-1", table_size_over_the_setting, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("4.2-2", table_size_behind_a_field, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("5.1-1", endless_integer, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("5.2-3", end_of_string_in_huffman, ErrorCodes.COMPRESSION_ERROR, "7541"),
        rule("8.2.1-1", uppercase, ErrorCodes.PROTOCOL_ERROR),
        rule("8.3.1-9", no_path, ErrorCodes.PROTOCOL_ERROR),
        rule("8.3-4", pseudo_behind, ErrorCodes.PROTOCOL_ERROR),
        rule("8.2.2-2", connection_field, ErrorCodes.PROTOCOL_ERROR),
        rule("4.3-3", garbled_block, ErrorCodes.COMPRESSION_ERROR),
        rule("5.1-2", even_stream, ErrorCodes.PROTOCOL_ERROR),
        rule("5.1-1", data_on_idle, ErrorCodes.PROTOCOL_ERROR),
        rule("5.1-1", reset_of_idle, ErrorCodes.PROTOCOL_ERROR),
        rule("4.2-2", long_frame, ErrorCodes.FRAME_SIZE_ERROR),
        rule("4.2-2", begin_of_long_frame, ErrorCodes.FRAME_SIZE_ERROR),
        rule("6.9.1-2", window_overflow, ErrorCodes.FLOW_CONTROL_ERROR),
        rule("6.9-2", zero_increment, ErrorCodes.PROTOCOL_ERROR),
        rule("6.5.2-7", wrong_setting, ErrorCodes.PROTOCOL_ERROR),
        rule("6.7-5", short_ping, ErrorCodes.FRAME_SIZE_ERROR),
        rule("6.7-4", ping_on_a_stream, ErrorCodes.PROTOCOL_ERROR),
        rule("6.10-3", continuation_alone, ErrorCodes.PROTOCOL_ERROR),
        rule("6.2-2", data_within_headers, ErrorCodes.PROTOCOL_ERROR),
        rule("8.1.1-2", longer_than_declared, ErrorCodes.PROTOCOL_ERROR),
        rule("10.5.1-1", huge_header_list, ErrorCodes.ENHANCE_YOUR_CALM),
        rule("10.5.1", endless_continuation, ErrorCodes.PROTOCOL_ERROR),
    ],
)
@pytest.mark.rfc("9113", "5.4.1")
def test_who_breaks_the_rules_gets_goaway_with_the_reason(wrong, code):
    async def test(peer, wire, wired):
        made = wrong(peer)
        made = made if isinstance(made, tuple | bytes) else (made,)
        wire.feed(made if isinstance(made, bytes) else frames(*made))
        await settle()
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [code]
        assert wire.eof

    with_peer(path_app, test)


def test_a_peer_that_closes_its_side_cancels_the_applications():
    ended = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(scope["path"])

    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        wire.feed_eof()
        await settle()
        assert ended == ["/x"]
        assert wire.closed

    with_peer(app, test)


def test_rules_broken_beside_open_streams_cancel_their_applications():
    ended = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(scope["path"])

    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        wire.feed(frames(DataFrame(5, b"x")))
        await settle()
        assert ended == ["/x"]

    with_peer(app, test)


def test_who_opens_and_resets_all_the_time_is_sent_away():
    async def test(peer, wire, wired):
        for number in range(60):
            stream = 2 * number + 1
            peer.get(stream)
            peer.h2.reset_stream(stream, ErrorCodes.CANCEL)
            if wire.eof:
                break
            wire.feed(peer.h2.data_to_send())
            await settle(2)
        peer.hear(wire.take())
        assert [error for _, error in peer.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]
        assert 45 <= number <= 55

    async def app(scope, receive, send):
        await asyncio.sleep(10)

    with_peer(app, test, Limits(refusals=50))


def test_answers_to_control_frames_do_not_pile_up():
    async def test(peer, wire, wired):
        wire.block()
        pings = frames(*[PingFrame(0, b"12345678")] * 1000)
        fed = 0
        while wire.reading:
            wire.feed(pings)
            fed += len(pings)
            assert fed < 3 * MiB
        assert wire.unsent < MiB
        wire.unblock()
        assert wire.reading

    with_peer(path_app, test)


def test_a_reset_right_behind_its_request_is_no_surprise():
    async def test(peer, wire, wired):
        peer.h2.remote_settings = type(peer.h2.remote_settings)(client=False)
        for stream in range(1, 41, 2):
            headers = [*request_headers()[:2], (":authority", "a/b"), (":path", "/")]
            peer.h2.send_headers(stream, headers, end_stream=True)
            peer.h2.reset_stream(stream)
        await peer.turn()
        assert peer.goaways == []
        peer.get(41, "/x")
        await peer.turn()
        assert peer.bodies[41] == b"GET /x "

    with_peer(path_app, test, Limits(streams=10))


def test_frames_nobody_knows_and_resets_of_what_is_over_are_ignored():
    async def test(peer, wire, wired):
        peer.get(1, "/x")
        await peer.turn()
        unknown = b"\x00\x00\x03\xfa\x00\x00\x00\x00\x00abc"
        late = frames(RstStreamFrame(1, error_code=8), WindowUpdateFrame(1, window_increment=9))
        wire.feed(unknown + late)
        peer.get(3, "/y")
        await peer.turn()
        assert peer.bodies[3] == b"GET /y "
        assert peer.goaways == []

    with_peer(path_app, test)
