"""The state machine of RFC 9293 §3.3.2: every legal transition happens by real traffic, and no
other can happen at all.
"""

from itertools import product

import pytest

from stack.core.tcp.states import TRANSITIONS, Cause, State, follow
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import SECOND
from tests.support.states import reach

S, C = State, Cause
NEVER = 10_000 * SECOND


def fin(t):
    t.inject("FA", ack=t.our_number(t.tcb.snd_una))


def reset(t):
    t.inject("R" if t.state != S.SYN_SENT else "RA")


def silence(t):
    """The peer never answers again."""
    t.advance(NEVER)


def unanswered_data(t):
    t.send(b"x")
    silence(t)


def orphaned(t):
    t.close()
    silence(t)


def listener_closes(t):
    t.listener.close(t.now)
    t._after()


SCRIPTS = {
    (S.CLOSED, C.ACTIVE_OPEN): lambda t: t.connect(),
    (S.LISTEN, C.SYN): lambda t: t.inject("S"),
    (S.SYN_SENT, C.SYN): lambda t: t.inject("S"),
    (S.SYN_SENT, C.SYN_ACK): lambda t: t.inject("SA"),
    (S.SYN_SENT, C.CLOSE): lambda t: t.close(),
    (S.SYN_SENT, C.RESET): reset,
    (S.SYN_SENT, C.ABORT): lambda t: t.abort(),
    (S.SYN_SENT, C.TIMEOUT): silence,
    (S.SYN_RECEIVED, C.ACK_OF_SYN): lambda t: t.inject("A"),
    (S.SYN_RECEIVED, C.SYN): lambda t: t.inject("S", seq=1),
    (S.SYN_RECEIVED, C.RESET): reset,
    (S.SYN_RECEIVED, C.ABORT): listener_closes,
    (S.SYN_RECEIVED, C.TIMEOUT): silence,
    (S.ESTABLISHED, C.CLOSE): lambda t: t.shutdown(),
    (S.ESTABLISHED, C.FIN): fin,
    (S.ESTABLISHED, C.TIMEOUT): unanswered_data,
    (S.FIN_WAIT_1, C.ACK_OF_FIN): lambda t: t.inject("A"),
    (S.FIN_WAIT_1, C.FIN): fin,
    (S.FIN_WAIT_1, C.TIMEOUT): silence,
    (S.FIN_WAIT_2, C.FIN): fin,
    (S.FIN_WAIT_2, C.TIMEOUT): orphaned,
    (S.CLOSE_WAIT, C.CLOSE): lambda t: t.shutdown(),
    (S.CLOSE_WAIT, C.TIMEOUT): unanswered_data,
    (S.CLOSING, C.ACK_OF_FIN): lambda t: t.inject("A"),
    (S.CLOSING, C.TIMEOUT): silence,
    (S.LAST_ACK, C.ACK_OF_FIN): lambda t: t.inject("A"),
    (S.LAST_ACK, C.TIMEOUT): silence,
    (S.TIME_WAIT, C.TIMEOUT): silence,
    (S.TIME_WAIT, C.ABORT): lambda t: t.host.close(t.now),
    (S.TIME_WAIT, C.REOPEN): lambda t: t.inject("S", seq=1000),
}
for synchronised in (
    S.ESTABLISHED,
    S.FIN_WAIT_1,
    S.FIN_WAIT_2,
    S.CLOSE_WAIT,
    S.CLOSING,
    S.LAST_ACK,
):
    SCRIPTS[synchronised, C.RESET] = reset
    SCRIPTS[synchronised, C.ABORT] = lambda t: t.abort()

# These two are the life of a Listener, which is no connection.
OF_LISTENERS = {(S.CLOSED, C.PASSIVE_OPEN), (S.LISTEN, C.CLOSE)}


def names(pair):
    return f"{pair[0].name}-{pair[1].name}"


def test_every_legal_transition_has_a_script():
    assert set(SCRIPTS) | OF_LISTENERS == set(TRANSITIONS)


@pytest.mark.rfc("9293", "3.3.2")
@pytest.mark.parametrize("pair", SCRIPTS, ids=names)
def test_every_legal_transition_happens_by_real_traffic(tcp, pair):
    state, cause = pair
    t = reach(tcp(observed=True), state)
    t.moves.clear()
    SCRIPTS[pair](t)
    t.take()
    assert t.moves, "nothing moved"
    move = t.moves[0]
    assert (move.old, move.cause) == (state.label, cause.value)
    assert move.new == TRANSITIONS[pair].label


@pytest.mark.rfc("9293", "3.3.2")
@pytest.mark.parametrize(
    "pair", sorted(set(product(State, Cause)) - set(TRANSITIONS), key=names), ids=names
)
def test_no_other_transition_is_possible(pair):
    with pytest.raises(KeyError):
        follow(*pair)


@pytest.mark.rfc("9293", "3.3.2")
def test_a_passive_open_leads_to_listen_and_its_close_back(tcp):
    t = tcp()
    t.inject("S")
    t.expect("RA", why=Why.NO_CONNECTION)
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.inject("R")
    listener_closes(t)
    t.inject("S", seq=0)
    t.expect("RA", why=Why.NO_CONNECTION)


@pytest.mark.rfc("9293", "MUST-11")
def test_syn_received_remembers_that_it_came_from_a_passive_open(tcp):
    """A reset leads back to LISTEN without a word to the application."""
    t = tcp()
    states.syn_received(t)
    t.inject("R")
    assert not t.host.connections
    assert t.listener.accept() is None
    t.inject("S", seq=0)
    t.expect("SA")


@pytest.mark.rfc("9293", "MUST-11")
def test_syn_received_remembers_that_it_came_from_an_active_open(tcp):
    """The application that called connect hears "refused"."""
    t = tcp()
    states.syn_received_active(t)
    t.inject("R")
    t.expect_state(S.CLOSED)
    with pytest.raises(ConnectionRefusedError):
        t.receive()
