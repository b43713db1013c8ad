"""SEGMENT ARRIVES (RFC 9293 §3.10.7) as a table: state × what comes × where in the window.

The table is the RFC's text with RFC 5961 (challenge ACKs), RFC 1337 (no assassination of
TIME-WAIT) and MAY-2 (a newer SYN reopens TIME-WAIT). Each cell says what is sent at once and,
behind ">", the state that follows when it changes:

    -     nothing          ACK  <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>
    RST   a reset          S/A  a SYN-ACK          late  an ACK, but only after its delay
    +     the application gets the text

Every segment that has an ACK field acknowledges all that was sent. Segments are 5 bytes of
text or none; the first column lies wholly left of the window.
"""

from itertools import product

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support.endpoint import MS, Peer
from tests.support.states import current, reach

TABLE = """
state         kind  left            left-edge        inside           right-edge       right
CLOSED        RST   -               -                -                -                -
CLOSED        SYN   RST             RST              RST              RST              RST
CLOSED        ACK   RST             RST              RST              RST              RST
CLOSED        data  RST             RST              RST              RST              RST
CLOSED        FIN   RST             RST              RST              RST              RST

LISTEN        RST   -               -                -                -                -
LISTEN        SYN   S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED
LISTEN        ACK   RST             RST              RST              RST              RST
LISTEN        data  RST             RST              RST              RST              RST
LISTEN        FIN   RST             RST              RST              RST              RST

SYN_SENT      RST   -               -                -                -                -
SYN_SENT      SYN   S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED
SYN_SENT      ACK   -               -                -                -                -
SYN_SENT      data  -               -                -                -                -
SYN_SENT      FIN   -               -                -                -                -

SYN_RECEIVED  RST   -               ->LISTEN         ACK              ACK              -
SYN_RECEIVED  SYN   ACK             ->LISTEN         ->LISTEN         ->LISTEN         ACK
SYN_RECEIVED  ACK   ACK             ->ESTABLISHED    ->ESTABLISHED    ->ESTABLISHED    ACK
SYN_RECEIVED  data  ACK             late+>ESTABLISHED  ACK>ESTABLISHED  ACK>ESTABLISHED  ACK
SYN_RECEIVED  FIN   ACK             ACK>CLOSE_WAIT   ACK>ESTABLISHED  ACK>ESTABLISHED  ACK

ESTABLISHED   RST   -               ->CLOSED         ACK              ACK              -
ESTABLISHED   SYN   ACK             ACK              ACK              ACK              ACK
ESTABLISHED   ACK   ACK             -                -                -                ACK
ESTABLISHED   data  ACK             late+            ACK              ACK              ACK
ESTABLISHED   FIN   ACK             ACK>CLOSE_WAIT   ACK              ACK              ACK

FIN_WAIT_1    RST   -               ->CLOSED         ACK              ACK              -
FIN_WAIT_1    SYN   ACK             ACK              ACK              ACK              ACK
FIN_WAIT_1    ACK   ACK             ->FIN_WAIT_2     ->FIN_WAIT_2     ->FIN_WAIT_2     ACK
FIN_WAIT_1    data  ACK             late+>FIN_WAIT_2  ACK>FIN_WAIT_2  ACK>FIN_WAIT_2   ACK
FIN_WAIT_1    FIN   ACK             ACK>TIME_WAIT    ACK>FIN_WAIT_2   ACK>FIN_WAIT_2   ACK

FIN_WAIT_2    RST   -               ->CLOSED         ACK              ACK              -
FIN_WAIT_2    SYN   ACK             ACK              ACK              ACK              ACK
FIN_WAIT_2    ACK   ACK             -                -                -                ACK
FIN_WAIT_2    data  ACK             late+            ACK              ACK              ACK
FIN_WAIT_2    FIN   ACK             ACK>TIME_WAIT    ACK              ACK              ACK

CLOSE_WAIT    RST   -               ->CLOSED         ACK              ACK              -
CLOSE_WAIT    SYN   ACK             ACK              ACK              ACK              ACK
CLOSE_WAIT    ACK   ACK             -                -                -                ACK
CLOSE_WAIT    data  ACK             -                -                -                ACK
CLOSE_WAIT    FIN   ACK             -                -                -                ACK

CLOSING       RST   -               ->CLOSED         ACK              ACK              -
CLOSING       SYN   ACK             ACK              ACK              ACK              ACK
CLOSING       ACK   ACK             ->TIME_WAIT      ->TIME_WAIT      ->TIME_WAIT      ACK
CLOSING       data  ACK             ->TIME_WAIT      ->TIME_WAIT      ->TIME_WAIT      ACK
CLOSING       FIN   ACK             ->TIME_WAIT      ->TIME_WAIT      ->TIME_WAIT      ACK

LAST_ACK      RST   -               ->CLOSED         ACK              ACK              -
LAST_ACK      SYN   ACK             ACK              ACK              ACK              ACK
LAST_ACK      ACK   ACK             ->CLOSED         ->CLOSED         ->CLOSED         ACK
LAST_ACK      data  ACK             ->CLOSED         ->CLOSED         ->CLOSED         ACK
LAST_ACK      FIN   ACK             ->CLOSED         ->CLOSED         ->CLOSED         ACK

TIME_WAIT     RST   -               -                ACK              ACK              -
TIME_WAIT     SYN   ACK             ACK              S/A>SYN_RECEIVED  S/A>SYN_RECEIVED  S/A>SYN_RECEIVED
TIME_WAIT     ACK   ACK             -                -                -                ACK
TIME_WAIT     data  ACK             -                -                -                ACK
TIME_WAIT     FIN   ACK             -                -                -                ACK
"""

