"""Listeners and their queues, and who gets which port."""

import errno
from collections import Counter

import pytest

from stack.core.tcp.states import State
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, PORT, SECOND, Peer

versions = pytest.mark.parametrize("version", [4, 6])


# ---- two SYNs, one port ------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-41")
def test_a_listener_does_not_disturb_a_connection_on_its_port(tcp):
    t = tcp()
    states.established(t)
    first = t.tcp
    t.inject("S", port=41_000, seq=0)
    one = t.take()[0]
    assert (one.flags, one.dport) == ("SA", 41_000)
    t.inject("PA", text=b"still here")
    t.take()
    assert first.receive(100, t.now) == b"still here"


@pytest.mark.rfc("9293", "MUST-42")
def test_a_listener_may_open_while_its_port_is_in_syn_sent(tcp):
    t = tcp()
    t.connect(local_port=PORT)
    t.expect("S")
    t.listen()
    t.inject("S", port=41_000, seq=0)
    assert t.take()[0].flags == "SA"
    t.inject("SA", seq=0)
    t.expect_state(State.ESTABLISHED)
    t.take()


@pytest.mark.rfc("9293", "MUST-43")
def test_a_connect_takes_the_local_address_that_it_is_told(tcp):
    t = tcp()
    connection = t.connect(local_address=OURS[4], local_port=1234)
    assert connection.local == (OURS[4], 1234)
    t.expect("S")
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], 80, t.now, local_address="198.51.100.7")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.rfc("9293", "MUST-44")
@versions
def test_a_connect_asks_ip_for_its_source_address(tcp, version):
    t = tcp(version)
    assert t.connect().local[0] == OURS[version]
    t.expect("S")


def test_one_four_tuple_cannot_be_used_twice(tcp):
    t = tcp()
    t.connect(local_port=50_000)
    t.expect("S")
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], t.peer.port, t.now, local_port=50_000)
    assert caught.value.errno == errno.EADDRINUSE


# ---- local ports ----------------------------------------------------------------------


@pytest.mark.rfc("6056", "3.3.3")
def test_local_ports_come_from_the_ephemeral_range_in_an_order_that_the_secret_decides(tcp):
    def ports(seed):
        t = tcp(seed=seed)
        found = [t.host.connect(PEER[4], 80, t.now).local[1] for _ in range(5)]
        t.judged = False
        t._after()
        t.take()
        return found

    first, second = ports(1), ports(2)
    assert all(32_768 <= port <= 60_999 for port in first + second)
    assert len(set(first)) == 5
    assert first[0] != second[0]


@pytest.mark.rfc("6056", "3.3.3")
def test_a_port_is_not_reused_at_once_when_its_connection_is_gone(tcp):
    t = tcp()
    used = []
    for _ in range(20):
        connection = t.host.connect(PEER[4], 80, t.now)
        used.append(connection.local[1])
        connection.abort(t.now)
    assert len(set(used)) == 20


def test_when_all_ports_are_taken_connect_says_so(tcp):
    t = tcp(first_ephemeral_port=40_000, last_ephemeral_port=40_019)
    t.judged = False
    taken = Counter(t.host.connect(PEER[4], 80, t.now).local[1] for _ in range(20))
    assert set(taken) == set(range(40_000, 40_020))
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], 80, t.now)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert t.host.connect(PEER[4], 81, t.now).local[1] in taken
    t._after()
    t.take()


# ---- listeners --------------------------------------------------------------------------


def handshake(t, port, steps=2):
    t.peer = Peer(port=port)
    t.inject("S")
    answer = t.take()
    if steps == 2 and answer:
        t.inject("A")
    return answer


@pytest.mark.rfc("4987", "3.2")
def test_a_syn_for_a_full_accept_queue_is_dropped_and_counted(tcp):
    t = tcp()
    t.judged = False  # many peers
    t.listen(backlog=3)
    for number in range(3):
        assert handshake(t, 40_000 + number)
    assert not handshake(t, 40_003)
    assert t.host.counters["ListenOverflows"] == 1
    assert t.listener.accept() is not None
    assert handshake(t, 40_003)


