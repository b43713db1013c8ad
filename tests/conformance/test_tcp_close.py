"""Closing: FINs, half-close, resets, TIME-WAIT."""

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import MS, SECOND, Peer
from tests.support.invariants import check_returned
from tests.support.states import current, reach

MSL2 = 60 * SECOND


def established(t):
    states.established(t)
    return t


# ---- four steps ------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.6")
@pytest.mark.rfc("9293", "MUST-13")
def test_the_active_closer_waits_twice_the_msl(tcp):
    t = established(tcp(loss_free=True))
    t.close()
    t.expect("FA", seq=1, ack=1, why=Why.FIN)
    t.inject("A")
    t.expect_state(State.FIN_WAIT_2)
    t.inject("FA")
    t.expect("A", seq=2, ack=2, why=Why.FIN_RECEIVED)
    t.expect_state(State.TIME_WAIT)
    t.advance(MSL2 - 1)
    t.expect_state(State.TIME_WAIT)
    t.advance(1)
    t.expect_state(State.CLOSED)
    check_returned_but_listener(t)


def check_returned_but_listener(t):
    t.host.events()
    check_returned(t.host)


@pytest.mark.rfc("9293", "3.6")
def test_the_passive_closer_is_gone_with_the_last_acknowledgement(tcp):
    t = established(tcp(loss_free=True))
    t.inject("FA")
    t.expect("A", ack=2)
    assert t.ready_of() == Ready.EOF | Ready.READABLE
    assert t.tcp.eof
    t.close()
    t.expect("FA", seq=1, ack=2)
    t.inject("A")
    t.expect_state(State.CLOSED)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "3.6")
def test_both_may_close_at_once(tcp):
    t = established(tcp())
    t.close()
    t.expect("FA", seq=1)
    t.inject("FA", ack=1)
    t.expect("A", seq=2, ack=2)
    t.expect_state(State.CLOSING)
    t.inject("A")
    t.expect_state(State.TIME_WAIT)
    t.advance(MSL2)
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_with_the_acknowledgement_of_ours_ends_in_time_wait(tcp):
    t = established(tcp())
    t.close()
    t.expect("FA")
    t.inject("FA")
    t.expect("A", seq=2, ack=2)
    t.expect_state(State.TIME_WAIT)


@pytest.mark.rfc("9293", "3.10.4")
def test_a_fin_goes_behind_all_data(tcp):
    t = established(tcp())
    t.send(bytes(20_000))
    t.close()
    sent = t.take()
    assert not any("F" in one.flags for one in sent)
    t.inject("A")
    sent = t.take()
    assert sent[-1].flags == "FPA"
    assert sent[-1].end == 20_002


@pytest.mark.rfc("9293", "MUST-12")
@pytest.mark.parametrize("how", ["FA", "R"])
def test_the_application_can_tell_a_close_from_a_reset(tcp, how):
    t = established(tcp())
    t.inject(how)
    t.take()
    if how == "FA":
        assert t.receive() == b""
        assert t.tcp.eof
    else:
        with pytest.raises(ConnectionResetError):
            t.receive()


# ---- half-close ---------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MAY-1")
@pytest.mark.rfc("9293", "3.6")
def test_after_our_fin_the_peer_may_go_on_sending(tcp):
    t = established(tcp())
    t.shutdown()
    t.expect("FA")
    t.inject("A")
    for number in range(5):
        t.inject("PA", text=bytes([number]) * 1000)
        t.advance(SECOND)
    assert len(t.receive()) == 5000
    t.advance(1000 * SECOND)
    t.expect_state(State.FIN_WAIT_2)
    t.inject("FPA", text=b"end")
    t.expect_state(State.TIME_WAIT)
    assert t.receive() == b"end"
    assert t.tcp.eof
    t.take()


