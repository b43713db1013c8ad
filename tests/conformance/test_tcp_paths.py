"""What a connection learns of its path: by routers, by probes, and by those before it."""

import errno

import pytest

from stack.core.config import HostConfig
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.congestion.base import INFINITE
from stack.core.tcp.metrics import Metrics, MetricsCache
from stack.core.tcp.mtu_probe import BASE
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.sim import Network
from stack.wire.segment import build_icmp, build_tcp
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, SECOND, Peer

versions = pytest.mark.parametrize("version", [4, 6])
HEADERS = {4: 40, 6: 60}
ROUTER = {4: "192.0.2.254", 6: "2001:db8::fe"}


def established(tcp, *arguments, **settings):
    t = tcp(*arguments, **settings)
    states.established(t)
    return t


def error(t, kind, code, *, seq, rest=0, size=1400):
    """An ICMP error about a segment of ours."""
    quoted = build_tcp(
        OURS[t.version],
        PEER[t.version],
        t.local_port,
        t.peer.port,
        seq=((t.iss or 0) + seq) & 0xFFFF_FFFF,
        text=bytes(size),
    )
    body = quoted[:28] if t.version == 4 else quoted[:1200]
    t.arrive(build_icmp(ROUTER[t.version], OURS[t.version], kind, code, rest=rest, body=body))


def too_big(t, mtu, *, seq):
    error(t, *((3, 4) if t.version == 4 else (2, 0)), seq=seq, rest=mtu)


# ---- when a router is believed ----------------------------------------------------------


def proven(tcp, *arguments, **settings):
    """Full segments were acknowledged: the path carries them."""
    t = established(tcp, *arguments, **settings)
    t.send(bytes(3000))
    t.take()
    t.advance(20 * MS)
    t.inject("A")
    t.take()
    return t


@pytest.mark.rfc("5927", "7.2")
@versions
def test_a_claim_against_what_was_acknowledged_waits_for_a_timeout(tcp, version):
    t = proven(tcp, version)
    whole = t.tcb.snd_mss
    t.send(bytes(6000))
    t.take()
    too_big(t, 1300, seq=3001)
    assert t.tcb.snd_mss == whole
    t.expect_nothing()
    t.advance(SECOND)
    assert t.tcb.snd_mss == 1300 - HEADERS[version]
    again = [one for one in t.take() if one.seq == 3001]
    assert again[-1].length == 1300 - HEADERS[version]


@pytest.mark.rfc("5927", "7.2")
def test_progress_shows_that_the_claim_was_forged(tcp):
    t = proven(tcp)
    whole = t.tcb.snd_mss
    t.send(bytes(6000))
    t.take()
    too_big(t, 600, seq=3001)
    t.advance(20 * MS)
    t.inject("A")
    t.send(bytes(3000))
    t.take()
    t.advance(2 * SECOND)
    t.take()
    assert t.tcb.snd_mss == whole


@pytest.mark.rfc("5927", "7.2")
def test_progress_below_the_segment_in_question_shows_nothing(tcp):
    t = proven(tcp)
    t.send(bytes(6000))
    t.take()
    too_big(t, 1300, seq=4461)
    t.advance(20 * MS)
    t.inject("A", ack=4461)
    t.take()
    t.advance(2 * SECOND)
    t.take()
    assert t.tcb.snd_mss == 1260


@pytest.mark.rfc("5927", "7.2")
@versions
def test_before_any_full_segment_was_acknowledged_a_router_is_believed_at_once(tcp, version):
    t = established(tcp, version)
    t.send(bytes(500))
    t.take()
    t.inject("A")
    t.send(bytes(6000))
    t.take()
    too_big(t, 1300, seq=501)
    assert t.tcb.snd_mss == 1300 - HEADERS[version]
    assert {one.why for one in t.take()} == {Why.PATH_MTU}


@pytest.mark.rfc("5927", "7.2")
def test_a_flood_of_forged_claims_does_not_slow_a_transfer_down(tcp):
    t = proven(tcp)
    whole = t.tcb.snd_mss
    for _ in range(50):
        t.send(bytes(3000))
        t.take()
        too_big(t, 576, seq=t.our_number(t.tcb.snd_una))
        t.advance(10 * MS)
        t.inject("A")
    assert t.tcb.snd_mss == whole
    assert t.host.counters["PathMtuLowered"] == 0
    t.take()


