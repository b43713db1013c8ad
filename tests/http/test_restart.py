"""An application gives way to its successor, and no request is refused."""

import asyncio
import logging
import sys

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection

from stack.cli.application import AppSource
from stack.errors import UsageError
from stack.http.access_log import combined, logger
from stack.http.fetch import open_client
from stack.http.service import AccessRecord
from tests.support.http2_peer import connected
from tests.support.http_world import Wired, respond, responses, run, run_virtual, serving, settle

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class App:
    """Answers with its name, after a while; notes its life."""

    def __init__(self, name, log, *, seconds=0.0, starts=True):
        self.name, self.log, self.seconds, self.starts = name, log, seconds, starts

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            if not self.starts:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            scope["state"]["name"] = self.name
            self.log.append(f"{self.name} starts")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.log.append(f"{self.name} ends")
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            self.log.append((await receive())["type"])
            return
        assert scope["state"]["name"] == self.name
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        await respond(self.name.encode())(scope, receive, send)


async def started(app):
    wired = Wired(app)
    await wired.server.start((), ())
    return wired


def test_what_was_begun_ends_with_the_old_one_and_all_else_goes_to_the_new_one():
    log = []

    async def main():
        wired = await started(App("old", log, seconds=3))
        async with wired:
            (peer, wire2), wire1, idle = await connected(wired), wired.connect(), wired.connect()
            peer.get(1)
            await peer.turn()
            wire1.feed(GET + GET)
            await settle()
            restart = asyncio.ensure_future(wired.server.restart(App("new", log)))
            await asyncio.sleep(0.1)
            peer.get(3)
            await peer.turn()
            idle.feed(GET)
            fresh = wired.connect()
            fresh.feed(GET)
            await settle()
            assert peer.bodies == {3: b"new"}
            for wire in (idle, fresh):
                assert [body for _, body in responses(wire.take())] == [b"new"]
            assert log == ["old starts", "new starts"]
            await asyncio.sleep(4)
            await restart
            await peer.turn()
            assert peer.bodies == {1: b"old", 3: b"new"}
            # The second of the two on one connection was parsed behind the first one's end.
            both = [body for _, body in responses(wire1.take(), b"GET", b"GET")]
            assert both == [b"old", b"new"]
            assert log == ["old starts", "new starts", "old ends"]
            assert not peer.goaways
            assert not any(wire.closed or wire.eof for wire in (wire1, wire2, idle, fresh))

    run_virtual(main)
    assert log[-1] == "new ends"


def test_one_that_cannot_start_leaves_the_old_one_there():
    log = []

    async def main():
        async with await started(App("old", log)) as wired:
            with pytest.raises(UsageError, match="no database"):
                await wired.server.restart(App("new", log, starts=False))
            wire = wired.connect()
            wire.feed(GET)
            await settle()
            assert [body for _, body in responses(wire.take())] == [b"old"]

    run_virtual(main)
    assert log == ["old starts", "old ends"]


def test_what_does_not_end_in_time_is_cancelled():
    log = []

    async def main():
        async with await started(App("old", log, seconds=1000)) as wired:
            wired.connect().feed(GET)
            await settle()
            await wired.server.restart(App("new", log), 5)
            assert log == ["old starts", "new starts", "cancelled", "old ends"]

    run_virtual(main)


def test_a_server_that_closes_does_not_wait_for_who_leaves():
    log = []

    async def main():
        loop = asyncio.get_running_loop()
        wired = await started(App("old", log, seconds=1000))
        wired.connect().feed(GET)
        await settle()
        restart = asyncio.ensure_future(wired.server.restart(App("new", log), 500))
        await asyncio.sleep(1)
        began = loop.time()
        await wired.server.close(0)
        await restart
        assert loop.time() < began + 5
        assert log[-3:] == ["cancelled", "old ends", "new ends"]

    run_virtual(main)


def test_websockets_of_the_old_one_are_told_that_it_restarts():
    log = []

    async def main():
        async with await started(App("old", log)) as wired:
            wire = wired.connect()
            wire.feed(UPGRADE)
            await settle(30)
            assert wire.take().startswith(b"HTTP/1.1 101 ")
            await wired.server.restart(App("new", log))
            client = Connection(ConnectionType.CLIENT)
            client.receive_data(wire.take())
            (close,) = client.events()
            assert isinstance(close, CloseConnection)
            assert close.code == 1012
            assert log == ["old starts", "new starts", "websocket.disconnect", "old ends"]

    run_virtual(main)