@pytest.mark.rfc("9293", "MAY-1")
def test_after_the_peers_fin_we_may_go_on_sending(tcp):
    t = tcp()
    states.close_wait(t)
    for number in range(5):
        t.send(bytes([number]) * 1000)
        t.expect(ack=2, length=1000)
        t.inject("A")
        t.advance(SECOND)
    t.shutdown()
    t.expect("FA", seq=5001, ack=2)
    t.inject("A")
    t.expect_state(State.CLOSED)


def test_unread_data_can_be_read_in_time_wait_and_after_it(tcp):
    t = established(tcp())
    t.shutdown()
    t.inject("A")
    t.inject("FPA", text=b"last words")
    t.expect_state(State.TIME_WAIT)
    assert t.receive(4) == b"last"
    t.advance(MSL2)
    assert t.receive() == b" words"
    assert t.tcp.eof
    t.take()


# ---- lost segments ---------------------------------------------------------------------------------


@pytest.mark.rfc("6298", "5.4")
@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK])
def test_a_lost_fin_is_repeated(tcp, state):
    t = reach(tcp(peer={"sack": False}), state)
    for factor in (1, 2, 4):
        t.expect("FA", seq=1, within=factor * 250 * MS, why=Why.RTO)
    t.inject("A")
    assert current(t) in (State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_that_comes_again_restarts_time_wait(tcp):
    t = tcp()
    states.time_wait(t)
    t.advance(50 * SECOND)
    t.inject("FA", seq=1)
    t.expect("A", seq=2, ack=2, why=Why.TIME_WAIT_ACK)
    t.advance(50 * SECOND)
    t.expect_state(State.TIME_WAIT)
    t.advance(10 * SECOND)
    t.expect_state(State.CLOSED)


def test_data_and_fin_are_repeated_together(tcp):
    t = established(tcp(peer={"sack": False}))
    t.tcp.send(b"bye", t.now)
    t.close()
    t.expect("FPA", seq=1, text=b"bye")
    t.expect("FPA", seq=1, text=b"bye", within=SECOND, why=Why.RTO)
    t.inject("A", ack=4)
    t.expect_state(State.FIN_WAIT_1)
    t.expect("FA", seq=4, within=2 * SECOND)
    t.inject("A")
    t.expect_state(State.FIN_WAIT_2)


# ---- letting go ---------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-3")
def test_closing_with_unread_data_resets(tcp):
    t = established(tcp())
    t.inject("PA", text=b"nobody reads this")
    t.take()
    t.close()
    t.expect("RA", seq=1, why=Why.UNREAD_DATA)
    t.expect_nothing(100 * SECOND)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "SHLD-3")
@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.FIN_WAIT_2])
def test_data_for_an_application_that_has_closed_resets(tcp, state):
    t = established(tcp())
    t.close()
    t.expect("FA")
    if state == State.FIN_WAIT_2:
        t.inject("A")
    t.inject("PA", ack=1 if state == State.FIN_WAIT_1 else 2, text=b"too late")
    t.expect("RA", seq=2, why=Why.DATA_AFTER_CLOSE)
    assert not t.host.connections


def test_after_close_a_fin_wait_2_does_not_last_for_ever(tcp):
    t = established(tcp())
    t.close()
    t.expect("FA")
    t.inject("A")
    t.advance(59 * SECOND)
    t.expect_state(State.FIN_WAIT_2)
    t.advance(2 * SECOND)
    t.expect_state(State.CLOSED)


def test_closing_twice_changes_nothing(tcp):
    t = established(tcp())
    t.close()
    t.expect("FA")
    t.close()
    t.shutdown()
    t.expect_nothing()


# ---- abort ----------------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize(
    "state",
    [State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT],
)
def test_an_abort_resets_where_the_peer_must_hear_of_it(tcp, state):
    t = reach(tcp(), state)
    nxt = t.our_number(t.tcb.snd_nxt)
    t.abort()
    t.expect("RA", seq=nxt, ack=t.peer.nxt, why=Why.ABORT)
    t.expect_nothing(100 * SECOND)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("state", [State.SYN_SENT, State.CLOSING, State.LAST_ACK])