# ---- soft errors --------------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-20")
def test_the_application_may_have_no_reports_of_soft_errors(tcp):
    t = established(tcp)
    t.tcp.reports_errors = False
    t.send(b"x")
    t.take()
    error(t, 3, 1, seq=1, size=1)
    assert not t.ready_of() & Ready.SOFT_ERROR
    assert t.tcp.soft_error == errno.EHOSTUNREACH


@pytest.mark.rfc("9293", "SHLD-25")
@pytest.mark.rfc("1122", "4.2.3.9")
def test_what_a_router_said_explains_the_end_of_a_connection(tcp):
    t = established(tcp)
    t.tcp.set("user_timeout", 5 * SECOND)
    t.send(b"x")
    t.take()
    error(t, 3, 0, seq=1, size=1)
    t.advance(20 * SECOND)
    t.take()
    t.expect_state(State.CLOSED)
    assert t.tcp.error == errno.ENETUNREACH


@pytest.mark.rfc("5461", "4.1")
def test_what_a_router_said_explains_why_an_attempt_failed(tcp):
    t = tcp()
    states.syn_sent(t)
    error(t, 3, 1, seq=0, size=0)
    t.expect_state(State.SYN_SENT)
    t.advance(400 * SECOND)
    t.take()
    assert t.tcp.error == errno.EHOSTUNREACH


def test_a_soft_error_is_forgotten_when_the_path_works_again(tcp):
    t = established(tcp)
    t.tcp.set("user_timeout", 5 * SECOND)
    t.send(b"x")
    t.take()
    error(t, 3, 1, seq=1, size=1)
    t.inject("A")
    t.send(b"y")
    t.take()
    t.advance(20 * SECOND)
    t.take()
    assert t.tcp.error == errno.ETIMEDOUT


# ---- probing ------------------------------------------------------------------------------


class NarrowPath:
    """The peer behind a path that swallows packets above `mtu`, and says nothing."""

    def __init__(self, t, mtu):
        self.t, self.mtu = t, mtu
        self.got = set()
        self.reached = 1
        self.probes = []

    def carry(self):
        """One round trip: what arrives is acknowledged."""
        t = self.t
        arrived = []
        for one in t.take():
            if one.why is Why.MTU_PROBE:
                self.probes.append(len(one.packet.data))
            if one.length and len(one.packet.data) <= self.mtu:
                arrived.append(one)
        t.advance(8 * MS)
        for one in arrived:
            t.advance(10)  # what is sent at the same µs looks reordered
            self.got.update(range(one.seq, one.seq + one.length))
            while self.reached in self.got:
                self.reached += 1
            beyond = one.seq > self.reached and t.peer.sack
            block = [(one.seq, one.seq + one.length)] if beyond else []
            t.inject("A", ack=self.reached, sack=block)

    def run(self, data, limit=400):
        """Sends `data` and carries it all; returns how long that took in µs."""
        start, left, end = self.t.now, memoryview(data), self.reached + len(data)
        for _ in range(limit):
            left = left[self.t.send(bytes(left[:100_000])) if left else 0 :]
            self.carry()
            if self.reached == end:
                return self.t.now - start
        raise AssertionError(f"stuck at {self.reached} of {end}")


@pytest.mark.rfc("4821", "7.7")
@pytest.mark.rfc("8899", "4.3")
@versions
@pytest.mark.parametrize("sack", [True, False])
def test_a_black_hole_is_found_and_the_path_behind_it_measured(tcp, version, sack):
    t = established(tcp, version, mtu_probing="black hole", peer={"sack": sack})
    path = NarrowPath(t, 1400)
    path.run(bytes(400_000))
    assert t.host.counters["TCPMTUPBlackHole"] == 1
    assert 1400 - 8 <= t.tcp.mtu_probe.low <= 1400
    assert t.tcb.snd_mss == t.tcp.mtu_probe.low - HEADERS[version]
    assert len(path.probes) <= 10
    assert t.host.path_mtu.mtu_to(t.tcp.remote_packed) == t.tcp.mtu_probe.low


@pytest.mark.rfc("4821", "7.7")
def test_without_probing_a_black_hole_stops_the_connection(tcp):
    t = established(tcp)
    path = NarrowPath(t, 1400)
    with pytest.raises(AssertionError, match="stuck"):
        path.run(bytes(100_000), limit=100)


@pytest.mark.rfc("4821", "7.7")
def test_a_path_below_the_base_size_is_found_by_halves(tcp):
    t = established(tcp, mtu_probing="black hole", user_timeout_option=False)
    path = NarrowPath(t, 600)
    path.run(bytes(30_000), limit=2000)
    assert t.host.counters["TCPMTUPBlackHole"] == 2
    assert t.tcp.mtu_probe.low <= 600


