"""Receiving: acknowledgements, reassembly, SACK, the window that we announce."""

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire.batch import Inbound
from tests.support import states
from tests.support.endpoint import MS, SECOND
from tests.support.seen import absent, at_least

BIG = b"x" * 1460


def established(t):
    states.established(t)
    return t


# ---- when to acknowledge ----------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-18")
@pytest.mark.rfc("9293", "MUST-40")
@pytest.mark.rfc("5681", "4.2")
def test_a_single_segment_is_acknowledged_after_a_delay_below_half_a_second(tcp):
    t = established(tcp(quick_acks=0, loss_free=True))
    t.inject("A", text=BIG)
    t.expect_nothing(39 * MS)
    ack = t.expect("A", ack=1461, text=b"", within=461 * MS, why=Why.DELAYED_ACK)
    assert ack.now == 1_040_000


@pytest.mark.rfc("9293", "SHLD-19")
@pytest.mark.rfc("5681", "4.2")
@pytest.mark.parametrize("ts", [False, True])
def test_every_second_full_sized_segment_is_acknowledged_at_once(tcp, ts):
    t = established(tcp(quick_acks=0, loss_free=True, peer={"ts": ts}))
    full = BIG[: 1460 - (12 if ts else 0)]
    for number in (2, 4, 6):
        t.inject("A", text=full)
        t.expect_nothing()
        t.inject("A", text=full)
        t.expect("A", ack=1 + number * len(full), why=Why.SECOND_SEGMENT)
    t.expect_nothing(SECOND)


@pytest.mark.rfc("9293", "SHLD-19")
def test_the_sender_decides_what_is_full_sized(tcp):
    """Its path may be narrower than what we take (RFC 5681 §2, SMSS)."""
    t = established(tcp(quick_acks=0))
    for _ in range(3):
        t.inject("A", text=BIG[:1000])
        t.inject("A", text=BIG[:1000])
    assert len(t.take()) >= 2


@pytest.mark.rfc("9293", "MUST-58")
@pytest.mark.rfc("9293", "MUST-59")
def test_segments_that_arrive_together_are_acknowledged_together(tcp):
    t = established(tcp())
    t.arrive(*[t.packet("A", text=BIG) for _ in range(10)])
    t.expect("A", ack=14_601)
    t.expect_nothing(SECOND)


@pytest.mark.rfc("5681", "4.2")
@pytest.mark.parametrize("sack", [False, True])
def test_behind_a_gap_every_segment_that_arrives_together_has_its_own_answer(tcp, sack):
    """The sender counts them, or one that is lost would leave it waiting for a timer."""
    t = established(tcp(peer={"sack": sack}))
    t.arrive(*[t.packet("A", seq=101 + 100 * n, text=bytes(100)) for n in range(3)])
    for n in range(3):
        told = t.expect("A", ack=1, why=Why.OUT_OF_ORDER)
        assert told.sack == (((101, 201 + 100 * n),) if sack else ())
    t.expect_nothing(SECOND)


@pytest.mark.rfc("5681", "4.2")
def test_for_a_while_after_a_gap_every_segment_is_acknowledged(tcp):
    t = established(tcp(quick_acks=0))
    t.inject("A", seq=101, text=bytes(100))
    t.expect("A", ack=1)
    t.inject("A", seq=1, text=bytes(100))
    t.expect("A", ack=201, why=Why.GAP_FILLED)
    t.arrive(*[t.packet("A", seq=201 + 10 * n, text=bytes(10)) for n in range(17)])
    for n in range(16):
        t.expect("A", ack=211 + 10 * n, why=Why.AFTER_LOSS)
    t.expect_nothing()
    t.expect("A", ack=371, within=40 * MS, why=Why.DELAYED_ACK)


def test_more_answers_than_a_batch_holds_become_one(tcp):
    t = established(tcp())
    t.inject("A", seq=1001, text=b"x")
    t.take()
    for _ in range(2):  # nothing leaves in between
        t.host.receive(Inbound.of([t.packet("A", seq=1001, text=b"x")] * 64), t.now)
    t.inject("A")
    assert len(t.take()) == 65


