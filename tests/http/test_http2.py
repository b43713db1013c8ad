"""HTTP/2 on a transport of the test's own, spoken to by plain h2, in virtual time."""

import asyncio
import logging

import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
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
from tests.support.http2_peer import Peer, connected, request_headers
from tests.support.http_world import DATE, Wired, path_app, read_body, respond, run_virtual, settle

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MiB = 1 << 20


def with_peer(app, test, limits: Limits | None = None, **options):
    """Runs `test(peer, wire, wired)` on a fresh connection."""

    async def main():
        async with Wired(app, limits) as wired:
            peer, wire = await connected(wired, **options)
            return await test(peer, wire, wired)

    return run_virtual(main)


def sized(size: int, chunk: int | None = None):
    """An application that sends `size` bytes, in chunks."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        left = size
        while left:
            part = min(left, chunk or size)
            left -= part
            message = {"type": "http.response.body", "body": bytes(part), "more_body": left > 0}
            await send(message)

    return app


# ---- requests and responses


@pytest.mark.rfc("9113", "8.1")
def test_many_streams_are_answered_at_once():
    async def test(peer, wire, wired):
        for stream in range(1, 41, 2):
            peer.get(stream, f"/{stream}")
        await peer.turn()
        for stream in range(1, 41, 2):
            assert peer.heads[stream][":status"] == "200"
            assert peer.bodies[stream] == b"GET /%d " % stream
        assert peer.ended == set(range(1, 41, 2))
        assert [record.http_version for record in wired.records] == ["2"] * 20

    with_peer(path_app, test)


def test_responses_of_one_turn_leave_in_one_write():
    async def test(peer, wire, wired):
        writes = []
        write, wire.write = wire.write, lambda data: (writes.append(bytes(data)), write(data))
        for stream in range(1, 41, 2):
            peer.get(stream)
        await peer.turn()
        assert len(writes) == 1

    with_peer(respond(b"x"), test)


@pytest.mark.rfc("9113", "8.3.1")
def test_the_scope_has_the_authority_as_host_and_one_cookie_field():
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await respond()(scope, receive, send)

    async def test(peer, wire, wired):
        peer.get(1, "/p%20q?a=1", ("host", "x"), ("cookie", "a=1"), ("cookie", "b=2"))
        await peer.turn()

    with_peer(app, test)
    assert seen["http_version"] == "2"
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/p q", b"/p%20q", b"a=1")
    assert seen["headers"] == [(b"host", b"x"), (b"cookie", b"a=1; b=2")]
    assert seen["extensions"]["tunstack"]["h2c"] == "prior knowledge"


@pytest.mark.rfc("9113", "8.2.2")
def test_fields_about_one_hop_are_not_sent():
    headers = [(b"Connection", b"close"), (b"Keep-Alive", b"1"), (b"X", b"y")]

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert peer.heads[1] == {
            ":status": "200",
            "x": "y",
            "content-length": "0",
            "date": DATE.decode(),
            "server": "tunstack",
        }
        assert not wire.closed

    with_peer(respond(headers=headers), test)


def test_head_and_bodiless_statuses_end_with_their_header_section():
    async def app(scope, receive, send):
        status = int(scope["path"][1:])
        await respond(b"hello", status)(scope, receive, send)

    async def test(peer, wire, wired):
        peer.h2.send_headers(1, request_headers("/200", "HEAD"), end_stream=True)
        peer.get(3, "/204")
        peer.get(5, "/304")
        await peer.turn()
        assert peer.ended == {1, 3, 5}
        assert peer.order == []
        assert peer.heads[1]["content-length"] == "5"
        assert "content-length" not in peer.heads[3]

    with_peer(app, test)


def test_a_request_body_and_its_trailers_are_taken():
    async def test(peer, wire, wired):
        peer.put(1, "/x", ("te", "trailers"))
        peer.h2.send_data(1, b"abc", pad_length=9)
        peer.h2.send_headers(1, [("checksum", "1")], end_stream=True)
        await peer.turn()
        assert peer.bodies[1] == b"PUT /x abc"

    with_peer(path_app, test)


@pytest.mark.rfc("9110", "10.1.1")
def test_continue_is_sent_when_the_application_reads():
    async def test(peer, wire, wired):
        peer.put(1, "/x", ("expect", "100-continue"))
        await peer.turn()
        assert peer.statuses[1] == ["100"]
        peer.h2.send_data(1, b"abc", end_stream=True)
        await peer.turn()
        assert peer.statuses[1] == ["100", "200"]
        assert peer.bodies[1] == b"PUT /x abc"

    with_peer(path_app, test)


@pytest.mark.rfc("9113", "8.1")
def test_a_response_before_the_end_of_the_request_stops_the_request_without_error():
    async def test(peer, wire, wired):
        peer.put(1)
        await peer.turn()
        assert peer.heads[1][":status"] == "413"
        assert peer.ended == {1}
        assert peer.resets == {1: ErrorCodes.NO_ERROR}
        peer.get(3)
        await peer.turn()
        assert 3 in peer.ended

    with_peer(respond(b"no", 413), test)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (request_headers("nowhere"), "400"),
        (request_headers("http://other/"), "400"),
        ([*request_headers()[:2], (":authority", "a/b"), (":path", "/")], "400"),
    ],
)
def test_what_h2_lets_through_and_is_no_request_gets_400(headers, status):
    async def test(peer, wire, wired):
        peer.h2.send_headers(1, headers, end_stream=True)
        await peer.turn()
        assert peer.heads[1][":status"] == status
        assert peer.bodies[1].count(b"\n") == 1

    with_peer(path_app, test)


# ---- flow control, sending


@pytest.mark.rfc("9113", "6.9.1")
def test_no_more_is_sent_than_the_windows_of_stream_and_connection_allow():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert len(peer.bodies[1]) == 10_000
        peer.get(3)
        for stream in (5, 7, 9, 11, 13):
            peer.get(stream)
        await peer.turn()
        assert sum(map(len, peer.bodies.values())) == 65_535
        peer.h2.increment_flow_control_window(100_000)
        for stream in range(1, 15, 2):
            peer.h2.increment_flow_control_window(10_000, stream)
        await peer.turn()
        assert all(len(peer.bodies[stream]) == 20_000 for stream in range(1, 15, 2))
        assert len(peer.ended) == 7

    with_peer(sized(20_000), test, window=10_000, auto_window=False)


def test_one_that_is_stuck_does_not_hold_up_the_others():
    async def app(scope, receive, send):
        await sized(int(scope["path"][1:]), 50_000)(scope, receive, send)

    async def test(peer, wire, wired):
        peer.auto_window = False
        peer.get(1, "/1000000")
        await peer.turn()
        assert len(peer.bodies[1]) == 20_000
        peer.auto_window = True
        for stream in range(3, 99, 2):
            peer.get(stream, "/15000")
        for _ in range(10):
            await peer.turn()
        assert peer.ended == set(range(3, 99, 2))
        assert len(peer.bodies[1]) == 20_000

    with_peer(app, test, window=20_000)


def test_streams_with_much_to_send_take_turns():
    async def test(peer, wire, wired):
        peer.h2.increment_flow_control_window(10 * MiB)
        for stream in (1, 3, 5):
            peer.get(stream)
        await peer.turn()
        assert {len(peer.bodies[stream]) for stream in (1, 3, 5)} == {200_000}
        assert peer.order[:9] == [1, 3, 5] * 3

    with_peer(sized(200_000), test, window=MiB)


@pytest.mark.rfc("9113", "6.5.2")
def test_frames_are_as_long_as_the_peer_allows_and_we_find_useful():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        lengths = [len(e.data) for e in peer.events if isinstance(e, h2.events.DataReceived)]
        assert lengths == [65_536] * 4

    async def main():
        async with Wired(sized(262_144)) as wired:
            wire = wired.connect()
            peer = Peer(wire, window=MiB, frame_size=1 << 20)
            peer.h2.increment_flow_control_window(MiB)
            await peer.turn()
            await test(peer, wire, wired)

    run_virtual(main)


@pytest.mark.rfc("9113", "6.9.2")
def test_a_larger_initial_window_lets_open_streams_go_on():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert len(peer.bodies[1]) == 100
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 60_000})
        await peer.turn()
        assert len(peer.bodies[1]) == 50_000

    with_peer(sized(50_000), test, window=100, auto_window=False)


def test_the_application_waits_while_its_response_does_not_leave():
    given = 0

    async def app(scope, receive, send):
        nonlocal given
        await send({"type": "http.response.start", "status": 200})
        for _ in range(1000):
            message = {"type": "http.response.body", "body": bytes(10_000), "more_body": True}
            await send(message)
            given += 10_000

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert 100_000 <= given < 200_000

    with_peer(app, test, Limits(stream_buffer=100_000), auto_window=False)


def test_a_peer_that_does_not_read_stops_the_applications():
    async def test(peer, wire, wired):
        wire.block()
        peer.h2.increment_flow_control_window(100 * MiB)
        for stream in range(1, 41, 2):
            peer.get(stream)
        await peer.turn()
        assert wire.unsent < 4 * MiB
        for _ in range(1000):
            wire.unblock()
            wire.block()
            await peer.turn()
            if len(peer.ended) == 20:
                return
        pytest.fail("the responses did not arrive")

    with_peer(sized(2 * MiB, 65_536), test, window=16 * MiB, frame_size=65_536)


def test_small_writes_are_put_together():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for _ in range(60_000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    async def test(peer, wire, wired):
        wire.block()
        wire.write(bytes(600_000))
        peer.get(1)
        data = peer.h2.data_to_send()
        wire.take()
        wire.feed(data)
        await settle(50)
        wire.unblock()
        await settle(50)
        peer.hear(wire.take())
        assert len(peer.bodies[1]) == 60_000
        assert len(peer.order) <= 6

    with_peer(app, test)


# ---- flow control, receiving


@pytest.mark.rfc("9113", "6.9")
def test_the_window_opens_as_the_application_takes_the_body():
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        body = await read_body(receive)
        await respond(b"%d" % len(body))(scope, receive, send)

    async def test(peer, wire, wired):
        peer.put(1)
        await peer.turn()
        sent = 0

        async def send_all():
            nonlocal sent
            while size := min(16_384, peer.h2.local_flow_control_window(1), 3 * MiB - sent):
                peer.h2.send_data(1, bytes(size), end_stream=sent + size == 3 * MiB)
                sent += size
                if sent == 3 * MiB:
                    break
            await peer.turn()

        await send_all()
        await send_all()
        assert sent == MiB
        go.set()
        while sent < 3 * MiB:
            await send_all()
        await peer.turn()
        assert peer.bodies[1] == b"%d" % (3 * MiB)

    with_peer(app, test, Limits(stream_window=MiB))


def test_bodies_that_nobody_takes_do_not_use_up_the_connection():
    async def app(scope, receive, send):
        if scope["path"] == "/hang":
            await receive()
            await asyncio.sleep(1000)
        await path_app(scope, receive, send)

    async def test(peer, wire, wired):
        for round_ in range(40):
            stream = 2 * round_ + 1
            peer.put(stream, "/hang")
            while size := min(16_384, peer.h2.local_flow_control_window(stream)):
                peer.h2.send_data(stream, bytes(size))
            peer.h2.reset_stream(stream, ErrorCodes.CANCEL)
            await peer.turn()
        assert peer.h2.outbound_flow_control_window > 8 * MiB
        peer.put(101, "/x")
        peer.h2.send_data(101, b"abc", end_stream=True)
        await peer.turn()
        assert peer.bodies[101] == b"PUT /x abc"

    with_peer(app, test)


# ---- resets and failures


@pytest.mark.rfc("9113", "5.4.2")
def test_a_stream_that_the_peer_resets_cancels_its_application_only():
    ended = {}

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(10)
            await respond(b"slept")(scope, receive, send)
        except asyncio.CancelledError:
            ended[scope["path"]] = "cancelled"
            raise

    async def test(peer, wire, wired):
        peer.get(1, "/1")
        peer.get(3, "/3")
        await peer.turn()
        peer.h2.reset_stream(1, ErrorCodes.CANCEL)
        await peer.turn()
        assert ended == {"/1": "cancelled"}
        await asyncio.sleep(11)
        await peer.turn()
        assert peer.bodies[3] == b"slept"
        assert peer.bodies[1] == b""
        assert [(r.target, r.complete) for r in wired.records] == [("/1", False), ("/3", True)]

    with_peer(app, test)


def test_a_reset_wakes_an_application_that_waits_to_send():
    ended = []

    async def app(scope, receive, send):
        try:
            await sized(10 * MiB, 100_000)(scope, receive, send)
        except OSError as error:
            ended.append(error)

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        peer.h2.reset_stream(1, ErrorCodes.CANCEL)
        await peer.turn()
        assert len(ended) == 1

    with_peer(app, test, auto_window=False)


def test_an_application_that_fails_before_its_response_is_a_500(caplog):
    async def app(scope, receive, send):
        raise ValueError("oops")

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        assert peer.heads[1][":status"] == "500"
        assert "oops" in caplog.text

    with_peer(app, test)


def test_one_that_breaks_off_resets_its_stream(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("oops")

    async def test(peer, wire, wired):
        with caplog.at_level(logging.CRITICAL):
            peer.get(1)
            await peer.turn()
        assert peer.resets == {1: ErrorCodes.INTERNAL_ERROR}
        assert not wire.closed

    with_peer(app, test)


# ---- the connection


@pytest.mark.rfc("9113", "6.7")
def test_ping_is_answered_with_its_own_bytes():
    async def test(peer, wire, wired):
        peer.h2.ping(b"12345678")
        await peer.turn()
        (ack,) = [e for e in peer.events if isinstance(e, h2.events.PingAckReceived)]
        assert ack.ping_data == b"12345678"

    with_peer(path_app, test)


@pytest.mark.rfc("9113", "3.4")
def test_the_preface_may_come_byte_by_byte():
    async def main():
        async with Wired(path_app) as wired:
            wire = wired.connect()
            peer = Peer(wire)
            peer.get(1, "/x")
            for byte in peer.h2.data_to_send():
                wire.feed(bytes([byte]))
                await settle(2)
            await peer.turn()
            assert peer.bodies[1] == b"GET /x "

    run_virtual(main)


def test_a_preface_that_never_ends_is_closed_in_time():
    async def main():
        async with Wired(path_app, Limits(header_timeout=5)) as wired:
            wire = wired.connect()
            wire.feed(PREFACE[:20])
            await asyncio.sleep(6)
            assert wire.closed
            assert wire.take() == b""

    run_virtual(main)


@pytest.mark.rfc("9113", "5.1.2")
def test_a_stream_too_many_is_refused_and_the_others_are_not():
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await path_app(scope, receive, send)

    async def test(peer, wire, wired):
        peer.h2.remote_settings = type(peer.h2.remote_settings)(client=False)
        for stream in (1, 3, 5, 7, 9):
            peer.get(stream)
        await peer.turn()
        assert peer.resets == {7: ErrorCodes.REFUSED_STREAM, 9: ErrorCodes.REFUSED_STREAM}
        await asyncio.sleep(2)
        peer.get(11)
        await peer.turn()
        await asyncio.sleep(2)
        await peer.turn()
        assert peer.ended == {1, 3, 5, 11}
        assert peer.goaways == []

    with_peer(app, test, Limits(streams=3))


@pytest.mark.rfc("9113", "6.8")
def test_a_peer_that_says_goaway_still_gets_what_it_asked_for():
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await sized(300_000, 50_000)(scope, receive, send)

    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        goaway = b"\x00\x00\x08\x07\x00" + bytes(12)
        peer.h2.increment_flow_control_window(MiB)
        wire.feed(goaway + peer.h2.data_to_send())
        await asyncio.sleep(2)
        await peer.turn()
        assert len(peer.bodies[1]) == 300_000
        assert 1 in peer.ended
        assert wire.closed

    with_peer(app, test, window=MiB)


def test_a_peer_that_says_goaway_and_has_nothing_open_is_left_at_once():
    async def test(peer, wire, wired):
        wire.feed(b"\x00\x00\x08\x07\x00" + bytes(12))
        await settle()
        assert wire.closed
        assert wire.take() == b""

    with_peer(path_app, test)


@pytest.mark.rfc("9113", "6.8")
def test_shutting_down_says_goaway_finishes_and_closes():
    async def app(scope, receive, send):
        await asyncio.sleep(3)
        await path_app(scope, receive, send)

    async def main():
        wired = Wired(app)
        (busy, wire), (idle, idle_wire) = await connected(wired), await connected(wired)
        busy.get(1, "/x")
        await busy.turn()
        closing = asyncio.ensure_future(wired.server.close(10))
        await settle()
        busy.hear(wire.take())
        assert busy.goaways == [((1 << 31) - 1, ErrorCodes.NO_ERROR)]
        # Under way when the GOAWAY left: still taken, for it refused nothing.
        busy.get(3, "/y")
        await busy.turn()
        assert busy.goaways[1] == (3, ErrorCodes.NO_ERROR)
        await idle.turn()
        await asyncio.sleep(0.1)
        assert idle_wire.closed
        assert not wire.closed
        await asyncio.sleep(4)
        busy.hear(wire.take())
        assert busy.bodies[1] == b"GET /x "
        assert busy.bodies[3] == b"GET /y "
        assert wire.closed
        await closing

    run_virtual(main)


def test_shutting_down_ends_what_does_not_end():
    ended = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(scope["path"])

    async def main():
        wired = Wired(app)
        peer, wire = await connected(wired)
        peer.get(1, "/x")
        await peer.turn()
        await wired.server.close(3)
        assert ended == ["/x"]
        assert wire.aborted

    run_virtual(main)


def test_an_idle_connection_is_closed_with_goaway():
    async def test(peer, wire, wired):
        peer.get(1)
        await peer.turn()
        await asyncio.sleep(29)
        assert not wire.eof
        await asyncio.sleep(2)
        peer.hear(wire.take())
        assert peer.goaways == [(1, ErrorCodes.NO_ERROR)]
        assert wire.eof

    with_peer(path_app, test, Limits(idle_timeout=30))


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


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (uppercase, ErrorCodes.PROTOCOL_ERROR),
        (no_path, ErrorCodes.PROTOCOL_ERROR),
        (pseudo_behind, ErrorCodes.PROTOCOL_ERROR),
        (connection_field, ErrorCodes.PROTOCOL_ERROR),
        (garbled_block, ErrorCodes.COMPRESSION_ERROR),
        (even_stream, ErrorCodes.PROTOCOL_ERROR),
        (data_on_idle, ErrorCodes.PROTOCOL_ERROR),
        (reset_of_idle, ErrorCodes.PROTOCOL_ERROR),
        (long_frame, ErrorCodes.FRAME_SIZE_ERROR),
        (begin_of_long_frame, ErrorCodes.FRAME_SIZE_ERROR),
        (window_overflow, ErrorCodes.FLOW_CONTROL_ERROR),
        (zero_increment, ErrorCodes.PROTOCOL_ERROR),
        (wrong_setting, ErrorCodes.PROTOCOL_ERROR),
        (short_ping, ErrorCodes.FRAME_SIZE_ERROR),
        (ping_on_a_stream, ErrorCodes.PROTOCOL_ERROR),
        (continuation_alone, ErrorCodes.PROTOCOL_ERROR),
        (data_within_headers, ErrorCodes.PROTOCOL_ERROR),
        (longer_than_declared, ErrorCodes.PROTOCOL_ERROR),
        (huge_header_list, ErrorCodes.ENHANCE_YOUR_CALM),
        (endless_continuation, ErrorCodes.PROTOCOL_ERROR),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
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
