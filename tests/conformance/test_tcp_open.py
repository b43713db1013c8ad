"""Opening a connection: handshakes, their options and losses, listeners, ports."""

import errno
from collections import Counter

import pytest

from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire import segment
from stack.wire.segment import Option
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, PORT, SECOND, Peer
from tests.support.seen import absent, at_most, one_of, present

versions = pytest.mark.parametrize("version", [4, 6])


# ---- three steps ------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.5")
@versions
def test_a_passive_open_takes_three_steps(tcp, version):
    t = tcp(version, loss_free=True)
    listener = t.listen()
    t.inject("S")
    t.expect("SA", seq=0, ack=1, text=b"", why=Why.SYN_ACCEPTED)
    assert t.ready_of(listener) == Ready(0)
    t.inject("A")
    t.expect_nothing(SECOND)
    assert t.ready_of(listener) == Ready.ACCEPTED
    t.accept()
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.local == (OURS[version], PORT)
    assert t.tcp.remote == (PEER[version], t.peer.port)


@pytest.mark.rfc("9293", "3.5")
@versions
def test_an_active_open_takes_three_steps(tcp, version):
    t = tcp(version, loss_free=True)
    t.connect()
    t.expect("S", seq=0, ack=0, why=Why.ACTIVE_OPEN)
    t.inject("SA")
    t.expect("A", seq=1, ack=1, text=b"", why=Why.HANDSHAKE_DONE)
    assert t.ready_of() == Ready.CONNECTED | Ready.WRITABLE
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "MUST-10")
@versions
def test_a_simultaneous_open_ends_established_on_both_orders_of_arrival(tcp, version):
    for last in ("SA", "A"):
        t = tcp(version)
        t.connect()
        t.expect("S")
        t.inject("S")
        t.expect("SA", seq=0, ack=1, why=Why.SIMULTANEOUS_OPEN)
        t.expect_state(State.SYN_RECEIVED)
        t.inject(last, seq=0 if last == "SA" else 1)
        t.expect_state(State.ESTABLISHED)
        if last == "SA":
            t.expect("A", seq=1, ack=1)
        t.expect_nothing(SECOND)
        t.send(b"after")
        t.expect("PA", seq=1, text=b"after")


