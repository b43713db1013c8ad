"""Urgent data: the pointer on the wire, the mark in the stream, and who is told what."""

import errno

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from tests.support import states
from tests.support.endpoint import MS, SECOND


def established(tcp, *arguments, **settings):
    t = tcp(*arguments, **settings)
    states.established(t)
    return t


def send_urgent(t, data):
    return t.call("send_urgent", data)


# ---- sending ----------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-30")
@pytest.mark.rfc("9293", "MUST-62")
@pytest.mark.rfc("6093", "2.1")
@pytest.mark.parametrize("version", [4, 6])
def test_the_pointer_names_the_octet_behind_the_urgent_data(tcp, version):
    t = established(tcp, version)
    t.send(b"usual")
    t.expect("PA", text=b"usual", urgent=0)
    assert send_urgent(t, b"interrupt") == 9
    t.expect("PAU", seq=6, text=b"interrupt", urgent=9)
    t.inject("A")
    t.send(b"usual again")
    t.expect("PA", seq=15, urgent=0)


@pytest.mark.rfc("9293", "3.8.5")
def test_data_in_front_of_the_urgent_data_points_at_its_end(tcp):
    t = established(tcp)
    t.inject("A", window=0)
    t.send(bytes(100))
    t.expect_nothing()
    send_urgent(t, b"!")
    t.expect("AU", seq=1, text=b"", urgent=101, why=Why.URGENT)
    t.inject("A", window=1000)
    t.expect("PAU", seq=1, text=bytes(100) + b"!", urgent=101)


@pytest.mark.rfc("9293", "3.8.5")
def test_a_repeated_segment_points_at_the_same_octet(tcp):
    t = established(tcp)
    send_urgent(t, b"stop")
    t.expect("PAU", seq=1, urgent=4)
    t.expect("PAU", seq=1, text=b"stop", urgent=4, within=2 * SECOND)


@pytest.mark.rfc("9293", "MUST-31")
def test_urgent_data_may_be_longer_than_the_pointer_reaches(tcp):
    t = established(tcp, peer={"wscale": 7, "window": 400_000}, initial_window=200)
    t.inject("A")
    text = bytes(i % 251 for i in range(200_000))
    send_urgent(t, text)
    got = bytearray()
    while len(got) < len(text):
        for one in t.take():
            assert "U" in one.flags
            assert one.urgent == min(200_001 - one.seq, 0xFFFF)
            got[one.seq - 1 : one.seq - 1 + one.length] = one.text
        t.inject("A")
        t.advance(10 * MS)
    assert bytes(got) == text
    t.inject("A")
    t.take()
    t.send(b"x")
    t.expect("PA")


@pytest.mark.rfc("9293", "MUST-32")
def test_newer_urgent_data_moves_the_pointer_on(tcp):
    t = established(tcp)
    t.inject("A", window=0)
    send_urgent(t, b"one")
    t.expect("AU", urgent=3)
    send_urgent(t, b"two")
    t.expect("AU", urgent=6)


@pytest.mark.rfc("9293", "SHLD-7")
def test_nagle_does_not_hold_urgent_data_back(tcp):
    t = established(tcp)
    t.send(b"a")
    t.expect("PA")
    t.send(b"b")
    t.expect_nothing()
    send_urgent(t, b"!")
    t.expect("PAU", seq=2, text=b"b!", urgent=2)


@pytest.mark.rfc("9293", "3.8.6.1")
def test_probes_of_a_closed_window_point_at_the_urgent_data(tcp):
    t = established(tcp)
    t.inject("A", window=0)
    send_urgent(t, b"stop")
    t.expect("AU", seq=1, urgent=4)
    t.expect("AU", seq=0, urgent=5, within=2 * SECOND, why=Why.ZERO_WINDOW_PROBE)


@pytest.mark.rfc("9293", "3.8.5")
def test_a_device_that_cuts_segments_gets_whole_ones(tcp):
    t = established(tcp, offload=True)
    send_urgent(t, bytes(5000))
    pointers = [(one.seq, one.urgent) for one in t.take()]
    assert pointers == [(1, 5000), (1461, 3540), (2921, 2080), (4381, 620)]


