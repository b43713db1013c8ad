"""What RFC 9113 and RFC 7541 ask of a server, requirement by requirement, octet by octet."""

import asyncio

import pytest

from stack.http.limits import Limits
from tests.support.http_world import path_app, read_body, respond, settle
from tests.support.raw_http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLAGS,
    GOAWAY,
    HEADERS,
    MAGIC,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Raw,
    fields,
    frame,
    headers,
    reset,
    settings,
    talk,
    window_update,
)

TOP = (1 << 31) - 1
METHOD, SCHEME, AUTHORITY, PATH = fields()


async def patient(scope, receive, send):
    """Answers once it is let go, or never."""
    await asyncio.sleep(1000)


async def slow(scope, receive, send):
    """Answers after a second, with what was sent."""
    await asyncio.sleep(1)
    await path_app(scope, receive, send)


async def pushing(scope, receive, send):
    if scope["path"] == "/":
        await send({"type": "http.response.push", "path": "/pushed", "headers": []})
    await path_app(scope, receive, send)


async def pushing_slowly(scope, receive, send):
    if scope["path"] == "/":
        await send({"type": "http.response.push", "path": "/pushed", "headers": []})
    else:
        await asyncio.sleep(1)
    await path_app(scope, receive, send)


@pytest.mark.rfc("9113", "4.3-2", "6.4-2", "5.1-9", "5.4.2-1")
def test_a_block_on_a_stream_that_was_reset_still_counts_for_the_table():
    """Trailers of a request that we refused fill the table that later requests refer to."""

    async def test(raw):
        await raw.send(raw.request(1, end=False, method="PUT"))
        (refused,) = await raw.send(raw.request(3, end=False, method="PUT"))
        assert (refused.kind, refused.stream, refused.code) == (RST_STREAM, 3, REFUSED_STREAM)
        await raw.send(headers(raw, 3, [("x-only-here", "value")]))
        await raw.send(frame(DATA, END_STREAM, 1, b"body"))
        await asyncio.sleep(1.5)
        await raw.send(headers(raw, 5, fields("/x", "GET", ("x-only-here", "value"))))
        await asyncio.sleep(1.5)
        await raw.send(b"")
        assert raw.goaway is None
        assert raw.body(5) == b"value"

    async def app(scope, receive, send):
        await asyncio.sleep(1)
        found = dict(scope["headers"]).get(b"x-only-here", b"")
        await respond(found)(scope, receive, send)

    talk(app, test, Limits(streams=1))


@pytest.mark.rfc("9113", "5.1-4")
def test_nothing_but_control_frames_may_come_on_a_stream_that_we_promised():
    for wrong in (frame(DATA, 0, 2, b"x"), None):

        async def test(raw, wrong=wrong):
            await raw.send(raw.request(1))
            assert raw.of(PUSH_PROMISE)
            await raw.send(frame(PRIORITY, 0, 2, bytes(5)), window_update(2, 5))
            assert raw.goaway is None
            await raw.send(wrong or raw.request(2))
            # Any fitting code may be given (§5.4).
            assert raw.goaway in {PROTOCOL_ERROR, STREAM_CLOSED}

        talk(pushing_slowly, test)


# ---- prefaces


@pytest.mark.rfc("9113", "3.4-1", "3.4-4")
def test_a_preface_without_settings_is_a_protocol_error():
    async def test(raw):
        await raw.send(MAGIC + frame(PING, 0, 0, bytes(8)))
        assert raw.goaway == PROTOCOL_ERROR
        assert raw.wire.eof or raw.wire.closed

    talk(path_app, test, greet=False)


@pytest.mark.rfc("9113", "3.4-4", "3.3-1")
def test_octets_that_only_begin_like_a_preface_are_no_http_2():
    async def test(raw):
        raw.wire.feed(MAGIC[:18] + b"XX\r\n\r\n")
        await settle()
        assert raw.wire.take().startswith(b"HTTP/1.1 505 ")
        assert raw.wire.eof

    talk(path_app, test, greet=False)


@pytest.mark.rfc("9113", "3.3-1")
def test_over_tls_without_alpn_the_preface_opens_no_http_2():
    async def test(raw):
        raw.wire.feed(MAGIC + settings())
        await settle()
        assert raw.wire.take().startswith(b"HTTP/1.1 505 ")
        assert raw.wire.eof

    talk(path_app, test, greet=False, secure=True)


