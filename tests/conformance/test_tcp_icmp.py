"""ICMP errors and path MTU discovery (RFC 9293 §3.9.2.2, RFC 5927, RFC 1191, RFC 8201)."""

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire.batch import Inbound
from stack.wire.segment import build_icmp, build_tcp
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, SECOND
from tests.support.packets import fragments
from tests.support.seen import texts

ROUTER = {4: "192.0.2.254", 6: "2001:db8::fe"}
UNREACHABLE = {4: 3, 6: 1}
versions = pytest.mark.parametrize("version", [4, 6])


def error(t, kind, code, *, seq, rest=0, port=None, size=None):
    """An ICMP error that quotes a segment of ours with this relative sequence number."""
    version = t.version
    quoted = build_tcp(
        OURS[version],
        PEER[version],
        t.local_port,
        t.peer.port if port is None else port,
        seq=((t.iss or 0) + seq) & 0xFFFF_FFFF,
        text=bytes(1460 if size is None else size),
    )
    body = quoted[:28] if version == 4 else quoted[:1200]
    t.arrive(build_icmp(ROUTER[version], OURS[version], kind, code, rest=rest, body=body))


def too_big(t, mtu, *, seq, **fields):
    kind, code = (3, 4) if t.version == 4 else (2, 0)
    error(t, kind, code, seq=seq, rest=mtu, **fields)


def established(t):
    states.established(t)
    return t


# ---- fragmentation needed -----------------------------------------------------------------------


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("8201", "4")
@pytest.mark.rfc("9293", "MUST-16")
@versions
@pytest.mark.parametrize("sack", [False, True])
def test_a_narrower_path_makes_segments_smaller_and_what_did_not_fit_leaves_again(
    tcp, version, sack
):
    t = established(tcp(version, peer={"sack": sack}))
    data = bytes(range(251)) * 40
    t.send(data)
    first = t.take()
    too_big(t, 1300, seq=1)
    headers = {4: 40, 6: 60}[version]
    again = t.take()
    assert again, "the segments that did not fit are repeated at once"
    assert {one.why for one in again} == {Why.PATH_MTU}
    assert max(one.length for one in again) == 1300 - headers
    got = {}
    for _ in range(60):
        for one in again:
            got[one.seq] = one.text
        reached = 1
        for seq in sorted(got):
            if seq <= reached:
                reached = max(reached, seq + len(got[seq]))
        t.advance(10 * MS)
        t.inject("A", ack=reached)
        again = t.take()
        if reached == len(data) + 1:
            break
    assert reached == len(data) + 1
    assert texts(first)[:100] == data[:100]
    assert t.tcp.send_queued == 0
    t.send(bytes(5000))
    assert max(one.length for one in t.take()) == 1300 - headers


@pytest.mark.rfc("1191", "6.4")
@pytest.mark.rfc("8201", "5.4")
def test_a_narrower_path_is_no_congestion(tcp):
    t = established(tcp(congestion="reno"))
    t.send(bytes(14_600))
    t.take()
    too_big(t, 1300, seq=1)
    t.take()
    assert t.tcb.ssthresh > 1 << 30


@pytest.mark.rfc("5927", "7")
@versions
@pytest.mark.parametrize("seq", [-5000, 0, 14_602, 100_000])
def test_a_packet_too_big_about_nothing_in_flight_is_a_guess(tcp, version, seq):
    t = established(tcp(version))
    t.send(bytes(1000))
    t.take()
    t.inject("A")
    t.send(bytes(13_600))
    t.take()
    before = t.tcb.snd_mss
    too_big(t, 1300, seq=seq)
    assert t.tcb.snd_mss == before
    t.expect_nothing()


@pytest.mark.rfc("5927", "4.1")
def test_an_error_for_another_four_tuple_is_not_ours(tcp):
    t = established(tcp())
    t.send(bytes(5000))
    t.take()
    before = t.tcb.snd_mss
    too_big(t, 1300, seq=1, port=41_000)
    assert t.tcb.snd_mss == before


@pytest.mark.rfc("8201", "4")
def test_no_message_brings_an_ipv6_path_below_its_minimum(tcp):
    t = established(tcp(6))
    t.send(bytes(5000))
    t.take()
    too_big(t, 600, seq=1)
    assert t.tcb.snd_mss >= 1220
    t.take()


@pytest.mark.rfc("8201", "5.3")
@pytest.mark.rfc("1191", "6.3")
@pytest.mark.rfc("8201", "4")
@versions
def test_after_ten_minutes_a_wider_path_is_tried(tcp, version):
    t = established(tcp(version))
    t.send(bytes(100))
    t.take()
    t.inject("A")
    whole = t.tcb.snd_mss
    t.send(bytes(3000))
    t.take()
    too_big(t, 1300, seq=101)
    t.take()
    assert t.tcb.snd_mss < whole
    t.inject("A", ack=3101)
    t.advance(601 * SECOND)
    assert t.tcb.snd_mss == whole