POSITIONS = ("left", "left-edge", "inside", "right-edge", "right")
FLAGS = {"RST": "R", "SYN": "S", "ACK": "A", "data": "PA", "FIN": "FA"}
TEXT = b"abcde"


def cells():
    header, *rows = (line.split() for line in TABLE.strip().splitlines() if line)
    assert tuple(header[2:]) == POSITIONS
    return {
        (State[state], kind, position): cell
        for state, kind, *row in rows
        for position, cell in zip(POSITIONS, row, strict=True)
    }


CELLS = cells()
VARIANTS = {
    "plain": {},
    # Sequence numbers wrap inside the window, on both sides.
    "modern-wrapping": {
        "version": 6,
        "iss": 0xFFFF_FFFF,
        "peer": {"iss": 0xFFFF_FF80, "ts": True, "wscale": 7},
    },
}


def test_the_table_has_every_cell():
    assert set(CELLS) == set(product(State, FLAGS, POSITIONS))


def place(t, position):
    """The relative sequence number of a position; the window of a host without a connection
    is as good as any.
    """
    rcv_nxt, wnd = 1, 65_535
    if t.connection is not None and t.state != State.SYN_SENT:
        rcv_nxt = t.peer_number(t.tcb.rcv_nxt)
        wnd = (t.tcb.rcv_adv - t.tcb.rcv_nxt) & 0xFFFF_FFFF
    offsets = {"left": -10, "left-edge": 0, "inside": 100, "right-edge": wnd - 1, "right": wnd}
    return rcv_nxt + offsets[position]


@pytest.mark.rfc("9293", "3.10.7")
@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", FLAGS)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_segment_arrives(tcp, variant, state, kind, position):
    settings = dict(VARIANTS[variant])
    peer = Peer(**settings.pop("peer", {}))
    t = reach(tcp(quick_acks=0, peer=peer, **settings), state)
    reply, _, following = CELLS[state, kind, position].partition(">")
    text = TEXT if kind == "data" else b""
    seq = place(t, position)
    t.inject(FLAGS[kind], seq=seq, text=text)
    _expect_reply(t, reply.rstrip("+"), kind, seq)
    _expect_state(t, State[following] if following else state)
    if t.connection is not None:
        assert t.tcp.available == (len(text) if "+" in reply else 0)


def _expect_reply(t, reply, kind, seq):
    if reply == "ACK":
        t.expect("A", seq=t.our_number(t.tcb.snd_nxt), ack=t.peer_number(t.tcb.rcv_nxt), text=b"")
    elif reply == "RST" and kind == "SYN":
        t.expect("RA", seq=-(t.iss or 0), ack=seq + 1, why=Why.NO_CONNECTION)
    elif reply == "RST":
        t.expect("R", seq=t.peer.acks, why=Why.NO_CONNECTION)
    elif reply == "S/A":
        t.expect("SA", ack=seq + 1)
    elif reply == "late":
        t.expect("A", after=40 * MS, why=Why.DELAYED_ACK)
    t.expect_nothing()


def _expect_state(t, state):
    if state in (State.LISTEN, State.CLOSED):
        assert not t.host.connections
        assert (state is State.LISTEN) <= bool(t.host.listeners)
    else:
        assert current(t) is state