@pytest.mark.rfc("9113", "3.3-2", "3.4-2", "3.4-3", "6.5-1", "6.5.2-4", "6.5.3-4")
def test_our_settings_come_first_and_the_peers_are_acknowledged_behind_them():
    async def test(raw):
        first, *rest = await raw.send(MAGIC + settings(s4=70_000))
        assert (first.kind, first.flags, first.stream) == (SETTINGS, 0, 0)
        values = {
            int.from_bytes(first.payload[at : at + 2], "big"): first.payload[at + 2 : at + 6]
            for at in range(0, len(first.payload), 6)
        }
        assert 2 not in values
        acks = [f for f in rest if f.kind == SETTINGS]
        assert [(f.flags, f.payload) for f in acks] == [(ACK, b"")]

    talk(path_app, test, greet=False)


# ---- what is ignored


@pytest.mark.rfc("9113", "4.1-2", "4.1-3", "4.1-4", "5.5-1", "5.5-2", "6.5.2-8", "6.5.3-3", "7-1")
@pytest.mark.rfc("9113", "6.7-3", "6.9-4", "6.9-1", "6.5.3-2")
def test_what_has_no_meaning_changes_nothing():
    block = Raw.block

    async def test(raw):
        await raw.send(
            frame(0xFA, 0xFF, 0, b"unknown"),
            frame(0x0B, 0, 7, b"unknown, on an idle stream"),
            settings(s4=100, s60000=5, s9999=1 << 31),
            settings(s4=10, s5=16_384, s6=1),
            settings(s4=200_000),
            frame(PING, ACK, 0, b"unasked!"),
            frame(PRIORITY, 0, 99, bytes(4) + b"\x05"),
            frame(PING, 0xFE, 1 << 31, b"12345678"),
        )
        flags = 0xFF & ~(PADDED | WITH_PRIORITY)
        await raw.send(frame(HEADERS, flags, 1 | 1 << 31, block(raw, fields("/x"))))
        await asyncio.sleep(2)
        await raw.send(
            window_update(1, 5),
            frame(PRIORITY, 0xFF, 1, bytes(4) + b"\x05"),
            reset(1, 0xDEAD),
            raw.request(3, "/y"),
            reset(3, 0xBEEF),
            raw.request(5, "/z"),
        )
        await asyncio.sleep(2)
        await raw.send(b"")
        assert raw.goaway is None
        assert raw.body(1) == b"GET /x "
        assert raw.body(5) == b"GET /z "
        pings = [(f.flags, f.payload) for f in raw.of(PING)]
        assert pings == [(ACK, b"12345678")]
        assert len(raw.of(SETTINGS)) == 5

    talk(slow, test)


@pytest.mark.rfc("9113", "4.2-1")
@pytest.mark.rfc("9113", "5.2.2-1")
def test_the_longest_frame_that_everybody_takes_is_taken():
    async def test(raw):
        await raw.send(raw.request(1, end=False, method="PUT"))
        await raw.send(frame(DATA, END_STREAM, 1, bytes(16_384)))
        assert raw.body(1) == b"16384"
        long = [("a" * 100, "b" * 16_000)]
        section = raw.block(fields("/", "GET", *long))
        assert len(section) <= 16_384
        padding = 16_384 - len(section) - 1
        await raw.send(
            frame(
                HEADERS, 0x0D, 3, bytes((min(padding, 255),)) + section + bytes(min(padding, 255))
            )
        )
        assert raw.ended(3)

    async def app(scope, receive, send):
        await respond(b"%d" % len(await read_body(receive)))(scope, receive, send)

    talk(app, test)


# ---- what we send


@pytest.mark.rfc("9113", "4.3-1", "8.1-1", "4.1-1")
@pytest.mark.rfc("9113", "4.1-3", "4.1-4")
def test_long_header_sections_stay_together_and_every_frame_is_well_formed():
    long = [(b"x-%d" % number, b"y" * 9000) for number in range(6)]

    async def app(scope, receive, send):
        found = long if scope["path"] == "/long" else []
        await respond(bytes(70_000), headers=found)(scope, receive, send)

    async def test(raw):
        await raw.send(settings(s4=1 << 20) + window_update(0, 1 << 20))
        await raw.send(
            b"".join(raw.request(n, "/" if n % 4 == 1 else "/long") for n in (1, 3, 5, 7))
        )
        await raw.send(frame(PING, 0, 0, bytes(8)))
        waiting = 0
        for each in raw.heard:
            assert len(each.payload) <= 16_384
            assert each.flags & ~FLAGS[each.kind] == 0
            assert each.reserved == 0
            if waiting:
                assert (each.kind, each.stream) == (CONTINUATION, waiting)
            if each.kind in {HEADERS, CONTINUATION}:
                waiting = 0 if each.flags & END_HEADERS else each.stream
        assert len(raw.of(CONTINUATION)) >= 4
        assert {len(raw.body(n)) for n in (1, 3, 5, 7)} == {70_000}

    talk(app, test)


