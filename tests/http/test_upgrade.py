"""`Upgrade: h2c` (RFC 7540 §3.2) on a transport of the test's own."""

import base64

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import SettingsFrame

from stack.http.limits import Limits
from tests.support.http2_peer import Peer
from tests.support.http_world import Wired, path_app, run_virtual, settle

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n"


def settings_field(**values: int) -> bytes:
    codes = {SettingCodes[name]: value for name, value in values.items()}
    payload = SettingsFrame(0, settings=codes).serialize_body()
    return base64.urlsafe_b64encode(payload).rstrip(b"=")


def upgrade_request(
    *more: bytes, method: bytes = b"GET", settings: bytes | None = None, path: bytes = b"/x"
) -> bytes:
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"host: x",
        b"connection: Upgrade, HTTP2-Settings",
        b"upgrade: h2c",
    ]
    if settings is not None:
        lines.append(b"http2-settings: " + settings)
    return b"\r\n".join([*lines, *more, b"", b""])


def upgrading(test, app=path_app, limits=None, *, secure=False):
    async def main():
        async with Wired(app, limits) as wired:
            wire = wired.connect(secure=secure)
            return await test(wire, wired)

    return run_virtual(main)


async def switched(wire, **settings: int) -> Peer:
    """A peer for a connection that has just answered 101."""
    out = wire.take()
    assert out.startswith(SWITCHED), out
    peer = Peer(wire, upgraded=True)
    peer.h2.initiate_upgrade_connection()
    for name, value in settings.items():
        peer.h2.local_settings[SettingCodes[name]] = value
    peer.hear(out.removeprefix(SWITCHED))
    await peer.turn()
    return peer


@pytest.mark.rfc("7540", "3.2")
def test_the_request_becomes_stream_1():
    async def test(wire, wired):
        wire.feed(upgrade_request(settings=settings_field(MAX_CONCURRENT_STREAMS=100)))
        await settle()
        peer = await switched(wire)
        assert peer.bodies[1] == b"GET /x "
        assert 1 in peer.ended
        peer.get(3, "/y")
        await peer.turn()
        assert peer.bodies[3] == b"GET /y "
        assert [record.http_version for record in wired.records] == ["2", "2"]

    upgrading(test)


@pytest.mark.rfc("7540", "3.2.1")
def test_the_settings_of_the_request_count_from_the_start():
    async def test(wire, wired):
        wire.feed(upgrade_request(settings=settings_field(INITIAL_WINDOW_SIZE=3)))
        await settle()
        out = wire.take()
        peer = Peer(wire, window=3, upgraded=True)
        peer.h2.initiate_upgrade_connection()
        peer.hear(out.removeprefix(SWITCHED))
        peer.auto_window = False
        await peer.turn()
        assert peer.bodies[1] == b"GET"
        assert 1 not in peer.ended
        peer.h2.increment_flow_control_window(100, 1)
        for _ in range(5):
            await peer.turn()
        assert peer.bodies[1] == b"GET /x "

    upgrading(test)


@pytest.mark.rfc("7540", "3.2")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_taken_in_http_1_before_the_switch(chunked):
    async def test(wire, wired):
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: 6"
        wire.feed(upgrade_request(framing, method=b"PUT", settings=settings_field()))
        await settle()
        assert wire.take() == b""
        wire.feed(b"3\r\nabc\r\n" if chunked else b"abc")
        await settle()
        assert wire.take() == b""
        wire.feed(b"3\r\ndef\r\n0\r\n\r\n" if chunked else b"def")
        await settle()
        peer = await switched(wire)
        assert peer.bodies[1] == b"PUT /x abcdef"

    upgrading(test)


def test_a_body_that_is_held_back_is_asked_for():
    async def test(wire, wired):
        more = (b"content-length: 3", b"expect: 100-continue")
        wire.feed(upgrade_request(*more, method=b"PUT", settings=settings_field()))
        await settle()
        assert wire.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.feed(b"abc")
        await settle()
        peer = await switched(wire)
        assert peer.bodies[1] == b"PUT /x abc"

    upgrading(test)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_long_to_keep_is_answered_in_http_1(chunked):
    async def test(wire, wired):
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: 2000"
        wire.feed(upgrade_request(framing, method=b"PUT", settings=settings_field()))
        for _ in range(2):
            wire.feed(b"3e8\r\n" + bytes(1000) + b"\r\n" if chunked else bytes(1000))
        if chunked:
            wire.feed(b"0\r\n\r\n")
        await settle()
        head, _, body = wire.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == b"PUT /x " + bytes(2000)

    upgrading(test, limits=Limits(upgrade_body=1500))


def test_the_preface_may_follow_the_request_at_once():
    async def test(wire, wired):
        peer = Peer(wire, upgraded=True)
        settings = peer.h2.initiate_upgrade_connection().rstrip(b"=")
        wire.feed(upgrade_request(settings=settings) + peer.h2.data_to_send())
        await settle()
        out = wire.take()
        assert out.startswith(SWITCHED)
        peer.hear(out.removeprefix(SWITCHED))
        assert peer.bodies[1] == b"GET /x "

    upgrading(test)


@pytest.mark.rfc("7540", "3.2.1")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(upgrade_request(), id="no settings"),
        pytest.param(
            upgrade_request(b"http2-settings: AAMAAABk", settings=b"AAMAAABk"), id="two settings"
        ),
        pytest.param(
            b"GET /x HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
            id="not named in Connection",
        ),
        pytest.param(
            upgrade_request(settings=b"AAMAAABk").replace(b"h2c", b"websocket"), id="not h2c"
        ),
    ],
)
def test_what_may_not_be_upgraded_is_answered_in_http_1(request_):
    async def test(wire, wired):
        for _ in range(2):
            wire.feed(request_)
            await settle()
            head, _, body = wire.take().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == b"GET /x "

    upgrading(test)


def test_over_tls_nothing_is_upgraded():
    async def test(wire, wired):
        wire.feed(upgrade_request(settings=settings_field()))
        await settle()
        assert wire.take().startswith(b"HTTP/1.1 200 OK")

    upgrading(test, secure=True)


@pytest.mark.parametrize("settings", [b"!!!", b"A", b"AAAA", b"AAMAAABkAA"])
def test_settings_that_cannot_be_read_are_a_400(settings):
    async def test(wire, wired):
        wire.feed(upgrade_request(settings=settings))
        await settle()
        head, _, body = wire.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"HTTP2-Settings" in body

    upgrading(test)


def test_settings_that_nobody_may_have_end_the_connection():
    async def test(wire, wired):
        wire.feed(upgrade_request(settings=settings_field(MAX_FRAME_SIZE=5)))
        await settle()
        out = wire.take()
        assert out.startswith(SWITCHED)
        goaway = out[out.rindex(b"\x07\x00\x00\x00\x00\x00") + 6 :]
        assert goaway[4:8] == ErrorCodes.PROTOCOL_ERROR.to_bytes(4, "big")
        assert wire.eof

    upgrading(test)


def test_a_peer_that_leaves_before_its_body_is_whole_gets_no_switch():
    async def test(wire, wired):
        wire.feed(upgrade_request(b"content-length: 6", method=b"PUT", settings=settings_field()))
        wire.feed_eof()
        await settle()
        assert b" 101 " not in wire.take()
        assert wire.closed

    upgrading(test)
