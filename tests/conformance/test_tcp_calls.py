"""The other events of RFC 9293 §3.10: what applications call (§3.10.1 to §3.10.6), timers that
run out (§3.10.8) and ICMP errors (§3.9.2.2), each in every state.

Segments are in test_tcp_arrives. A cell says what the call returns, or the errno that Linux
gives where the RFC has words ("error: connection closing"), what is sent at once, and behind
">" the state that follows when it changes.

    -      nothing happens      queued  it is taken and waits       data, FIN, RST, ACK: is sent
    none   nothing to read yet  text    what came before is read    eof   nothing will come
"""

import errno
from itertools import product

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.wire.craft import build_icmp, build_tcp
from tests.support import states
from tests.support.endpoint import OURS, PEER, SECOND
from tests.support.states import current, reach

# Every state that a connection may be in, once more with text that nobody has read, and the
# three ways in which one is over.
CALLS = """
state                 SEND        RECEIVE     SHUTDOWN        CLOSE           ABORT        OPEN
SYN_SENT              queued      none        ->CLOSED        ->CLOSED        ->CLOSED     EADDRINUSE
SYN_RECEIVED          queued      none        -               -               RST>CLOSED   EADDRINUSE
SYN_RECEIVED+active   queued      none        -               -               RST>CLOSED   EADDRINUSE
ESTABLISHED           data        none        FIN>FIN_WAIT_1  FIN>FIN_WAIT_1  RST>CLOSED   EADDRINUSE
ESTABLISHED+text      data        text        FIN>FIN_WAIT_1  RST>CLOSED      RST>CLOSED   EADDRINUSE
FIN_WAIT_1            EPIPE       none        -               -               RST>CLOSED   EADDRINUSE
FIN_WAIT_1+text       EPIPE       text        -               RST>CLOSED      RST>CLOSED   EADDRINUSE
FIN_WAIT_2            EPIPE       none        -               -               RST>CLOSED   EADDRINUSE
FIN_WAIT_2+text       EPIPE       text        -               RST>CLOSED      RST>CLOSED   EADDRINUSE
CLOSE_WAIT            data        eof         FIN>LAST_ACK    FIN>LAST_ACK    RST>CLOSED   EADDRINUSE
CLOSE_WAIT+text       data        text        FIN>LAST_ACK    RST>CLOSED      RST>CLOSED   EADDRINUSE
CLOSING               EPIPE       eof         -               -               ->CLOSED     EADDRINUSE
CLOSING+text          EPIPE       text        -               -               ->CLOSED     EADDRINUSE
LAST_ACK              EPIPE       eof         -               -               ->CLOSED     EADDRINUSE
LAST_ACK+text         EPIPE       text        -               -               ->CLOSED     EADDRINUSE
TIME_WAIT             EPIPE       eof         -               -               -            EADDRINUSE
TIME_WAIT+text        EPIPE       text        -               -               -            EADDRINUSE
CLOSED+finished       EPIPE       eof         -               -               -            SYN>SYN_SENT
CLOSED+reset          ECONNRESET  ECONNRESET  -               -               -            SYN>SYN_SENT
CLOSED+silence        ETIMEDOUT   ETIMEDOUT   -               -               -            SYN>SYN_SENT
"""
# In LISTEN there is no connection, but a Listener, which can do none of this; an OPEN with a
# foreign socket leaves it alone (MUST-42 is in test_tcp_listen).

TEXT = b"unread"


def table(text):
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (row[0], event): cell
        for row in rows
        for event, cell in zip(header[1:], row[1:], strict=True)
    }


def finished(t):
    states.last_ack(t)
    t.inject("A")


def was_reset(t):
    states.established(t)
    t.inject("R")


def silent(t):
    states.established(t)
    t.send(b"x")
    t.advance(2000 * SECOND)
    t.take()


def with_text(state):
    """As in states.REACH, with six bytes of the peer's that nobody has read."""

    def established(t):
        states.established(t)
        t.inject("PA", text=TEXT)
        t.expect("A", within=SECOND)

    def walk(t):
        established(t)
        if state in ("CLOSE_WAIT", "LAST_ACK"):
            t.inject("FA")
            t.expect("A")
        if state not in ("ESTABLISHED", "CLOSE_WAIT"):
            t.shutdown()
            t.expect("FA")
        if state in ("FIN_WAIT_2", "TIME_WAIT"):
            t.inject("A")
        if state in ("CLOSING", "TIME_WAIT"):
            t.inject("FA", ack=1 if state == "CLOSING" else 2)
            t.expect("A")

    return walk


OVER = {"finished": finished, "reset": was_reset, "silence": silent}


def arrange(t, row):
    name, _, variant = row.partition("+")
    if variant == "active":
        states.syn_received_active(t)
    elif variant == "text":
        with_text(name)(t)
    elif variant:
        OVER[variant](t)
    else:
        reach(t, State[name])
    t.expect_state(State[name])
    t.ready.clear()
    return t


CELLS = table(CALLS)


def test_the_table_has_every_state_and_every_call():
    rows = {row for row, _ in CELLS}
    assert {row.partition("+")[0] for row in rows} == {s.name for s in State} - {"LISTEN"}
    assert len(CELLS) == len(rows) * 6


def send(t):
    return {4: "queued"}[t.send(b"more")]


def receive(t):
    data = t.receive()
    if data:
        assert data == TEXT
        return "text"
    return "eof" if t.tcp.eof else "none"


