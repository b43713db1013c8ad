"""Opening a connection: three steps, simultaneous ones, lost ones, refused ones."""

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire import segment
from tests.support import states
from tests.support.endpoint import OURS, PEER, PORT, SECOND
from tests.support.seen import one_of

versions = pytest.mark.parametrize("version", [4, 6])


# ---- three steps ------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.5")
@versions
def test_a_passive_open_takes_three_steps(tcp, version):
    t = tcp(version, loss_free=True)
    listener = t.listen()
    t.inject("S")
    t.expect("SA", seq=0, ack=1, text=b"", why=Why.SYN_ACCEPTED)
    assert t.ready_of(listener) == Ready(0)
    t.inject("A")
    t.expect_nothing(SECOND)
    assert t.ready_of(listener) == Ready.ACCEPTED
    t.accept()
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.local == (OURS[version], PORT)
    assert t.tcp.remote == (PEER[version], t.peer.port)


@pytest.mark.rfc("9293", "3.5")
@versions
def test_an_active_open_takes_three_steps(tcp, version):
    t = tcp(version, loss_free=True)
    t.connect()
    t.expect("S", seq=0, ack=0, why=Why.ACTIVE_OPEN)
    t.inject("SA")
    t.expect("A", seq=1, ack=1, text=b"", why=Why.HANDSHAKE_DONE)
    assert t.ready_of() == Ready.CONNECTED | Ready.WRITABLE
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "MUST-10")
@versions
def test_a_simultaneous_open_ends_established_on_both_orders_of_arrival(tcp, version):
    for last in ("SA", "A"):
        t = tcp(version)
        t.connect()
        t.expect("S")
        t.inject("S")
        t.expect("SA", seq=0, ack=1, why=Why.SIMULTANEOUS_OPEN)
        t.expect_state(State.SYN_RECEIVED)
        t.inject(last, seq=0 if last == "SA" else 1)
        t.expect_state(State.ESTABLISHED)
        if last == "SA":
            t.expect("A", seq=1, ack=1)
        t.expect_nothing(SECOND)
        t.send(b"after")
        t.expect("PA", seq=1, text=b"after")


