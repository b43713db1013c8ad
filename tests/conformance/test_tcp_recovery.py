"""Finding and repairing losses: timeouts, fast retransmit with and without SACK, probes."""

from itertools import pairwise

import pytest

from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.seen import texts

MSS = 1460
RTT = 50 * MS
PLAIN = {"sack": False}


def connected(t, rtt=RTT):
    """ESTABLISHED with a round trip of `rtt` measured by the handshake."""
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(rtt)
    t.inject("A")
    t.accept()
    return t


def flight(t, segments):
    """So many full segments leave; returns their text."""
    data = bytes(range(256)) * (segments * MSS // 256 + 1)
    t.send(data[: segments * MSS])
    sent = t.take()
    assert len(sent) == segments
    return data[: segments * MSS]


def seg(number):
    """Sequence number of the full segment `number`, counted from 0."""
    return 1 + number * MSS


# ---- the retransmission timeout ----------------------------------------------------------------


@pytest.mark.rfc("6298", "2.2")
@pytest.mark.rfc("6298", "2.3")
@pytest.mark.rfc("9293", "MUST-18")
def test_round_trips_give_srtt_and_rttvar_and_these_the_timeout(tcp):
    t = connected(tcp(minimum_rto=1), 100 * MS)
    assert (t.tcb.srtt, t.tcb.rttvar, t.tcb.rto) == (100_000, 50_000, 300_000)
    t.send(b"x")
    t.expect("PA")
    t.advance(60 * MS)
    t.inject("A")
    assert (t.tcb.srtt, t.tcb.rttvar) == (95_000, 47_500)
    assert t.tcb.rto == 95_000 + 4 * 47_500


@pytest.mark.rfc("6298", "2.4")
@pytest.mark.rfc("6298", "2.5")
def test_the_timeout_keeps_within_its_bounds(tcp):
    t = connected(tcp(minimum_rto=SECOND, maximum_rto=60 * SECOND), 1)
    assert t.tcb.rto == SECOND + 1
    t.send(b"x")
    t.take()
    t.advance(1000 * SECOND)
    gaps = [one.now for one in t.take()]
    assert max(b - a for a, b in pairwise(gaps)) == 60 * SECOND


@pytest.mark.rfc("6298", "5.1")
@pytest.mark.rfc("6298", "5.4")
@pytest.mark.rfc("6298", "5.5")
@pytest.mark.rfc("9293", "MUST-19")
def test_an_unanswered_segment_is_repeated_with_exponential_backoff(tcp):
    t = connected(tcp(peer=PLAIN))
    rto = t.tcb.rto
    t.send(b"hello?")
    t.expect("PA")
    t.expect("PA", seq=1, text=b"hello?", after=rto, why=Why.RTO)
    for factor in (2, 4, 8, 16):
        t.expect("PA", seq=1, text=b"hello?", after=factor * rto, why=Why.RTO)


@pytest.mark.rfc("6298", "5.2")
@pytest.mark.rfc("6298", "5.3")
def test_the_timer_runs_from_the_last_new_acknowledgement(tcp):
    t = connected(tcp(peer=PLAIN, minimum_rto=SECOND))
    flight(t, 4)
    t.advance(500 * MS)
    t.inject("A", ack=seg(1))
    rto = t.tcb.rto
    t.expect_nothing(rto - 1)
    t.expect("A", seq=seg(1), after=1, why=Why.RTO)
    t.inject("A", ack=seg(4))
    t.expect_nothing(100 * SECOND)


@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("9293", "MUST-18")
def test_a_repeated_segment_is_not_measured_without_timestamps(tcp):
    t = connected(tcp(peer=PLAIN))
    before = t.tcb.srtt
    t.send(b"x")
    t.expect("PA")
    t.expect("PA", within=SECOND, why=Why.RTO)
    t.advance(3 * SECOND // 10)
    t.inject("A")
    t.take()
    assert t.tcb.srtt == before


@pytest.mark.rfc("9293", "MUST-18")
@pytest.mark.rfc("6298", "5")
def test_the_timeout_stays_backed_off_until_something_sent_once_is_measured(tcp):
    t = connected(tcp(peer=PLAIN))
    rto = t.tcb.rto
    t.send(b"x")
    t.expect("PA")
    t.expect("PA", after=rto, why=Why.RTO)
    t.expect("PA", after=2 * rto, why=Why.RTO)
    t.inject("A")
    t.send(b"y")
    t.expect("PA")
    t.expect("PA", text=b"y", after=4 * rto, why=Why.RTO)
    t.inject("A")
    t.send(b"z")
    t.expect("PA")
    t.advance(RTT)
    t.inject("A")
    assert t.tcb.rto < 2 * rto


@pytest.mark.rfc("7323", "4.1")
def test_with_timestamps_a_repeated_segment_is_measured_by_its_echo(tcp):
    t = connected(tcp(peer={"ts": True, "sack": False}))
    t.send(b"x")
    t.expect("PA")
    again = t.expect("PA", within=SECOND, why=Why.RTO)
    t.advance(80 * MS)
    t.inject("A", tsecr=again.tsval)
    assert t.tcb.min_rtt == RTT
    assert RTT < t.tcb.srtt < 80 * MS


@pytest.mark.rfc("7323", "4")
@pytest.mark.parametrize("echo", [1, 1000, 0x7FFF_FFFF])
def test_an_echo_from_the_future_is_no_round_trip(tcp, echo):
    t = connected(tcp(peer={"ts": True, "sack": False}))
    before = t.tcb.srtt
    t.send(b"x")
    t.expect("PA")
    again = t.expect("PA", within=SECOND)
    t.inject("A", tsecr=again.tsval + echo & 0xFFFF_FFFF)
    assert t.tcb.srtt == before


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("sack", [False, True])
def test_after_a_timeout_one_segment_leaves_and_slow_start_begins(tcp, sack):
    t = connected(tcp(peer={"sack": sack}, congestion="reno"))
    data = flight(t, 10)
    t.expect(within=3 * SECOND)  # the loss probe, where there is SACK
    if sack:
        t.expect("A", seq=1, within=3 * SECOND, why=Why.RTO)
    t.expect_nothing()
    assert t.tcb.cwnd == MSS
    assert t.tcb.ssthresh == 5 * MSS
    t.advance(RTT)
    t.inject("A", ack=seg(1))
    assert [one.seq for one in t.take()] == [seg(1), seg(2)]
    t.inject("A", ack=seg(3))
    more = t.take()
    assert more[0].seq == seg(3)
    assert len(more) <= 4
    t.inject("A", ack=len(data) + 1)
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("5681", "3.1")
def test_a_second_timeout_for_the_same_segment_does_not_halve_again(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    for _ in range(3):
        t.expect("A", seq=1, within=10 * SECOND, why=Why.RTO)
    assert t.tcb.ssthresh == 5 * MSS


@pytest.mark.rfc("9293", "MUST-20")
@pytest.mark.rfc("9293", "SHLD-10")
@pytest.mark.rfc("9293", "SHLD-11")
def test_a_connection_whose_peer_is_silent_ends_after_r2(tcp):
    t = connected(tcp())
    t.send(b"x")
    t.advance(100 * SECOND)
    assert sum(one.why is Why.RTO for one in t.take()) >= 3
    t.expect_state(State.ESTABLISHED)
    t.advance(1000 * SECOND)
    t.expect_state(State.CLOSED)
    with pytest.raises(TimeoutError):
        t.receive()
    t.take()


def test_r2_counts_from_the_last_progress_and_not_from_idle_time(tcp):
    t = connected(tcp())
    t.advance(10_000 * SECOND)
    t.send(b"x")
    t.expect("PA")
    t.advance(800 * SECOND)
    t.expect_state(State.ESTABLISHED)
    t.take()


# ---- fast retransmit without SACK -----------------------------------------------------------------


@pytest.mark.rfc("5681", "3.2")
@pytest.mark.rfc("6582", "3.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("segments", [4, 5, 10])
def test_the_third_duplicate_ack_repeats_the_lost_segment_at_once(tcp, congestion, segments):
    t = connected(tcp(peer=PLAIN, congestion=congestion))
    data = flight(t, segments)
    t.advance(RTT)
    t.inject("A", ack=1)
    t.inject("A", ack=1)
    t.expect_nothing()
    t.inject("A", ack=1)
    t.expect("A" if segments > 1 else "PA", seq=1, text=data[:MSS], why=Why.FAST_RETRANSMIT)
    t.expect_nothing()


@pytest.mark.rfc("5681", "3.2")
def test_fast_recovery_halves_the_window_and_ends_with_it(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for _ in range(9):
        t.inject("A", ack=1)
    t.expect("A", seq=1)
    t.expect_nothing()
    assert t.tcb.ssthresh == 5 * MSS
    t.inject("A", ack=seg(10))
    assert t.tcb.cwnd == 5 * MSS


@pytest.mark.rfc("5681", "3.2")
def test_in_fast_recovery_each_duplicate_ack_lets_a_new_segment_go_when_enough_have_left(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    t.send(bytes(40 * MSS))
    assert len(t.take()) == 10
    for _ in range(3):
        t.inject("A", ack=1)
    limited = t.take()
    assert [one.seq for one in limited] == [seg(10), seg(11), 1]
    new = 0
    for _ in range(6):
        t.inject("A", ack=1)
        new += len(t.take())
    assert 1 <= new <= 4


@pytest.mark.rfc("6582", "3.2")
def test_a_partial_acknowledgement_repeats_the_next_hole_at_once(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for _ in range(3):
        t.inject("A", ack=1)
    t.expect("A", seq=1, why=Why.FAST_RETRANSMIT)
    t.inject("A", ack=seg(4))
    t.expect("A", seq=seg(4), why=Why.PARTIAL_ACK)
    t.inject("A", ack=seg(7))
    t.expect("A", seq=seg(7), why=Why.PARTIAL_ACK)
    t.inject("A", ack=seg(10))
    t.expect_nothing(10 * SECOND)


@pytest.mark.rfc("6582", "3.2")
@pytest.mark.rfc("6582", "4.1")
def test_duplicate_acks_after_a_timeout_start_no_fast_retransmit(tcp):
    t = connected(tcp(peer=PLAIN, congestion="reno"))
    flight(t, 10)
    t.expect("A", seq=1, within=SECOND, why=Why.RTO)
    for _ in range(4):
        t.inject("A", ack=1)
    t.expect_nothing()
    assert t.tcb.ssthresh == 5 * MSS


@pytest.mark.rfc("3042", "2")
@pytest.mark.parametrize("sack", [False, True])
def test_the_first_two_duplicate_acks_let_one_new_segment_go_each(tcp, sack):
    t = connected(tcp(peer={"sack": sack}))
    t.send(bytes(20 * MSS))
    assert len(t.take()) == 10
    t.advance(RTT)
    for number in (1, 2):
        block = [(seg(number), seg(number + 1))] if sack else []
        t.inject("A", ack=1, sack=block)
        t.expect("A", seq=seg(9 + number), length=MSS)
        t.expect_nothing()
    assert t.tcb.cwnd == 10 * MSS


@pytest.mark.rfc("5681", "2")
@pytest.mark.parametrize(
    "fields",
    [
        {"text": b"x"},
        {"window": 50_000},
        {"flags": "FA"},
    ],
)
def test_only_a_bare_repetition_is_a_duplicate_acknowledgement(tcp, fields):
    t = connected(tcp(peer=PLAIN))
    flight(t, 5)
    t.inject(fields.pop("flags", "A"), ack=1, **fields)
    assert t.tcb.dupacks == 0
    t.take()


# ---- with SACK: RACK -----------------------------------------------------------------------------------


@pytest.mark.rfc("8985", "6.2")
@pytest.mark.rfc("2018", "5")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("segments", [4, 10])
def test_three_sacked_segments_show_the_loss_at_once(tcp, congestion, segments):
    t = connected(tcp(congestion=congestion))
    data = flight(t, segments)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(2))])
    t.inject("A", ack=1, sack=[(seg(1), seg(3))])
    t.expect_nothing()
    t.inject("A", ack=1, sack=[(seg(1), seg(4))])
    t.expect("A", seq=1, text=data[:MSS], why=Why.RACK_LOST)
    t.expect_nothing()


@pytest.mark.rfc("8985", "6.2")
def test_one_sacked_segment_shows_the_loss_after_a_quarter_of_the_round_trip(tcp):
    t = connected(tcp())
    flight(t, 2)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(2))])
    t.expect("A", seq=1, after=RTT // 4, why=Why.RACK_LOST)


@pytest.mark.rfc("8985", "6.2")
def test_reordering_within_a_quarter_of_the_round_trip_repeats_nothing(tcp):
    t = connected(tcp())
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(2))])
    t.advance(RTT // 5)
    t.inject("A", ack=seg(2))
    t.expect_nothing(RTT)
    assert t.tcb.retransmissions == 0
    assert t.tcb.cwnd >= 10 * MSS
    t.inject("A", ack=seg(10))
    t.take()


@pytest.mark.rfc("8985", "6.2")
def test_a_lost_retransmission_is_found_without_a_timeout(tcp):
    t = connected(tcp())
    t.send(bytes(30 * MSS))
    t.take()
    t.advance(RTT)
    for number in (2, 3, 4):
        t.inject("A", ack=1, sack=[(seg(1), seg(number))])
    assert [one.seq for one in t.take() if one.why is Why.RACK_LOST] == [1]
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(12))])  # what left after the retransmission arrives
    t.advance(RTT // 2)
    assert 1 in [one.seq for one in t.take() if one.why is Why.RACK_LOST]


@pytest.mark.rfc("2018", "5")
def test_only_the_holes_are_repeated(tcp):
    t = connected(tcp())
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=seg(1), sack=[(seg(2), seg(4)), (seg(5), seg(10))])
    t.advance(RTT // 2)
    assert [one.seq for one in t.take()] == [seg(1), seg(4)]
    t.inject("A", ack=seg(10))
    t.expect_nothing(SECOND)


@pytest.mark.rfc("8985", "6.2")
def test_two_new_blocks_in_one_acknowledgement_are_no_reordering(tcp):
    """The most recent block comes first in the option; its order means nothing."""
    t = connected(tcp())
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(7), seg(9)), (seg(2), seg(4))])
    assert not t.tcp.detector._reordering_seen
    t.take()


