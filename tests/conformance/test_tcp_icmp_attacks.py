"""ICMP errors that anybody may have forged (RFC 5927), and what TCP makes of honest ones that
speak of passing trouble (RFC 5461) or of none any more (RFC 6633).
"""

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire.segment import build_icmp, build_tcp, parse
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, SECOND, Peer

versions = pytest.mark.parametrize("version", [4, 6])
HEADERS = {4: 40, 6: 60}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
# Everything that RFC 1122 §4.2.3.9 and RFC 4443 call an error that no waiting can mend.
HARD = [(4, 3, code) for code in (2, 3, 9, 10, 13, 14, 15)]
HARD += [(6, 1, code) for code in (1, 4, 5, 6)] + [(6, 4, 1)]
SOFT = [(4, 3, code) for code in (0, 1, 5, 6, 7, 8, 11, 12)] + [(4, 11, 0), (4, 11, 1), (4, 12, 0)]
SOFT += [(6, 1, 0), (6, 1, 2), (6, 1, 3), (6, 3, 0), (6, 3, 1), (6, 4, 0), (6, 100, 0)]
ALL = HARD + SOFT + [(version, *TOO_BIG[version]) for version in (4, 6)] + [(4, 4, 0)]

# A segment of ours is on its way in each of these.
BUSY = [State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK]


def forge(t, kind, code, *, seq, rest=0, port=None, sender=None):
    """An ICMP error about a full-sized segment of ours with this relative number."""
    version = t.version
    quoted = build_tcp(
        OURS[version],
        PEER[version],
        t.local_port,
        t.peer.port if port is None else port,
        seq=((t.iss or 0) + seq) & 0xFFFF_FFFF,
        text=bytes(1400),
    )
    body = quoted[:28] if version == 4 else quoted[:1200]
    source = sender or {4: "203.0.113.66", 6: "2001:db8:bad::66"}[version]
    t.arrive(build_icmp(source, OURS[version], kind, code, rest=rest, body=body))


def too_big(t, mtu, *, seq):
    forge(t, *TOO_BIG[t.version], seq=seq, rest=mtu)


def busy(tcp, state, version):
    """In `state`, with something in flight; where that begins."""
    t = tcp(version)
    states.reach(t, state)
    if state in (State.ESTABLISHED, State.CLOSE_WAIT):
        t.send(bytes(5000))
        t.take()
        return t, 1
    return t, 0 if state == State.SYN_SENT else 1


def standing(t):
    """Whatever an error could change."""
    tcb = t.tcb
    return t.state, tcb.snd_mss, tcb.cwnd, tcb.ssthresh, tcb.lost, t.tcp.error, t.tcp.soft_error


# ---- section 4: is it about something in flight? ---------------------------------------------


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize(("version", "kind", "code"), ALL)
@pytest.mark.parametrize("state", [State.SYN_SENT, State.ESTABLISHED])
def test_an_error_about_nothing_in_flight_changes_nothing(tcp, state, version, kind, code):
    t, una = busy(tcp, state, version)
    before = standing(t)
    nxt = t.our_number(t.tcb.snd_nxt)
    for seq in (una - 1, nxt, nxt + 1, una + (1 << 31), una - 100_000):
        forge(t, kind, code, seq=seq, rest=1300)
    t.expect_nothing()
    assert standing(t) == before
    assert not t.ready_of() & Ready.SOFT_ERROR


@pytest.mark.rfc("5927", "4.1")
@versions
def test_on_an_idle_connection_no_number_is_right(tcp, version):
    t = tcp(version)
    states.established(t)
    t.send(bytes(3000))
    t.take()
    t.inject("A")
    before = standing(t)
    for seq in (1, 3000, 3001, 3002):
        too_big(t, 1300, seq=seq)
        forge(t, *{4: (3, 3), 6: (1, 4)}[version], seq=seq)
    assert standing(t) == before


@pytest.mark.rfc("5927", "4.1")
def test_data_that_was_acknowledged_is_in_flight_no_more(tcp):
    t = tcp()
    states.established(t)
    t.send(bytes(5840))
    t.take()
    t.inject("A", ack=2921)
    t.take()
    before = t.tcb.snd_mss
    for seq in (1, 1461, 2920):
        too_big(t, 1300, seq=seq)
    assert t.tcb.snd_mss == before


