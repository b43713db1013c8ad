"""Flow control of HTTP/2, both ways, in virtual time."""

import asyncio

import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from stack.http.limits import Limits
from tests.support.http2_peer import Peer, sized, with_peer
from tests.support.http_world import Wired, path_app, read_body, respond, run_virtual, settle

MiB = 1 << 20


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
        assert lengths == [16_384] * 16

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
        assert peer.h2.outbound_flow_control_window > MiB - 200_000
        peer.put(101, "/x")
        peer.h2.send_data(101, b"abc", end_stream=True)
        await peer.turn()
        assert peer.bodies[101] == b"PUT /x abc"

    with_peer(app, test)