@pytest.mark.rfc("2018", "8")
def test_a_receiver_that_reneges_gets_everything_again(tcp):
    t = connected(tcp())
    data = flight(t, 5)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(5))])
    t.expect("A", seq=1)
    t.inject("A", ack=seg(1))  # and has thrown the rest away
    got = bytearray(data[:MSS])
    for _ in range(40):
        t._run(t.now + 3 * SECOND, lambda: bool(t.pending))
        for one in t.take():
            if one.seq == 1 + len(got):
                got += one.text
            t.inject("A", ack=1 + len(got))
        if len(got) == len(data):
            break
    assert bytes(got) == data
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("2018", "5")
@pytest.mark.parametrize(
    "block",
    [
        (1 + 20 * MSS, 1 + 30 * MSS),  # never sent
        (1 + 5 * MSS, 1 + 5 * MSS),  # empty
        (1 + 5 * MSS, 1 + 2 * MSS),  # the wrong way round
        (-5000, -3000),  # of another life
        (-(1 << 30), 1 << 30),
    ],
)
def test_a_senseless_sack_block_does_no_harm(tcp, block):
    t = connected(tcp())
    data = flight(t, 10)
    t.inject("A", ack=1, sack=[block])
    t.inject("A", ack=1, sack=[(1, 1), block, block])
    assert t.tcb.sacked == 0
    t.take()
    t.inject("A", ack=1 + len(data))
    assert t.tcp.send_queued == 0