@pytest.mark.rfc("9113", "8.2-1", "8.2.2-1", "8.3-1", "8.3.2-1", "8.3-2")
def test_responses_have_a_status_and_lower_case_fields_about_the_message_alone():
    given = [
        (b"X-Mixed-Case", b"a"),
        (b"Connection", b"close"),
        (b"Keep-Alive", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Upgrade", b"x"),
        (b"Proxy-Connection", b"x"),
    ]

    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": [b"</a>"]})
        await respond(b"x", headers=given)(scope, receive, send)

    async def test(raw):
        await raw.send(raw.request(1))
        hint, response = [found for _, found in raw.sections()]
        assert hint == {":status": "103", "link": "</a>"}
        assert response[":status"] == "200"
        assert set(response) == {":status", "x-mixed-case", "content-length", "date", "server"}

    talk(app, test)


@pytest.mark.rfc("9113", "8.3-1")
def test_an_application_cannot_send_pseudo_header_fields(caplog):
    async def test(raw):
        await raw.send(raw.request(1))
        ((_, response),) = raw.sections()
        assert response[":status"] == "500"
        assert ":path" not in response

    talk(respond(b"x", headers=[(b":path", b"/")]), test)


@pytest.mark.rfc("9113", "6.4-1", "5.4.2-2", "5.1-8")
def test_after_a_reset_nothing_is_said_on_the_stream():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
            await asyncio.sleep(0.1)

    async def test(raw):
        await raw.send(raw.request(1) + raw.request(3))
        await raw.send(reset(1))
        await asyncio.sleep(1)
        later = await raw.send(window_update(1, 500), reset(1))
        assert {f.stream for f in later} == {3}
        assert raw.goaway is None

    talk(app, test)


@pytest.mark.rfc("9113", "5.1-8", "8.7-1")
def test_after_the_end_of_both_sides_nothing_is_said_on_the_stream():
    async def test(raw):
        await raw.send(raw.request(1))
        assert raw.ended(1)
        assert await raw.send(window_update(1, 1), frame(PRIORITY, 0, 1, bytes(5)), reset(1)) == []

    talk(path_app, test)


@pytest.mark.rfc("9113", "6.9-5", "6.4-2", "6.1-3", "5.1-9")
def test_data_that_nobody_wants_is_counted_and_given_back():
    limits = Limits(connection_window=200_000, stream_window=100_000, streams=1)

    async def test(raw):
        await raw.send(raw.request(1, end=False, method="PUT"))
        await raw.send(raw.request(3, end=False, method="PUT"))
        assert raw.of(RST_STREAM, 3)[0].code == REFUSED_STREAM
        for _ in range(12):
            await raw.send(frame(DATA, 0, 3, bytes(16_000)))
        given = sum(int.from_bytes(f.payload, "big") for f in raw.of(WINDOW_UPDATE, 0))
        assert given >= 96_000
        assert raw.goaway is None

    talk(patient, test, limits)


@pytest.mark.rfc("9113", "6.8-3", "6.8-4", "6.8-5", "8.7-1")
def test_streams_beyond_the_last_one_of_goaway_are_refused_but_keep_the_state():
    async def test(raw):
        await raw.send(raw.request(1))
        closing = asyncio.ensure_future(raw.wired.server.close(10))
        await settle()
        await raw.send(b"")
        await raw.send(frame(PING, ACK, 0, b"tunstack"))
        assert [f.last_stream for f in raw.of(GOAWAY)] == [TOP, 1]
        beyond = frame(HEADERS, END_HEADERS, 3, raw.block(fields("/", "PUT", ("x-new", "v"))))
        await raw.send(beyond, frame(DATA, END_STREAM, 3, bytes(10_000)))
        assert {f.stream for f in raw.of(HEADERS)} <= {1}
        for each in raw.of(RST_STREAM, 3):
            assert each.code == REFUSED_STREAM
        # The table has the field by now, and the connection still works.
        again = headers(raw, 5, fields("/", "GET", ("x-new", "v")))
        await raw.send(again, frame(PING, 0, 0, b"12345678"))
        assert raw.of(PING)[-1].payload == b"12345678"
        await asyncio.sleep(3)
        await raw.send(b"")
        assert raw.body(1) == b"GET / "
        assert raw.goaway == NO_ERROR
        await closing

    talk(slow, test)


@pytest.mark.rfc("9113", "6.8-1")
def test_a_client_that_says_goaway_is_not_pushed_at():
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await pushing(scope, receive, send)

    async def test(raw):
        await raw.send(raw.request(1) + frame(GOAWAY, 0, 0, bytes(8)))
        await asyncio.sleep(2)
        await raw.send(b"")
        assert raw.body(1) == b"GET / "
        assert raw.of(PUSH_PROMISE) == []

    talk(app, test)


# ---- push


@pytest.mark.rfc("9113", "6.6-1", "6.6-3", "6.6-4", "6.6-8", "8.4-1", "8.4-4", "8.4.1-1")
@pytest.mark.rfc("9113", "8.4.1-2", "8.4.1-5", "5.1.1-1", "5.1-3")
def test_a_promise_is_a_get_of_the_same_authority_on_the_next_even_stream():
    async def test(raw):
        await raw.send(raw.request(1))
        await asyncio.sleep(2)
        await raw.send(raw.request(3))
        await asyncio.sleep(2)
        await raw.send(b"")
        promises = raw.of(PUSH_PROMISE)
        promised = [int.from_bytes(f.payload[:4], "big") for f in promises]
        assert promised == [2, 4]
        assert [f.stream for f in promises] == [1, 3]
        assert all(f.flags & END_HEADERS for f in promises)
        begins = {n: next(f.kind for f in raw.heard if f.stream == n) for n in promised}
        assert begins == {2: HEADERS, 4: HEADERS}
        found = [fields for stream, fields in raw.sections() if ":method" in fields]
        wanted = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": "/pushed"}
        assert found == [wanted, wanted]

    talk(pushing_slowly, test)


@pytest.mark.rfc("9113", "6.5.2-1", "6.6-6")
def test_no_promise_is_made_to_who_wants_none():
    async def test(raw):
        await raw.send(settings(s2=0) + raw.request(1))
        assert raw.of(PUSH_PROMISE) == []
        assert raw.body(1) == b"GET / "

    async def app(scope, receive, send):
        if "http.response.push" in scope["extensions"]:
            await pushing(scope, receive, send)
        else:
            await path_app(scope, receive, send)

    talk(app, test)


@pytest.mark.rfc("9113", "5.1.2-1")
def test_no_more_is_pushed_at_a_time_than_the_client_takes():
    async def app(scope, receive, send):
        if scope["path"] == "/":
            for number in range(5):
                await send({"type": "http.response.push", "path": f"/{number}", "headers": []})
        else:
            await asyncio.sleep(1)
        await path_app(scope, receive, send)

    async def test(raw):
        await raw.send(settings(s3=2) + raw.request(1))
        await asyncio.sleep(2)
        await raw.send(b"")
        assert len(raw.of(PUSH_PROMISE)) == 2

    talk(app, test)


# ---- settings and windows


@pytest.mark.rfc("9113", "6.5-2", "6.5.3-1", "6.5.3-4", "4.3.1-1")
@pytest.mark.rfc("7541", "4.2-1", "4.2-2", "4.2-3")
def test_every_setting_holds_from_its_acknowledgement_on():
    async def app(scope, receive, send):
        named = [(b"x-field", b"value of it")] * 2
        await respond(bytes(40_000), headers=named)(scope, receive, send)

    async def test(raw):
        await raw.send(raw.request(1))
        small = settings(s1=0) + settings(s1=100, s2=0, s3=1, s4=20_000, s5=20_000, s6=100)
        new = await raw.send(small + window_update(0, 100_000) + raw.request(3))
        assert [f.flags for f in new[:2]] == [ACK, ACK]
        (head,) = raw.of(HEADERS, 3)
        # Down to 0, then up to 100: both are said, before all else.
        assert head.payload[:2] == b"\x20\x3f"
        assert head.payload[2] == 100 - 31
        raw.decoder.max_allowed_table_size = 4096
        answers = [found for _, found in raw.sections()]
        assert answers[1]["x-field"] == "value of it"
        assert len(raw.body(3)) == 20_000
        assert max(len(f.payload) for f in raw.of(DATA)) <= 20_000

    talk(app, test)


@pytest.mark.rfc("9113", "6.9.1-1", "5.2.1-1", "6.9.2-1", "6.9.2-2")
def test_a_window_below_nothing_holds_until_it_is_above_again():
    async def test(raw):
        await raw.send(raw.request(1))
        assert len(raw.body(1)) == 65_535
        await raw.send(window_update(0, 1 << 20) + settings(s4=15_535))  # now at -50,000
        await raw.send(window_update(1, 50_000))
        assert len(raw.body(1)) == 65_535
        await raw.send(window_update(1, 1))
        assert len(raw.body(1)) == 65_536
        await raw.send(settings(s4=15_545))
        assert len(raw.body(1)) == 65_546
        await raw.send(raw.request(3))
        assert len(raw.body(3)) == 15_545

    talk(respond(bytes(100_000)), test)


@pytest.mark.rfc("9113", "5.1.2-2", "8.7-1")
def test_a_stream_too_many_is_refused_unseen():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])
        await asyncio.sleep(1)
        await path_app(scope, receive, send)

    async def test(raw):
        await raw.send(raw.request(1, "/a") + raw.request(3, "/b"))
        assert raw.of(RST_STREAM, 3)[0].code == REFUSED_STREAM
        assert seen == ["/a"]
        await asyncio.sleep(2)

    talk(app, test, Limits(streams=1))


