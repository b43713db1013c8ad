"""Finding losses with SACK: RACK and tail loss probes (RFC 8985)."""

import pytest

from stack.core.why import Why
from tests.support.endpoint import MS, SECOND
from tests.support.transfer import MSS, RTT, connected, flight, seg

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


@pytest.mark.rfc("9937", "6.2")
def test_acknowledgements_that_come_together_leave_the_flight_as_full_as_one_by_one(tcp):
    """What the first of them gave leave for goes out with the retransmission, so that the
    flight does not shrink to that and its loss is found without a timeout.
    """
    t = connected(tcp(congestion="reno"))
    t.send(bytes(40 * MSS))
    assert len(t.take()) == 10
    t.advance(RTT)
    acks = [t.packet("A", ack=seg(number)) for number in (2, 4, 6)]
    blocks = [[(seg(7), seg(end))] for end in (8, 9, 10)]
    t.arrive(*acks, *(t.packet("A", ack=seg(6), sack=block) for block in blocks))
    sent = t.take()
    assert [(one.seq, one.why) for one in sent[:2]] == [
        (seg(6), Why.RACK_LOST),
        (seg(10), Why.DATA),
    ]
    assert t.tcp.flight.pipe == len(sent) * MSS > t.tcb.ssthresh - MSS
    t.advance(RTT)
    t.inject("A", ack=seg(6), sack=[(seg(7), seg(11))])
    t.expect("A", seq=seg(6), why=Why.RACK_LOST)
    t.take()


@pytest.mark.rfc("6675", "5")
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
    """Beyond cwnd, by one segment, and pushed: its answer must not be delayed."""
    t = connected(tcp())
    t.send(bytes(20 * MSS))
    assert len(t.take()) == 10
    t.expect("PA", seq=seg(10), length=MSS, after=2 * RTT, why=Why.LOSS_PROBE)


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