def test_urgent_data_queued_before_the_handshake_is_marked_right(tcp):
    t = tcp()
    states.syn_sent(t)
    t.send(b"early ")
    send_urgent(t, b"!")
    t.expect_nothing()
    t.inject("SA")
    t.expect("PAU", seq=1, text=b"early !", urgent=7)


def test_a_reset_has_no_pointer(tcp):
    t = established(tcp)
    send_urgent(t, b"!")
    t.expect("PAU")
    t.abort()
    t.expect("RA", urgent=0)


def test_nothing_urgent_leaves_once_our_side_is_closed(tcp):
    t = established(tcp)
    t.shutdown()
    t.expect("FA")
    with pytest.raises(BrokenPipeError):
        send_urgent(t, b"!")


# ---- receiving --------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-32")
@pytest.mark.rfc("9293", "MUST-33")
@pytest.mark.parametrize("version", [4, 6])
def test_the_application_is_told_of_urgent_data_and_how_much_remains(tcp, version):
    t = established(tcp, version)
    t.inject("PAU", text=b"0123456789", urgent=8)
    t.expect("A", ack=11)
    assert t.ready_of() == Ready.URGENT | Ready.READABLE
    assert t.tcp.urgent_remaining == 8
    assert t.receive(3) == b"012"
    assert t.tcp.urgent_remaining == 5
    assert t.receive() == b"3456"
    assert t.tcp.urgent_remaining == 1
    assert t.tcp.at_mark
    assert t.receive() == b"789"
    assert t.tcp.urgent_remaining == 0
    assert not t.tcp.at_mark


@pytest.mark.rfc("9293", "MUST-32")
def test_the_pointer_is_told_before_its_data_comes(tcp):
    t = established(tcp)
    t.inject("AU", urgent=100)
    assert t.ready_of() == Ready.URGENT
    assert t.tcp.urgent_remaining == 100
    t.inject("PA", text=bytes(99))
    t.take()
    assert len(t.receive()) == 99
    assert t.tcp.at_mark
    assert t.tcp.urgent_remaining == 1


@pytest.mark.rfc("9293", "MUST-32")
def test_the_application_is_told_again_only_when_the_pointer_advances(tcp):
    t = established(tcp, quick_acks=0)
    t.inject("PAU", text=b"abc", urgent=3)
    t.ready_of()
    t.inject("AU", seq=4, urgent=0)
    t.inject("PAU", seq=1, text=b"abc", urgent=3)
    assert not t.ready_of() & Ready.URGENT
    t.inject("PAU", seq=4, text=b"def", urgent=3)
    assert t.ready_of() & Ready.URGENT
    assert t.tcp.urgent_remaining == 6
    t.take()


@pytest.mark.rfc("9293", "3.8.5")
def test_a_pointer_behind_what_was_read_means_nothing(tcp):
    t = established(tcp)
    t.inject("PA", text=b"abcdef")
    t.expect("A")
    t.receive()
    t.ready_of()
    t.inject("AU", seq=7, urgent=0)
    assert not t.ready_of() & Ready.URGENT
    assert t.tcp.urgent_remaining == 0


@pytest.mark.rfc("9293", "MUST-66")
def test_a_closed_window_does_not_keep_the_pointer_out(tcp):
    t = established(tcp, receive_buffer=1000, slow_reader=True)
    t.inject("PA", text=bytes(1000))
    t.expect("A", window=0)
    t.ready_of()
    t.inject("AU", urgent=1)
    assert t.ready_of() == Ready.URGENT
    t.inject("PAU", text=b"x", urgent=2)
    t.expect("A", ack=1001, window=0)
    assert t.ready_of() == Ready.URGENT
    t.inject("AU", seq=1000, urgent=10)
    t.expect("A", ack=1001, window=0)
    assert t.ready_of() == Ready.URGENT
    assert t.tcp.urgent_remaining == 1009


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK])
def test_behind_the_peers_fin_the_pointer_means_nothing(tcp, state):
    t = tcp()
    states.reach(t, state)
    t.ready_of()
    t.inject("AU", seq=2, urgent=5)
    t.take()
    assert not t.ready_of() & Ready.URGENT


