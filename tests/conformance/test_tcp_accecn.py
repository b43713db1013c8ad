"""More accurate ECN feedback: handshake, counting and fallback (RFC 9768)."""

import pytest

from stack.core.tcp.ecn import CE, ECT_0, ECT_1, NOT_ECT, Mode
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND

MSS = 1460
RTT = 50 * MS
# The ACE field as letters: AE is N, CWR is C, ECE is E.
BITS = "", "E", "C", "CE", "N", "NE", "NC", "NCE"
TOLD = {NOT_ECT: BITS[0b010], ECT_1: BITS[0b011], ECT_0: BITS[0b100], CE: BITS[0b110]}


def ace(one):
    """The counter in a segment's flags."""
    return sum(bit << n for n, bit in enumerate(letter in one.flags for letter in "ECN"))


def codepoint(one):
    return one.packet.tclass & 3


def seg(number):
    return 1 + number * MSS


def server(t, *, syn=NOT_ECT, ack=BITS[0b010], answer=None):
    """ESTABLISHED; the peer asked for AccECN."""
    t.listen()
    t.inject("SECN", tclass=syn)
    t.expect("SA" + (answer if answer is not None else TOLD[syn]))
    t.advance(RTT)
    t.inject("A" + ack)
    t.accept()
    return t


def client(t, *, answer=BITS[0b010], syn_ack=NOT_ECT):
    """ESTABLISHED by us; the peer has granted AccECN."""
    t.connect()
    t.expect("SECN")
    t.advance(RTT)
    t.inject("SA" + answer, tclass=syn_ack)
    return t


def asking(tcp, **settings):
    return tcp(ecn="accurate", **settings)


# ---- the handshake -----------------------------------------------------------------------------


@pytest.mark.rfc("9768", "3.1.1")
@pytest.mark.parametrize("syn", TOLD)
def test_the_syn_ack_tells_how_the_syn_came(tcp, syn):
    t = tcp()
    t.listen()
    t.inject("SECN", tclass=syn)
    answer = t.expect("SA" + TOLD[syn])
    assert codepoint(answer) == NOT_ECT


@pytest.mark.rfc("9768", "3.2.2.1")
@pytest.mark.parametrize("syn_ack", TOLD)
def test_the_ack_of_the_syn_ack_tells_how_that_came(tcp, syn_ack):
    t = client(asking(tcp), syn_ack=syn_ack)
    t.expect("A" + TOLD[syn_ack], ack=1)
    assert t.tcp.ecn.mode is Mode.ACCURATE
    t.send(b"data")
    # A mark on the SYN-ACK has been counted; the counter begins with 5.
    assert ace(t.expect(text=b"data")) == (6 if syn_ack == CE else 5)


@pytest.mark.rfc("9768", "3.2.2.1")
def test_what_the_ack_tells_is_on_a_bare_ack_even_when_data_waits(tcp):
    t = asking(tcp)
    t.connect()
    t.expect("SECN")
    t.send(b"data")
    t.inject("SA" + BITS[0b010], tclass=ECT_0)
    t.expect("A" + TOLD[ECT_0], text=b"")
    assert ace(t.expect(text=b"data")) == 5


@pytest.mark.rfc("9768", "3.2.2.1")
def test_a_repeated_syn_ack_is_told_of_again(tcp):
    t = client(asking(tcp), syn_ack=CE)
    t.expect("A" + TOLD[CE])
    t.inject("SA" + BITS[0b010], seq=0, tclass=NOT_ECT)
    t.expect("A" + TOLD[NOT_ECT], ack=1)
    t.advance(SECOND)
    t.inject("SA" + BITS[0b010], seq=0, tclass=CE)
    t.expect("A" + TOLD[CE], ack=1)
    t.send(b"data")
    assert ace(t.expect(text=b"data")) == 6, "however many are marked, one is counted"


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.parametrize("answer", [BITS[0b010], BITS[0b011], BITS[0b100], BITS[0b110]])
def test_each_answer_with_sense_means_accurate_feedback(tcp, answer):
    t = client(asking(tcp), answer=answer)
    t.expect("A" + TOLD[NOT_ECT])
    assert t.tcp.ecn.mode is Mode.ACCURATE