def open_again(t):
    local, port = t.tcp.local
    remote, remote_port = t.tcp.remote
    t.connection = t.host.connect(remote, remote_port, t.now, local_address=local, local_port=port)
    t._after()


EVENTS = {
    "SEND": send,
    "RECEIVE": receive,
    "SHUTDOWN": lambda t: t.shutdown(),
    "CLOSE": lambda t: t.close(),
    "ABORT": lambda t: t.abort(),
    "OPEN": open_again,
}
SENT = {"data": "PA", "FIN": "FA", "RST": "RA", "ACK": "A", "SYN": "S"}


@pytest.mark.rfc("9293", "3.10.1")
@pytest.mark.rfc("9293", "3.10.2")
@pytest.mark.rfc("9293", "3.10.3")
@pytest.mark.rfc("9293", "3.10.4")
@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize(("row", "event"), CELLS)
def test_each_call_in_each_state(tcp, row, event):
    t = arrange(tcp(), row)
    before = t.state
    result, _, following = CELLS[row, event].partition(">")
    if result in errno.errorcode.values():
        with pytest.raises(OSError) as caught:
            EVENTS[event](t)
        assert errno.errorcode[caught.value.errno] == result
    else:
        given = EVENTS[event](t)
        if event in ("SEND", "RECEIVE"):
            assert given == ("queued" if result == "data" else result)
    if result in SENT:
        t.expect(SENT[result])
    t.expect_nothing()
    assert current(t) is (State[following] if following else before)
    if event in ("CLOSE", "ABORT"):
        assert not t.ready_of(), "who lets go hears nothing"


@pytest.mark.rfc("9293", "3.10.6")
@pytest.mark.parametrize("row", sorted({row for row, _ in CELLS}))
def test_the_status_of_each_state(tcp, row):
    t = arrange(tcp(), row)
    status = t.tcp.info()
    assert status["state"] == t.state
    assert t.tcp.local[1] == t.local_port
    assert t.tcp.remote == (PEER[4], t.peer.port)
    t.expect_nothing()


# ---- ICMP -------------------------------------------------------------------------------------

HARD = {(3, 2), (3, 3), (3, 13)}  # the last as Linux has it: someone forbids it
ICMP = [*sorted(HARD), (3, 0), (3, 1), (3, 4), (4, 0), (11, 0), (11, 1), (12, 0)]


@pytest.mark.rfc("9293", "3.9.2.2")
@pytest.mark.rfc("5461", "4.1")
@pytest.mark.parametrize(
    ("row", "kind"), list(product(sorted({r for r, _ in CELLS if "CLOSED" not in r}), ICMP))
)
def test_each_icmp_error_in_each_state(tcp, row, kind):
    """Only before a connection exists does one end it; later it is a soft error, and then
    only while something is in flight. Source quench is ignored (MUST-55).
    """
    t = arrange(tcp(), row)
    before = t.state
    in_flight = t.tcb.snd_nxt != t.tcb.snd_una
    quoted = build_tcp(
        OURS[4], PEER[4], t.local_port, t.peer.port, seq=t.tcb.snd_una, text=bytes(1000)
    )
    t.arrive(build_icmp(PEER[4], OURS[4], *kind, rest=600, body=quoted[:28]))
    if kind in HARD and before is State.SYN_SENT:
        t.expect_state(State.CLOSED)
        with pytest.raises(ConnectionRefusedError if kind == (3, 3) else OSError):
            t.receive()
        return
    t.expect_state(before)
    told = bool(t.ready_of() & Ready.SOFT_ERROR)
    assert told == (in_flight and kind not in ((4, 0), (3, 4)))
    t.take()


# ---- timers -------------------------------------------------------------------------------------

TIMERS = """
state         RETRANSMISSION  LOSS_PROBE  REORDERING  PERSIST  DELAYED_ACK  KEEPALIVE  PACING  CORK  TIME_WAIT
SYN_SENT      SYN             -           -           -        -            -          -       -     -
SYN_RECEIVED  S/A             -           -           -        ACK          -          -       -     -
ESTABLISHED   -               -           -           -        ACK          -          -       -     -
FIN_WAIT_1    FIN             FIN         -           -        ACK          -          -       -     -
FIN_WAIT_2    -               -           -           -        ACK          -          -       -     ->CLOSED
CLOSE_WAIT    -               -           -           -        ACK          -          -       -     -
CLOSING       FIN             FIN         -           -        ACK          -          -       -     -
LAST_ACK      FIN             FIN         -           -        ACK          -          -       -     -
TIME_WAIT     -               -           -           -        ACK          -          -       -     ->CLOSED
"""


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.parametrize(("state", "timer"), table(TIMERS))
def test_each_timer_in_each_state(tcp, state, timer):
    """Also those that do not run there: then nothing may come of it."""
    cell, _, following = table(TIMERS)[state, timer].partition(">")
    t = arrange(tcp(), state)
    t.judged = False  # a timer that no one started
    before = t.state
    t.tcp.deadlines[Timer[timer]] = 0
    t.tcp.on_timer(Timer[timer], t.now)
    t._after()
    if cell == "S/A":
        t.expect("SA")
    elif cell != "-":
        t.expect(SENT[cell])
    t.expect_nothing()
    assert current(t) is (State[following] if following else before)


def test_the_table_has_every_timer():
    assert {timer for _, timer in table(TIMERS)} == {timer.name for timer in Timer}