@pytest.mark.rfc("2883", "4")
def test_duplicates_that_arrive_together_are_reported_one_by_one(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=bytes(300))
    t.take()
    t.arrive(*[t.packet("A", seq=1 + 100 * n, text=bytes(100)) for n in range(3)])
    for n in range(3):
        t.expect("A", ack=301, sack=((1 + 100 * n, 101 + 100 * n),), why=Why.DUPLICATE)


def test_an_acknowledgement_rides_on_data_that_leaves_anyway(tcp):
    t = established(tcp(quick_acks=0, loss_free=True))
    t.inject("PA", text=b"question")
    t.advance(10 * MS)
    t.send(b"answer")
    t.expect("PA", ack=9, text=b"answer")
    t.inject("A")
    t.expect_nothing(SECOND)


def test_while_the_peer_starts_slowly_every_segment_is_acknowledged_at_once(tcp):
    t = established(tcp(quick_acks=3, loss_free=True))
    for number in (1, 2, 3):
        t.inject("PA", text=b"abc")
        t.expect("A", ack=1 + 3 * number, why=Why.QUICK_ACK)
    t.inject("PA", text=b"abc")
    t.expect_nothing()
    t.expect("A", ack=13, within=40 * MS, why=Why.DELAYED_ACK)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_pure_acknowledgement_is_never_acknowledged(tcp):
    t = established(tcp())
    for _ in range(5):
        t.inject("A")
    t.expect_nothing(SECOND)


# ---- in order and out of it -----------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-31")
@pytest.mark.rfc("9293", "MAY-13")
@pytest.mark.rfc("5681", "4.2")
def test_a_segment_beyond_a_gap_is_kept_and_answered_at_once(tcp):
    t = established(tcp(quick_acks=0))
    t.inject("A", seq=11, text=b"second")
    t.expect("A", ack=1, why=Why.OUT_OF_ORDER)
    assert t.tcp.available == 0
    assert t.ready_of() == Ready(0)
    t.inject("A", seq=1, text=b"firstfirst")
    t.expect("A", ack=17, why=Why.GAP_FILLED)
    assert t.ready_of() == Ready.READABLE
    assert t.receive() == b"firstfirstsecond"


@pytest.mark.rfc("9293", "3.10.7.4")
def test_segments_in_any_order_give_the_stream(tcp):
    t = established(tcp())
    for at in (30, 10, 50, 20, 0, 40):
        t.inject("A", seq=1 + at, text=bytes(range(at, at + 10)))
    assert t.receive() == bytes(range(60))
    assert t.take()[-1].ack == 61


@pytest.mark.rfc("9293", "3.10.7.4")
def test_overlapping_segments_are_trimmed_to_what_is_new(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=b"0123456789")
    t.inject("A", seq=6, text=b"56789abcde")
    t.inject("A", seq=21, text=b"klmno")
    t.inject("A", seq=11, text=b"abcdefghijklmno")
    assert t.receive() == b"0123456789abcdefghijklmno"
    assert t.take()[-1].ack == 26


@pytest.mark.rfc("9293", "3.10.7.4")
def test_text_beyond_the_window_is_cut_off(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1500))
    t.expect("A", ack=1001, window=0)
    assert t.receive() == bytes(1000)
    t.take()


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_duplicate_is_acknowledged_again_and_read_once(tcp):
    t = established(tcp(peer={"sack": False}))
    t.inject("A", text=b"once")
    t.expect("A", ack=5)
    t.inject("A", seq=1, text=b"once")
    t.expect("A", ack=5, sack=(), why=Why.DUPLICATE)
    assert t.receive() == b"once"


@pytest.mark.rfc("9293", "MUST-3")
def test_a_segment_with_a_bad_checksum_is_dropped_without_a_word(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=b"data", checksum=0x1234)
    t.expect_nothing(SECOND)
    assert t.tcp.available == 0
    assert t.host.counters["TcpInCsumErrors"] == 1


@pytest.mark.rfc("9293", "MUST-2")
@pytest.mark.parametrize("version", [4, 6])
def test_every_segment_of_ours_has_the_right_checksum(tcp, version):
    """The wire check at the end of each test looks at every packet; here are some of each kind."""
    t = established(tcp(version, peer={"ts": True}))
    for length in (1, 2, 3, 1447, 1448):
        t.send(bytes(range(256)) * 6)
        t.inject("A", text=bytes(length))
    t.inject("R", port=41_000)
    t.inject("A", port=41_000)
    sent = t.take()
    assert len(sent) > 8
    assert all(one.packet.transport_checksum_ok and one.packet.ip_checksum_ok for one in sent)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_text_without_an_ack_is_dropped(tcp):
    t = established(tcp())
    t.inject("P", seq=1, text=b"data")
    t.expect_nothing(SECOND)
    assert t.tcp.available == 0