@pytest.mark.rfc("9768", "3.1.3")
def test_the_reserved_answer_means_accurate_feedback_too(tcp):
    t = client(asking(tcp), answer=BITS[0b101])
    t.expect("A" + TOLD[NOT_ECT])
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == ECT_0


@pytest.mark.rfc("9768", "3.1.2")
def test_a_server_that_knows_only_classic_ecn_gets_that(tcp):
    t = client(asking(tcp), answer="E")
    t.expect("A", ack=1)
    assert t.tcp.ecn.mode is Mode.CLASSIC
    t.inject("PA", text=b"x", tclass=CE)
    t.expect("AE", within=SECOND)


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.parametrize("answer", ["", BITS[0b111]])
def test_no_answer_or_a_copy_of_the_question_means_no_ecn(tcp, answer):
    t = client(asking(tcp), answer=answer)
    t.expect("A", ack=1)
    assert t.tcp.ecn.mode is Mode.OFF
    t.send(b"data")
    assert codepoint(t.expect("PA")) == NOT_ECT


@pytest.mark.rfc("9768", "3.1.2")
def test_a_client_that_knows_only_classic_ecn_gets_that(tcp):
    t = asking(tcp)
    t.listen()
    t.inject("SEC")
    t.expect("SAE")


@pytest.mark.rfc("9768", "3.1.3")
@pytest.mark.parametrize("syn", ["E", "C", "N", "NE", "NC"])
def test_a_syn_of_the_future_is_taken_for_accurate(tcp, syn):
    t = tcp()
    t.judged = False  # no sender of today makes such a SYN
    t.listen()
    t.inject("S" + syn)
    t.expect("SA" + TOLD[NOT_ECT])


@pytest.mark.rfc("9768", "3.1.2")
def test_a_simultaneous_open_answers_like_a_server(tcp):
    t = asking(tcp)
    t.connect()
    t.expect("SECN")
    t.inject("SECN", tclass=ECT_1)
    t.expect("SA" + TOLD[ECT_1])
    (t.connection,) = t.host.connections.values()
    assert t.tcp.ecn.mode is Mode.ACCURATE


@pytest.mark.rfc("9768", "3.1.4.1")
def test_a_lost_syn_is_repeated_without_but_the_answer_to_the_first_may_still_come(tcp):
    t = asking(tcp)
    t.connect()
    t.expect("SECN")
    t.expect("S", within=SECOND)
    t.inject("SA" + TOLD[NOT_ECT])
    t.expect("A" + TOLD[NOT_ECT])
    assert t.tcp.ecn.mode is Mode.ACCURATE


@pytest.mark.rfc("9768", "3.1.5")
def test_the_latest_syn_is_the_one_told_of(tcp):
    t = tcp()
    t.listen()
    t.inject("SECN", tclass=NOT_ECT)
    t.expect("SA" + TOLD[NOT_ECT])
    t.inject("SECN", seq=0, tclass=CE)
    t.expect("SA" + TOLD[CE])


@pytest.mark.rfc("9768", "3.1.5")
def test_after_a_syn_without_flags_the_server_marks_nothing_but_still_counts(tcp):
    t = tcp()
    t.listen()
    t.inject("SECN")
    t.expect("SA" + TOLD[NOT_ECT])
    t.inject("S", seq=0)
    t.expect("SA" + TOLD[NOT_ECT])
    t.inject("A" + TOLD[NOT_ECT])
    t.accept()
    t.inject("PA" + BITS[5], text=b"x", tclass=CE)
    assert ace(t.expect(ack=2)) == 6
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == NOT_ECT


@pytest.mark.rfc("9768", "3.1.5")
@pytest.mark.parametrize(("first", "second"), [("SECN", "SEC"), ("SEC", "SECN")])
def test_syns_that_ask_for_both_kinds_end_the_connection(tcp, first, second):
    t = tcp()
    t.listen()
    t.inject(first)
    t.expect()
    t.inject(second, seq=0)
    t.expect("RA", why=Why.ECN_CONFLICT)
    assert not t.host.connections