@pytest.mark.rfc("4821", "7.2")
@pytest.mark.rfc("4821", "7.6.1")
@versions
def test_always_probing_begins_small_and_ends_at_the_whole_link(tcp, version):
    t = established(tcp, version, mtu_probing="always")
    assert t.tcb.snd_mss == BASE[version] - HEADERS[version]
    path = NarrowPath(t, 1500)
    path.run(bytes(100_000))
    assert t.tcb.snd_mss == 1500 - HEADERS[version]
    assert path.probes == [1500]
    assert t.host.counters["TCPMTUPSuccess"] == 1


@pytest.mark.rfc("4821", "7.6.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_a_probe_that_is_lost_alone_is_no_congestion(tcp, congestion):
    t = established(tcp, mtu_probing="always", congestion=congestion)
    path = NarrowPath(t, 1300)
    path.run(bytes(200_000))
    assert t.host.counters["TCPMTUPFail"] > 0
    assert t.tcb.ssthresh == INFINITE
    assert t.host.counters["TCPTimeouts"] == 0


@pytest.mark.rfc("4821", "7.6.4")
def test_other_losses_beside_the_probe_are_congestion(tcp):
    t = established(tcp, mtu_probing="always", congestion="reno")
    t.send(bytes(20_000))
    sent = t.take()
    assert sent[0].why is Why.MTU_PROBE
    last = sent[-1]
    t.advance(10 * MS)
    t.inject("A", ack=1, sack=[(sent[2].seq, last.end)])
    t.advance(50 * MS)
    assert t.tcb.ssthresh < INFINITE
    assert t.tcp.mtu_probe.size == 0
    t.take()


@pytest.mark.rfc("4821", "7.4")
def test_no_probe_leaves_without_enough_data_behind_it_to_show_its_loss(tcp):
    t = established(tcp, mtu_probing="always")
    t.send(bytes(1460 + 2 * 984))
    assert all(one.why is not Why.MTU_PROBE for one in t.take())


@pytest.mark.rfc("4821", "7.6.2")
def test_a_router_that_answers_the_probe_saves_the_search(tcp):
    t = established(tcp, mtu_probing="always")
    t.send(bytes(100_000))
    probe = t.take()[0]
    assert (probe.why, len(probe.packet.data)) == (Why.MTU_PROBE, 1500)
    too_big(t, 1340, seq=probe.seq)
    assert t.tcp.mtu_probe.high == 1340
    t.advance(10 * MS)
    t.inject("A", ack=1, sack=[(probe.end, t.our_number(t.tcb.snd_nxt))])
    t.advance(10 * MS)
    t.inject("A", ack=t.our_number(t.tcb.snd_nxt))
    probes = [one for one in t.take() if one.why is Why.MTU_PROBE]
    assert [len(one.packet.data) for one in probes] == [1340]


@pytest.mark.rfc("4821", "7.3")
def test_after_ten_minutes_larger_sizes_are_tried_again(tcp):
    t = established(tcp, mtu_probing="black hole")
    path = NarrowPath(t, 1400)
    path.run(bytes(400_000))
    path.probes.clear()
    path.run(bytes(100_000))
    assert path.probes == []
    t.advance(601 * SECOND)
    path.mtu = 1500
    path.run(bytes(100_000))
    assert path.probes[0] == 1500
    assert t.tcb.snd_mss == 1460


def test_no_probe_exceeds_what_the_peer_takes(tcp):
    t = established(tcp, mtu_probing="always", peer={"mss": 1200})
    path = NarrowPath(t, 1500)
    path.run(bytes(100_000))
    assert t.tcb.snd_mss == 1200
    assert max(path.probes) == 1240


def test_a_device_does_not_cut_a_probe(tcp):
    t = established(tcp, mtu_probing="always", offload=True)
    t.send(bytes(30_000))
    probe = t.take()[0]
    assert (probe.why, len(probe.packet.data)) == (Why.MTU_PROBE, 1500)


@pytest.mark.rfc("4821", "5.2")
def test_two_hosts_get_through_a_wire_that_swallows_large_packets():
    config = HostConfig(tcp=TcpConfig(mtu_probing="black hole"))
    net = Network(3)
    ours = net.host("ours", "192.0.2.1/24", config=config)
    theirs = net.host("theirs", "192.0.2.2/24", config=config)
    net.link(ours, theirs, delay=5_000, mtu=1320)
    listener = theirs.listen(None, 80)
    connection = ours.connect("192.0.2.2", 80, net.now)
    net.run_until(lambda: connection.state == State.ESTABLISHED)
    accepted = None
    sent, got = 0, 0
    for _ in range(4000):
        sent += (
            connection.send(bytes(min(500_000 - sent, 50_000)), net.now) if sent < 500_000 else 0
        )
        net.run(net.now + 5_000)
        accepted = accepted or listener.accept()
        if accepted is not None:
            got += len(accepted.receive(1 << 20, net.now))
        if got == 500_000:
            break
    assert got == 500_000
    assert 1312 <= connection.mtu_probe.low <= 1320


# ---- metrics ------------------------------------------------------------------------------


def one_connection(t, rtt, *, lose=False):
    """A connection with this round-trip time that ends at once."""
    t.peer, t.iss = Peer(port=t.peer.port + 1), None
    t.inject("S")
    t.expect("SA")
    t.advance(rtt)
    t.inject("A")
    t.accept()
    for _ in range(4):
        t.send(bytes(1000))
        t.take()
        t.advance(rtt)
        t.inject("A")
    if lose:
        t.send(bytes(30_000))
        t.take()
        t.inject("A", ack=4001, sack=[(5461, 9841)])
        t.advance(rtt)
        t.take()
        t.inject("A")
    t.take()
    begun = t.tcp
    t.inject("RA")
    return begun


@pytest.mark.rfc("9040", "6.1")
@versions
def test_the_next_connection_begins_with_the_round_trip_that_the_last_one_measured(tcp, version):
    t = tcp(version)
    t.listen()
    one_connection(t, 300 * MS)
    t.peer, t.iss = Peer(port=50_000), None
    t.inject("S")
    t.expect("SA")
    t.advance(1 * MS)
    t.inject("A")
    t.accept()
    assert t.tcb.srtt == 1 * MS
    assert t.tcb.rto >= 500 * MS  # the cached time and its variance, not the SYN's alone
    t.send(b"first")
    t.take()
    t.advance(1 * MS)
    t.inject("A")
    assert t.tcb.rto < 250 * MS
    t.take()


@pytest.mark.rfc("9040", "6.2")
def test_a_slow_start_threshold_is_kept_and_used_where_that_is_asked_for(tcp):
    for wanted in (False, True):
        t = tcp(cached_ssthresh=wanted)
        t.listen()
        first = one_connection(t, 20 * MS, lose=True)
        kept = t.host.metrics.recall(first.remote_packed, t.now)
        assert kept.ssthresh < INFINITE
        t.peer, t.iss = Peer(port=50_000), None
        t.inject("S")
        t.expect("SA")
        t.inject("A")
        t.accept()
        assert t.tcb.ssthresh == (kept.ssthresh if wanted else INFINITE)


@pytest.mark.rfc("9040", "6.2")
def test_what_is_known_ages(tcp):
    t = tcp()
    t.listen()
    begun = one_connection(t, 300 * MS)
    assert t.host.metrics.recall(begun.remote_packed, t.now) is not None
    t.advance(3601 * SECOND)
    assert t.host.metrics.recall(begun.remote_packed, t.now) is None


@pytest.mark.rfc("9040", "6.2")
def test_longer_times_count_at_once_and_shorter_ones_by_and_by(tcp):
    t = tcp()
    t.listen()
    one_connection(t, 100 * MS)
    one_connection(t, 500 * MS)
    begun = one_connection(t, 100 * MS)
    known = t.host.metrics.recall(begun.remote_packed, t.now)
    assert 400 * MS < known.srtt < 500 * MS


@pytest.mark.rfc("9040", "8")
def test_the_cache_is_bounded(tcp):
    t = established(tcp)
    t.send(b"x")
    t.take()
    t.advance(10 * MS)
    t.inject("A")
    cache = MetricsCache(limit=3, lifetime=SECOND)
    for number in range(5):
        t.tcb.path.dst = bytes([number] * 16)
        cache.note(t.tcp, t.now)
    assert len(cache) == 3
    assert cache.recall(bytes([4] * 16), t.now) is not None
    assert cache.recall(bytes([0] * 16), t.now) is None
    t.tcb.path.dst = t.tcb.path.src  # so that nothing of the real path is left to check
    t.judged = False


def test_a_connection_that_delivered_nothing_teaches_nothing(tcp):
    t = established(tcp)
    t.inject("RA")
    assert len(t.host.metrics) == 0
    assert isinstance(Metrics(1, 1, 1, 1), Metrics)