@pytest.mark.rfc("9293", "MUST-30")
@pytest.mark.rfc("6093", "3.1")
def test_urgent_data_stays_in_line(tcp):
    t = established(tcp())
    t.inject("PAU", text=b"abc!def", urgent=4)
    assert t.receive() + t.receive() == b"abc!def"  # one read ends at the mark
    t.take()


@pytest.mark.rfc("9293", "MUST-30")
@pytest.mark.parametrize("urgent", [0, 1, 65_535])
def test_no_urgent_pointer_does_harm(tcp, urgent):
    t = established(tcp())
    t.inject("PAU", text=b"x", urgent=urgent)
    t.inject("AU", urgent=urgent)
    assert t.receive() == b"x"
    t.take()


# ---- FIN -------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_behind_a_gap_waits_for_what_is_missing(tcp):
    t = established(tcp())
    t.inject("FA", seq=6, text=b"world")
    t.expect("A", ack=1)
    t.expect_state(State.ESTABLISHED)
    t.inject("A", seq=1, text=b"hello")
    t.expect("A", ack=12)
    t.expect_state(State.CLOSE_WAIT)
    assert t.receive() == b"helloworld"
    assert t.tcp.eof


@pytest.mark.rfc("5681", "4.2")
def test_a_bare_fin_behind_a_gap_shows_the_gap(tcp):
    t = established(tcp(quick_acks=0))
    t.inject("FA", seq=6)
    t.expect("A", ack=1, why=Why.OUT_OF_ORDER)
    t.inject("A", seq=1, text=b"hello")
    t.expect("A", ack=7)
    t.expect_state(State.CLOSE_WAIT)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_repeated_fin_is_acknowledged_again(tcp):
    t = tcp()
    states.close_wait(t)
    t.inject("FA", seq=1)
    t.expect("A", ack=2, why=Why.DUPLICATE)
    t.expect_state(State.CLOSE_WAIT)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_nothing_behind_a_fin_is_taken(tcp):
    t = tcp()
    states.close_wait(t)
    t.inject("A", seq=2, text=b"more")
    assert t.tcp.available == 0
    assert t.tcp.eof