@pytest.mark.rfc("9113", "6.7-1", "6.7-2", "6.7-3")
def test_a_ping_comes_back():
    async def test(raw):
        (answer,) = await raw.send(frame(PING, 0, 0, b"\x00\xff234567"))
        assert (answer.kind, answer.flags, answer.stream) == (PING, ACK, 0)
        assert answer.payload == b"\x00\xff234567"

    talk(path_app, test)


# ---- messages


@pytest.mark.rfc("9113", "8.2.3-1", "8.3.1-1")
def test_crumbs_are_one_cookie_and_the_authority_is_the_host():
    seen = []

    async def app(scope, receive, send):
        seen.extend(scope["headers"])
        await path_app(scope, receive, send)

    async def test(raw):
        crumbs = [("cookie", "a=b"), ("cookie", "c=d"), ("host", "x")]
        await raw.send(headers(raw, 1, fields("/", "GET", *crumbs)))
        assert (b"cookie", b"a=b; c=d") in seen
        assert [value for name, value in seen if name == b"host"] == [b"x"]

    talk(app, test)


@pytest.mark.rfc("9113", "8.3.1-8")
def test_asterisk_is_a_path_for_options():
    async def test(raw):
        section = [(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")]
        await raw.send(headers(raw, 1, section))
        assert raw.body(1) == b"OPTIONS * "

    talk(path_app, test)


@pytest.mark.rfc("9113", "5.5-4", "8.5-2")
def test_a_websocket_is_negotiated_and_headers_on_it_end_it():
    connect = [("sec-websocket-version", "13")]

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(100)

    async def test(raw):
        ours = raw.of(SETTINGS)[0].payload
        assert b"\x00\x08\x00\x00\x00\x01" in ours  # SETTINGS_ENABLE_CONNECT_PROTOCOL
        asked = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            SCHEME,
            AUTHORITY,
            PATH,
            *connect,
        ]
        await raw.send(headers(raw, 1, asked, END_HEADERS))
        ((_, accepted),) = raw.sections()
        assert accepted[":status"] == "200"
        await raw.send(headers(raw, 1, [("a", "b")], END_HEADERS))
        assert raw.goaway == PROTOCOL_ERROR or raw.of(RST_STREAM, 1)

    talk(app, test)


@pytest.mark.rfc("9113", "10.6-1")
def test_content_is_never_compressed_by_us():
    async def test(raw):
        asked = fields("/", "GET", ("accept-encoding", "gzip, br"))
        await raw.send(headers(raw, 1, asked))
        ((_, answer),) = raw.sections()
        assert "content-encoding" not in answer
        assert raw.body(1) == b"x" * 10_000

    talk(respond(b"x" * 10_000), test)


def test_a_cancelled_stream_takes_late_frames():
    async def test(raw):
        await raw.send(raw.request(1, end=False, method="PUT"))
        await raw.send(reset(1, CANCEL) + frame(DATA, 0, 1, b"late") + raw.request(3, "/x"))
        await asyncio.sleep(2)
        await raw.send(b"")
        assert raw.body(3) == b"GET /x "

    talk(slow, test)
