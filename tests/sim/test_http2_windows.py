"""The receive windows of HTTP/2 on a long path in virtual time, and on their own."""

import asyncio

import pytest

from stack.http.limits import Limits
from stack.http.server import HttpServer
from stack.http.windows import ReceiveWindows
from tests.support import fetching
from tests.support.http_world import settle
from tests.support.raw_http2 import (
    DATA,
    END_STREAM,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    reset,
    talk,
)
from tests.support.two_hosts import SERVER, run

MB = 1_000_000
LONG = {"delay": 50_000, "rate": 1_000_000_000, "queue": 20_000}  # 1 Gbit/s × 100 ms


async def counting(scope, receive, send):
    """Answers with how much came."""
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def upload(size, version, limits=None):
    """Virtual seconds that `size` bytes take to the other end of a long path."""

    async def main(hosts):
        server = HttpServer(hosts.server, counting, limits=limits)
        await server.start(https_ports=())
        loop = asyncio.get_running_loop()
        began = loop.time()
        url = f"http://{SERVER}/"
        options = {"http_version": version, "method": "POST", "body": bytes(size)}
        answer = await fetching.get(hosts.client, url, **options)
        assert answer.body == b"%d" % size
        took = loop.time() - began
        await server.close(1)
        return took

    return run(main, **LONG)


def test_a_stream_fills_a_long_path_about_as_well_as_http_1():
    size = 16 * MB
    plain, streams = upload(size, "1.1"), upload(size, "2-prior-knowledge")
    assert streams < 1.4 * plain
    fixed = Limits(largest_window=Limits().stream_window)
    # At 256 KiB a round trip the path would be empty most of the time.
    assert upload(3 * MB, "2-prior-knowledge", fixed) > streams


# ---- alone


class Engine:
    """Takes notes of windows and PINGs."""

    def __init__(self):
        self.windows: dict[int, int] = {}
        self.pings = 0

    def open_window(self, size, stream_id=0):
        self.windows[stream_id] = size

    def ping(self, opaque_data):
        self.pings += 1


class Stream:
    def __init__(self, limits):
        self.window, self.taken = limits.stream_window, 0


KB = 1024
LIMITS = Limits(stream_window=256 * KB, largest_window=4096 * KB, receive_memory=8192 * KB)


def round_trip(windows, streams, amounts):
    """All of the streams' data comes and is taken, within one measured round trip."""
    for number, amount in amounts.items():
        windows.arrived(amount)
        windows.taken(streams[number], amount)
    windows.measured(streams)


def test_a_window_grows_to_four_times_of_what_is_taken_in_a_round_trip():
    engine, streams = Engine(), {1: Stream(LIMITS)}
    windows = ReceiveWindows(engine, LIMITS)
    for _ in range(10):
        round_trip(windows, streams, {1: streams[1].window})
    assert streams[1].window == engine.windows[1] == LIMITS.largest_window
    assert windows.connection >= LIMITS.largest_window
    windows, streams = ReceiveWindows(engine, LIMITS), {3: Stream(LIMITS)}
    for _ in range(10):
        round_trip(windows, streams, {3: 300 * KB})
    assert streams[3].window == 1200 * KB


def test_a_slow_application_keeps_a_small_window_however_much_comes():
    engine, streams = Engine(), {1: Stream(LIMITS)}
    windows = ReceiveWindows(engine, LIMITS)
    for _ in range(100):
        round_trip(windows, streams, {1: LIMITS.stream_window // 5})
    assert streams[1].window == LIMITS.stream_window
    assert engine.pings < 15  # a measurement that moves nothing is not repeated at once


def test_windows_that_grow_share_what_memory_there_is():
    engine, streams = Engine(), {number: Stream(LIMITS) for number in (1, 3, 5, 7)}
    windows = ReceiveWindows(engine, LIMITS)
    for _ in range(20):
        round_trip(windows, streams, {n: each.window for n, each in streams.items()})
    assert sum(each.window for each in streams.values()) <= LIMITS.receive_memory
    assert streams[1].window > LIMITS.stream_window


def test_what_nobody_reads_is_added_to_the_connections_window_and_taken_off_again():
    engine, stream = Engine(), Stream(LIMITS)
    windows = ReceiveWindows(engine, LIMITS)
    base = windows.connection
    for held in range(100, 40_000, 100):
        windows.arrived(100 * KB)
        free = windows.connection - held * KB
        assert free >= windows.connection / 2
    windows.dropped(399 * 100 * KB - 10)
    assert windows.connection == base
    windows.taken(stream, 10)


# ---- on a connection


@pytest.mark.rfc("9113", "5.2.2-1")
def test_streams_that_nobody_reads_never_stop_the_others():
    async def app(scope, receive, send):
        if scope["path"] == "/hang":
            await asyncio.sleep(1000)
        await counting(scope, receive, send)

    async def test(raw):
        await raw.send(
            b"".join(raw.request(n, "/hang", end=False, method="PUT") for n in range(1, 201, 2))
        )
        credit = 1 << 20
        for stream in range(1, 201, 2):
            for _ in range(16):
                new = await raw.send(frame(DATA, 0, stream, bytes(16_384)))
                credit += _credit(new, 0) - 16_384
                assert credit > 16_384
        # 25 MiB wait; a long upload passes by.
        await raw.send(raw.request(201, "/x", end=False, method="PUT"))
        own = Limits().stream_window
        for _ in range(200):
            new = await raw.send(frame(DATA, 0, 201, bytes(16_384)))
            credit += _credit(new, 0) - 16_384
            own += _credit(new, 201) - 16_384
            assert min(credit, own) > 16_384
            if any(f.kind == PING for f in new):
                raw.wire.feed(frame(PING, 1, 0, next(f for f in new if f.kind == PING).payload))
        await raw.send(frame(DATA, END_STREAM, 201))
        assert raw.body(201) == b"%d" % (200 * 16_384)
        assert raw.goaway is None

    talk(app, test)


def _credit(frames_, stream):
    return sum(
        int.from_bytes(f.payload, "big")
        for f in frames_
        if f.kind == WINDOW_UPDATE and f.stream == stream
    )


def test_the_first_windows_are_small_and_nothing_is_asked_of_who_sends_little():
    async def test(raw):
        (ours,) = [f for f in raw.of(SETTINGS) if f.payload]
        size = (Limits().stream_window).to_bytes(4, "big")
        assert b"\x00\x04" + size in ours.payload
        await raw.send(raw.request(1, end=False, method="PUT"))
        for _ in range(3):
            await raw.send(frame(DATA, 0, 1, bytes(16_384)))
        await settle()
        assert raw.of(PING) == []

    talk(counting, test)


def test_a_stream_that_was_reset_while_it_was_measured_does_no_harm():
    async def test(raw):
        await raw.send(raw.request(1, end=False, method="PUT"))
        for _ in range(12):
            await raw.send(frame(DATA, 0, 1, bytes(16_384)))
        (ping,) = raw.of(PING)
        await raw.send(frame(PING, 1, 0, ping.payload) + reset(1))
        await raw.send(raw.request(3, end=False, method="PUT"))
        await raw.send(frame(DATA, END_STREAM, 3, b"x"))
        assert raw.body(3) == b"1"
        assert raw.goaway is None

    talk(counting, test)