def test_an_abort_is_silent_where_the_peer_has_nothing_to_hear(tcp, state):
    t = reach(tcp(), state)
    t.abort()
    t.expect_nothing(100 * SECOND)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "MUST-13")
def test_an_abort_does_not_cut_time_wait_short(tcp):
    t = tcp()
    states.time_wait(t)
    t.abort()
    t.expect_nothing()
    t.expect_state(State.TIME_WAIT)


def test_nothing_of_what_was_queued_leaves_after_an_abort(tcp):
    t = established(tcp(peer={"window": 1000}))
    t.send(bytes(5000))
    t.take()
    t.abort()
    t.expect("RA")
    t.inject("A", window=60_000)
    t.expect("R")
    t.expect_nothing(100 * SECOND)


# ---- resets from the peer, in each state -----------------------------------------------------------------


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.ESTABLISHED, ConnectionResetError),
        (State.FIN_WAIT_1, ConnectionResetError),
        (State.FIN_WAIT_2, ConnectionResetError),
        (State.CLOSE_WAIT, BrokenPipeError),
        (State.CLOSING, None),
        (State.LAST_ACK, None),
    ],
)
def test_a_reset_ends_the_connection_and_says_so_where_something_was_lost(tcp, state, error):
    t = reach(tcp(), state)
    t.ready_of()
    t.inject("R")
    t.expect_state(State.CLOSED)
    ready = t.ready_of()
    assert ready & Ready.CLOSED
    assert bool(ready & Ready.ERROR) == (error is not None)
    if error is not None:
        with pytest.raises(error):
            t.send(b"x")
    t.expect_nothing(100 * SECOND)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "SHLD-2")
def test_a_reset_may_carry_text(tcp):
    t = established(tcp())
    t.inject("RA", text=b"the reason, in words")
    t.expect_state(State.CLOSED)


def test_what_came_before_a_reset_can_still_be_read(tcp):
    t = established(tcp())
    t.arrive(t.packet("PA", text=b"before"), t.packet("R"))
    assert t.receive() == b"before"
    with pytest.raises(ConnectionResetError):
        t.receive()
    t.take()


# ---- TIME-WAIT ---------------------------------------------------------------------------------------------


@pytest.mark.rfc("1337", "3")
def test_a_reset_does_not_end_time_wait(tcp):
    t = tcp()
    states.time_wait(t)
    for seq in (2, 1, 100):
        t.inject("R", seq=seq)
    t.take()
    t.expect_state(State.TIME_WAIT)


@pytest.mark.rfc("9293", "SHLD-4")
@pytest.mark.rfc("9293", "MAY-2")
@pytest.mark.rfc("6191", "2")
@pytest.mark.parametrize(
    ("seq", "tsval", "reopens"),
    [
        (1000, 9_000_000, True),
        (-1000, 9_000_000, True),  # the timestamp alone proves that it is newer
        (1000, 100, False),
        (1000, None, True),
        (-1000, None, False),
    ],
)
def test_time_wait_reopens_for_a_syn_that_is_certainly_newer(tcp, seq, tsval, reopens):
    t = tcp(peer={"ts": tsval is not None})
    states.time_wait(t)
    last = t.tcb.snd_nxt
    t.inject("S", seq=seq, tsval=tsval)
    if reopens:
        t.expect("SA", ack=seq + 1)
        assert current(t) is State.SYN_RECEIVED
        assert (t.iss - last) & 0xFFFF_FFFF < 1 << 31, "our numbers must be newer, too"
        assert t.iss != last
    else:
        t.expect("A", seq=2, ack=2)
        t.expect_state(State.TIME_WAIT)


def test_a_syn_that_nobody_listens_for_leaves_time_wait_alone(tcp):
    t = tcp()
    states.time_wait(t)
    t.listener.close(t.now)
    t.inject("S", seq=1000)
    t.expect("A", seq=2, ack=2)
    t.expect_state(State.TIME_WAIT)


