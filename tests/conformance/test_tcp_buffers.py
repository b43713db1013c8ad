"""Buffers that follow a connection's needs, within what a host can spare."""

import asyncio

import pytest

from stack.core.ready import Ready
from stack.core.tcp.memory import Budget
from tests.support import states
from tests.support.endpoint import MS, SECOND
from tests.support.two_hosts import SERVER, run

FIRST = 128 << 10
RTT = 100 * MS


def established(tcp, **settings):
    """A peer with timestamps, a round trip of 100 ms away."""
    t = tcp(peer={"ts": True, "wscale": 7}, quick_acks=0, **settings)
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(RTT)
    t.inject("A")
    t.accept()
    return t


def deliver(t, size, *, read=True):
    """A round trip in which the peer sends `size` bytes, and the application reads them."""
    text = bytes(size)
    echo = t.peer.tsecr
    for at in range(0, size, 1448):
        t.inject("A", text=text[at : at + 1448], tsecr=echo)
        if read:
            t.receive()
    t.advance(RTT)
    t.take()


# ---- receiving --------------------------------------------------------------------------


@pytest.mark.rfc("7323", "2.2")
def test_the_window_grows_ahead_of_what_is_read_in_a_round_trip(tcp):
    t = established(tcp)
    assert t.tcb.rcv_wnd_max == FIRST
    size = 14_480
    for _ in range(7):
        deliver(t, size)
        size *= 2
        window = (t.tcb.rcv_adv - t.tcb.rcv_nxt) & 0xFFFFFFFF
        assert window >= min(size, t.tcb.rcv_wnd_max * 7 // 8)
        assert t.tcb.rcv_wnd_max >= size
    assert t.tcb.rcv_wnd_max > 1_000_000


def test_a_steady_rate_ends_with_about_twice_what_a_round_trip_brings(tcp):
    t = established(tcp)
    for size in (14_480, 28_960, 57_920, 115_840, *[200_000] * 20):
        deliver(t, size)
    assert 2 * 200_000 <= t.tcb.rcv_wnd_max <= 5 * 200_000


def test_who_does_not_read_gets_no_larger_window(tcp):
    t = established(tcp, slow_reader=True)
    for _ in range(6):
        deliver(t, 14_480, read=False)
    assert t.tcb.rcv_wnd_max == FIRST


def test_a_peer_that_sends_little_gets_no_larger_window(tcp):
    t = established(tcp)
    for _ in range(30):
        deliver(t, 14_480)
    assert t.tcb.rcv_wnd_max == FIRST


def test_the_window_stops_at_the_largest(tcp):
    t = established(tcp, largest_receive_buffer=300_000)
    for size in (20_000, 40_000, 80_000, 100_000, 100_000):
        deliver(t, size)
    assert t.tcb.rcv_wnd_max == 300_000


def test_without_window_scaling_64_kib_are_the_end(tcp):
    t = tcp(peer={"ts": True}, quick_acks=0)
    states.established(t)
    for size in (14_480, 28_960, 57_920, 57_920):
        deliver(t, size)
    assert t.tcb.rcv_wnd_max == 65_535


def test_a_size_that_was_set_stays(tcp):
    t = established(tcp)
    t.tcp.receive_buffer.fix(t.tcp, 200_000)
    for size in (20_000, 40_000, 80_000, 160_000):
        deliver(t, size)
    assert t.tcb.rcv_wnd_max == 200_000
    t = established(tcp, receive_buffer=50_000)
    for size in (10_000, 20_000, 40_000, 40_000):
        deliver(t, size)
    assert t.tcb.rcv_wnd_max == 50_000


@pytest.mark.rfc("9293", "SHLD-14")
def test_a_smaller_size_takes_nothing_back_that_was_announced(tcp):
    t = established(tcp, slow_reader=True)
    t.inject("PA", text=b"x")
    t.expect("A", within=SECOND)
    edge = t.tcb.rcv_adv
    t.tcp.receive_buffer.fix(t.tcp, 4096)
    for _ in range(20):
        t.inject("PA", text=bytes(1448))
        t.advance(50 * MS)
        t.take()
        assert 0 <= t.tcb.rcv_adv - edge < 20 << t.tcb.rcv_wscale  # rounding up adds a little
    assert t.tcb.rcv.length == 1 + 20 * 1448


def test_a_larger_size_is_announced(tcp):
    t = established(tcp)
    t.tcp.receive_buffer.fix(t.tcp, 1_000_000)
    t.inject("PA", text=b"x")
    one = t.expect("A", within=SECOND)
    assert 1_000_000 - 1 <= one.window < 1_001_000


def test_the_receivers_round_trip_comes_from_timestamps(tcp):
    t = established(tcp)
    assert t.tcp.tcb.rcv_rtt == RTT  # of the handshake
    deliver(t, 1448)
    echo = t.peer.tsecr
    t.advance(40 * MS)
    t.inject("A", text=b"x", tsecr=echo)
    assert t.tcp.tcb.rcv_rtt >= RTT
    t.advance(SECOND)
    t.take()
    t.inject("A", text=b"x", tsecr=(t.tcp.timestamp(t.now) - 30) & 0xFFFFFFFF)
    assert t.tcp.tcb.rcv_rtt == 30 * MS


# ---- sending ----------------------------------------------------------------------------


def fill(t):
    """Writes until nothing more is taken; returns how much was."""
    total = 0
    while taken := t.send(bytes(1 << 16)):
        total += taken
    return total


def test_the_send_buffer_follows_the_congestion_window(tcp):
    t = tcp(peer={"wscale": 10, "window": 60_000_000}, first_send_buffer=50_000)
    states.established(t)
    t.inject("A")
    assert fill(t) == 50_000
    for _ in range(10):
        t.advance(20 * MS)
        t.take()
        t.inject("A")
        fill(t)
    t.take()
    assert t.tcb.snd.limit >= min(2 * t.tcb.cwnd, 500_000)
    assert t.tcb.snd.limit > 200_000


def test_a_writer_that_waits_is_woken_when_the_buffer_has_grown(tcp):
    t = tcp(first_send_buffer=20_000, initial_window=10)
    states.established(t)
    fill(t)
    t.take()
    t.ready_of()
    t.inject("A", ack=14_601)
    assert t.ready_of() & Ready.WRITABLE
    assert t.tcb.snd.limit > 20_000
    t.take()


def test_a_send_buffer_of_a_set_size_stays(tcp):
    t = tcp(send_buffer=20_000)
    states.established(t)
    fill(t)
    t.take()
    t.inject("A", ack=14_601)
    assert t.tcb.snd.limit == 20_000
    t.take()


def test_a_smaller_send_buffer_keeps_what_was_taken(tcp):
    t = tcp()
    states.established(t)
    t.send(bytes(100_000))
    t.tcp.send_buffer.fix(t.tcp, 10_000)
    assert t.tcp.send_queued == 100_000
    assert t.send(b"more") == 0
    t.take()


# ---- a host's budget --------------------------------------------------------------------


def test_all_buffers_together_grow_by_no_more_than_the_host_allows(tcp):
    t = established(tcp, buffer_memory=100_000)
    for size in (14_480, 28_960, 57_920, 100_000, 200_000):
        deliver(t, size)
    assert t.tcb.rcv_wnd_max == FIRST + 100_000
    assert t.host.buffer_memory.left == 0


def test_what_a_connection_drew_comes_back_when_it_ends(tcp):
    t = established(tcp)
    for size in (14_480, 28_960, 57_920, 100_000, 200_000):
        deliver(t, size)
    before = t.config.buffer_memory
    assert t.host.buffer_memory.left < before
    t.inject("RA")
    assert t.host.buffer_memory.left == before


def test_what_waits_in_time_wait_holds_no_budget(tcp):
    t = established(tcp)
    for size in (14_480, 28_960, 57_920, 100_000, 200_000):
        deliver(t, size)
    t.shutdown()
    t.take()
    t.inject("FA")
    t.take()
    assert t.host.buffer_memory.left == t.config.buffer_memory


def test_reading_after_the_end_draws_nothing(tcp):
    """The connection is gone, and nobody would give it back."""
    t = established(tcp)
    whole = t.host.buffer_memory.left
    t.inject("PA", text=bytes(1000), tsecr=t.tcp.timestamp(t.now - 20 * MS))
    for _ in range(40):
        t.inject("PA", text=bytes(1460))
    t.take()
    t.advance(SECOND)
    t.inject("R")
    while t.tcp.available:
        t.receive(20_000)
        t.advance(SECOND)
    assert t.host.buffer_memory.left == whole
    t.take()


def test_a_budget_gives_what_it_has():
    budget = Budget(100)
    assert (budget.take(60), budget.take(60), budget.take(1), budget.take(-5)) == (60, 40, 0, 0)
    budget.give(30)
    assert budget.take(50) == 30


# ---- the whole --------------------------------------------------------------------------


def test_a_long_fat_path_fills_without_any_setting():
    """50 Mbit/s with 100 ms: five times the first window is on its way."""

    async def main(hosts):
        loop = asyncio.get_running_loop()
        marks = []

        async def serve(reader, writer):
            got = 0
            while data := await reader.read(1 << 20):
                got += len(data)
                marks.append((loop.time(), got))
            writer.close()

        server = await hosts.server.start_server(serve, None, 7)
        _, writer = await hosts.client.open_connection(SERVER, 7)
        for _ in range(60):
            writer.write(bytes(1 << 18))
            await writer.drain()
        writer.close()
        server.close()
        await server.wait_closed()
        return marks

    marks = run(main, rate=50_000_000, delay=RTT // 2, queue=2000)
    start = next(one for one in marks if one[1] > 5_000_000)
    seconds, size = marks[-1][0] - start[0], marks[-1][1] - start[1]
    assert size * 8 / seconds > 0.95 * 50_000_000 * 1448 / 1500
