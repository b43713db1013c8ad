"""Sending: segments and PSH, Nagle, the peer's window and its probes."""

import errno

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import MS, SECOND
from tests.support.seen import texts


def established(t, **peer):
    states.established(t)
    return t


# ---- segments ------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-28")
@pytest.mark.rfc("9293", "MUST-61")
@pytest.mark.rfc("9293", "MAY-16")
def test_data_leaves_in_full_segments_and_the_last_one_is_pushed(tcp):
    t = established(tcp(loss_free=True))
    data = bytes(range(256)) * 16
    assert t.send(data) == 4096
    t.expect("A", seq=1, text=data[:1460], why=Why.DATA)
    t.expect("A", seq=1461, text=data[1460:2920])
    t.expect("PA", seq=2921, text=data[2920:], why=Why.DATA_PUSHED)
    t.inject("A")
    t.expect_nothing(SECOND)
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("9293", "MUST-60")
@pytest.mark.rfc("9293", "SHLD-27")
def test_what_the_application_writes_never_waits_without_a_reason(tcp):
    t = established(tcp())
    for text in (b"a", b"bc", b"def"):
        t.send(text)
        t.expect("PA", text=text)
        t.inject("A")
    t.expect_nothing(SECOND)


def test_data_queued_before_the_handshake_leaves_right_after_it(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.send(b"early")
    t.expect_nothing(500 * MS)
    t.inject("SA")
    t.expect("PA", seq=1, ack=1, text=b"early")


@pytest.mark.parametrize("iss", [0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF - 1460, 0x7FFF_FFFF])
def test_sequence_numbers_wrap_in_the_middle_of_a_transfer(tcp, iss):
    t = established(tcp(iss=iss))
    data = bytes(range(251)) * 40
    t.send(data)
    t.shutdown()
    assert texts(t.take()) == data
    t.inject("A", ack=3000)
    assert t.tcp.send_queued == len(data) - 2999
    t.inject("A", ack=len(data) + 2)
    t.expect_state(State.FIN_WAIT_2)


def test_a_full_buffer_takes_what_fits_and_tells_when_half_of_it_is_free(tcp):
    t = established(tcp(send_buffer=10_000))
    assert t.send(bytes(15_000)) == 10_000
    assert t.send(b"more") == 0
    t.take()
    t.ready_of()
    t.inject("A", ack=4001)
    assert t.ready_of() == Ready(0)
    t.inject("A", ack=5001)
    assert t.ready_of() == Ready.WRITABLE
    assert t.tcp.send_space == 5000


@pytest.mark.rfc("9293", "3.9.1.2")
def test_nothing_can_be_sent_after_the_sending_side_was_closed(tcp):
    t = tcp()
    states.fin_wait_1(t)
    with pytest.raises(BrokenPipeError):
        t.send(b"x")


# ---- Nagle --------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-7")
def test_one_small_segment_may_be_unacknowledged(tcp):
    t = established(tcp())
    t.send(b"a")
    t.expect("PA", text=b"a")
    t.send(b"b")
    t.send(b"c")
    t.expect_nothing(100 * MS)
    t.inject("A")
    t.expect("PA", text=b"bc")
    t.expect_nothing()


@pytest.mark.rfc("9293", "SHLD-7")
def test_a_full_segment_never_waits_for_the_small_one_before_it(tcp):
    t = established(tcp())
    t.send(b"a")
    t.expect("PA")
    t.send(b"b" * 1460)
    t.expect(seq=2, length=1460)


@pytest.mark.rfc("9293", "MUST-17")
def test_the_application_can_switch_nagle_off(tcp):
    t = established(tcp())
    t.tcp.nodelay = True
    for text in (b"a", b"b", b"c"):
        t.send(text)
        t.expect("PA", text=text)


def test_the_end_of_the_data_does_not_wait_for_nagle(tcp):
    t = established(tcp())
    t.send(b"a")
    t.expect("PA")
    t.send(b"b")
    t.expect_nothing()
    t.shutdown()
    t.expect("FPA", text=b"b", why=Why.FIN)


# ---- the peer's window -----------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.8.6")
def test_no_data_leaves_beyond_the_right_edge(tcp):
    t = established(tcp(peer={"window": 3000}))
    t.send(bytes(10_000))
    assert [one.end for one in t.take()] == [1461, 2921]
    t.inject("A", ack=1461, window=3000)
    assert [one.end for one in t.take()] == [4381]


@pytest.mark.rfc("9293", "MUST-38")
@pytest.mark.rfc("9293", "3.8.6.2.1")
def test_a_silly_window_is_not_filled(tcp):
    t = established(tcp(peer={"window": 10_000}))
    t.send(bytes(20_000))
    t.take()
    t.inject("A", window=0)
    t.inject("A", window=500)
    t.expect_nothing()
    t.inject("A", window=1460)
    t.expect("A", length=1460)


@pytest.mark.rfc("9293", "MUST-38")
def test_half_of_the_largest_window_is_worth_a_segment(tcp):
    t = established(tcp(peer={"window": 1000}))
    t.send(bytes(5000))
    t.expect("A", length=1000)
    t.inject("A", window=499)
    t.expect_nothing()
    t.inject("A", window=500)
    t.expect("A", length=500)


@pytest.mark.rfc("9293", "3.8.6.2.1")
def test_a_silly_window_is_used_after_a_while_all_the_same(tcp):
    t = established(tcp(peer={"window": 10_000}))
    t.send(bytes(20_000))
    t.take()
    t.inject("A", window=100)
    t.expect("A", length=100, within=2 * SECOND, why=Why.ZERO_WINDOW_PROBE)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_the_window_of_an_older_segment_is_not_taken(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=b"abc", window=5000)
    t.inject("A", seq=1, ack=1, window=9000)
    t.expect_value("snd_wnd", 5000, t.tcb.snd_wnd)
    t.take()


@pytest.mark.rfc("9293", "3.10.7.4")
def test_the_window_of_a_repeated_segment_with_a_newer_ack_is_taken(tcp):
    """Otherwise the old one would reach as much further as the ACK moved."""
    t = established(tcp(peer={"window": 1000}))
    t.send(bytes(3000))
    t.expect("A", length=1000)
    t.inject("A", seq=1, text=b"abc", ack=1, window=1000)
    t.inject("A", seq=1, text=b"abc", ack=1001, window=0)
    t.expect_value("snd_wnd", 0, t.tcb.snd_wnd)
    assert all(one.length == 0 for one in t.take())


# ---- closed windows ---------------------------------------------------------------------------------


def closed_window(t, data=bytes(5000)):
    established(t)
    t.inject("A", window=0)
    t.send(data)
    t.expect_nothing()
    return t


@pytest.mark.rfc("9293", "MUST-36")
@pytest.mark.rfc("9293", "SHLD-29")
@pytest.mark.rfc("9293", "SHLD-30")
def test_a_closed_window_is_probed_after_an_rto_and_then_ever_less_often(tcp):
    t = closed_window(tcp())
    rto = t.tcb.rto
    t.expect("A", seq=0, text=b"", after=rto, why=Why.ZERO_WINDOW_PROBE)
    for factor in (2, 4, 8, 16):
        t.inject("A", window=0)
        t.expect("A", within=factor * rto, why=Why.ZERO_WINDOW_PROBE)
        t.expect_nothing()


@pytest.mark.rfc("9293", "SHLD-30")
def test_probes_come_at_most_a_minute_apart(tcp):
    t = closed_window(tcp())
    last = t.now
    for _ in range(20):
        probe = t.expect("A", within=61 * SECOND)
        gap, last = probe.now - last, probe.now
        t.inject("A", window=0)
    assert gap == 60 * SECOND


@pytest.mark.rfc("9293", "MUST-37")
@pytest.mark.rfc("9293", "MAY-8")
def test_answered_probes_keep_a_connection_open_for_ever(tcp):
    t = closed_window(tcp())
    for _ in range(200):
        t.expect("A", within=61 * SECOND, why=Why.ZERO_WINDOW_PROBE)
        t.inject("A", window=0)
    assert t.now > 3 * 3600 * SECOND
    t.inject("A", window=60_000)
    assert texts(t.take()) == bytes(5000)


@pytest.mark.rfc("9293", "MUST-37")
@pytest.mark.parametrize("fields", [{}, {"orphan_r2": 120 * SECOND}])
def test_who_has_closed_does_not_hold_the_door_for_ever(tcp, fields):
    """MUST-37 is about connections that an application wants. Else a peer could have us keep
    what waits to be sent for as long as it likes to answer probes.
    """
    t = closed_window(tcp(**fields))
    limit = t.config.orphan_r2
    for _ in range(20):
        t.expect("A", within=61 * SECOND, why=Why.ZERO_WINDOW_PROBE)
        t.inject("A", window=0)
    t.close()
    closed_at = t.now
    while t.host.connections:
        t.advance(10 * SECOND)
        if t.take():
            t.inject("A", window=0)
    assert limit <= t.now - closed_at <= limit + 70 * SECOND
    assert t.tcb.snd.capacity == 0


def test_a_user_timeout_behind_a_closed_window_sends_nothing_in_between(tcp):
    """The peer is alive, so the timeout does not hold; the timer must not run out again and
    again for it.
    """
    t = established(tcp(peer={"window": 5000}))
    t.tcp.set("user_timeout", 2 * SECOND)
    t.send(bytes(3000))
    t.take()
    for _ in range(40):
        t.inject("A", ack=1, window=0)
        t.advance(500 * MS)
    assert t.state == State.ESTABLISHED
    assert len(t.take()) < 20


@pytest.mark.rfc("9293", "MUST-20")
def test_probes_that_nobody_answers_end_the_connection(tcp):
    t = closed_window(tcp())
    t.advance(4000 * SECOND)
    assert t.state == State.CLOSED
    with pytest.raises(TimeoutError):
        t.receive()
    t.take()


@pytest.mark.rfc("9293", "3.8.6.1")
def test_an_opened_window_is_used_at_once_and_stops_the_probes(tcp):
    t = closed_window(tcp())
    t.expect("A", within=10 * SECOND)
    t.inject("A", window=60_000)
    assert texts(t.take()) == bytes(5000)
    t.inject("A")
    t.expect_nothing(300 * SECOND)


def test_a_fin_waits_for_the_window_too(tcp):
    t = established(tcp(peer={"window": 1000}))
    t.send(bytes(1000))
    t.shutdown()
    t.expect("PA", length=1000)
    t.inject("A", window=0)
    t.expect("A", text=b"", within=10 * SECOND, why=Why.ZERO_WINDOW_PROBE)
    t.inject("A", window=1000)
    t.expect("FA", seq=1001)


@pytest.mark.rfc("9293", "MUST-34")
@pytest.mark.rfc("9293", "SHLD-15")
def test_a_shrunken_window_stops_new_data_and_harms_nothing(tcp):
    t = established(tcp())
    data = bytes(range(256)) * 40
    t.send(data[:5000])
    t.take()
    t.inject("A", ack=1, window=2000)
    t.send(data[5000:])
    t.expect_nothing()
    t.inject("A", ack=2001, window=8000)
    t.expect("A", seq=5001)
    t.take()
    t.inject("A")
    t.take()
    t.inject("A")
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("9293", "MAY-7")
@pytest.mark.rfc("9293", "MUST-35")
@pytest.mark.rfc("9293", "SHLD-16")
@pytest.mark.rfc("9293", "SHLD-17")
def test_a_window_that_shrank_to_nothing_is_probed_and_does_not_end_the_connection(tcp):
    """Neither within R2 nor later, as long as the peer answers."""
    t = established(tcp())
    t.send(bytes(5000))
    t.take()
    t.inject("A", ack=1, window=0)
    for _ in range(60):
        t.expect(within=61 * SECOND)
        t.take()
        t.inject("A", ack=1, window=0)
    assert t.now > 1800 * SECOND
    t.inject("A", ack=1, window=60_000)
    t.expect(seq=1, within=61 * SECOND)
    t.inject("A", ack=5001)
    t.take()
    assert t.tcp.send_queued == 0


def test_a_window_update_is_no_duplicate_acknowledgement(tcp):
    t = established(tcp(peer={"window": 6000}))
    t.send(bytes(5000))
    t.take()
    for window in (7000, 8000, 9000, 10_000):
        t.inject("A", ack=1, window=window)
    t.expect_nothing()
    assert t.tcb.dupacks == 0


def test_an_abandoned_connection_with_a_closed_window_and_a_dead_peer_is_given_up(tcp):
    t = closed_window(tcp())
    t.close()
    t.advance(4000 * SECOND)
    t.take()
    assert not t.host.connections


# ---- super-segments ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("ts", [False, True])
def test_with_offload_a_device_gets_super_segments_that_are_legal_when_cut(tcp, version, ts):
    """The harness cuts them as a device would; the wire check looks at the pieces."""
    t = tcp(
        version, offload=True, initial_window=200, peer={"ts": ts, "wscale": 8, "window": 1 << 20}
    )
    states.established(t)
    t.tcb.cwnd = 1 << 20
    data = bytes(range(256)) * 1000
    t.send(data)
    sent = t.take()
    assert texts(sent) == data
    whole = (1500 - {4: 40, 6: 60}[version]) - (12 if ts else 0)
    assert {one.length for one in sent[:-1]} == {whole}
    assert [one.flags for one in sent].count("PA") == 1
    assert t.tcb.segments_out < 12
    t.inject("A")
    assert t.tcp.send_queued == 0


def test_a_lost_piece_of_a_super_segment_is_repeated_alone(tcp):
    t = established(tcp(offload=True))
    data = bytes(range(250)) * 50
    t.send(data)
    t.take()
    t.advance(4 * MS)
    t.inject("A", ack=2921, sack=[(4381, 12_501)])
    sent = t.take()
    assert [(one.seq, one.length) for one in sent] == [(2921, 1460)]
    assert sent[0].text == data[2920:4380]


def test_offload_may_end_in_the_middle_of_a_transfer(tcp):
    """An observer came: what was one super-segment is repeated in segments of the wire."""
    t = established(tcp(offload=True, peer={"sack": False}))
    data = bytes(range(250)) * 50
    t.send(data)
    t.take()
    t.host.offload = False
    t.expect(seq=1, length=1460, within=SECOND, why=Why.RTO)
    got = 1461
    while got < 12_501:
        t.inject("A", ack=got)
        for one in t.take():
            assert one.length <= 1460
            assert one.text == data[one.seq - 1 : one.seq - 1 + one.length]
            got = max(got, one.end)
    t.inject("A", ack=got)
    assert t.tcp.send_queued == 0


def test_a_fin_rides_on_the_last_piece_of_a_super_segment(tcp):
    t = established(tcp(offload=True))
    t.tcp.send(bytes(14_000), t.now)
    t.shutdown()
    sent = t.take()
    assert [one.flags for one in sent if "F" in one.flags] == ["FPA"]
    assert sent[-1].end == 14_002


@pytest.mark.rfc("9293", "3.8.6")
def test_super_segments_respect_the_window_and_its_halves(tcp):
    t = established(tcp(offload=True, peer={"window": 5000}))
    t.send(bytes(50_000))
    assert sum(one.length for one in t.take()) == 4380


@pytest.mark.parametrize("call", ["send", "receive"])
def test_calls_on_a_connection_that_the_peer_reset_raise(tcp, call):
    t = established(tcp())
    t.inject("R")
    assert t.ready_of() & Ready.ERROR
    with pytest.raises(OSError) as caught:
        t.call(call, {"send": b"x", "receive": 10}[call])
    assert caught.value.errno == errno.ECONNRESET
