"""The window to announce (RFC 9293 §3.8.6.2.2, RFC 7323 §2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi, lib
from stack.core.tcp import window


def tcb_of(buffer=10_000, unread=0, announced=0, scale=0, mss=1460, slack=20_000):
    tcb = ffi.new("struct tcb *")
    lib.ring_init(ffi.addressof(tcb, "rcv"), buffer + slack)
    tcb.rcv.length = unread
    tcb.rcv_wnd_max = buffer
    tcb.rcv_mss = mss
    tcb.rcv_wscale = scale
    tcb.rcv_nxt = 0xFFFF_FF00
    tcb.rcv_adv = (0xFFFF_FF00 + announced) & 0xFFFF_FFFF
    return tcb


@pytest.mark.rfc("9293", "MUST-39")
@pytest.mark.parametrize(
    ("free", "announced", "expected"),
    [
        (10_000, 0, 10_000),
        (1459, 0, 0),
        (1460, 0, 1460),
        (5000, 4000, 4000),
        (5460, 4000, 5460),
        (3000, 4000, 4000),  # never less than was promised
    ],
)
def test_it_grows_in_steps_worth_a_segment_and_never_shrinks(free, announced, expected):
    assert window.to_announce(tcb_of(10_000, 10_000 - free, announced)) == expected


@pytest.mark.rfc("9293", "MUST-39")
def test_a_small_buffer_has_steps_of_its_half():
    assert window.to_announce(tcb_of(1000, 501, 0)) == 0
    assert window.to_announce(tcb_of(1000, 500, 0)) == 500


@pytest.mark.rfc("7323", "2.3")
@given(st.integers(1, 1 << 30))
def test_the_smallest_shift_that_expresses_the_buffer_is_offered(buffer):
    shift = window.wanted_scale(buffer)
    assert 0 <= shift <= 14
    assert 65_535 << shift >= buffer or shift == 14
    assert shift == 0 or 65_535 << (shift - 1) < buffer


@pytest.mark.rfc("7323", "2.2")
@given(st.integers(0, 14), st.integers(0, 60_000), st.integers(0, 20_000))
def test_the_field_never_promises_less_than_the_window_nor_more_than_the_ring_holds(
    scale, wnd, unread
):
    tcb = tcb_of(60_000, unread, 0, scale)
    wnd = min(wnd, tcb.rcv.limit - unread)
    field = window.field(tcb, wnd)
    promised = field << scale
    assert 0 <= field <= 65_535
    assert promised <= tcb.rcv.limit - unread
    assert promised > wnd - (1 << scale)
    if ((wnd + (1 << scale) - 1) >> scale << scale) <= tcb.rcv.limit - unread:
        assert promised >= wnd


@pytest.mark.rfc("9293", "3.8.6.2.2")
@pytest.mark.parametrize(
    ("unread", "announced", "worth"),
    [
        (0, 10_000, False),
        (0, 6000, False),  # still more than half of the buffer
        (0, 5000, True),
        (0, 0, True),
        (9000, 0, False),
        (5000, 3000, False),
        (4000, 3000, True),
    ],
)
def test_an_update_of_its_own_is_for_a_window_that_was_low_and_doubled(unread, announced, worth):
    assert window.update_is_worth_a_segment(tcb_of(10_000, unread, announced)) == worth


def test_a_syn_announces_at_most_what_its_field_holds():
    assert window.in_syn(tcb_of(1000)) == 1000
    assert window.in_syn(tcb_of(1 << 20)) == 65_535