@pytest.mark.rfc("4987", "3.2")
def test_a_handshake_that_finds_the_accept_queue_full_completes_later(tcp):
    t = tcp()
    t.judged = False
    t.listen(backlog=1)
    handshake(t, 40_001, steps=1)
    waiting = t.peer, t.iss
    handshake(t, 40_002)
    t.peer, t.iss = waiting
    t.inject("A")
    assert t.listener.half_open == 1
    assert t.listener.accept() is not None
    t.inject("A")
    assert t.listener.accept() is not None


@pytest.mark.rfc("4987", "3.2")
def test_a_full_syn_queue_drops_syns_and_holds_no_memory_for_them(tcp):
    t = tcp(syn_queue=10, syn_cookies=False)
    t.judged = False
    t.listen()
    for number in range(30):
        handshake(t, 41_000 + number, steps=1)
    assert len(t.host.connections) == t.listener.half_open == 10
    assert t.host.counters["TCPReqQFull"] == 20
    t.advance(400 * SECOND)
    assert not t.host.connections
    assert handshake(t, 42_000)
    t.take()


def test_a_listener_that_closes_resets_what_nobody_accepted(tcp):
    t = tcp()
    t.judged = False
    t.listen()
    handshake(t, 40_001)
    handshake(t, 40_002, steps=1)
    t.listener.close(t.now)
    t._after()
    assert sorted((one.flags, one.dport) for one in t.take()) == [("RA", 40_001), ("RA", 40_002)]
    assert not t.host.connections
    assert handshake(t, 40_003, steps=1)[0].flags == "RA"


def test_a_connection_that_was_reset_before_accept_tells_so_to_who_accepts_it(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("A")
    t.inject("R")
    t.accept()
    with pytest.raises(ConnectionResetError):
        t.receive()


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (None, None, True),
        (None, "0.0.0.0", True),
        ("0.0.0.0", "::", False),
        (OURS[4], OURS[4], True),
        (OURS[4], "0.0.0.0", False),
        (OURS[4], OURS[6], False),
    ],
)
def test_listeners_clash_only_where_both_would_take_the_same_syn(tcp, first, second, clash):
    t = tcp()
    t.host.listen(first, PORT)
    if clash:
        with pytest.raises(OSError) as caught:
            t.host.listen(second, PORT)
        assert caught.value.errno == errno.EADDRINUSE
    else:
        t.host.listen(second, PORT)


def test_the_listener_with_the_address_goes_before_the_one_for_all(tcp):
    t = tcp()
    everywhere = t.host.listen(None, PORT)
    here = t.listen()
    t.inject("S")
    t.expect("SA")
    assert here.half_open == 1
    assert not everywhere.half_open


def test_closing_before_the_syn_has_left_sends_nothing(tcp):
    t = tcp()
    connection = t.host.connect(PEER[4], 80, t.now)
    connection.close(t.now)
    t._after()
    t.expect_nothing(10 * SECOND)
    assert not t.host.connections


def test_a_reset_that_overtakes_our_syn_ack_leaves_nothing_behind(tcp):
    t = tcp()
    t.listen()
    t.arrive(t.packet("S"), t.packet("R"))
    t.expect_nothing(10 * SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-45")
def test_a_syn_that_is_repeated_comes_from_the_same_address(tcp):
    t = tcp()
    t.connect()
    first = t.expect("S")
    again = t.expect("S", within=2 * SECOND)
    assert first.packet.src == again.packet.src


def test_many_connections_open_and_close_without_a_trace(tcp):
    t = tcp(watched=False)
    t.judged = False
    t.listen(backlog=600)
    for number in range(500):
        handshake(t, 1024 + number)
    assert len(t.host.connections) == 500
    for number in range(500):
        t.connection = t.accept()
        t.close()
        t.peer = Peer(port=1024 + number, nxt=1, acks=2)
        t.iss = t.tcb.iss
        t.inject("FA")
    t.take()
    t.advance(61 * SECOND)
    assert not t.host.connections
    assert t.host.next_deadline() is None
    assert t.host.counters["TW"] == 500


def test_the_time_between_syn_and_answer_is_the_first_round_trip_sample(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.advance(80 * MS)
    t.inject("SA")
    t.expect("A")
    assert t.tcb.srtt == 80 * MS
    assert t.tcb.rttvar == 40 * MS
