"""TIME-WAIT: what ends it (RFC 6191), and what must not (RFC 1337)."""

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import SECOND, Peer
from tests.support.states import current


def waiting(tcp, *, ts=False, **config):
    """The peer has sent 100 bytes and its FIN, and we closed first."""
    t = tcp(peer=Peer(ts=ts), **config)
    states.fin_wait_2(t)
    t.inject("PA", text=bytes(100))
    assert t.receive() == bytes(100)
    t.inject("FA")
    t.take()
    t.expect_state(State.TIME_WAIT)
    return t


# ---- RFC 6191: a SYN that is certainly newer ------------------------------------------------

NEWER, SAME, OLDER = 5000, 0, -5000


@pytest.mark.rfc("6191", "2")
@pytest.mark.rfc("9293", "SHLD-4")
@pytest.mark.parametrize("seq", [NEWER, OLDER])
@pytest.mark.parametrize(
    ("had", "stamp", "by_number"),
    [
        (True, NEWER, False),  # the timestamp says so, whatever the number
        (True, SAME, True),
        (True, None, True),
        (False, NEWER, False),  # with timestamps nothing old can be taken for new
        (False, OLDER, False),
        (False, None, True),
    ],
)
def test_a_syn_reopens_time_wait_where_no_old_segment_could_pass_for_a_new_one(
    tcp, had, stamp, by_number, seq
):
    t = waiting(tcp, ts=had)
    last, latest = t.tcb.snd_nxt, t.tcb.ts_recent
    ts = stamp is not None
    t.inject("S", seq=102 + seq, ts=ts, tsval=(latest + stamp) if ts else None)
    if by_number and seq == OLDER:
        t.expect("A", ack=102, why=Why.TIME_WAIT_ACK)
        t.expect_state(State.TIME_WAIT)
        return
    t.expect("SA", ack=102 + seq + 1)
    assert current(t) is State.SYN_RECEIVED
    assert 0 < (t.iss - last) & 0xFFFF_FFFF < 1 << 31, "our numbers are newer than all of the old"


@pytest.mark.rfc("6191", "2")
@pytest.mark.parametrize("seq", [NEWER, OLDER])
def test_a_timestamp_from_before_the_end_reopens_nothing(tcp, seq):
    t = waiting(tcp, ts=True)
    t.inject("S", seq=102 + seq, ts=True, tsval=t.tcb.ts_recent - 1)
    t.take()
    t.expect_state(State.TIME_WAIT)


@pytest.mark.rfc("6191", "2")
def test_a_host_without_timestamps_goes_by_the_number_alone(tcp):
    t = waiting(tcp, timestamps=False)
    t.inject("S", seq=102 + OLDER, ts=True, tsval=1 << 30)
    t.expect("A", why=Why.TIME_WAIT_ACK)
    t.expect_state(State.TIME_WAIT)


# ---- RFC 1337: what old segments must not do ------------------------------------------------


@pytest.mark.rfc("1337", "3")
@pytest.mark.parametrize("late", [60, 5, 1])
def test_time_wait_is_not_assassinated(tcp, late):
    """Old data draws an ACK, which the peer, who has forgotten everything, answers by a reset."""
    t = waiting(tcp)
    t.advance((60 - late) * SECOND + 1)
    t.inject("PA", seq=1, text=bytes(100))
    answer = t.expect("A", seq=2, ack=102)
    t.inject("R", seq=answer.ack)
    t.expect_state(State.TIME_WAIT)
    t.expect_nothing(late * SECOND - 2)
    t.expect_state(State.TIME_WAIT)
    t.advance(1)
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("1337", "H1")
@pytest.mark.parametrize("ts", [False, True])
def test_old_data_reaches_no_reader_of_the_next_connection(tcp, ts):
    t = waiting(tcp, ts=ts)
    old = t.packet("PA", seq=50, text=b"old", tsval=t.tcb.ts_recent if ts else None)
    t.advance(2 * SECOND)
    t.peer.iss, t.peer.nxt, t.peer.acks = t.peer.iss + 50_000, 0, 0
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    reopened = t.accept()
    t.arrive(old)
    t.take()
    assert reopened.available == 0
    t.inject("PA", text=b"new")
    assert t.receive() == b"new"
    t.take()
    t.judged = False  # the old segment is none of this connection


@pytest.mark.rfc("1337", "H2")
@pytest.mark.rfc("1337", "H3")
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R", "RA", "S", "SA"])
def test_no_old_segment_puts_the_next_connection_out_of_step_or_ends_it(tcp, flags):
    t = waiting(tcp)
    old = t.packet(flags, seq=80, ack=1, text=b"x" if "P" in flags else b"")
    t.advance(2 * SECOND)
    t.peer.iss, t.peer.nxt, t.peer.acks = t.peer.iss + 100_000, 0, 0
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    t.accept()
    before = t.tcb.rcv_nxt, t.tcb.snd_una, t.tcb.snd_nxt
    t.arrive(old)
    t.take()
    t.expect_state(State.ESTABLISHED)
    assert (t.tcb.rcv_nxt, t.tcb.snd_una, t.tcb.snd_nxt) == before
    t.inject("PA", text=b"new")
    assert t.receive() == b"new"
    t.take()
    t.judged = False
