"""What SYNs offer and agree upon, and the numbers that they begin with."""

import pytest

from stack.core.why import Why
from stack.wire import segment
from stack.wire.segment import Option
from tests.support import states
from tests.support.endpoint import PORT, SECOND
from tests.support.seen import absent, at_most, present

versions = pytest.mark.parametrize("version", [4, 6])


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


@pytest.mark.rfc("9293", "MUST-69")
@pytest.mark.rfc("9293", "MUST-68")
@pytest.mark.parametrize("wscale", [None, 7])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("ts", [False, True])
def test_our_options_fill_their_header_and_what_pads_it_is_zero(tcp, wscale, sack, ts):
    t = tcp(peer={"wscale": wscale, "sack": sack, "ts": ts})
    states.established_active(t)
    t.inject("PA", seq=100, text=b"x")
    t.send(b"y")
    t.take()
    for one in t.seen:
        if one.ours:
            tcp_header = one.packet.tcp
            read = b"".join(option.encode() for option in tcp_header.options)
            assert not any(option.fault for option in tcp_header.options)
            assert tcp_header.option_bytes == read + bytes(len(tcp_header.option_bytes) - len(read))


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
