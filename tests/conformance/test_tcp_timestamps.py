"""Timestamps and PAWS (RFC 7323 §3 to §5)."""

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import MS, SECOND
from tests.support.seen import absent, present

DAY = 24 * 3600 * SECOND


def established(t):
    states.established(t)
    return t


def stamped(tcp, **settings):
    return established(tcp(peer={"ts": True}, **settings))


@pytest.mark.rfc("7323", "3.2")
def test_once_agreed_every_segment_has_timestamps(tcp):
    t = stamped(tcp)
    t.send(bytes(4000))
    t.inject("PA", text=b"x")
    t.inject("PA", seq=100, text=b"x")
    t.advance(SECOND)
    t.close()
    t.inject("R", seq=500)
    for one in t.take():
        assert one.ts is not None, one.line()


@pytest.mark.rfc("7323", "3.2")
def test_without_agreement_no_segment_has_timestamps(tcp):
    t = established(tcp(peer={"ts": False}))
    t.inject("PA", text=b"x", ts=True)
    t.expect("A", ts=absent, ack=2)


@pytest.mark.rfc("7323", "3.2")
def test_a_segment_without_the_agreed_timestamps_is_dropped_silently(tcp):
    t = stamped(tcp)
    t.inject("PA", seq=1, text=b"x", ts=False)
    t.expect_nothing(SECOND)
    assert t.tcp.available == 0


@pytest.mark.rfc("7323", "3.2")
@pytest.mark.rfc("7323", "5.2")
def test_a_reset_needs_no_timestamps_and_no_new_ones(tcp):
    for fields in ({"ts": False}, {"tsval": 1}):
        t = stamped(tcp)
        t.inject("R", **fields)
        t.expect_state(State.CLOSED)


@pytest.mark.rfc("5961", "4.2")
def test_a_syn_is_challenged_even_without_the_agreed_timestamps(tcp):
    """A peer that came back without its memory must hear of the old connection."""
    t = stamped(tcp)
    t.inject("S", seq=5000, ts=False)
    t.expect("A", seq=1, ack=1, why=Why.CHALLENGE_ACK)


@pytest.mark.rfc("7323", "4.1")
@pytest.mark.rfc("7323", "5.4")
def test_our_clock_ticks_every_millisecond_and_never_goes_back(tcp):
    t = stamped(tcp)
    t.send(b"a")
    first = t.expect("PA")
    t.inject("A")
    t.advance(1234 * MS)
    t.send(b"b")
    second = t.expect("PA")
    assert second.tsval - first.tsval == 1234


@pytest.mark.rfc("7323", "4.3")
def test_the_echo_is_the_timestamp_of_the_last_segment_in_order(tcp):
    t = stamped(tcp)
    t.inject("A", text=b"a", tsval=7000)
    t.expect("A", tsecr=7000)
    t.inject("A", text=b"b", tsval=7100)
    t.expect("A", tsecr=7100)


@pytest.mark.rfc("7323", "4.3")
def test_of_segments_acknowledged_together_the_first_is_echoed(tcp):
    """So that the sender measures the delay of the acknowledgement, too."""
    t = stamped(tcp, quick_acks=0)
    t.inject("A", text=bytes(1448), tsval=7000)
    t.inject("A", text=bytes(1448), tsval=7100)
    t.expect("A", tsecr=7000)


@pytest.mark.rfc("7323", "4.3")
def test_a_segment_beyond_a_gap_does_not_change_the_echo(tcp):
    t = stamped(tcp)
    t.inject("A", text=b"a", tsval=7000)
    t.expect("A", tsecr=7000)
    t.inject("A", seq=10, text=b"z", tsval=7100)
    t.expect("A", tsecr=7000)
    t.inject("A", seq=2, text=bytes(8), tsval=7200)
    t.expect("A", ack=11, tsecr=7200)


@pytest.mark.rfc("7323", "5.3")
def test_a_segment_with_an_old_timestamp_is_dropped_and_acknowledged(tcp):
    t = stamped(tcp)
    t.inject("A", text=b"new", tsval=9000)
    t.expect("A", ack=4)
    t.inject("A", seq=4, text=b"old", tsval=8999)
    t.expect("A", ack=4, why=Why.OLD_TIMESTAMP)
    assert t.receive() == b"new"
    assert t.host.counters["PAWSEstab"] == 1


@pytest.mark.rfc("7323", "5.3")
def test_an_equal_timestamp_is_not_old(tcp):
    t = stamped(tcp)
    t.inject("A", text=b"one", tsval=9000)
    t.inject("A", text=b"two", tsval=9000)
    assert t.receive() == b"onetwo"
    t.take()


@pytest.mark.rfc("7323", "5.2")
def test_timestamps_compare_modulo_two_to_the_32(tcp):
    t = established(tcp(peer={"ts": True, "tsval": 0xFFFF_FFF0 - 1000}))
    t.inject("A", text=b"before", tsval=0xFFFF_FFFF)
    t.inject("A", text=b"after", tsval=5)
    assert t.receive() == b"beforeafter"
    t.inject("A", text=b"old", tsval=0xFFFF_FFFE)
    assert t.receive() == b""
    t.take()


@pytest.mark.rfc("7323", "5.5")
@pytest.mark.parametrize(("idle", "taken"), [(23 * DAY, False), (25 * DAY, True)])
def test_after_24_days_without_a_segment_any_timestamp_is_new(tcp, idle, taken):
    t = stamped(tcp)
    t.excused = ("TSval",)  # a clock of milliseconds has gone half around by then
    t.inject("A", text=b"x", tsval=9000)
    t.take()
    t.advance(idle)
    t.inject("A", seq=2, text=b"y", tsval=8000)
    assert t.receive() == (b"xy" if taken else b"x")
    t.take()


@pytest.mark.rfc("7323", "5.3")
def test_a_segment_outside_the_window_does_not_change_the_echo(tcp):
    t = stamped(tcp)
    t.inject("A", text=b"x", tsval=9000)
    t.take()
    t.inject("A", seq=500_000, text=b"y", tsval=20_000)
    t.expect("A", ack=2, tsecr=9000)
    t.inject("A", seq=2, text=b"z", tsval=9001)
    t.expect("A", ack=3, tsecr=9001)


@pytest.mark.rfc("7323", "3.2")
def test_the_echo_of_a_syn_without_ack_is_zero(tcp):
    t = tcp(peer={"ts": True})
    t.connect()
    t.expect("S", ts=present, tsecr=0)
    t.inject("SA", tsval=4242)
    t.expect("A", tsecr=4242)


@pytest.mark.rfc("7323", "3.2")
def test_a_syn_ack_echoes_the_timestamp_of_the_syn(tcp):
    t = tcp(peer={"ts": True})
    t.listen()
    t.inject("S", tsval=4242)
    t.expect("SA", tsecr=4242)