def test_a_crowd_of_requests_over_many_restarts_is_answered_to_the_last():
    log = []

    async def main():
        async with serving(App("0", log)) as served:
            answers = []

            async def ask(version):
                async with open_client(served.host, version=version) as client:
                    while not done.is_set():
                        answer = await client.get(served.http)
                        answers.append((answer.status_code, answer.content))

            async def restart():
                for number in range(1, 6):
                    await asyncio.sleep(0.2)
                    await served.server.restart(App(str(number), log))
                await asyncio.sleep(0.2)
                done.set()

            done = asyncio.Event()
            await asyncio.gather(*map(ask, ["1.1", "2-prior-knowledge"] * 3), restart())
            assert {status for status, _ in answers} == {200}
            assert {body for _, body in answers} >= {b"0", b"5"}

    run(main)
    assert [entry for entry in log if "ends" in entry] == [f"{number} ends" for number in range(6)]


# ---- loading anew


def write(path, text):
    path.write_text(text)
    # Python would take what it compiled before for up to date within the same second.
    for compiled in path.parent.rglob("*.pyc"):
        compiled.unlink()


APP = "from {module} import NAME\ndef app(): return NAME\n"


def test_the_application_and_what_lies_beside_it_are_loaded_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names_of_it.py").write_text("NAME = 'old'\n")
    (tmp_path / "site_of_it.py").write_text(APP.format(module="names_of_it"))
    source = AppSource("site_of_it:app")
    old = source.load()
    import json

    write(tmp_path / "names_of_it.py", "NAME = 'new'\n")
    new = source.reload()
    assert (old(), new()) == ("old", "new")
    assert sys.modules["json"] is json
    write(tmp_path / "site_of_it.py", "1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        source.reload()
    assert sys.modules["names_of_it"].NAME == "new"


def test_a_package_is_loaded_anew_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package_of_it"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "names.py").write_text("NAME = 'old'\n")
    (package / "main.py").write_text(APP.format(module="package_of_it.names"))
    source = AppSource("package_of_it.main:app")
    assert source.load()() == "old"
    write(package / "names.py", "NAME = 'new'\n")
    assert source.reload()() == "new"


# ---- the access log


RECORD = AccessRecord(
    connection=1,
    client=("192.0.2.1", 40_000),
    http_version="2",
    method="GET",
    target="/a?b=c",
    status=200,
    sent=1234,
    duration=0.5,
    complete=True,
    referer="http://192.0.2.2/",
    agent="curl/8",
)


def test_a_line_of_the_access_log_is_in_the_combined_format():
    assert combined(RECORD, 784_111_777.5) == (
        '192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "GET /a?b=c HTTP/2.0" 200 1234 '
        '"http://192.0.2.2/" "curl/8"'
    )


def test_nothing_that_a_client_says_can_forge_a_line():
    lines = []

    async def main():
        async with Wired(respond()) as wired:
            wired.server.service.access_log = logger(lines.append, lambda: 0.0)
            wire = wired.connect()
            wire.feed(b'GET /"x HTTP/1.1\r\nHost: x\r\nUser-Agent: a"b\xe4\\\r\n\r\n')
            await settle(30)

    run_virtual(main)
    (line,) = lines
    assert line == (
        '192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] "GET /\\x22x HTTP/1.1" 200 - '
        '"-" "a\\x22b\\xe4\\x5c"\n'
    )


# ---- lifespans that go wrong


def test_one_that_fails_at_its_end_is_logged_and_the_server_closes(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "could not save"})

    async def main():
        async with await started(app):
            pass

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert "could not save" in caplog.text


def test_one_whose_lifespan_breaks_off_while_it_serves_goes_on_and_closes():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await asyncio.sleep(1)
            raise RuntimeError
        await respond(b"ok")(scope, receive, send)

    async def main():
        async with await started(app) as wired:
            await asyncio.sleep(2)
            wire = wired.connect()
            wire.feed(GET)
            await settle()
            assert [body for _, body in responses(wire.take())] == [b"ok"]

    run_virtual(main)