@pytest.mark.rfc("2883", "5")
@pytest.mark.rfc("8985", "6.2")
def test_a_dsack_marks_nothing_as_received(tcp):
    t = connected(tcp())
    flight(t, 10)
    t.inject("A", ack=seg(2), sack=[(1, seg(1))])
    assert t.tcb.sacked == 0
    t.inject("A", ack=seg(2), sack=[(seg(4), seg(5)), (seg(3), seg(6))])
    assert t.tcb.sacked == 3 * MSS
    t.inject("A", ack=seg(10))
    t.take()


# ---- tail loss probes --------------------------------------------------------------------------------


@pytest.mark.rfc("8985", "7.2")
@pytest.mark.rfc("8985", "7.3")
def test_a_lost_tail_is_probed_after_two_round_trips(tcp):
    t = connected(tcp())
    flight(t, 5)
    t.advance(RTT)
    t.inject("A", ack=seg(3))
    srtt = t.tcb.srtt
    t.expect(seq=seg(4), length=MSS, after=2 * srtt, why=Why.LOSS_PROBE)
    t.advance(RTT)
    t.inject("A", ack=seg(3), sack=[(seg(4), seg(5))])
    t.expect(seq=seg(3), within=RTT, why=Why.RACK_LOST)


@pytest.mark.rfc("8985", "7.3")
def test_a_probe_is_new_data_where_there_is_some(tcp):
    t = connected(tcp(peer={"window": 5 * MSS}))
    t.send(bytes(8 * MSS))
    assert len(t.take()) == 5
    t.advance(RTT)
    t.inject("A", ack=seg(1), window=5 * MSS)
    t.take()
    t.tcb.cwnd = MSS
    t.advance(10 * MS)
    t.inject("A", ack=seg(2), window=8 * MSS)
    t.tcb.cwnd = MSS
    found = t.take()
    t.expect(within=300 * MS)
    assert found is not None


