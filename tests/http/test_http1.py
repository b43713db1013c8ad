"""HTTP/1.1 messages on a transport of the test's own, in virtual time."""

import asyncio

import pytest

from tests.support.http_world import (
    DATE,
    GET,
    Wired,
    exchange,
    header,
    path_app,
    read_body,
    respond,
    responses,
    run_virtual,
    settle,
)


@pytest.mark.rfc("9112", "9.3")
def test_a_connection_stays_open_for_the_next_request():
    async def main():
        async with Wired(path_app) as wired:
            wire = wired.connect()
            for path in (b"/a", b"/b", b"/c"):
                wire.feed(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path)
                await settle()
                ((response, body),) = responses(wire.take())
                assert response.status_code == 200
                assert body == b"GET " + path + b" "
            assert not wire.closed
            assert [record.target for record in wired.records] == ["/a", "/b", "/c"]

    run_virtual(main)


@pytest.mark.rfc("9112", "9.3.2")
def test_pipelined_requests_are_answered_in_their_order():
    async def app(scope, receive, send):
        await asyncio.sleep({"/slow": 5, "/quick": 0}[scope["path"]])
        await respond(scope["path"].encode())(scope, receive, send)

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(
                b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
                b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\nGET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
            )
            await asyncio.sleep(20)
            found = responses(wire.take(), b"GET", b"GET", b"GET")
            assert [body for _, body in found] == [b"/slow", b"/quick", b"/slow"]

    run_virtual(main)


def test_a_request_may_come_byte_by_byte():
    async def main():
        async with Wired(path_app) as wired:
            wire = wired.connect()
            data = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            data += b"3\r\nabc\r\n1;e=1\r\nd\r\n0\r\nt: 1\r\n\r\n"
            for index in range(len(data)):
                wire.feed(data[index : index + 1])
                await settle(3)
            ((_, body),) = responses(wire.take())
            assert body == b"POST /x abcd"

    run_virtual(main)


@pytest.mark.rfc("9110", "8.6")
def test_a_body_given_at_once_gets_a_content_length():
    (((response, body),), _) = exchange(respond(b"hello"), GET)
    assert header(response, b"content-length") == b"5"
    assert body == b"hello"