@pytest.mark.rfc("9293", "3.10.7.4")
def test_data_that_comes_with_the_last_step_is_taken(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("PA", text=b"hello")
    t.accept()
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_data_right_behind_the_last_step_in_one_batch_is_taken(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.arrive(t.packet("A"), t.packet("PA", text=b"hello"))
    t.accept()
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.3")
def test_data_that_the_syn_window_allowed_is_taken_right_behind_the_syn_ack(tcp):
    t = tcp(quick_acks=0)
    states.syn_sent(t)
    t.arrive(t.packet("SA"), t.packet("PA", text=b"hello"))
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_that_comes_with_the_last_step_is_taken(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("FPA", text=b"bye")
    t.expect("A", ack=5)
    t.accept()
    t.expect_state(State.CLOSE_WAIT)
    assert t.receive() == b"bye"
    assert t.tcp.eof


@pytest.mark.rfc("9293", "3.10.7.2")
def test_text_in_a_syn_waits_for_its_repetition(tcp):
    """What a SYN carries may be queued or not; not acknowledged, it comes again."""
    t = tcp()
    t.listen()
    t.inject("S", text=b"early")
    t.peer.nxt = 1
    t.expect("SA", ack=one_of(1, 6))


# ---- lost segments ---------------------------------------------------------------------


@pytest.mark.rfc("8961", "4(1)")
@pytest.mark.rfc("9293", "MUST-22")
@pytest.mark.rfc("6298", "5.5")
@pytest.mark.rfc("6298", "2.1")
def test_a_lost_syn_is_repeated_with_exponential_backoff(tcp):
    t = tcp()
    t.connect()
    first = t.expect("S")
    for seconds in (1, 2, 4, 8, 16, 32):
        again = t.expect("S", seq=0, after=seconds * SECOND, why=Why.SYN_RETRANSMITTED)
        assert (again.mss, again.wscale, again.sack_ok) == (first.mss, first.wscale, first.sack_ok)


@pytest.mark.rfc("9293", "MUST-23")
@pytest.mark.rfc("9293", "MUST-22")
def test_a_connect_without_answer_times_out_after_three_minutes_at_least(tcp):
    t = tcp()
    t.connect()
    t.advance(179 * SECOND)
    t.expect_state(State.SYN_SENT)
    t.advance(200 * SECOND)
    t.expect_state(State.CLOSED)
    assert t.ready_of() == Ready.ERROR | Ready.CLOSED
    with pytest.raises(TimeoutError):
        t.receive()
    assert not t.host.connections
    t.take()
    t.expect_nothing(1000 * SECOND)


def test_a_lost_syn_ack_is_repeated_by_the_timer(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.expect("SA", seq=0, ack=1, after=SECOND, why=Why.SYN_RETRANSMITTED)
    t.inject("A")
    t.accept()
    t.expect_nothing(10 * SECOND)


def test_a_lost_syn_ack_is_repeated_when_the_syn_comes_again(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.inject("S", seq=0)
    t.expect("SA", seq=0, ack=1, why=Why.SYN_ACK_REPEATED)
    assert len(t.host.connections) == 1


def test_a_lost_third_step_is_repeated_when_the_syn_ack_comes_again(tcp):
    t = tcp()
    states.established_active(t)
    t.inject("SA", seq=0)
    t.expect("A", seq=1, ack=1, why=Why.CHALLENGE_ACK)
    t.expect_state(State.ESTABLISHED)


def test_a_lost_third_step_is_mended_by_the_first_data(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("PA", text=b"data")
    t.accept()
    t.expect_state(State.ESTABLISHED)
    t.expect("A", ack=5)


def test_a_half_open_connection_is_given_up_in_the_end(tcp):
    t = tcp()
    states.syn_received(t)
    t.advance(400 * SECOND)
    t.take()
    assert not t.host.connections
    assert not t.listener.half_open


@pytest.mark.rfc("6298", "5.7")
def test_after_a_lost_syn_the_timeout_of_the_first_data_is_three_seconds(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.expect("S", after=SECOND)
    t.inject("SA")
    t.expect("A")
    t.send(b"first")
    t.expect("PA")
    t.expect("PA", text=b"first", after=3 * SECOND, why=Why.RTO)


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("active", [True, False])
def test_after_a_lost_syn_one_segment_begins(tcp, active):
    t = tcp()
    if active:
        t.connect()
        t.expect("S")
        t.expect("S", within=SECOND)
        t.inject("SA")
        t.expect("A")
    else:
        t.listen()
        t.inject("S")
        t.expect("SA")
        t.expect("SA", within=SECOND)
        t.inject("A")
        t.accept()
    t.send(b"x" * 20_000)
    t.expect("A", length=1460)
    t.expect_nothing()


# ---- refusals -------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.10.7.1")
def test_a_refused_connect_fails_at_once(tcp):
    t = tcp()
    states.syn_sent(t)
    t.inject("RA", seq=0)
    assert t.ready_of() == Ready.ERROR | Ready.CLOSED
    with pytest.raises(ConnectionRefusedError):
        t.send(b"x")
    t.expect_nothing(400 * SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize("ack", [0, 2, -5, 1 << 30])
def test_a_syn_ack_for_another_syn_is_reset_and_changes_nothing(tcp, ack):
    t = tcp()
    states.syn_sent(t)
    t.inject("SA", ack=ack)
    t.expect("R", seq=ack, why=Why.BAD_SYN_ACK)
    t.expect_state(State.SYN_SENT)


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize("ack", [0, 2, -5])
def test_a_reset_for_another_syn_is_ignored(tcp, ack):
    t = tcp()
    states.syn_sent(t)
    t.inject("RA", seq=0, ack=ack)
    t.expect_nothing()
    t.expect_state(State.SYN_SENT)


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.parametrize("ack", [0, 2, -70_000])
def test_a_wrong_ack_in_syn_received_is_reset_and_the_handshake_goes_on(tcp, ack):
    t = tcp()
    states.syn_received(t)
    t.inject("A", ack=ack)
    t.expect("R", seq=ack, why=Why.BAD_SYN_ACK)
    t.inject("A")
    t.accept()


@pytest.mark.rfc("9293", "MUST-57")
@pytest.mark.parametrize("destination", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_a_syn_to_a_group_is_discarded_silently(tcp, destination):
    t = tcp()
    t.listen()
    data = segment.build_tcp(PEER[4], destination, 40_000, PORT, flags=segment.SYN)
    t.arrive(data)
    t.expect_nothing(SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-63")
@pytest.mark.parametrize(
    "source", ["224.0.0.1", "255.255.255.255", "192.0.2.255", "0.0.0.0", "127.0.0.1", OURS[4]]
)
def test_a_syn_from_an_address_that_names_no_host_is_ignored(tcp, source):
    t = tcp()
    t.judged = source != OURS[4]
    t.listen()
    t.arrive(segment.build_tcp(source, OURS[4], 40_000, PORT, flags=segment.SYN))
    t.expect_nothing(SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize(
    "address", ["224.0.0.1", "192.0.2.255", "255.255.255.255", "0.0.0.0", "ff02::1", "::"]
)
def test_no_connection_opens_to_an_address_that_names_no_host(tcp, address):
    t = tcp()
    with pytest.raises(OSError, match="unreachable"):
        t.host.connect(address, 80, t.now)
    assert not t.host.connections