# ---- what the ACK of our SYN-ACK says ----------------------------------------------------------


@pytest.mark.rfc("9768", "3.2.2.1")
@pytest.mark.parametrize("told", [0b001, 0b010, 0b101, 0b111])
def test_the_server_counts_from_five(tcp, told):
    t = server(tcp(), ack=BITS[told])
    assert t.tcp.ecn.marks_reported == 0
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == ECT_0
    t.inject("A" + BITS[5])
    assert t.tcp.ecn.marks_reported == 0
    assert t.host.counters["TCPEcnReductions"] == 0


@pytest.mark.rfc("9768", "3.2.2.2")
def test_a_mark_on_our_syn_ack_counts_and_slows_us_down(tcp):
    t = server(tcp(), ack=TOLD[CE])
    assert t.tcp.ecn.marks_reported == 1
    assert t.host.counters["TCPEcnReductions"] == 1
    assert t.tcb.cwnd < 10 * MSS
    t.inject("A" + BITS[6])
    assert t.tcp.ecn.marks_reported == 1


@pytest.mark.rfc("9768", "3.2.2.3")
@pytest.mark.parametrize("told", [ECT_1, ECT_0, CE])
def test_a_server_whose_syn_ack_was_mangled_marks_nothing(tcp, told):
    t = server(tcp(), ack=TOLD[told])
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == NOT_ECT


@pytest.mark.rfc("9768", "3.2.2.3")
@pytest.mark.parametrize("told", [ECT_1, ECT_0, CE])
def test_a_client_whose_syn_was_mangled_marks_nothing(tcp, told):
    t = client(asking(tcp), answer=TOLD[told])
    t.expect("A" + TOLD[NOT_ECT])
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == NOT_ECT


@pytest.mark.rfc("9768", "3.2.2.1")
def test_cleared_bits_end_ecn_for_what_we_send_but_not_the_feedback(tcp):
    t = server(tcp(), ack="")
    t.send(b"data")
    assert codepoint(t.expect(text=b"data")) == NOT_ECT
    t.inject("A" + BITS[1])
    assert t.host.counters["TCPEcnReductions"] == 0
    t.inject("PA", text=b"x", tclass=CE)
    assert ace(t.expect(ack=2)) == 6


@pytest.mark.rfc("9768", "3.2.2.1")
def test_an_ack_with_data_carries_the_counter(tcp):
    """The bare ACK was lost: what comes first is data, and its field is a count."""
    t = tcp()
    t.listen()
    t.inject("SECN")
    t.expect("SA" + TOLD[NOT_ECT])
    t.inject("PA" + BITS[5], text=b"x")
    t.accept()
    t.expect(ack=2, within=SECOND)
    assert t.tcp.ecn.marks_reported == 0


# ---- the receiver ------------------------------------------------------------------------------