def test_a_window_below_one_segment_of_a_wider_path_does_not_stop_the_sender(tcp):
    t = established(tcp())
    t.send(bytes(1460))
    t.take()
    too_big(t, 576, seq=1)
    t.take()
    t.advance(3 * SECOND)  # a timeout: one small segment is all that cwnd allows
    t.take()
    t.inject("A", ack=1461)
    t.tcb.cwnd = t.tcb.snd_mss
    t.advance(601 * SECOND)
    t.send(bytes(3000))
    t.expect(within=SECOND)
    t.take()


@pytest.mark.rfc("9040", "6.1")
@versions
def test_the_path_of_one_connection_serves_the_next_one_to_the_same_peer(tcp, version):
    t = established(tcp(version))
    t.send(bytes(3000))
    t.take()
    too_big(t, 1300, seq=1)
    t.take()
    t.abort()
    t.take()
    t.advance(SECOND)
    t.peer.nxt = t.peer.acks = 0
    t.peer.iss += 100_000
    t.inject("S")
    t.expect("SA", mss=1500 - {4: 40, 6: 60}[version])  # what we take is not what the path carries
    t.inject("A")
    t.accept()
    t.send(bytes(3000))
    assert t.take()[0].length == 1300 - {4: 40, 6: 60}[version]


# ---- unreachable ---------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-26")
@pytest.mark.rfc("9293", "MUST-54")
@pytest.mark.rfc("5461", "4.1")
@versions
def test_a_hard_error_ends_a_connection_attempt(tcp, version):
    t = tcp(version)
    states.syn_sent(t)
    error(t, UNREACHABLE[version], {4: 3, 6: 4}[version], seq=0, size=0)
    t.expect_state(State.CLOSED)
    with pytest.raises(ConnectionRefusedError):
        t.receive()


@pytest.mark.rfc("9293", "MUST-56")
@versions
@pytest.mark.parametrize("state", [State.SYN_SENT, State.ESTABLISHED])
def test_a_soft_error_ends_nothing(tcp, version, state):
    t = tcp(version)
    states.reach(t, state)
    if state == State.ESTABLISHED:
        t.send(b"x")
        t.take()
    codes = {4: [(3, 0), (3, 1), (3, 5), (11, 0), (12, 0)], 6: [(1, 0), (1, 3), (3, 0), (4, 0)]}
    for kind, code in codes[version]:
        error(t, kind, code, seq=0 if state == State.SYN_SENT else 1, size=1)
    t.expect_state(state)


@pytest.mark.rfc("5927", "5.2")
@pytest.mark.rfc("5461", "4.1")
@pytest.mark.parametrize(("kind", "code"), [(3, 2), (3, 3), (3, 4), (3, 13)])
def test_no_error_ends_an_established_connection(tcp, kind, code):
    t = established(tcp())
    t.send(b"x")
    t.take()
    error(t, kind, code, seq=1, size=1, rest=1400)
    t.expect_state(State.ESTABLISHED)
    t.inject("A")
    t.send(b"still here")
    t.expect("PA")


@pytest.mark.rfc("9293", "MUST-47")
@pytest.mark.rfc("9293", "SHLD-25")
def test_a_soft_error_is_kept_for_the_application(tcp):
    t = established(tcp())
    t.send(b"x")
    t.take()
    error(t, 3, 1, seq=1, size=1)
    assert t.tcp.soft_error != 0
    t.inject("A")


@pytest.mark.rfc("9293", "MUST-55")
@pytest.mark.rfc("6633", "3")
def test_source_quench_is_ignored(tcp):
    t = established(tcp())
    t.send(bytes(5000))
    t.take()
    before = t.tcb.cwnd
    error(t, 4, 0, seq=1)
    assert t.tcb.cwnd == before
    t.expect_nothing()


@pytest.mark.rfc("9293", "MUST-50")
def test_ip_options_that_are_not_understood_are_ignored(tcp):
    t = established(tcp())
    t.inject("PA", text=b"x", ip_options=b"\x94\x04\x00\x00")
    assert t.receive() == b"x"
    t.take()


@pytest.mark.rfc("9293", "3.9.2")
def test_a_segment_in_fragments_is_one_segment(tcp):
    t = established(tcp())
    whole = t.packet("PA", text=bytes(range(200)) * 5)
    for piece in reversed(fragments(whole, [400, 800])):
        t.capture.append((t.now, piece))
        t.host.receive(Inbound.of([piece]), t.now)
    t.capture.append((t.now, whole))
    t._after()
    assert t.receive() == bytes(range(200)) * 5
    t.take()