@pytest.mark.rfc("9293", "3.10.7.4")
def test_data_that_comes_with_the_last_step_is_taken(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("PA", text=b"hello")
    t.accept()
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_data_right_behind_the_last_step_in_one_batch_is_taken(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.arrive(t.packet("A"), t.packet("PA", text=b"hello"))
    t.accept()
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.3")
def test_data_that_the_syn_window_allowed_is_taken_right_behind_the_syn_ack(tcp):
    t = tcp(quick_acks=0)
    states.syn_sent(t)
    t.arrive(t.packet("SA"), t.packet("PA", text=b"hello"))
    assert t.receive() == b"hello"
    t.expect("A", ack=6)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_that_comes_with_the_last_step_is_taken(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("FPA", text=b"bye")
    t.expect("A", ack=5)
    t.accept()
    t.expect_state(State.CLOSE_WAIT)
    assert t.receive() == b"bye"
    assert t.tcp.eof


@pytest.mark.rfc("9293", "3.10.7.2")
def test_text_in_a_syn_waits_for_its_repetition(tcp):
    """What a SYN carries may be queued or not; not acknowledged, it comes again."""
    t = tcp()
    t.listen()
    t.inject("S", text=b"early")
    t.peer.nxt = 1
    t.expect("SA", ack=one_of(1, 6))


# ---- options of the SYN -------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-4")
@pytest.mark.rfc("9293", "MUST-14")
@pytest.mark.rfc("9293", "MUST-67")
@pytest.mark.rfc("9293", "SHLD-5")
@pytest.mark.rfc("9293", "MAY-3")
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
@versions
def test_every_syn_carries_the_mss_that_our_link_takes(tcp, version, mtu):
    headers = {4: 40, 6: 60}[version]
    t = tcp(version, mtu=mtu)
    t.listen()
    t.inject("S")
    t.expect("SA", mss=mtu - headers)
    t = tcp(version, mtu=mtu)
    t.connect()
    t.expect("S", mss=mtu - headers)


@pytest.mark.rfc("9293", "MUST-65")
def test_no_other_segment_carries_an_mss(tcp):
    t = tcp(peer={"ts": True, "wscale": 3})
    states.established(t)
    t.send(b"x" * 3000)
    t.inject("PA", text=b"y")
    t.close()
    for one in t.take():
        assert one.mss is None and one.wscale is None and not one.sack_ok


@pytest.mark.rfc("9293", "MUST-14")
@pytest.mark.rfc("9293", "MUST-16")
@pytest.mark.rfc("6691", "2")
@pytest.mark.parametrize("ts", [False, True])
@versions
def test_the_mss_of_the_peer_bounds_text_and_options_together(tcp, version, ts):
    t = tcp(version, peer={"mss": 700, "ts": ts})
    states.established(t)
    t.send(b"x" * 5000)
    first = t.take()[0]
    assert first.length == 700 - (12 if ts else 0)


@pytest.mark.rfc("9293", "MUST-15")
@versions
def test_without_an_mss_option_the_default_holds(tcp, version):
    t = tcp(version, peer={"mss": None})
    states.established(t)
    t.send(b"x" * 5000)
    assert t.take()[0].length == {4: 536, 6: 1220}[version]


@pytest.mark.rfc("9293", "MUST-16")
@versions
def test_our_link_bounds_what_we_send_to_a_peer_with_a_larger_mss(tcp, version):
    t = tcp(version, peer={"mss": 9000})
    states.established(t)
    t.send(b"x" * 5000)
    assert t.take()[0].length == 1500 - {4: 40, 6: 60}[version]


@pytest.mark.rfc("9293", "SHLD-6")
@pytest.mark.parametrize("mss", [0, 1, 40])
def test_a_peer_with_an_absurd_mss_cannot_make_us_send_headers_only(tcp, mss):
    t = tcp(peer={"mss": mss, "ts": True})
    t.judged = False  # more than the peer's MSS is what this is about
    states.established(t)
    t.send(b"x" * 1000)
    assert t.take()[0].length >= 36


@pytest.mark.rfc("9293", "MUST-4")
@pytest.mark.rfc("9293", "MUST-64")
def test_options_count_at_any_alignment_and_behind_no_operation(tcp):
    t = tcp()
    t.listen()
    nop = Option(segment.NOP)
    options = [nop, segment.mss(600), segment.window_scale(5), nop, nop, nop]
    t.inject("S", options=[*options, segment.timestamps(77, 0)])
    t.expect("SA", ts=present, wscale=present)
    assert t.host.connections[1].tcb.peer_mss == 600
    assert t.host.connections[1].tcb.snd_wscale == 5
    assert t.host.connections[1].tcb.ts_recent == 77


@pytest.mark.rfc("9293", "MUST-4")
def test_nothing_behind_the_end_of_options_counts(tcp):
    t = tcp()
    t.listen()
    t.inject("S", options=Option(segment.EOL).encode() + segment.mss(600).encode() + b"\0" * 3)
    t.expect("SA")
    assert t.host.connections[1].tcb.peer_mss == 536


@pytest.mark.rfc("9293", "MUST-6")
@pytest.mark.rfc("9293", "MUST-68")
def test_unknown_options_are_stepped_over(tcp):
    t = tcp()
    t.listen()
    t.inject("S", options=[Option(253, b"abcdefgh"), segment.mss(600), Option(77, b"")])
    t.expect("SA")
    assert t.host.connections[1].tcb.peer_mss == 600


@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.parametrize(
    "options", [b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x02\x28\x05\xb4", b"\x08", b"\x02"]
)
@pytest.mark.parametrize("flags", ["S", "PA"])
def test_an_illegal_option_length_harms_nothing(tcp, flags, options):
    t = tcp()
    if flags == "S":
        t.listen()
        t.inject(flags, options=options)
        t.expect("SA")
    else:
        states.established(t)
        t.inject(flags, text=b"abc", options=options)
        t.take()
    assert len(t.host.connections) == 1


@pytest.mark.rfc("9293", "MUST-5")
def test_options_of_a_syn_are_ignored_in_any_other_segment(tcp):
    t = tcp()
    states.established(t)
    before = t.tcb.snd_mss, t.tcb.snd_wscale
    options = [segment.mss(100), segment.window_scale(9), segment.sack_permitted()]
    t.inject("PA", text=b"x", options=options)
    assert (t.tcb.snd_mss, t.tcb.snd_wscale) == before
    t.expect("A", ack=2)


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.rfc("7323", "3.2")
@pytest.mark.rfc("2018", "2")
@pytest.mark.parametrize("wscale", [None, 7])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("ts", [False, True])
def test_a_syn_ack_offers_only_what_the_syn_offered(tcp, wscale, sack, ts):
    t = tcp(peer={"wscale": wscale, "sack": sack, "ts": ts})
    t.listen()
    t.inject("S")
    t.expect(
        "SA",
        wscale=absent if wscale is None else present,
        sack_ok=sack,
        ts=present if ts else absent,
    )


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.parametrize("name", ["window_scaling", "sack", "timestamps"])
def test_an_option_that_is_switched_off_is_neither_offered_nor_accepted(tcp, name):
    for active in (True, False):
        t = tcp(peer={"wscale": 7, "ts": True}, **{name: False})
        if active:
            t.connect()
            syn = t.expect("S")
        else:
            t.listen()
            t.inject("S")
            syn = t.expect("SA")
        field = {"window_scaling": "wscale", "sack": "sack_ok", "timestamps": "ts"}[name]
        assert getattr(syn, field) in (None, False)
        assert [syn.wscale is None, not syn.sack_ok, syn.ts is None].count(True) == 1


@pytest.mark.rfc("7323", "2.3")
def test_a_shift_above_fourteen_counts_as_fourteen(tcp):
    t = tcp(peer={"wscale": 200})
    t.listen()
    t.inject("S")
    t.expect("SA", wscale=at_most(14))
    assert t.host.connections[1].tcb.snd_wscale == 14


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.parametrize("buffer", [1000, 65_535, 65_536, 1 << 20, 1 << 29])
def test_the_shift_lets_the_window_express_the_whole_buffer(tcp, buffer):
    t = tcp(peer={"wscale": 0}, receive_buffer=buffer)
    t.listen()
    t.inject("S")
    syn = t.expect("SA", window=min(buffer, 65_535), wscale=at_most(14))
    assert syn.wscale is not None
    assert 65_535 << syn.wscale >= buffer or syn.wscale == 14
    t.inject("A")
    t.accept()
    t.inject("PA", text=b"x")
    t.receive()
    ack = t.expect("A")
    step = min(buffer // 2, 1460)  # less is not worth announcing
    assert buffer - max(step, 1 << syn.wscale) < ack.window < buffer + (1 << syn.wscale)


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.rfc("9293", "MUST-1")
def test_the_window_of_a_syn_is_never_scaled(tcp):
    t = tcp(peer={"wscale": 10, "window": 60_000})
    states.syn_sent(t)
    t.inject("SA", window=60_000)
    t.expect("A")
    t.expect_value("snd_wnd", 60_000, t.tcb.snd_wnd)
    t.send(b"x" * 100_000)
    t.take()
    t.inject("A", window=30 << 10)
    t.expect_value("snd_wnd", 30 << 10, t.tcb.snd_wnd)
    t.take()


@pytest.mark.rfc("9293", "MUST-1")
@pytest.mark.rfc("9293", "REC-1")
def test_a_window_above_half_of_its_field_is_no_negative_number(tcp):
    t = tcp(initial_window=100)
    states.established(t)
    t.inject("A", window=65_535)
    t.send(b"x" * 100_000)
    assert sum(one.length for one in t.take()) == 14_600
    t.expect_value("snd_wnd", 65_535, t.tcb.snd_wnd)


@pytest.mark.rfc("7323", "2.2")
def test_the_scaled_window_is_announced_right_after_the_handshake_where_wanted(tcp):
    t = tcp(peer={"wscale": 7}, scaled_window_update=True, receive_buffer=1 << 20)
    t.listen()
    t.inject("S")
    t.expect("SA", window=65_535)
    t.inject("A")
    t.expect("A", window=1 << 20, why=Why.SCALED_WINDOW)
    t.expect_nothing(SECOND)


# ---- initial sequence numbers ---------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-8")
@pytest.mark.rfc("6528", "3")
def test_the_initial_sequence_number_ticks_every_four_microseconds(tcp):
    numbers = []
    for now in (1_000_000, 1_000_004, 1_000_400):
        t = tcp()
        t.now = now
        t.connect()
        t.expect("S")
        numbers.append(t.iss)
    assert [(number - numbers[0]) & 0xFFFF_FFFF for number in numbers] == [0, 1, 100]


@pytest.mark.rfc("9293", "MUST-9")
@pytest.mark.rfc("9293", "SHLD-1")
@pytest.mark.rfc("6528", "3")
def test_the_initial_sequence_number_depends_on_the_secret_and_every_part_of_the_four_tuple(tcp):
    def iss(seed=1, version=4, remote=PORT, local=50_000):
        t = tcp(version, seed=seed, peer={"port": remote})
        t.connect(local_port=local)
        t.expect("S")
        return t.iss

    others = {iss(), iss(seed=2), iss(version=6), iss(remote=81), iss(local=50_001)}
    assert len(others) == 5
    assert iss() in others


@pytest.mark.rfc("7323", "5.4")
def test_timestamps_of_different_connections_do_not_start_alike(tcp):
    starts = set()
    for port in range(50_000, 50_010):
        t = tcp(peer={"ts": True})
        t.connect(local_port=port)
        starts.add(t.expect("S").tsval)
    assert len(starts) == 10


# ---- lost segments ---------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-22")
@pytest.mark.rfc("6298", "5.5")
@pytest.mark.rfc("6298", "2.1")
def test_a_lost_syn_is_repeated_with_exponential_backoff(tcp):
    t = tcp()
    t.connect()
    first = t.expect("S")
    for seconds in (1, 2, 4, 8, 16, 32):
        again = t.expect("S", seq=0, after=seconds * SECOND, why=Why.SYN_RETRANSMITTED)
        assert (again.mss, again.wscale, again.sack_ok) == (first.mss, first.wscale, first.sack_ok)


@pytest.mark.rfc("9293", "MUST-23")
@pytest.mark.rfc("9293", "MUST-22")
def test_a_connect_without_answer_times_out_after_three_minutes_at_least(tcp):
    t = tcp()
    t.connect()
    t.advance(179 * SECOND)
    t.expect_state(State.SYN_SENT)
    t.advance(200 * SECOND)
    t.expect_state(State.CLOSED)
    assert t.ready_of() == Ready.ERROR | Ready.CLOSED
    with pytest.raises(TimeoutError):
        t.receive()
    assert not t.host.connections
    t.take()
    t.expect_nothing(1000 * SECOND)


def test_a_lost_syn_ack_is_repeated_by_the_timer(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.expect("SA", seq=0, ack=1, after=SECOND, why=Why.SYN_RETRANSMITTED)
    t.inject("A")
    t.accept()
    t.expect_nothing(10 * SECOND)


def test_a_lost_syn_ack_is_repeated_when_the_syn_comes_again(tcp):
    t = tcp()
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.inject("S", seq=0)
    t.expect("SA", seq=0, ack=1, why=Why.SYN_ACK_REPEATED)
    assert len(t.host.connections) == 1


def test_a_lost_third_step_is_repeated_when_the_syn_ack_comes_again(tcp):
    t = tcp()
    states.established_active(t)
    t.inject("SA", seq=0)
    t.expect("A", seq=1, ack=1, why=Why.CHALLENGE_ACK)
    t.expect_state(State.ESTABLISHED)


def test_a_lost_third_step_is_mended_by_the_first_data(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("PA", text=b"data")
    t.accept()
    t.expect_state(State.ESTABLISHED)
    t.expect("A", ack=5)


def test_a_half_open_connection_is_given_up_in_the_end(tcp):
    t = tcp()
    states.syn_received(t)
    t.advance(400 * SECOND)
    t.take()
    assert not t.host.connections
    assert not t.listener.half_open


@pytest.mark.rfc("6298", "5.7")
def test_after_a_lost_syn_the_timeout_of_the_first_data_is_three_seconds(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.expect("S", after=SECOND)
    t.inject("SA")
    t.expect("A")
    t.send(b"first")
    t.expect("PA")
    t.expect("PA", text=b"first", after=3 * SECOND, why=Why.RTO)


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("active", [True, False])
def test_after_a_lost_syn_one_segment_begins(tcp, active):
    t = tcp()
    if active:
        t.connect()
        t.expect("S")
        t.expect("S", within=SECOND)
        t.inject("SA")
        t.expect("A")
    else:
        t.listen()
        t.inject("S")
        t.expect("SA")
        t.expect("SA", within=SECOND)
        t.inject("A")
        t.accept()
    t.send(b"x" * 20_000)
    t.expect("A", length=1460)
    t.expect_nothing()


# ---- refusals -------------------------------------------------------------------------


@pytest.mark.rfc("9293", "3.10.7.1")
def test_a_refused_connect_fails_at_once(tcp):
    t = tcp()
    states.syn_sent(t)
    t.inject("RA", seq=0)
    assert t.ready_of() == Ready.ERROR | Ready.CLOSED
    with pytest.raises(ConnectionRefusedError):
        t.send(b"x")
    t.expect_nothing(400 * SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize("ack", [0, 2, -5, 1 << 30])
def test_a_syn_ack_for_another_syn_is_reset_and_changes_nothing(tcp, ack):
    t = tcp()
    states.syn_sent(t)
    t.inject("SA", ack=ack)
    t.expect("R", seq=ack, why=Why.BAD_SYN_ACK)
    t.expect_state(State.SYN_SENT)


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize("ack", [0, 2, -5])
def test_a_reset_for_another_syn_is_ignored(tcp, ack):
    t = tcp()
    states.syn_sent(t)
    t.inject("RA", seq=0, ack=ack)
    t.expect_nothing()
    t.expect_state(State.SYN_SENT)


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.parametrize("ack", [0, 2, -70_000])
def test_a_wrong_ack_in_syn_received_is_reset_and_the_handshake_goes_on(tcp, ack):
    t = tcp()
    states.syn_received(t)
    t.inject("A", ack=ack)
    t.expect("R", seq=ack, why=Why.BAD_SYN_ACK)
    t.inject("A")
    t.accept()


@pytest.mark.rfc("9293", "MUST-57")
@pytest.mark.parametrize("destination", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_a_syn_to_a_group_is_discarded_silently(tcp, destination):
    t = tcp()
    t.listen()
    data = segment.build_tcp(PEER[4], destination, 40_000, PORT, flags=segment.SYN)
    t.arrive(data)
    t.expect_nothing(SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-63")
@pytest.mark.parametrize(
    "source", ["224.0.0.1", "255.255.255.255", "192.0.2.255", "0.0.0.0", "127.0.0.1", OURS[4]]
)
def test_a_syn_from_an_address_that_names_no_host_is_ignored(tcp, source):
    t = tcp()
    t.judged = source != OURS[4]
    t.listen()
    t.arrive(segment.build_tcp(source, OURS[4], 40_000, PORT, flags=segment.SYN))
    t.expect_nothing(SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize(
    "address", ["224.0.0.1", "192.0.2.255", "255.255.255.255", "0.0.0.0", "ff02::1", "::"]
)
def test_no_connection_opens_to_an_address_that_names_no_host(tcp, address):
    t = tcp()
    with pytest.raises(OSError, match="unreachable"):
        t.host.connect(address, 80, t.now)
    assert not t.host.connections


# ---- two SYNs, one port ------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-41")
def test_a_listener_does_not_disturb_a_connection_on_its_port(tcp):
    t = tcp()
    states.established(t)
    first = t.tcp
    t.inject("S", port=41_000, seq=0)
    one = t.take()[0]
    assert (one.flags, one.dport) == ("SA", 41_000)
    t.inject("PA", text=b"still here")
    t.take()
    assert first.receive(100, t.now) == b"still here"


@pytest.mark.rfc("9293", "MUST-42")
def test_a_listener_may_open_while_its_port_is_in_syn_sent(tcp):
    t = tcp()
    t.connect(local_port=PORT)
    t.expect("S")
    t.listen()
    t.inject("S", port=41_000, seq=0)
    assert t.take()[0].flags == "SA"
    t.inject("SA", seq=0)
    t.expect_state(State.ESTABLISHED)
    t.take()


@pytest.mark.rfc("9293", "MUST-43")
def test_a_connect_takes_the_local_address_that_it_is_told(tcp):
    t = tcp()
    connection = t.connect(local_address=OURS[4], local_port=1234)
    assert connection.local == (OURS[4], 1234)
    t.expect("S")
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], 80, t.now, local_address="198.51.100.7")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.rfc("9293", "MUST-44")
@versions
def test_a_connect_asks_ip_for_its_source_address(tcp, version):
    t = tcp(version)
    assert t.connect().local[0] == OURS[version]
    t.expect("S")


def test_one_four_tuple_cannot_be_used_twice(tcp):
    t = tcp()
    t.connect(local_port=50_000)
    t.expect("S")
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], t.peer.port, t.now, local_port=50_000)
    assert caught.value.errno == errno.EADDRINUSE


# ---- local ports ----------------------------------------------------------------------


@pytest.mark.rfc("6056", "3.3.3")
def test_local_ports_come_from_the_ephemeral_range_in_an_order_that_the_secret_decides(tcp):
    def ports(seed):
        t = tcp(seed=seed)
        found = [t.host.connect(PEER[4], 80, t.now).local[1] for _ in range(5)]
        t.judged = False
        t._after()
        t.take()
        return found

    first, second = ports(1), ports(2)
    assert all(32_768 <= port <= 60_999 for port in first + second)
    assert len(set(first)) == 5
    assert first[0] != second[0]


@pytest.mark.rfc("6056", "3.3.3")
def test_a_port_is_not_reused_at_once_when_its_connection_is_gone(tcp):
    t = tcp()
    used = []
    for _ in range(20):
        connection = t.host.connect(PEER[4], 80, t.now)
        used.append(connection.local[1])
        connection.abort(t.now)
    assert len(set(used)) == 20


def test_when_all_ports_are_taken_connect_says_so(tcp):
    t = tcp(first_ephemeral_port=40_000, last_ephemeral_port=40_019)
    t.judged = False
    taken = Counter(t.host.connect(PEER[4], 80, t.now).local[1] for _ in range(20))
    assert set(taken) == set(range(40_000, 40_020))
    with pytest.raises(OSError) as caught:
        t.host.connect(PEER[4], 80, t.now)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert t.host.connect(PEER[4], 81, t.now).local[1] in taken
    t._after()
    t.take()


# ---- listeners --------------------------------------------------------------------------


def handshake(t, port, steps=2):
    t.peer = Peer(port=port)
    t.inject("S")
    answer = t.take()
    if steps == 2 and answer:
        t.inject("A")
    return answer


@pytest.mark.rfc("4987", "3.1")
def test_a_syn_for_a_full_accept_queue_is_dropped_and_counted(tcp):
    t = tcp()
    t.judged = False  # many peers
    t.listen(backlog=3)
    for number in range(3):
        assert handshake(t, 40_000 + number)
    assert not handshake(t, 40_003)
    assert t.host.counters["ListenOverflows"] == 1
    assert t.listener.accept() is not None
    assert handshake(t, 40_003)


@pytest.mark.rfc("4987", "3.1")
def test_a_handshake_that_finds_the_accept_queue_full_completes_later(tcp):
    t = tcp()
    t.judged = False
    t.listen(backlog=1)
    handshake(t, 40_001, steps=1)
    waiting = t.peer, t.iss
    handshake(t, 40_002)
    t.peer, t.iss = waiting
    t.inject("A")
    assert len(t.listener.half_open) == 1
    assert t.listener.accept() is not None
    t.inject("A")
    assert t.listener.accept() is not None


@pytest.mark.rfc("4987", "3.1")
def test_a_full_syn_queue_drops_syns_and_holds_no_memory_for_them(tcp):
    t = tcp(syn_queue=10, syn_cookies=False)
    t.judged = False
    t.listen()
    for number in range(30):
        handshake(t, 41_000 + number, steps=1)
    assert len(t.host.connections) == len(t.listener.half_open) == 10
    assert t.host.counters["TCPReqQFull"] == 20
    t.advance(400 * SECOND)
    assert not t.host.connections
    assert handshake(t, 42_000)
    t.take()


def test_a_listener_that_closes_resets_what_nobody_accepted(tcp):
    t = tcp()
    t.judged = False
    t.listen()
    handshake(t, 40_001)
    handshake(t, 40_002, steps=1)
    t.listener.close(t.now)
    t._after()
    assert sorted((one.flags, one.dport) for one in t.take()) == [("RA", 40_001), ("RA", 40_002)]
    assert not t.host.connections
    assert handshake(t, 40_003, steps=1)[0].flags == "RA"


def test_a_connection_that_was_reset_before_accept_tells_so_to_who_accepts_it(tcp):
    t = tcp()
    states.syn_received(t)
    t.inject("A")
    t.inject("R")
    t.accept()
    with pytest.raises(ConnectionResetError):
        t.receive()


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (None, None, True),
        (None, "0.0.0.0", True),
        ("0.0.0.0", "::", False),
        (OURS[4], OURS[4], True),
        (OURS[4], "0.0.0.0", False),
        (OURS[4], OURS[6], False),
    ],
)
def test_listeners_clash_only_where_both_would_take_the_same_syn(tcp, first, second, clash):
    t = tcp()
    t.host.listen(first, PORT)
    if clash:
        with pytest.raises(OSError) as caught:
            t.host.listen(second, PORT)
        assert caught.value.errno == errno.EADDRINUSE
    else:
        t.host.listen(second, PORT)


def test_the_listener_with_the_address_goes_before_the_one_for_all(tcp):
    t = tcp()
    everywhere = t.host.listen(None, PORT)
    here = t.listen()
    t.inject("S")
    t.expect("SA")
    assert len(here.half_open) == 1
    assert not everywhere.half_open


def test_closing_before_the_syn_has_left_sends_nothing(tcp):
    t = tcp()
    connection = t.host.connect(PEER[4], 80, t.now)
    connection.close(t.now)
    t._after()
    t.expect_nothing(10 * SECOND)
    assert not t.host.connections


def test_a_reset_that_overtakes_our_syn_ack_leaves_nothing_behind(tcp):
    t = tcp()
    t.listen()
    t.arrive(t.packet("S"), t.packet("R"))
    t.expect_nothing(10 * SECOND)
    assert not t.host.connections


@pytest.mark.rfc("9293", "MUST-45")
def test_a_syn_that_is_repeated_comes_from_the_same_address(tcp):
    t = tcp()
    t.connect()
    first = t.expect("S")
    again = t.expect("S", within=2 * SECOND)
    assert first.packet.src == again.packet.src


def test_many_connections_open_and_close_without_a_trace(tcp):
    t = tcp(watched=False)
    t.judged = False
    t.listen(backlog=600)
    for number in range(500):
        handshake(t, 1024 + number)
    assert len(t.host.connections) == 500
    for number in range(500):
        t.connection = t.accept()
        t.close()
        t.peer = Peer(port=1024 + number, nxt=1, acks=2)
        t.iss = t.tcb.iss
        t.inject("FA")
    t.take()
    t.advance(61 * SECOND)
    assert not t.host.connections
    assert t.host.next_deadline() is None
    assert t.host.counters["TW"] == 500


def test_the_time_between_syn_and_answer_is_the_first_round_trip_sample(tcp):
    t = tcp()
    t.connect()
    t.expect("S")
    t.advance(80 * MS)
    t.inject("SA")
    t.expect("A")
    assert t.tcb.srtt == 80 * MS
    assert t.tcb.rttvar == 40 * MS