@pytest.mark.rfc("5927", "4.2")
@versions
def test_whoever_does_not_know_the_port_cannot_forge(tcp, version):
    t, una = busy(tcp, State.ESTABLISHED, version)
    before = standing(t)
    for port in (1, t.peer.port - 1, t.peer.port + 1):
        forge(t, *TOO_BIG[version], seq=una, rest=1300, port=port)
        forge(t, *{4: (3, 3), 6: (1, 4)}[version], seq=una, port=port)
    assert standing(t) == before
    assert t.host.counters["IcmpInForeign"] == 6


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("kept", [0, 8, 19, 20, 24, 27])
def test_a_quote_without_a_sequence_number_is_no_proof(tcp, kept):
    t, una = busy(tcp, State.ESTABLISHED, 4)
    quoted = build_tcp(OURS[4], PEER[4], t.local_port, t.peer.port, seq=t.iss + una)[:kept]
    t.arrive(build_icmp(PEER[4], OURS[4], 3, 4, rest=600, body=quoted))
    assert t.tcb.snd_mss == 1460


# ---- section 5: blind connection reset ---------------------------------------------------------


@pytest.mark.rfc("5927", "5.2")
@pytest.mark.rfc("5461", "2.1")
@pytest.mark.parametrize(("version", "kind", "code"), HARD)
@pytest.mark.parametrize("state", BUSY)
def test_a_hard_error_is_soft_in_every_synchronised_state(tcp, state, version, kind, code):
    t, una = busy(tcp, state, version)
    forge(t, kind, code, seq=una)
    t.expect_state(state)
    assert t.tcp.error == 0
    assert t.tcp.soft_error
    t.take()


@pytest.mark.rfc("5927", "5.2")
@pytest.mark.parametrize(("version", "kind", "code"), HARD)
def test_a_hard_error_ends_no_connection_that_a_peer_is_opening(tcp, version, kind, code):
    t = tcp(version)
    states.syn_received(t)
    forge(t, kind, code, seq=0)
    t.expect_state(State.SYN_RECEIVED)
    t.inject("A")
    t.accept()


@pytest.mark.rfc("5461", "2.1")
@pytest.mark.parametrize(("version", "kind", "code"), [c for c in HARD if c != (6, 4, 1)])
def test_a_hard_error_about_its_syn_ends_an_attempt(tcp, version, kind, code):
    t = tcp(version)
    states.syn_sent(t)
    forge(t, kind, code, seq=0)
    t.expect_state(State.CLOSED)
    assert t.tcp.error
    t.expect_nothing(10 * SECOND)


@pytest.mark.rfc("5461", "2.2")
@pytest.mark.parametrize(("version", "kind", "code"), SOFT)
@pytest.mark.parametrize("state", [State.SYN_SENT, *BUSY])
def test_a_soft_error_is_noted_and_sending_goes_on(tcp, state, version, kind, code):
    t, una = busy(tcp, state, version)
    forge(t, kind, code, seq=una)
    t.expect_state(state)
    assert t.tcp.soft_error
    assert t.ready_of() & Ready.SOFT_ERROR
    assert not t.pending
    t.expect(within=4 * SECOND)  # the retransmission, as if nothing had been said
    t.take()
    t.expect_state(state)


# ---- section 6: blind throughput reduction -------------------------------------------------------


@pytest.mark.rfc("5927", "6.2")
@pytest.mark.rfc("6633", "3")
@pytest.mark.parametrize("state", [State.SYN_SENT, State.ESTABLISHED, State.FIN_WAIT_1])
def test_no_source_quench_slows_anything_down_or_is_told(tcp, state):
    t, una = busy(tcp, state, 4)
    before = standing(t)
    for _ in range(10):
        forge(t, 4, 0, seq=una)
    assert standing(t) == before
    assert not t.ready_of() & Ready.SOFT_ERROR
    t.expect_nothing()


@pytest.mark.rfc("6633", "3")
def test_a_host_that_is_overrun_sends_no_source_quench(tcp):
    t = tcp(syn_queue=1, syn_cookies=False, receive_buffer=5000)
    t.listen()
    t.judged = False
    for port in range(100):
        t.inject("S", seq=0, port=10_000 + port)
    t.advance(SECOND)
    assert not [data for _, data in t.capture if parse(data).protocol == 1]
    t.take()


# ---- section 7: blind performance degradation ------------------------------------------------------


def proven(tcp, version, **settings):
    """Full segments were acknowledged, and more are on their way."""
    t = tcp(version, **settings)
    states.established(t)
    t.send(bytes(3000))
    t.take()
    t.advance(20 * MS)
    t.inject("A")
    t.send(bytes(6000))
    t.take()
    return t


@pytest.mark.rfc("5927", "7.2")
@versions
@pytest.mark.parametrize("ts", [False, True])
def test_a_claim_that_the_segment_fits_is_void(tcp, version, ts):
    t = tcp(version, peer=Peer(ts=ts))
    states.established(t)
    t.send(bytes(1240))
    t.take()
    before = t.tcb.snd_mss
    size = 1240 + HEADERS[version] + 12 * ts
    for claimed in (65_535, 1500, 1400, size):
        too_big(t, claimed, seq=1)
    assert t.tcb.snd_mss == before
    t.expect_nothing()
    too_big(t, size - 1, seq=1)
    assert t.tcb.snd_mss == size - 1 - HEADERS[version] - 12 * ts
    t.take()