@pytest.mark.rfc("8985", "7.3")
def test_only_one_probe_is_on_its_way(tcp):
    t = connected(tcp())
    flight(t, 2)
    probe = t.expect(within=SECOND, why=Why.LOSS_PROBE)
    assert probe.seq == seg(1)
    t.expect(within=SECOND, why=Why.RTO)


@pytest.mark.rfc("8985", "7.2")
@pytest.mark.parametrize("segments", [1, 2, 3, 7])
@pytest.mark.parametrize("tail", [0, 100])
def test_a_peer_that_delays_its_acks_sees_no_probe(tcp, segments, tail):
    """It acknowledges every second full segment at once and a single one within 200 ms."""
    t = connected(tcp(loss_free=True))
    for _ in range(5):
        t.send(bytes(segments * MSS + tail))
        sent = t.take()
        t.advance(RTT)
        whole = [one for number, one in enumerate(sent, 1) if number % 2 == 0]
        if whole:
            t.inject("A", ack=whole[-1].end)
        if len(sent) % 2:
            t.advance(150 * MS)
            t.inject("A", ack=sent[-1].end)
        t.advance(SECOND)
        assert not t.take(), "a probe, or another needless segment"


@pytest.mark.rfc("8985", "7.4")
def test_a_probe_that_repaired_the_loss_counts_as_congestion(tcp):
    t = connected(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=seg(9))
    t.expect(seq=seg(9), within=SECOND, why=Why.LOSS_PROBE)
    cwnd = t.tcb.cwnd
    t.advance(RTT)
    t.inject("A", ack=seg(10))
    flight(t, 1)
    t.advance(RTT)
    t.inject("A", ack=seg(11))
    assert t.tcb.cwnd < cwnd


