"""HTTP/2 streams and connections, spoken to by plain h2, in virtual time."""

import asyncio
import logging

import h2.events
import pytest
from h2.errors import ErrorCodes

from stack.http.limits import Limits
from tests.support.http2_peer import Peer, connected, request_headers, sized, with_peer
from tests.support.http_world import DATE, Wired, path_app, respond, run_virtual, settle

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MiB = 1 << 20


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
    "headers",
    [
        request_headers("nowhere"),
        request_headers("http://other/"),
        [*request_headers()[:2], (":authority", "a/b"), (":path", "/")],
    ],
)
@pytest.mark.rfc("9113", "8.1.1")
def test_what_h2_lets_through_and_is_no_request_is_reset(headers):
    async def test(peer, wire, wired):
        peer.h2.send_headers(1, headers, end_stream=True)
        await peer.turn()
        assert peer.heads == {}
        assert peer.resets == {1: ErrorCodes.PROTOCOL_ERROR}

    with_peer(path_app, test)


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