@pytest.mark.rfc("5927", "7.2")
@pytest.mark.parametrize(
    ("version", "claims"), [(4, (1, 20, 40, 67)), (6, (0, 1, 60, 68, 576, 1279))]
)
def test_a_claim_below_what_every_path_takes_is_void(tcp, version, claims):
    t = tcp(version)
    states.established(t)
    t.send(bytes(5000))
    t.take()
    before = t.tcb.snd_mss
    for claimed in claims:
        too_big(t, claimed, seq=1)
    t.advance(100 * MS)
    assert t.tcb.snd_mss == before
    t.take()


@pytest.mark.rfc("5927", "7.2")
def test_the_smallest_claim_leaves_segments_of_use(tcp):
    t = tcp()
    states.established(t)
    t.send(bytes(5000))
    t.take()
    too_big(t, 68, seq=1)
    assert t.tcb.snd_mss == 552 - 40
    assert not any(one.packet.dont_fragment for one in t.take())


@pytest.mark.rfc("5927", "7.3.1")
@versions
def test_a_bulk_transfer_finds_its_path_without_waiting(tcp, version):
    t = tcp(version)
    states.established(t)
    t.send(bytes(30_000))
    t.take()
    for mtu in (1450, 1400, 1300):
        too_big(t, mtu, seq=1)
        sent = t.take()
        assert {one.why for one in sent} == {Why.PATH_MTU}
        assert sent[0].length == mtu - HEADERS[version]


@pytest.mark.rfc("5927", "7.3.2")
@versions
def test_a_path_that_became_narrower_costs_one_timeout(tcp, version):
    t = proven(tcp, version)
    before = t.tcb.snd_mss
    too_big(t, 1300, seq=3001)
    assert t.tcb.snd_mss == before
    one = t.expect(within=SECOND)
    assert one.seq == 3001
    t.take()
    t.advance(SECOND)
    t.take()
    assert t.tcb.snd_mss == 1300 - HEADERS[version]
    t.inject("A", ack=9001)
    t.send(bytes(3000))
    assert t.take()[0].length == 1300 - HEADERS[version]


@pytest.mark.rfc("5927", "7.3.3")
@versions
def test_an_idle_connection_keeps_what_it_knows(tcp, version):
    t = proven(tcp, version)
    t.inject("A")
    before = t.tcb.snd_mss
    for seq in range(8990, 9010):
        too_big(t, 1300, seq=seq)
    t.advance(60 * SECOND)
    t.send(bytes(5000))
    assert t.take()[0].length == before == t.tcb.snd_mss


@pytest.mark.rfc("5927", "7.3.4")
@versions
def test_an_active_connection_outlives_every_claim_by_making_progress(tcp, version):
    t = proven(tcp, version)
    before = t.tcb.snd_mss
    for _ in range(20):
        too_big(t, 1300, seq=t.our_number(t.tcb.snd_una))
        t.advance(20 * MS)
        t.inject("A")
        t.send(bytes(3000))
        t.take()
    t.advance(20 * MS)
    t.inject("A")
    t.take()
    assert t.tcb.snd_mss == before
    assert t.host.path_mtu.mtu_to(t.tcp.remote_packed) == 1500


@pytest.mark.rfc("5927", "7.3.5")
@versions
def test_small_segments_behind_the_handshake_are_about_no_path(tcp, version):
    t = tcp(version)
    states.established(t)
    before = t.tcb.snd_mss
    for at in range(5):
        t.send(b"a few bytes")
        t.take()
        too_big(t, 1300, seq=1 + 11 * at)
        t.advance(20 * MS)
        t.inject("A")
    assert t.tcb.snd_mss == before
    t.send(bytes(5000))
    assert t.take()[0].length == before


@pytest.mark.rfc("5927", "7.2")
@versions
def test_an_attack_on_one_connection_does_not_narrow_the_others(tcp, version):
    t = proven(tcp, version)
    too_big(t, 1300, seq=3001)
    t.inject("A")
    t.advance(2 * SECOND)
    t.take()
    assert t.host.path_mtu.mtu_to(t.tcp.remote_packed) == 1500


@pytest.mark.rfc("9040", "7.2")
@versions
def test_what_one_connection_learns_of_the_path_holds_for_all_to_that_peer(tcp, version):
    t = tcp(version)
    states.established(t)
    t.host.connect(PEER[version], 4711, t.now)
    (_, other) = t.host.connections.values()
    t.send(bytes(5000))
    t.take()
    too_big(t, 1300, seq=1)
    assert other.tcb.snd_mss <= 1300 - HEADERS[version]
    assert t.tcb.snd_mss == 1300 - HEADERS[version]
    t.take()
    t.judged = False
