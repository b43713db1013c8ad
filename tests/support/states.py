"""Brings an endpoint into each state of RFC 9293 §3.3.2 by real segments."""

from collections.abc import Callable

from stack.core.tcp.states import State
from tests.support.endpoint import Endpoint


def listen(t: Endpoint) -> None:
    t.listen()


def syn_sent(t: Endpoint) -> None:
    t.connect()
    t.expect("S", seq=0)


def syn_received(t: Endpoint) -> None:
    """By a passive open."""
    t.listen()
    t.inject("S")
    t.expect("SA", seq=0, ack=1)
    (t.connection,) = t.host.connections.values()


def syn_received_active(t: Endpoint) -> None:
    """By a simultaneous open."""
    syn_sent(t)
    t.inject("S")
    t.expect("SA", seq=0, ack=1)


def established(t: Endpoint) -> None:
    """By a passive open."""
    syn_received(t)
    t.inject("A")
    t.accept()
    t.expect_nothing()


def established_active(t: Endpoint) -> None:
    syn_sent(t)
    t.inject("SA")
    t.expect("A", seq=1, ack=1)


def fin_wait_1(t: Endpoint) -> None:
    established(t)
    t.shutdown()
    t.expect("FA", seq=1, ack=1)


def fin_wait_2(t: Endpoint) -> None:
    fin_wait_1(t)
    t.inject("A")


def close_wait(t: Endpoint) -> None:
    established(t)
    t.inject("FA")
    t.expect("A", ack=2)


def closing(t: Endpoint) -> None:
    fin_wait_1(t)
    t.inject("FA", ack=1)
    t.expect("A", ack=2)


def last_ack(t: Endpoint) -> None:
    close_wait(t)
    t.shutdown()
    t.expect("FA", seq=1, ack=2)


def time_wait(t: Endpoint) -> None:
    fin_wait_2(t)
    t.inject("FA")
    t.expect("A", seq=2, ack=2)


REACH: dict[State, Callable[[Endpoint], None]] = {
    State.CLOSED: lambda t: None,
    State.LISTEN: listen,
    State.SYN_SENT: syn_sent,
    State.SYN_RECEIVED: syn_received,
    State.ESTABLISHED: established,
    State.FIN_WAIT_1: fin_wait_1,
    State.FIN_WAIT_2: fin_wait_2,
    State.CLOSE_WAIT: close_wait,
    State.CLOSING: closing,
    State.LAST_ACK: last_ack,
    State.TIME_WAIT: time_wait,
}


def reach(t: Endpoint, state: State) -> Endpoint:
    """Brings `t` from nothing into `state`."""
    REACH[state](t)
    if t.connection is not None:
        t.expect_state(state)
    return t


def current(t: Endpoint) -> State:
    """The state now; a listener without a connection is LISTEN, nothing at all CLOSED."""
    if t.connection is not None and t.connection.state != State.CLOSED:
        return t.connection.state
    if t.host.connections:
        (connection,) = t.host.connections.values()
        return connection.state
    return State.LISTEN if t.listener is not None and t.connection is None else State.CLOSED
