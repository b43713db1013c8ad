"""How HTTP/1.1 connections live and end, in virtual time."""

import asyncio
import logging
import sys

import pytest

from stack.http.limits import Limits
from tests.support.http_world import (
    GET,
    Wired,
    header,
    path_app,
    respond,
    responses,
    run_virtual,
    settle,
)

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


async def exits(scope, receive, send):
    sys.exit("no more")


async def fails_behind_204(scope, receive, send):
    await send({"type": "http.response.start", "status": 204})
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
    exits,
    fails_behind_204,
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