@pytest.mark.rfc("9293", "3.10.7.4")
def test_in_fin_wait_the_pointer_counts(tcp):
    t = tcp()
    states.fin_wait_2(t)
    t.inject("PAU", text=b"late!", urgent=5)
    t.take()
    assert t.ready_of() & Ready.URGENT


@pytest.mark.rfc("6093", "4")
def test_one_read_does_not_cross_the_mark(tcp):
    t = established(tcp)
    t.inject("PAU", text=b"before|after", urgent=7)
    t.take()
    assert t.tcp.available == 6
    assert t.tcp.peek(100) == b"before"
    buffer = bytearray(100)
    assert t.call("receive_into", buffer) == 6
    assert t.tcp.available == 6
    assert t.tcp.peek(100) == b"|after"
    assert t.receive() == b"|after"


@pytest.mark.rfc("6093", "2.1")
def test_out_of_band_the_last_octet_is_fetched_by_itself_and_missed_in_the_stream(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("PAU", text=b"before!after", urgent=7)
    t.take()
    assert t.tcp.receive_urgent(keep=True) == b"!"
    assert t.tcp.receive_urgent() == b"!"
    with pytest.raises(OSError, match="Invalid") as caught:
        t.tcp.receive_urgent()
    assert caught.value.errno == errno.EINVAL
    assert t.receive() == b"before"
    assert t.tcp.at_mark
    assert t.tcp.peek(100) == b"after"
    assert t.tcp.available == 5
    assert t.receive() == b"after"
    assert not t.tcp.at_mark


@pytest.mark.rfc("6093", "2.1")
def test_out_of_band_an_octet_that_has_not_come_is_waited_for(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("AU", urgent=3)
    with pytest.raises(BlockingIOError):
        t.tcp.receive_urgent()
    t.inject("PA", text=b"ab!")
    t.take()
    assert t.tcp.receive_urgent() == b"!"


def test_an_octet_that_nobody_fetches_is_missed_all_the_same(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("PAU", text=b"!", urgent=1)
    t.take()
    assert t.tcp.available == 0
    assert t.receive() == b""
    t.inject("PA", text=b"after")
    t.take()
    assert t.receive() == b"after"


def test_the_end_of_the_stream_shows_behind_an_octet_out_of_band(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("FPAU", text=b"ab!", urgent=3)
    t.take()
    assert not t.tcp.eof
    assert t.receive() == b"ab"
    assert t.tcp.eof
    assert t.tcp.receive_urgent() == b"!"


def test_a_newer_mark_puts_the_old_octet_back_into_the_stream(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("PAU", text=b"ab!", urgent=3)
    t.inject("PAU", text=b"cd?", urgent=3)
    t.take()
    assert t.tcp.receive_urgent() == b"?"
    assert t.receive() == b"ab!cd"


def test_a_newer_mark_does_not_bring_back_an_octet_that_the_reader_stands_at(tcp):
    t = established(tcp)
    t.tcp.urgent_inline = False
    t.inject("PAU", text=b"ab!", urgent=3)
    t.take()
    assert t.receive() == b"ab"
    t.inject("PAU", text=b"cd?", urgent=3)
    t.take()
    assert t.receive() == b"cd"


def test_inline_there_is_nothing_to_fetch(tcp):
    t = established(tcp)
    with pytest.raises(OSError, match="Invalid"):
        t.tcp.receive_urgent()
    t.inject("PAU", text=b"!", urgent=1)
    t.take()
    with pytest.raises(OSError, match="Invalid"):
        t.tcp.receive_urgent()
    assert t.receive() == b"!"


@pytest.mark.rfc("9293", "3.8.5")
def test_urgent_data_that_comes_out_of_order_is_marked_where_it_belongs(tcp):
    t = established(tcp)
    t.inject("PAU", seq=4, text=b"de!", urgent=3)
    assert t.ready_of() == Ready.URGENT
    t.inject("A", seq=1, text=b"abc")
    t.take()
    assert t.receive() == b"abcde"
    assert t.tcp.at_mark
    assert t.receive() == b"!"