@pytest.mark.rfc("9112", "7.1")
def test_a_body_of_unknown_length_is_chunked():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for part in (b"a", b"", b"bc"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    (((response, body),), closed) = exchange(app, GET)
    assert header(response, b"transfer-encoding") == b"chunked"
    assert body == b"abc"
    assert not closed


def test_a_small_response_leaves_in_one_write():
    async def main():
        async with Wired(respond(b"hello")) as wired:
            wire = wired.connect()
            writes = []
            write, wire.write = wire.write, lambda data: (writes.append(data), write(data))
            wire.feed(GET)
            await settle()
            assert len(writes) == 1

    run_virtual(main)


@pytest.mark.rfc("9110", "6.6.1")
def test_date_and_server_are_added_unless_the_application_gave_them():
    (((response, _),), _) = exchange(respond(), GET)
    assert header(response, b"date") == DATE
    assert header(response, b"server") == b"tunstack"
    own = respond(headers=[(b"Date", b"never"), (b"Server", b"mine")])
    (((response, _),), _) = exchange(own, GET)
    assert [value for name, value in response.headers if name in {b"date", b"server"}] == [
        b"never",
        b"mine",
    ]


@pytest.mark.rfc("9110", "9.3.2")
def test_head_gets_the_fields_of_get_and_no_body():
    head = GET.replace(b"GET", b"HEAD")
    (((response, body),), closed) = exchange(respond(b"hello"), head, b"HEAD")
    assert header(response, b"content-length") == b"5"
    assert body == b""
    assert not closed


@pytest.mark.rfc("9110", "6.4.1")
@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_whatever_the_application_says(status):
    headers = [(b"content-length", b"5")] if status == 304 else []
    (((response, body),), closed) = exchange(respond(b"hello", status, headers), GET)
    assert response.status_code == status
    assert body == b""
    assert header(response, b"transfer-encoding") is None
    assert not closed


@pytest.mark.rfc("9112", "9.6")
def test_connection_close_is_honoured():
    (((response, _),), closed) = exchange(
        respond(b"x"), b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert header(response, b"connection") == b"close"
    assert closed


@pytest.mark.rfc("9112", "6.1")
def test_http_1_0_gets_no_chunks_and_a_closed_connection():
    async def app(scope, receive, send):
        assert scope["http_version"] == "1.0"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(b"GET / HTTP/1.0\r\n\r\n")
            await settle()
            head, _, body = wire.take().partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head
            assert body == b"ab"
            assert wire.closed

    run_virtual(main)


@pytest.mark.rfc("9110", "10.1.1")
def test_continue_is_sent_when_the_application_reads():
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await path_app(scope, receive, send)

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(
                b"PUT /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
            )
            await settle()
            assert wire.take() == b""
            await asyncio.sleep(2)
            assert wire.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.feed(b"ok")
            await settle()
            ((_, body),) = responses(wire.take())
            assert body == b"PUT /x ok"
            assert not wire.closed

    run_virtual(main)


@pytest.mark.rfc("9110", "10.1.1")
def test_an_answer_without_continue_ends_the_connection():
    (((response, _),), closed) = exchange(
        respond(b"no", 403),
        b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
    )
    assert response.status_code == 403
    assert header(response, b"connection") == b"close"
    assert closed


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"GARBAGE\r\n\r\n", 400, id="no request line"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, id="bad host"),
        pytest.param(b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400, id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\nb\r\n\r\n", 400, id="no colon"),
        pytest.param(b"GET nowhere HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="relative target"),
        pytest.param(b"GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505, id="version"),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 501, id="CONNECT"),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400, id="negative length"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
            id="length and chunks",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            501,
            id="unknown coding",
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
            id="chunks in 1.0",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
            id="bad chunk",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431, id="long field"
        ),
        pytest.param(b"GET /" + b"y" * 70_000, 431, id="endless target"),
    ],
)
@pytest.mark.rfc("9112", "2.2")
def test_what_is_no_request_gets_one_clear_line_and_the_end(data, status):
    async def never(scope, receive, send):
        await read_body(receive)
        raise AssertionError("the application was asked")

    (((response, body),), closed) = exchange(never, data)
    assert response.status_code == status
    assert header(response, b"connection") == b"close"
    assert body.count(b"\n") == 1
    assert body.startswith(b"%d " % status)
    assert closed


@pytest.mark.rfc("9112", "2.2")
def test_empty_lines_before_a_request_are_ignored():
    (((response, _),), _) = exchange(respond(), b"\r\n\r\n" + GET)
    assert response.status_code == 200


@pytest.mark.rfc("9112", "3.2.2")
def test_the_authority_of_an_absolute_target_wins():
    async def app(scope, receive, send):
        await respond(repr((scope["path"], scope["headers"])).encode())(scope, receive, send)

    data = b"GET http://real:8/p%20q?a=%20b HTTP/1.1\r\nhost: other\r\n\r\n"
    (((_, body),), _) = exchange(app, data)
    assert body == repr(("/p q", [(b"host", b"real:8")])).encode()


@pytest.mark.rfc("9112", "3.2.4")
def test_options_may_ask_about_the_server_as_a_whole():
    (((_, body),), _) = exchange(path_app, b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
    assert body == b"OPTIONS * "


def test_the_scope_says_what_asgi_promises():
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await respond()(scope, receive, send)

    exchange(app, b"GET /a%2Fb/%C3%A9?q=%20 HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n")
    assert seen.pop("extensions") == {
        "tunstack": {"connection": 1, "tls": None, "cipher": None, "alpn": None, "h2c": None},
        "http.response.trailers": {},
        "http.response.early_hint": {},
    }
    assert seen == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/b/é",
        "raw_path": b"/a%2Fb/%C3%A9",
        "query_string": b"q=%20",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-y", b"z")],
        "client": ("192.0.2.1", 40_000),
        "server": ("192.0.2.2", 80),
        "state": {},
    }
