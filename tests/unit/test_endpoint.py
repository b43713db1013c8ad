"""The test harness itself: what it checks, and what a failure shows."""

import pytest

from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import MS, Endpoint
from tests.support.seen import at_least, at_most, one_of, present


def test_a_failure_shows_the_steps_the_expectation_and_the_segments():
    t = Endpoint()
    t.listen()
    t.inject("S")
    with pytest.raises(AssertionError) as caught:
        t.expect("SA", seq=0, ack=7, window=at_least(1) & at_most(2), why=Why.RTO)
    text = str(caught.value)
    assert "   1  1.000000  call    listen" in text
    assert "   2  1.000000  inject  [S] seq=0 win=65535 len=0 <mss 1460, sackOK>" in text
    assert "   3  1.000000  expect  flags='SA', seq=0, ack=7" in text
    assert "ack is 1, not 7" in text
    assert "window is 65535, not at least 1 and at most 2" in text
    assert "why is" in text
    assert "→ [SA] seq=0 ack=1" in text


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (lambda t: t.expect("A"), "no segment came"),
        (lambda t: t.expect("A", after=10 * MS), "no segment came"),
        (lambda t: (t.send(b"x"), t.expect_nothing()), "a segment came"),
        (lambda t: (t.send(b"x"), t.finish()), "never expected"),
        (lambda t: t.expect_state(states.State.CLOSED), "the state is ESTABLISHED"),
        (lambda t: (t.inject("PA", text=b"x"), t.expect("A", ack=one_of(1, 3))), "ack is 2"),
        (lambda t: (t.send(b"x"), t.expect("PA", ts=present)), "ts is None, not present"),
    ],
)
def test_each_expectation_can_fail(fails, words):
    t = Endpoint()
    states.established(t)
    with pytest.raises(AssertionError, match=words):
        fails(t)


def test_a_segment_that_comes_at_another_time_is_not_the_expected_one():
    t = Endpoint(quick_acks=0)
    states.established(t)
    t.inject("PA", text=b"x")
    with pytest.raises(AssertionError, match="after 40 ms, not 50 ms"):
        t.expect("A", after=50 * MS)


def test_what_a_host_sends_is_judged_at_the_end():
    t = Endpoint()
    states.established(t)
    t.send(b"genuine")
    sent = t.expect("PA")
    forged = bytearray(sent.packet.data)
    forged[-1] ^= 1
    t.capture.append((t.now, bytes(forged)))
    with pytest.raises(AssertionError, match=r"the wire check: .*checksum"):
        t.finish()


def test_a_broken_invariant_is_found_at_the_next_step():
    t = Endpoint()
    states.established(t)
    t.tcb.sacked = 5
    with pytest.raises(AssertionError):
        t.inject("A")