def test_a_fin_that_fits_the_last_byte_of_the_window_is_taken(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("FA", text=bytes(1000))
    assert t.receive() == bytes(1000)
    t.expect_state(State.CLOSE_WAIT)
    t.take()


# ---- SACK ------------------------------------------------------------------------------------


@pytest.mark.rfc("2018", "4")
def test_a_sack_begins_with_the_block_that_changed_last(tcp):
    t = established(tcp(quick_acks=0))
    for at, expected in (
        (20, [(20, 30)]),
        (40, [(40, 50), (20, 30)]),
        (60, [(60, 70), (40, 50), (20, 30)]),
        (30, [(20, 50), (60, 70)]),
        (80, [(80, 90), (20, 50), (60, 70)]),
    ):
        t.inject("A", seq=at, text=bytes(10))
        t.expect("A", ack=1, sack=tuple(expected))


@pytest.mark.rfc("2018", "3")
@pytest.mark.parametrize(("ts", "limit"), [(False, 4), (True, 3)])
def test_a_sack_has_as_many_blocks_as_options_have_room(tcp, ts, limit):
    t = established(tcp(peer={"ts": ts}))
    for at in range(20, 140, 20):
        t.inject("A", seq=at, text=bytes(10))
    last = t.take()[-1]
    assert last.sack == ((120, 130), (100, 110), (80, 90), (60, 70))[:limit]


@pytest.mark.rfc("2018", "4")
def test_sack_stops_when_nothing_is_missing(tcp):
    t = established(tcp())
    t.inject("A", seq=11, text=bytes(10))
    t.inject("A", seq=1, text=bytes(10))
    t.inject("A", seq=21, text=bytes(10))
    assert [one.sack for one in t.take()] == [((11, 21),), (), ()]


@pytest.mark.rfc("2018", "2")
def test_without_permission_no_sack_is_sent(tcp):
    t = established(tcp(peer={"sack": False}))
    t.inject("A", seq=11, text=bytes(10))
    t.expect("A", ack=1, sack=absent)


@pytest.mark.rfc("2883", "4")
def test_a_duplicate_segment_is_reported_in_the_first_block(tcp):
    t = established(tcp(quick_acks=0))
    t.inject("A", seq=1, text=bytes(100))
    t.advance(50 * MS)
    t.take()
    t.inject("A", seq=1, text=bytes(100))
    t.expect("A", ack=101, sack=((1, 101),))
    t.inject("A", seq=201, text=bytes(100))
    t.expect("A", ack=101, sack=((201, 301),))
    t.inject("A", seq=1, text=bytes(100))
    t.expect("A", ack=101, sack=((1, 101), (201, 301)))


@pytest.mark.rfc("2883", "4.1.2")
def test_a_duplicate_out_of_order_segment_is_reported_before_the_block_that_holds_it(tcp):
    t = established(tcp())
    t.inject("A", seq=101, text=bytes(100))
    t.inject("A", seq=201, text=bytes(100))
    t.inject("A", seq=101, text=bytes(100))
    assert t.take()[-1].sack == ((101, 201), (101, 301))


@pytest.mark.rfc("2883", "4")
def test_a_duplicate_is_reported_once(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=bytes(100))
    t.inject("A", seq=1, text=bytes(100))
    t.inject("A", seq=101, text=bytes(100))
    assert [one.sack for one in t.take()] == [(), ((1, 101),), ()]


@pytest.mark.rfc("2883", "4.2.2")
def test_the_repeated_part_of_a_segment_is_reported(tcp):
    t = established(tcp())
    t.inject("A", seq=1, text=bytes(100))
    t.take()
    t.inject("A", seq=51, text=bytes(100))
    t.expect("A", ack=151, sack=((51, 101),))


@pytest.mark.rfc("9293", "MUST-16")
@pytest.mark.rfc("2018", "4")
@pytest.mark.parametrize("ts", [False, True])
def test_a_full_sized_segment_leaves_its_sack_to_an_ack_of_its_own(tcp, ts):
    """Both together would exceed the peer's MSS."""
    t = established(tcp(quick_acks=0, peer={"ts": ts}))
    t.send(b"x" * 20_000)
    t.take()
    t.arrive(
        t.packet("A", seq=101, text=bytes(100), ack=1), t.packet("A", seq=301, text=b"y", ack=4000)
    )
    sent = t.take()
    assert len(sent) > 2
    assert all(one.length + one.packet.tcp.header_length - 20 <= 1460 for one in sent)
    first, second = [one for one in sent if one.sack]
    assert max(first.length, second.length) < 1460
    assert first.sack == ((101, 201),)
    assert second.sack == ((301, 302), (101, 201))


# ---- the window ---------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.8.6")
@pytest.mark.rfc("9293", "SHLD-14")
def test_the_window_closes_as_unread_bytes_pile_up_and_its_right_edge_stays(tcp):
    t = established(tcp(receive_buffer=10_000, slow_reader=True))
    t.expect_value("window", 10_000, t.tcb.rcv_adv - t.tcb.rcv_nxt & 0xFFFF_FFFF)
    for number in range(1, 11):
        t.inject("A", text=bytes(1000))
        t.expect("A", ack=1 + number * 1000, window=10_000 - number * 1000)


@pytest.mark.rfc("9293", "MUST-39")
def test_a_closed_window_does_not_open_for_less_than_a_segment(tcp):
    t = established(tcp(receive_buffer=10_000, slow_reader=True))
    for _ in range(10):
        t.inject("A", text=bytes(1000))
    t.take()
    t.receive(1000)
    t.expect_nothing(SECOND)
    t.receive(459)
    t.expect_nothing(SECOND)
    t.receive(1)
    t.expect("A", ack=10_001, window=1460, why=Why.WINDOW_UPDATE)


@pytest.mark.rfc("9293", "MUST-39")
def test_a_small_buffer_opens_its_window_by_halves(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1000))
    t.expect("A", window=0)
    t.receive(499)
    t.expect_nothing(SECOND)
    t.receive(1)
    t.expect("A", window=500, why=Why.WINDOW_UPDATE)