@pytest.mark.rfc("8985", "7.4")
def test_a_needless_probe_is_no_congestion(tcp):
    """The D-SACK that tells may come when nothing is in flight any more."""
    t = connected(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=seg(9))
    t.expect(seq=seg(9), within=SECOND, why=Why.LOSS_PROBE)
    cwnd = t.tcb.cwnd
    t.inject("A", ack=seg(10))
    t.inject("A", ack=seg(10), sack=[(seg(9), seg(10))])
    flight(t, 1)
    t.advance(RTT)
    t.inject("A", ack=seg(11))
    assert t.tcb.cwnd >= cwnd


@pytest.mark.rfc("8985", "7.2")
def test_no_probe_leaves_while_losses_are_repaired(tcp):
    t = connected(tcp())
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=1, sack=[(seg(1), seg(9))])
    t.expect("A", seq=1, why=Why.RACK_LOST)
    t.advance(3 * RTT)
    assert not [one for one in t.take() if one.why is Why.LOSS_PROBE]


def grow(t):
    """A window that has grown, and nothing in flight."""
    t.inject("A", window=1 << 20)
    t.send(bytes(150 * MSS))
    while t.tcp.send_queued:
        t.take()
        t.advance(RTT)
        t.inject("A", window=1 << 20)
    assert t.tcb.cwnd > 40 * MSS


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
