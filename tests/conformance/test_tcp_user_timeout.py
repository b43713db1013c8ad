"""The user timeout option (RFC 5482)."""

import pytest

from stack.core.tcp.states import State
from stack.core.tcp.user_timeout import HIGHEST, LOWEST, SECOND, decoded, encoded
from stack.core.why import Why
from stack.wire import segment
from stack.wire.segment import Option
from tests.support import states

USER_TIMEOUT = 28


def option(field):
    return Option(USER_TIMEOUT, field.to_bytes(2, "big"))


def seconds(seen):
    """What a segment of ours advertises, in seconds; None when it does not."""
    found = [o.data for o in seen.packet.tcp.options if o.kind == USER_TIMEOUT]
    return decoded(int.from_bytes(found[0], "big")) // SECOND if found else None


def established(tcp, **settings):
    t = tcp(user_timeout_option=True, **settings)
    t.listen()
    t.inject("S")
    assert seconds(t.expect("SA")) == t.config.r2 // SECOND
    t.inject("A")
    t.accept()
    return t


@pytest.mark.rfc("5482", "3.3")
@pytest.mark.parametrize(
    ("timeout", "field"),
    [
        (1, 1),
        (SECOND, 1),
        (100 * SECOND, 100),
        (32_767 * SECOND, 32_767),
        (32_768 * SECOND, 0x8000 | 547),
        (10**15, 0xFFFF),
    ],
)
def test_a_timeout_is_told_in_seconds_and_beyond_those_in_minutes(timeout, field):
    assert encoded(timeout) == field
    assert decoded(field) >= min(timeout, 32_767 * 60 * SECOND)


@pytest.mark.rfc("5482", "3")
def test_the_option_is_off_by_default(tcp):
    t = tcp()
    t.listen()
    t.inject("S", options=[segment.mss(1460), option(300)])
    assert seconds(t.expect("SA")) is None
    t.inject("A")
    t.accept()
    assert t.tcp.user_timeout == 0


@pytest.mark.rfc("5482", "3")
def test_our_syn_and_the_first_segment_behind_it_advertise(tcp):
    t = tcp(user_timeout_option=True, r2=200 * SECOND)
    t.connect()
    assert seconds(t.expect("S")) == 200
    t.inject("SA")
    assert seconds(t.expect("A")) == 200
    t.send(b"data")
    assert seconds(t.expect("PA")) is None


@pytest.mark.rfc("5482", "3.1")
@pytest.mark.parametrize(
    ("remote", "held"),
    [(1000, 1000), (1, 900), (99, 900), (0x8000 | 20, 1200), (0xFFFF, HIGHEST // SECOND)],
)
def test_the_timeout_is_the_longer_advice_within_our_limits(tcp, remote, held):
    t = established(tcp)
    t.inject("A", options=[option(remote)])
    assert t.tcp.user_timeout == held * SECOND


@pytest.mark.rfc("5482", "3.1")
def test_the_timeout_never_falls_below_the_lower_limit(tcp):
    t = established(tcp)
    t.tcp.set("advertised_timeout", 5 * SECOND)
    t._after()
    assert seconds(t.expect("A", why=Why.USER_TIMEOUT)) == 5
    t.inject("A", options=[option(10)])
    assert t.tcp.user_timeout == LOWEST


@pytest.mark.rfc("5482", "3.4")
def test_a_value_of_zero_is_ignored(tcp):
    t = established(tcp)
    for field in (0, 0x8000):
        t.inject("A", options=[option(field)])
    assert t.tcp.user_timeout == 0


@pytest.mark.rfc("5482", "3.1")
def test_what_the_application_has_set_stays(tcp):
    t = established(tcp)
    t.tcp.set("user_timeout", 7 * SECOND)
    t.inject("A", options=[option(3000)])
    assert t.tcp.user_timeout == 7 * SECOND
    t.tcp.set("user_timeout", 0)
    t.inject("A", options=[option(3000)])
    assert t.tcp.user_timeout == 3000 * SECOND


@pytest.mark.rfc("5482", "3")
def test_advice_in_a_syn_counts(tcp):
    t = tcp(user_timeout_option=True)
    t.listen()
    t.inject("S", options=[segment.mss(1460), option(1500)])
    t.expect("SA")
    t.inject("A")
    t.accept()
    assert t.tcp.user_timeout == 1500 * SECOND


@pytest.mark.rfc("5482", "3.2")
def test_a_new_value_is_told_at_once_and_never_makes_a_segment_too_long(tcp):
    t = established(tcp)
    t.send(bytes(1460))
    assert seconds(t.expect("PA", text=bytes(1460))) is None
    t.inject("A")
    t.send(b"x")
    assert seconds(t.expect("PA")) == 900
    t.tcp.set("advertised_timeout", 60 * SECOND)
    t._after()
    assert seconds(t.expect("A")) == 60


@pytest.mark.rfc("5482", "3")
def test_a_connection_waits_as_long_as_the_peer_asked(tcp):
    t = established(tcp, r2=100 * SECOND, minimum_rto=SECOND)
    t.inject("A", options=[option(500)])
    t.send(b"data")
    t.advance(400 * SECOND)
    t.expect_state(State.ESTABLISHED)
    t.advance(300 * SECOND)
    t.expect_state(State.CLOSED)
    t.take()


def test_a_reset_does_not_advertise(tcp):
    t = tcp(user_timeout_option=True)
    states.established(t)
    t.abort()
    assert seconds(t.expect("RA")) is None