@pytest.mark.rfc("9293", "3.8.6.2.2")
def test_an_open_window_grows_with_the_next_acknowledgement_only(tcp):
    t = established(tcp(receive_buffer=60_000))
    for _ in range(4):
        t.inject("A", text=BIG)
        t.expect("A")
        t.receive()
    t.expect_nothing(SECOND)
    t.inject("A", text=BIG)
    t.expect("A", window=at_least(56_000))


@pytest.mark.rfc("9293", "3.8.6.1")
def test_a_probe_of_the_closed_window_is_answered_with_the_window(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1000))
    t.take()
    for _ in range(3):
        t.inject("A", seq=1001, text=b"?")
        t.expect("A", ack=1001, window=0, why=Why.WINDOW_PROBED)
    t.receive()
    t.take()
    t.inject("A", seq=1001, text=b"?")
    t.expect("A", ack=1002)


@pytest.mark.rfc("9293", "3.8.6.1")
def test_an_empty_probe_below_the_window_is_answered(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1000))
    t.take()
    t.inject("A", seq=1000)
    t.expect("A", ack=1001, window=0)


@pytest.mark.rfc("9293", "MUST-66")
@pytest.mark.rfc("9293", "SHLD-2")
@pytest.mark.parametrize("text", [b"", b"why it was reset"])
def test_a_reset_counts_even_with_a_closed_window(tcp, text):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1000))
    t.take()
    t.inject("R", text=text)
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_acknowledgements_count_even_with_a_closed_window(tcp):
    t = established(tcp(receive_buffer=1000, slow_reader=True))
    t.inject("A", text=bytes(1000))
    t.send(b"abc")
    t.take()
    t.inject("A", seq=1001, ack=4, text=b"?")
    assert t.tcp.send_queued == 0
    t.take()


@pytest.mark.rfc("7323", "2.4")
@pytest.mark.parametrize("length", [1447, 2895])
def test_rounding_a_scaled_window_up_never_promises_more_than_there_is_room_for(tcp, length):
    """Each rounding moves the right edge; an application that does not read must not lose."""
    t = established(tcp(peer={"wscale": 14}, receive_buffer=4 << 20, slow_reader=True))
    t.excused = ("right edge moves left",)  # by less than the unit of the window
    total = 0
    while (window := (t.tcb.rcv_adv - t.tcb.rcv_nxt) & 0xFFFF_FFFF) > 0:
        t.inject("A", text=bytes(min(length, window)))
        before, total = total, t.tcp.available
        assert total > before, "text inside the announced window was dropped"
        assert total < 6 << 20
    t.take()
    assert len(t.receive()) == total
    t.take()


@pytest.mark.rfc("7323", "2.4")
def test_a_window_closes_even_when_less_than_its_unit_arrives_each_time(tcp):
    t = established(tcp(peer={"wscale": 14}, receive_buffer=1 << 30, slow_reader=True))
    t.excused = ("right edge moves left",)
    t.tcb.rcv_wnd_max = 65_535  # as if almost all of the buffer were full
    t.tcb.rcv.limit = 100_000
    for _ in range(100):
        window = (t.tcb.rcv_adv - t.tcb.rcv_nxt) & 0xFFFF_FFFF
        t.inject("A", text=bytes(min(1001, window)))
    t.take()
    assert t.tcp.available <= 100_000
    assert t.tcb.rcv_adv == t.tcb.rcv_nxt


def test_a_reader_is_told_once_for_many_segments(tcp):
    t = established(tcp())
    t.arrive(*[t.packet("A", text=b"abc") for _ in range(20)])
    t.take()
    assert t.ready_of() == Ready.READABLE
    assert t.ready_of() == Ready(0)
    assert t.receive(10) == b"abcabcabca"
    assert t.tcp.peek(5) == b"bcabc"
    assert t.tcp.available == 50


def test_sequence_numbers_wrap_in_the_middle_of_a_segment(tcp):
    t = established(tcp(peer={"iss": 0xFFFF_FFFF - 50}))
    for at in (100, 0, 50):
        t.inject("A", seq=1 + at, text=bytes([at]) * 50)
    assert t.receive() == b"\0" * 50 + bytes([50]) * 50 + bytes([100]) * 50
    assert t.take()[0].sack == ((101, 151),)