@pytest.mark.rfc("9768", "3.2")
def test_every_mark_is_counted_modulo_eight(tcp):
    t = server(tcp(quick_acks=0))
    counts = []
    for number in range(10):
        t.inject("PA" + BITS[5], text=b"x", tclass=CE)
        t.advance(100 * MS)
        counts.append(ace(t.take()[-1]))
        assert t.peer_number(t.tcb.rcv_nxt) == 2 + number
    assert counts == [6, 7, 0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.rfc("9768", "3.2")
def test_marks_on_bare_acknowledgements_count_too(tcp):
    t = server(tcp())
    for _ in range(2):
        t.inject("A" + BITS[5], tclass=CE)
    t.send(b"data")
    assert ace(t.expect(text=b"data")) == 7


@pytest.mark.rfc("9768", "3.2")
def test_our_data_carries_the_newest_count_and_so_does_a_retransmission(tcp):
    t = server(tcp())
    t.send(b"data")
    assert ace(t.expect(text=b"data")) == 5
    t.inject("A" + BITS[5], ack=1, tclass=CE)
    assert ace(t.expect(text=b"data", within=2 * SECOND)) == 6


@pytest.mark.rfc("9768", "3.2.2.5.1")
def test_the_first_mark_after_none_is_reported_at_once(tcp):
    t = server(tcp(quick_acks=0))
    t.inject("PA" + BITS[5], text=b"x", tclass=ECT_0)
    t.expect_nothing(10 * MS)
    t.inject("PA" + BITS[5], text=b"x", tclass=CE)
    assert ace(t.expect(why=Why.CONGESTION_MARKS)) == 6


@pytest.mark.rfc("9768", "3.2.2.5.1")
def test_in_a_run_of_marks_every_second_is_reported_at_once(tcp):
    t = server(tcp(quick_acks=0))
    t.inject("PA" + BITS[5], text=b"x", tclass=CE)
    t.expect(why=Why.CONGESTION_MARKS)
    reported = 0
    for _ in range(6):
        t.inject("PA" + BITS[5], text=b"x", tclass=CE)
        reported += len(t.take())
    assert reported == 3


@pytest.mark.rfc("9768", "3.2.2.5.1")
def test_acknowledgements_answer_only_every_third_mark_on_acknowledgements(tcp):
    """Two hosts that answered each other's marks sooner would never stop."""
    t = server(tcp())
    for _ in range(2):
        t.inject("A" + BITS[5], tclass=CE)
    t.expect_nothing()
    t.inject("A" + BITS[5], tclass=CE)
    assert ace(t.expect("A", text=b"", sack=())) == 0
    t.expect_nothing(SECOND)


# ---- the sender --------------------------------------------------------------------------------


def flight(t, segments):
    t.send(b"x" * segments * MSS)
    assert len(t.take()) == segments


@pytest.mark.rfc("9768", "3.2.2.2")
def test_a_higher_count_slows_down_once_in_a_round_trip(tcp):
    t = server(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A" + BITS[5], ack=seg(1))
    cwnd = t.tcb.cwnd
    t.inject("A" + BITS[6], ack=seg(2))
    assert t.tcb.cwnd < cwnd
    assert t.tcp.ecn.marks_reported == 1
    t.inject("A" + BITS[0], ack=seg(4))
    assert t.tcp.ecn.marks_reported == 3
    assert t.host.counters["TCPEcnReductions"] == 1


@pytest.mark.rfc("9768", "3.2.2.2")
def test_the_count_wraps(tcp):
    t = server(tcp())
    for number in range(1, 21):
        flight(t, 1)
        t.advance(RTT)
        t.inject("A" + BITS[(5 + number) % 8], ack=seg(number))
        assert t.tcp.ecn.marks_reported == number
    assert t.host.counters["TCPEcnReductions"] == 20


@pytest.mark.rfc("9768", "3.2.2.2")
def test_the_count_of_an_overtaken_acknowledgement_is_old(tcp):
    t = server(tcp())
    flight(t, 4)
    t.advance(RTT)
    t.inject("A" + BITS[6], ack=seg(3))
    t.inject("A" + BITS[5], ack=seg(2))
    t.inject("PA" + BITS[7], ack=seg(4), text=b"xyz", seq=4)
    t.inject("PA" + BITS[6], ack=seg(4), text=b"abc", seq=1)
    assert t.tcp.ecn.marks_reported == 2
    t.take()


@pytest.mark.rfc("9768", "3.1.5")
def test_cwr_never_means_that_we_slowed_down(tcp):
    t = server(tcp(congestion="reno"))
    flight(t, 10)
    t.advance(RTT)
    t.inject("A" + BITS[7], ack=seg(10))
    t.send(b"y" * MSS)
    assert ace(t.expect()) == 5


def test_a_device_gets_no_super_segments(tcp):
    """It would take CWR for the classic flag and clear it behind the first piece."""
    t = server(tcp(offload=True))
    t.send(b"x" * 4 * MSS)
    assert [(one.length, ace(one)) for one in t.take()] == [(MSS, 5)] * 4
