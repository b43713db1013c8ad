"""The table of states by itself."""

import pytest

from stack.core.tcp.states import RECEIVING, SENDING, TRANSITIONS, Cause, State


@pytest.mark.rfc("9293", "3.3.2")
def test_there_are_the_eleven_states_of_the_rfc():
    assert {state.label for state in State} == {
        "CLOSED",
        "LISTEN",
        "SYN-SENT",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "CLOSE-WAIT",
        "CLOSING",
        "LAST-ACK",
        "TIME-WAIT",
    }


def test_every_state_can_be_reached_and_left():
    reached, frontier = set(), {State.CLOSED}
    while frontier:
        reached |= frontier
        frontier = {new for (old, _), new in TRANSITIONS.items() if old in frontier} - reached
    assert reached == set(State)
    assert {old for old, _ in TRANSITIONS} == set(State)


def test_every_cause_occurs():
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


def test_every_way_ends_in_closed():
    ends = {State.CLOSED}
    while more := {old for (old, _), new in TRANSITIONS.items() if new in ends} - ends:
        ends |= more
    assert ends == set(State)


@pytest.mark.rfc("9293", "3.9.1.2")
def test_data_can_be_sent_until_our_side_is_closed():
    assert {State.ESTABLISHED, State.CLOSE_WAIT} <= SENDING
    assert not SENDING & {State.FIN_WAIT_1, State.FIN_WAIT_2, State.LAST_ACK, State.CLOSING}


@pytest.mark.rfc("9293", "3.10.7.4")
def test_data_is_received_until_the_peers_side_is_closed():
    assert {State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2} == RECEIVING
