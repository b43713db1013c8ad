"""HTTP/1.1 on a transport of the test's own, in virtual time."""

import asyncio
import logging

import h11
import pytest

from stack.http.limits import Limits
from tests.support.http_world import (
    DATE,
    Wired,
    path_app,
    read_body,
    respond,
    run_virtual,
    settle,
)

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def responses(data: bytes, *methods: bytes) -> list[tuple[h11.Response, bytes]]:
    """What a client that sent these requests makes of `data`: all final responses."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    found = []
    for method in methods or (b"GET",):
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        head, body = None, b""
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), event
        found.append((head, body))
        if client.our_state is h11.DONE:
            client.start_next_cycle()
    assert client.trailing_data[0] == b"", "more than the responses was sent"
    return found


def exchange(app, data: bytes, *methods: bytes, limits: Limits | None = None):
    """The responses to `data`, and whether the server then closed its side."""

    async def main():
        async with Wired(app, limits) as wired:
            wire = wired.connect()
            wire.feed(data)
            await settle(30)
            return responses(wire.take(), *methods), wire.closed or wire.eof

    return run_virtual(main)


def header(response: h11.Response, name: bytes) -> bytes | None:
    return dict(response.headers).get(name)


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
        "tunstack": {"connection": 1, "tls": None, "cipher": None, "alpn": None, "h2c": None}
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


# ---- time


def closing_time(*pieces: bytes, limits: Limits | None = None, every: float = 1.0):
    """Feeds the pieces one by one; returns when the connection closed, and what was sent."""

    async def main():
        loop = asyncio.get_running_loop()
        async with Wired(path_app, limits) as wired:
            wire = wired.connect()
            began = loop.time()
            for piece in pieces:
                if wire.closed or wire.eof:
                    break
                wire.feed(piece)
                await asyncio.sleep(every)
            while not (wire.closed or wire.eof):
                await asyncio.sleep(0.25)
            return loop.time() - began, wire.take()

    return run_virtual(main)


def test_a_silent_connection_is_closed_without_a_word():
    seconds, sent = closing_time(limits=Limits(header_timeout=7))
    assert 7 <= seconds < 8
    assert sent == b""


@pytest.mark.rfc("9110", "15.5.9")
def test_a_request_that_drips_in_gets_408():
    seconds, sent = closing_time(*[b"G"] * 100, limits=Limits(header_timeout=7))
    assert 7 <= seconds < 9
    assert sent.startswith(b"HTTP/1.1 408 ")


def test_a_second_request_that_drips_in_gets_408():
    seconds, sent = closing_time(GET, *[b"G"] * 100, limits=Limits(header_timeout=7))
    assert 7 <= seconds < 10
    assert b"HTTP/1.1 408 " in sent


def test_an_idle_connection_is_closed_without_a_word():
    seconds, sent = closing_time(GET, limits=Limits(idle_timeout=30, header_timeout=7))
    assert 30 <= seconds < 32
    assert responses(sent)


def test_an_application_may_take_longer_than_any_timeout():
    async def app(scope, receive, send):
        await asyncio.sleep(1000)
        await respond(b"late")(scope, receive, send)

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(GET)
            await asyncio.sleep(1001)
            assert responses(wire.take())[0][1] == b"late"

    run_virtual(main)


# ---- applications that fail


def failing(app, caplog, data: bytes = GET):
    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            with caplog.at_level(logging.ERROR):
                wire.feed(data)
                await settle(30)
            return wire

    return run_virtual(main)


async def raises(scope, receive, send):
    raise ValueError("oops")


async def returns(scope, receive, send):
    pass


async def only_starts(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})


async def body_first(scope, receive, send):
    await send({"type": "http.response.body", "body": b"x"})


async def splits_the_response(scope, receive, send):
    value = b"1\r\nset-cookie: evil"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", value)]})


async def names_no_token(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]})


async def starts_with_1xx(scope, receive, send):
    await send({"type": "http.response.start", "status": 101})


async def starts_twice(scope, receive, send):
    await only_starts(scope, receive, send)
    await only_starts(scope, receive, send)


async def says_too_little(scope, receive, send):
    await respond(b"four", headers=[(b"content-length", b"5")])(scope, receive, send)


async def sends_what_nobody_knows(scope, receive, send):
    await send({"type": "http.response.confetti"})


FAILING = [
    raises,
    returns,
    only_starts,
    body_first,
    splits_the_response,
    names_no_token,
    starts_with_1xx,
    starts_twice,
    says_too_little,
    sends_what_nobody_knows,
]


@pytest.mark.parametrize("app", FAILING)
def test_an_application_that_fails_before_its_response_is_a_500(app, caplog):
    wire = failing(app, caplog)
    ((response, body),) = responses(wire.take())
    assert response.status_code == 500
    assert body == b"500 Internal Server Error: the application failed\n"
    assert "the application" in caplog.text
    assert not wire.eof


async def breaks_off(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("oops")


async def says_too_much(scope, receive, send):
    headers = [(b"content-length", b"3")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await send({"type": "http.response.body", "body": b"d"})


@pytest.mark.parametrize("app", [breaks_off, says_too_much])
def test_a_response_that_breaks_off_does_not_look_complete(app, caplog):
    wire = failing(app, caplog)
    assert wire.aborted
    assert "the application" in caplog.text
    assert not wire.take().endswith(b"0\r\n\r\n")


# ---- peers that leave


class Watching:
    """An application that remembers how it ended."""

    def __init__(self, work) -> None:
        self.work = work
        self.ended = None

    async def __call__(self, scope, receive, send):
        try:
            self.ended = await self.work(receive, send)
        except BaseException as error:
            self.ended = error
            raise


def left(work, *, leave_after: float = 1.0, data: bytes = GET, block: bool = False):
    """How an application ends whose peer closes; and how many seconds after."""
    app = Watching(work)

    async def main():
        loop = asyncio.get_running_loop()
        async with Wired(app) as wired:
            wire = wired.connect()
            if block:
                wire.block()
            wire.feed(data)
            await asyncio.sleep(leave_after)
            began = loop.time()
            wire.abort()
            while app.ended is None:
                await asyncio.sleep(0.01)
            return app.ended, loop.time() - began

    return run_virtual(main)


def test_an_application_that_works_is_cancelled_when_the_peer_leaves():
    async def work(receive, send):
        await asyncio.sleep(1000)

    ended, seconds = left(work)
    assert isinstance(ended, asyncio.CancelledError)
    assert seconds < 0.1


def test_an_application_that_listens_hears_of_it():
    async def work(receive, send):
        await receive()
        return await receive()

    assert left(work)[0] == {"type": "http.disconnect"}


def test_one_that_listens_and_stays_is_cancelled_after_a_while():
    async def work(receive, send):
        await receive()
        await receive()
        await asyncio.sleep(1000)

    ended, seconds = left(work)
    assert isinstance(ended, asyncio.CancelledError)
    assert 1 <= seconds < 1.1


def test_one_that_sends_gets_an_oserror():
    async def work(receive, send):
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})

    ended, seconds = left(work, block=True)
    assert isinstance(ended, OSError)
    assert seconds < 0.1


def test_one_that_has_answered_may_finish_what_it_does():
    async def work(receive, send):
        await respond(b"done")(None, receive, send)
        await asyncio.sleep(3)
        return "finished"

    assert left(work)[0] == "finished"


@pytest.mark.rfc("9112", "9.6")
def test_a_peer_that_closes_its_side_still_gets_its_responses():
    async def app(scope, receive, send):
        await asyncio.sleep(2)
        await respond(scope["path"].encode())(scope, receive, send)

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(GET + GET.replace(b"/ ", b"/2 "))
            wire.feed_eof()
            await asyncio.sleep(10)
            found = responses(wire.take(), b"GET", b"GET")
            assert [body for _, body in found] == [b"/", b"/2"]
            assert wire.closed
            assert not wire.aborted

    run_virtual(main)


def test_not_even_the_turn_between_two_responses_loses_one():
    """The end of the requests arrives when the first response is out and the next not begun."""

    async def main():
        async with Wired(path_app) as wired:
            wire = wired.connect()
            write = wire.write

            def write_and_close(data):
                write(data)
                wire.write = write
                asyncio.get_running_loop().call_soon(wire.feed_eof)

            wire.write = write_and_close
            wire.feed(GET + GET)
            await settle()
            assert len(responses(wire.take(), b"GET", b"GET")) == 2
            assert wire.closed

    run_virtual(main)


def test_over_tls_a_peer_that_closes_is_gone():
    app = Watching(lambda receive, send: asyncio.sleep(1000))

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect(secure=True)
            wire.feed(GET)
            await settle()
            wire.feed_eof()
            await settle()
            assert isinstance(app.ended, asyncio.CancelledError)

    run_virtual(main)


def test_but_not_for_ever():
    app = Watching(lambda receive, send: asyncio.sleep(1000))

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(GET)
            wire.feed_eof()
            await asyncio.sleep(4)
            assert app.ended is None
            await asyncio.sleep(2)
            assert isinstance(app.ended, asyncio.CancelledError)
            assert wire.aborted

    run_virtual(main)


def test_a_peer_that_leaves_in_the_middle_of_a_body_is_gone():
    async def work(receive, send):
        message = await receive()
        assert message == {"type": "http.request", "body": b"abc", "more_body": True}
        return await receive()

    app = Watching(work)

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
            await settle()
            wire.feed_eof()
            await settle()
            assert app.ended == {"type": "http.disconnect"}
            assert wire.closed

    run_virtual(main)


# ---- flow control


def test_reading_stops_when_the_application_does_not_take_the_body():
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await path_app(scope, receive, send)

    async def main():
        async with Wired(app, Limits(body_buffer=100_000)) as wired:
            wire = wired.connect()
            wire.feed(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n")
            fed = 0
            while wire.reading and fed < 500_000:
                wire.feed(bytes(10_000))
                fed += 10_000
            assert 100_000 <= fed <= 110_000
            go.set()
            while fed < 500_000:
                await settle()
                wire.feed(bytes(10_000))
                fed += 10_000
            await settle()
            ((_, body),) = responses(wire.take())
            assert len(body) == len(b"PUT / ") + 500_000

    run_virtual(main)


def test_the_application_waits_for_a_peer_that_does_not_read():
    sent = 0

    async def app(scope, receive, send):
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
            sent += 10_000
        await send({"type": "http.response.body"})

    async def main():
        async with Wired(app, Limits(write_buffer=100_000)) as wired:
            wire = wired.connect()
            wire.block()
            wire.feed(GET)
            await asyncio.sleep(1)
            assert 90_000 <= sent <= 110_000
            while not wired.records:
                wire.unblock()
                await settle(3)
                wire.block()
            assert sent == 10_000_000

    run_virtual(main)


def test_reading_stops_when_too_much_is_pipelined():
    go = asyncio.Event()

    async def app(scope, receive, send):
        await go.wait()
        await respond(b"x")(scope, receive, send)

    async def main():
        async with Wired(app, Limits(pipeline_bytes=10_000)) as wired:
            wire = wired.connect()
            sent = 0
            while wire.reading:
                wire.feed(GET)
                sent += 1
                await settle(1)
            assert 300 < sent < 500
            go.set()
            while len(wired.records) < sent:
                await settle()
            assert wire.reading
            assert len(responses(wire.take(), *[b"GET"] * sent)) == sent

    run_virtual(main)


def test_a_short_body_that_nobody_read_does_not_cost_the_connection():
    async def main():
        async with Wired(respond(b"ok")) as wired:
            wire = wired.connect()
            wire.feed(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
            await settle()
            wire.feed(bytes(1000) + GET)
            await settle()
            assert len(responses(wire.take(), b"PUT", b"GET")) == 2
            assert not wire.eof

    run_virtual(main)


@pytest.mark.rfc("9112", "9.6")
def test_a_long_one_does_and_the_end_is_no_reset():
    async def main():
        async with Wired(respond(b"no", 413)) as wired:
            wire = wired.connect()
            wire.feed(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n")
            await settle()
            for _ in range(30):
                wire.feed(bytes(10_000))
            assert wire.eof
            assert not wire.closed
            assert responses(wire.take())[0][0].status_code == 413
            wire.feed(bytes(10_000))
            await asyncio.sleep(3)
            assert wire.aborted

    run_virtual(main)


def test_shutting_down_finishes_what_is_open_and_closes_what_is_idle():
    async def app(scope, receive, send):
        await asyncio.sleep(2)
        await respond(b"done")(scope, receive, send)

    async def main():
        wired = Wired(app)
        idle, busy, unborn = wired.connect(), wired.connect(), wired.connect()
        idle.feed(GET)
        await asyncio.sleep(3)
        busy.feed(GET + GET)
        await asyncio.sleep(1)
        await wired.server.close(5)
        assert idle.closed
        assert unborn.closed
        ((response, body),) = responses(busy.take())
        assert body == b"done"
        assert header(response, b"connection") == b"close"
        assert not busy.aborted

    run_virtual(main)


def test_shutting_down_ends_what_does_not_end():
    app = Watching(lambda receive, send: asyncio.sleep(1000))

    async def main():
        wired = Wired(app)
        wire = wired.connect()
        wire.feed(GET)
        await settle()
        await wired.server.close(3)
        assert isinstance(app.ended, asyncio.CancelledError)
        assert wire.aborted

    run_virtual(main)


def test_an_access_log_that_fails_harms_nobody(caplog):
    async def main():
        async with Wired(respond(b"ok")) as wired:
            wired.server.service.access_log = lambda record: 1 / 0
            wire = wired.connect()
            wire.feed(GET)
            await settle()
            assert responses(wire.take())[0][1] == b"ok"
            assert "access log" in caplog.text

    run_virtual(main)