def test_the_number_of_connections_in_time_wait_is_bounded(tcp):
    t = tcp(time_wait_limit=10)
    t.judged = False  # many peers
    t.listen()
    for number in range(30):
        t.peer = Peer(port=41_000 + number)
        t.inject("S")
        t.inject("A")
        t.accept()
        t.close()
        t.inject("FA")
        t.expect_state(State.TIME_WAIT)
        assert len(t.host.connections) <= 10
    t.take()
    t.advance(MSL2)
    check_returned_but_listener(t)


def test_connections_that_left_time_wait_are_not_kept(tcp):
    t = tcp()
    states.time_wait(t)
    t.advance(MSL2)
    assert not t.host._time_wait


def test_nothing_is_kept_of_what_an_application_left_unread(tcp):
    """Neither in TIME-WAIT nor in LAST-ACK can anyone still ask for it."""
    t = established(tcp())
    t.shutdown()
    t.inject("A")
    t.inject("FPA", text=bytes(1000))
    t.close()
    t.take()
    assert t.state == State.TIME_WAIT or not t.host.connections
    assert t.tcb.rcv.capacity == 0


@pytest.mark.parametrize("how", ["close", "abort"])
def test_nothing_is_kept_of_what_came_before_a_reset(tcp, how):
    t = established(tcp())
    t.inject("PA", text=bytes(1000))
    t.inject("R", seq=1001)
    assert t.tcb.rcv.capacity > 0, "it can still be read"
    t.call(how)
    assert t.tcb.rcv.capacity == 0
    t.take()


def test_a_listener_that_closes_keeps_nothing_of_connections_that_nobody_accepted(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("A")
    t.inject("PA", text=bytes(1000))
    t.inject("R", seq=1001)
    t.listener.close(t.now)
    assert t.tcb.rcv.capacity == 0
    t.take()


def test_an_application_that_has_closed_hears_nothing_more(tcp):
    t = established(tcp(r1=1))
    t.send(b"x")
    t.close()
    t.ready.clear()
    t.inject("A", ack=1, window=0)
    t.advance(1000 * SECOND)
    assert not t.host.connections
    assert t.tcp not in t.ready
    t.take()


def test_what_lies_behind_a_fin_is_forgotten(tcp):
    t = established(tcp())
    t.inject("A", seq=11, text=b"behind")
    t.inject("FPA", seq=1, text=bytes(5))
    assert t.receive() == bytes(5)
    assert t.tcp.eof
    assert not t.tcp.reassembly
    assert all(not one.sack for one in t.take()[1:])


def test_a_fin_that_the_stream_went_past_does_not_end_it_later(tcp):
    """Sequence numbers come round again, and with them the one that a liar gave."""
    t = established(tcp())
    t.inject("FA", seq=101)
    t.inject("PA", seq=1, text=bytes(200))
    assert t.tcp.reassembly.fin is None
    assert t.state == State.ESTABLISHED
    t.take()


@pytest.mark.rfc("9293", "3.10.4")
def test_closing_in_syn_sent_ends_it_without_a_word(tcp):
    t = tcp()
    states.syn_sent(t)
    t.close()
    t.expect_nothing(100 * SECOND)
    check_returned_but_listener(t)


@pytest.mark.rfc("9293", "3.10.4")
def test_closing_in_syn_received_sends_the_fin_once_established(tcp):
    t = tcp()
    states.syn_received_active(t)
    t.close()
    t.expect_nothing(500 * MS)
    t.inject("A")
    t.expect("FA", seq=1)
    t.expect_state(State.FIN_WAIT_1)


def test_closing_the_host_ends_everything(tcp):
    t = tcp()
    t.judged = False
    states.time_wait(t)
    t.connect(local_port=50_001)
    t.peer = Peer(port=41_000)
    t.local_port = 80
    t.inject("S")
    t.take()
    t.host.close(t.now)
    t._after()
    assert [one.flags for one in t.take()] == ["RA"]
    check_returned_but_listener(t)
