"""Congestion control of a connection: what it sends, and when less."""

import pytest

from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.seen import texts
from tests.support.transfer import MSS, PLAIN, RTT, connected, flight, grow, seg

# ---- congestion control ---------------------------------------------------------------------------------


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize(
    ("mss", "segments"), [(536, 10), (1460, 10), (1220, 10), (2000, 7), (8960, 2)]
)
def test_the_initial_window_is_ten_segments_or_14600_bytes(tcp, mss, segments):
    t = connected(tcp(mtu=9000, peer={"mss": mss}))
    t.send(bytes(60_000))
    assert len(t.take()) == segments


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("9293", "MUST-19")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_slow_start_doubles_the_window_each_round_trip(tcp, congestion):
    t = connected(tcp(congestion=congestion, peer={"wscale": 8}))
    t.inject("A", window=1 << 20)
    t.send(bytes(1 << 20))
    sizes = []
    for _ in range(4):
        sent = t.take()
        sizes.append(len(sent))
        t.advance(RTT)
        for one in sent[1::2]:
            t.inject("A", ack=one.end, window=1 << 20)
        if len(sent) % 2:
            t.inject("A", ack=sent[-1].end, window=1 << 20)
    assert sizes == [10, 20, 40, 80]
    t.take()


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_slow_start_counts_all_that_one_acknowledgement_covers(tcp, congestion):
    """RFC 5681 lets each add one segment at most. Receivers of super-segments acknowledge many
    at once; with that limit a window would need many more round trips to grow.
    """
    t = connected(tcp(congestion=congestion, peer={"wscale": 8}))
    t.inject("A", window=1 << 20)
    t.send(bytes(1 << 20))
    sizes = []
    for _ in range(4):
        sent = t.take()
        sizes.append(len(sent))
        t.advance(RTT)
        t.inject("A", ack=sent[-1].end, window=1 << 20)
    assert sizes == [10, 20, 40, 80]
    t.take()


@pytest.mark.rfc("3465", "2.2")
def test_splitting_acknowledgements_gains_a_peer_nothing(tcp):
    t = connected(tcp())
    t.send(bytes(10 * MSS))
    t.take()
    t.advance(RTT)
    for ack in range(101, 10 * MSS + 2, 100):
        t.inject("A", ack=ack)
    assert t.tcb.cwnd <= 20 * MSS
    t.take()


@pytest.mark.rfc("3465", "2.3")
@pytest.mark.parametrize("sack", [True, False])
def test_after_a_timeout_a_leap_of_the_acknowledgement_is_no_leap_of_the_window(tcp, sack):
    """The peer had nine of ten segments already. None of them leaves the network now."""
    t = connected(tcp(peer={"sack": sack}))
    t.send(bytes(10 * MSS))
    t.take()
    if sack:
        t.inject("A", ack=1, sack=[(1 + MSS, 1 + 10 * MSS)])
    while t.expect(within=5 * SECOND).seq != 1 or t.tcb.cwnd > MSS:
        pass
    assert t.tcb.cwnd == MSS
    t.inject("A", ack=1 + 10 * MSS)
    assert t.tcb.cwnd <= 2 * MSS
    t.take()


@pytest.mark.rfc("5681", "3.1")
def test_congestion_avoidance_adds_a_segment_each_round_trip(tcp):
    t = connected(tcp(congestion="reno", peer={"wscale": 8}))
    t.inject("A", window=1 << 20)
    t.tcb.ssthresh = 10 * MSS
    t.send(bytes(1 << 20))
    sizes = []
    for _ in range(5):
        sent = t.take()
        sizes.append(len(sent))
        t.advance(RTT)
        for one in sent:
            t.inject("A", ack=one.end, window=1 << 20)
    assert sizes == [10, 11, 12, 13, 14]
    t.take()


@pytest.mark.rfc("7661", "4")
@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_the_window_does_not_grow_while_the_application_is_the_limit(tcp, congestion):
    t = connected(tcp(congestion=congestion))
    for _ in range(50):
        t.send(bytes(2 * MSS))
        t.take()
        t.advance(RTT)
        t.inject("A")
    assert t.tcb.cwnd == 10 * MSS


@pytest.mark.rfc("5681", "4.1")
def test_after_an_idle_timeout_the_window_is_the_initial_one_again(tcp):
    t = connected(tcp(peer={"wscale": 8}))
    grow(t)
    t.advance(2 * SECOND)
    t.send(bytes(60 * MSS))
    assert len(t.take()) == 10


@pytest.mark.rfc("5681", "4.1")
def test_idle_means_without_data_of_ours(tcp):
    """A server that only receives, and acknowledges, does not keep its window by that."""
    t = connected(tcp(peer={"wscale": 8}))
    grow(t)
    for _ in range(40):
        t.advance(50 * MS)
        t.inject("PA", text=b"x", window=1 << 20)
    t.take()
    t.send(bytes(60 * MSS))
    assert len(t.take()) == 10


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("5681", "3.2")
def test_ssthresh_is_never_below_two_segments(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    t.send(b"x")
    t.take()
    t.expect(within=SECOND, why=Why.RTO)
    assert t.tcb.ssthresh == 2 * MSS


@pytest.mark.rfc("9293", "MAY-18")
@pytest.mark.rfc("9438", "4.6")
def test_cubic_leaves_seven_tenths_after_a_loss(tcp):
    t = connected(tcp(congestion="cubic"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(10))])
    assert t.tcb.ssthresh == 7 * MSS
    t.take()


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("6675", "5")
def test_reno_halves_the_flight_with_what_was_sacked_in_it(tcp):
    t = connected(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for number in (2, 3, 4):
        t.inject("A", ack=1, sack=[(seg(1), seg(number))])
    assert t.tcb.ssthresh == 5 * MSS
    t.take()


def test_what_was_repeated_is_what_was_sent(tcp):
    t = connected(tcp())
    data = flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(5), seg(10))])
    t.advance(RTT // 2)
    repeated = t.take()
    while len(repeated) < 5:
        t.inject("A", ack=repeated[-1].end, sack=[(seg(5), seg(10))])
        repeated += t.take()
    assert texts(repeated) == data[: 5 * MSS]


def test_an_rto_repeats_although_other_segments_are_fresh(tcp):
    """The first one must leave, whatever cwnd and the rest of the flight say (RFC 6298 §5.4)."""
    t = connected(tcp())
    t.tcp.nodelay = True
    t.send(b"first")
    t.take()
    rto = t.tcb.rto
    for _ in range(20):
        t.advance(rto // 10)
        t.send(b"more")
    assert any(one.seq == 1 and one.why is Why.RTO for one in t.take())
