"""Classic explicit congestion notification (RFC 3168) and the answer to it (RFC 8511)."""

import pytest

from stack.core.tcp.ecn import CE, ECT_0, NOT_ECT, Mode
from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND

MSS = 1460
RTT = 50 * MS


def codepoint(one):
    return one.packet.tclass & 3


def passive(t, syn="SEC"):
    """ESTABLISHED; the peer's SYN asked for classic ECN."""
    t.listen()
    t.inject(syn)
    t.expect("SAE" if syn == "SEC" else "SA")
    t.advance(RTT)
    t.inject("A")
    t.accept()
    return t


def active(t, answer="SAE"):
    """ESTABLISHED by us; the SYN-ACK grants ECN."""
    t.connect()
    t.expect("SEC")
    t.advance(RTT)
    t.inject(answer)
    t.expect("A", ack=1)
    return t


def flight(t, segments):
    """So many full segments leave, all able to carry a mark."""
    t.send(b"x" * segments * MSS)
    sent = t.take()
    assert len(sent) == segments
    return sent


def seg(number):
    return 1 + number * MSS


# ---- agreement ---------------------------------------------------------------------------------


@pytest.mark.rfc("3168", "6.1.1")
def test_a_syn_that_asks_is_answered_by_ece_alone(tcp):
    t = tcp()
    t.listen()
    t.inject("SEC")
    answer = t.expect("SAE")
    assert codepoint(answer) == NOT_ECT, "neither SYN nor SYN-ACK may be ECN-capable"


@pytest.mark.rfc("3168", "6.1.1")
def test_who_does_not_ask_gets_no_ecn(tcp):
    t = passive(tcp(), "S")
    assert t.tcp.ecn.mode is Mode.OFF
    t.send(b"data")
    assert codepoint(t.expect("PA")) == NOT_ECT


@pytest.mark.rfc("3168", "6.1.1")
def test_a_host_that_wants_no_ecn_grants_none(tcp):
    t = tcp(ecn="off")
    t.listen()
    t.inject("SEC")
    t.expect("SA")


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.rfc("9293", "SHLD-8")
def test_a_host_that_wants_it_asks_with_both_flags(tcp):
    t = active(tcp(ecn="classic"))
    assert t.tcp.ecn.mode is Mode.CLASSIC
    assert codepoint(t.seen[0]) == NOT_ECT


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.parametrize("answer", ["SA", "SAEC", "SAC", "SAEN"])
def test_any_other_answer_means_no_ecn(tcp, answer):
    t = active(tcp(ecn="classic"), answer)
    assert t.tcp.ecn.mode is Mode.OFF
    t.send(b"data")
    assert codepoint(t.expect("PA")) == NOT_ECT


