"""The lifespan of applications, and the small parts that connections are made of."""

import asyncio

import pytest

from stack.errors import UsageError
from stack.http.certificate import make_certificate
from stack.http.demo import app as demo
from stack.http.message import DateCache, response_headers, tokens
from stack.http.server import HttpServer
from stack.http.streams import OutputQueue
from stack.http.watchdog import Watchdog
from tests.support.http_world import LoopHost, Wired, respond, run, run_virtual, serving, settle


class App:
    """An application with a lifespan."""

    def __init__(self, reply="lifespan.startup.complete", message="") -> None:
        self.reply = reply
        self.message = message
        self.heard: list[str] = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            self.heard.append(scope["state"]["made"])
            await respond(b"ok")(scope, receive, send)
            return
        scope["state"]["made"] = "at startup"
        self.heard.append((await receive())["type"])
        await send({"type": self.reply, "message": self.message})
        self.heard.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})


def test_applications_hear_of_start_and_end_and_share_state():
    app = App()

    async def main():
        async with serving(app) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.http_port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"ok")
            writer.close()
            await writer.wait_closed()

    run(main)
    assert app.heard == ["lifespan.startup", "at startup", "lifespan.shutdown"]


def test_an_application_that_cannot_start_says_why():
    async def main():
        server = HttpServer(LoopHost(), App("lifespan.startup.failed", "no database"))
        with pytest.raises(UsageError, match="failed to start: no database"):
            await server.start([0], [])

    run(main)


@pytest.mark.parametrize("error", [NotImplementedError, AssertionError, KeyError])
def test_applications_without_lifespan_are_served(error):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise error
        await respond(b"ok")(scope, receive, send)

    async def main():
        async with serving(app):
            pass

    run(main)


def test_a_port_that_is_taken_leaves_nothing_open():
    app = App()

    async def main():
        async with serving() as served:
            server = HttpServer(LoopHost(), app, certificate=make_certificate(["localhost"]))
            with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
                await server.start([0, served.http_port], [], ["127.0.0.1"])
            assert server.listeners == []

    run(main)
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]


def test_the_demo_has_a_lifespan():
    async def main():
        async with serving(demo):
            pass

    run(main)


def test_receive_may_be_called_by_two_tasks_and_twice():
    heard = []

    async def app(scope, receive, send):
        assert (await receive())["body"] == b""
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(1)
        await respond(b"ok")(scope, receive, send)
        heard.append(await listener)
        heard.append(await receive())

    async def main():
        async with Wired(app) as wired:
            wire = wired.connect()
            wire.feed(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await asyncio.sleep(2)
            await settle()

    run_virtual(main)
    assert heard == [{"type": "http.disconnect"}] * 2


def test_header_fields_are_lowered_stripped_and_without_framing():
    raw = [(b"A-B", b" c\t"), (b"Transfer-Encoding", b"chunked"), (bytearray(b"D"), b"")]
    assert response_headers(raw) == [(b"a-b", b"c"), (b"d", b"")]


def test_tokens_come_from_all_lines():
    headers = [(b"connection", b"Upgrade, a"), (b"x", b"y"), (b"connection", b" ,B,")]
    assert tokens(headers, b"connection") == {b"upgrade", b"a", b"b"}


def test_the_date_is_made_once_a_second():
    dates = DateCache()
    first = dates.at(784_111_777.1)
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert dates.at(784_111_777.9) is first
    assert dates.at(784_111_778.0) == b"Sun, 06 Nov 1994 08:49:38 GMT"


def test_an_output_queue_gives_what_it_got_in_any_pieces():
    data = bytes(range(256)) * 40
    for sizes in ([1, 2, 3, 500, 17], [4096], [10_000], [100]):
        queue, given, taken = OutputQueue(), 0, b""
        turn = 0
        while len(taken) < len(data):
            size = sizes[turn % len(sizes)]
            queue.append(data[given : given + size])
            given += size
            if turn % 3 == 2 or given >= len(data):
                part = bytes(queue.take(min(queue.size, sizes[-turn % len(sizes)])))
                taken += part
            assert queue.size == min(given, len(data)) - len(taken)
            turn += 1
        assert taken == data


def test_a_watchdog_runs_out_once_and_only_when_it_was_not_moved():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        fired = []
        dog = Watchdog(loop, lambda: fired.append(round(loop.time() - began, 3)))
        dog.within(5)
        await asyncio.sleep(3)
        dog.within(10)
        await asyncio.sleep(20)
        assert fired == [13]
        dog.within(10)
        dog.within(2)
        await asyncio.sleep(5)
        assert fired == [13, 25]
        dog.within(1)
        dog.off()
        await asyncio.sleep(5)
        dog.within(1)
        dog.close()
        await asyncio.sleep(5)
        assert fired == [13, 25]

    run_virtual(main)