@pytest.mark.rfc("3168", "6.1.1")
def test_by_default_ecn_is_granted_but_not_asked_for(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.inject("SAE")
    t.expect("A")
    assert t.tcp.ecn.mode is Mode.OFF


@pytest.mark.rfc("3168", "6.1.1.1")
def test_after_a_lost_syn_the_next_one_asks_for_nothing(tcp):
    t = tcp(ecn="classic")
    t.connect()
    t.expect("SEC")
    t.expect("S", within=SECOND, why=Why.SYN_RETRANSMITTED)
    t.inject("SAE")
    t.expect("A")
    t.send(b"data")
    assert codepoint(t.expect("PA")) == NOT_ECT, "a plain SYN of ours left, too"


@pytest.mark.rfc("3168", "6.1.1")
def test_a_plain_copy_of_the_syn_takes_the_right_to_be_marked(tcp):
    t = tcp()
    t.listen()
    t.inject("SEC")
    t.expect("SAE")
    t.inject("S", seq=0)
    t.expect("SA")
    t.inject("A")
    t.accept()
    t.send(b"data")
    assert codepoint(t.expect("PA")) == NOT_ECT


# ---- which packets are ECN-capable -------------------------------------------------------------


@pytest.mark.rfc("3168", "6.1.2")
def test_new_data_is_capable(tcp):
    t = passive(tcp())
    assert {codepoint(one) for one in flight(t, 3)} == {ECT_0}


@pytest.mark.rfc("3168", "6.1.4")
def test_pure_acknowledgements_are_not(tcp):
    t = passive(tcp())
    t.inject("PA", text=b"x")
    assert codepoint(t.expect("A", within=SECOND)) == NOT_ECT


@pytest.mark.rfc("3168", "6.1.5")
def test_retransmissions_are_not(tcp):
    t = passive(tcp())
    t.send(b"data")
    t.expect("PA")
    for _ in range(2):
        again = t.expect("PA", within=2 * SECOND, text=b"data")
        assert codepoint(again) == NOT_ECT


@pytest.mark.rfc("3168", "6.1.6")
def test_window_probes_are_not(tcp):
    t = passive(tcp(peer={"window": 0}))
    t.inject("A", window=0)
    t.send(b"data")
    assert codepoint(t.expect("A", within=2 * SECOND, why=Why.ZERO_WINDOW_PROBE)) == NOT_ECT
    t.inject("A", window=3)
    probe = t.expect(within=5 * SECOND, text=b"dat")
    assert codepoint(probe) in (NOT_ECT, ECT_0)
    assert (codepoint(probe) == NOT_ECT) == (probe.why is Why.ZERO_WINDOW_PROBE)


@pytest.mark.rfc("3168", "6.1.2")
def test_the_dscp_of_the_connection_stays(tcp):
    t = passive(tcp())
    t.tcp.path.traffic_class = 0xB8
    (one,) = flight(t, 1)
    assert one.packet.tclass == 0xB8 | ECT_0
    t.inject("PA", text=b"x")
    assert t.expect("A", within=SECOND).packet.tclass == 0xB8


# ---- the receiver ------------------------------------------------------------------------------


@pytest.mark.rfc("3168", "6.1.3")
def test_a_mark_is_echoed_until_the_sender_says_that_it_slowed_down(tcp):
    t = passive(tcp())
    t.inject("PA", text=b"a", tclass=ECT_0)
    t.expect("A", ack=2, within=SECOND)
    t.inject("PA", text=b"b", tclass=CE)
    t.expect("AE", ack=3, within=SECOND)
    for number in range(3):
        t.inject("PA", text=b"c", tclass=ECT_0)
        t.expect("AE", ack=4 + number, within=SECOND)
    t.inject("PAC", text=b"d", tclass=ECT_0)
    t.expect("A", ack=7, within=SECOND)


@pytest.mark.rfc("3168", "6.1.3")
def test_data_of_ours_carries_the_echo_too(tcp):
    t = passive(tcp())
    t.inject("PA", text=b"b", tclass=CE)
    t.expect("AE", within=SECOND)
    t.send(b"ours")
    t.expect("PAE", text=b"ours")


@pytest.mark.rfc("3168", "6.1.3")
def test_a_marked_segment_with_cwr_begins_a_new_echo(tcp):
    t = passive(tcp())
    t.inject("PA", text=b"a", tclass=CE)
    t.expect("AE", within=SECOND)
    t.inject("PAC", text=b"b", tclass=CE)
    t.expect("AE", within=SECOND)


@pytest.mark.rfc("3168", "6.1.3")
def test_marks_on_what_the_window_does_not_hold_are_ignored(tcp):
    t = passive(tcp())
    t.inject("PA", text=b"far", seq=1_000_000, tclass=CE)
    t.expect("A")
    t.inject("PA", text=b"a", tclass=ECT_0)
    t.expect("A", ack=2, within=SECOND)


# ---- the sender --------------------------------------------------------------------------------


@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.rfc("8511", "3.1")
@pytest.mark.parametrize(("congestion", "left"), [("reno", 0.8), ("cubic", 0.85)])
def test_an_echo_reduces_the_window_by_less_than_a_loss(tcp, congestion, left):
    t = passive(tcp(congestion=congestion))
    t.tcb.ssthresh = 5 * MSS  # in congestion avoidance
    flight(t, 10)
    t.advance(RTT)
    t.inject("AE", ack=seg(1))
    assert t.tcb.ssthresh == t.tcb.cwnd == int(10 * MSS * left)
    assert t.host.counters["TCPEcnReductions"] == 1


@pytest.mark.rfc("3168", "6.1.2")
def test_the_window_is_reduced_once_in_a_round_trip(tcp):
    t = passive(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("AE", ack=seg(1))
    cwnd = t.tcb.cwnd
    for number in range(2, 10):
        t.inject("AE", ack=seg(number))
        assert t.tcb.cwnd == cwnd
    assert t.host.counters["TCPEcnReductions"] == 1
    t.inject("AE", ack=seg(10))
    flight(t, 2)
    t.advance(RTT)
    t.inject("AE", ack=seg(11))
    assert t.host.counters["TCPEcnReductions"] == 2
    t.take()


@pytest.mark.rfc("3168", "6.1.2")
def test_the_first_new_segment_afterwards_says_so(tcp):
    t = passive(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    for number in range(1, 11):
        t.inject("AE", ack=seg(number))
    t.send(b"y" * 2 * MSS)
    t.expect("AC", seq=seg(10))
    t.expect("PA", seq=seg(11))


@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.rfc("8511", "3.1")
def test_the_window_never_falls_below_two_segments(tcp):
    t = passive(tcp(congestion="reno"))
    t.tcb.cwnd = 2 * MSS
    t.tcb.ssthresh = 2 * MSS
    flight(t, 2)
    t.inject("AE", ack=seg(1))
    assert t.tcb.cwnd == 2 * MSS


@pytest.mark.rfc("3168", "6.1.2")
def test_a_loss_tells_the_peer_that_the_window_shrank(tcp):
    """After a fast retransmit, the first *new* segment has CWR."""
    t = passive(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=seg(0), sack=[(seg(1), seg(4))])
    again = t.expect("A", seq=1)
    assert codepoint(again) == NOT_ECT
    t.advance(RTT)
    t.inject("A", ack=seg(10))
    t.send(b"y" * 2 * MSS)
    t.expect("AC", seq=seg(10))
    t.expect("PA", seq=seg(11))


@pytest.mark.rfc("3168", "6.1.2")
def test_an_echo_for_the_flight_that_was_lost_reduces_nothing_more(tcp):
    t = passive(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A", ack=seg(0), sack=[(seg(1), seg(4))])
    t.expect("A", seq=1)
    ssthresh = t.tcb.ssthresh
    t.advance(RTT)
    t.inject("AE", ack=seg(6))
    t.inject("AE", ack=seg(9))
    assert t.tcb.recovery == Recovery.FAST
    assert t.tcb.ssthresh == ssthresh
    assert t.host.counters["TCPEcnReductions"] == 0
    t.take()


@pytest.mark.rfc("3168", "6.1.2")
def test_a_timeout_tells_the_peer_too(tcp):
    t = passive(tcp())
    t.send(b"data")
    t.expect("PA")
    t.expect("PA", within=2 * SECOND)
    t.expect("PA", within=2 * SECOND, why=Why.RTO)
    t.inject("A")
    t.send(b"more")
    t.expect("PAC", text=b"more")


@pytest.mark.rfc("3168", "6.1.2")
def test_a_device_never_cuts_the_segment_that_says_so(tcp):
    """It would clear CWR, or repeat it in each piece."""
    t = passive(tcp(congestion="reno", offload=True))
    flight(t, 10)
    t.advance(RTT)
    for number in range(1, 11):
        t.inject("AE", ack=seg(number))
    t.send(b"y" * 6 * MSS)
    assert ["C" in one.flags for one in t.take()] == [True, False, False, False, False, False]
