"""SYN cookies: a listener that keeps nothing of a handshake until it is over."""

import random

import pytest

from stack._native import ffi, lib
from stack.core.ready import Ready
from stack.core.tcp.ecn import Mode
from stack.core.tcp.states import State
from stack.core.tcp.syn_cookies import LIFETIME, MSS_TABLE, TICK, Agreed, SynCookies
from stack.core.why import Why
from tests.support.endpoint import MS, SECOND, Peer
from tests.support.seen import absent

versions = pytest.mark.parametrize("version", [4, 6])
MODERN = {"wscale": 9, "sack": True, "ts": True}


def flooded(tcp, *arguments, **settings):
    """An endpoint whose SYN queue has no room at all."""
    t = tcp(*arguments, syn_queue=0, **settings)
    t.listen()
    return t


@pytest.mark.rfc("4987", "3.6")
@versions
def test_a_full_syn_queue_answers_and_keeps_nothing(tcp, version):
    t = flooded(tcp, version)
    t.inject("S")
    t.expect("SA", seq=0, ack=1, text=b"", why=Why.SYN_COOKIE)
    assert not t.host.connections
    assert lib.flow_count(t.host.flows) == 0
    assert not t.listener.half_open
    assert t.host.timers.next_deadline() is None
    t.expect_nothing(60 * SECOND)
    assert t.host.counters["SyncookiesSent"] == 1


@pytest.mark.rfc("4987", "3.6")
@versions
def test_an_ack_that_brings_the_cookie_back_opens_the_connection(tcp, version):
    t = flooded(tcp, version, peer=MODERN)
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    assert t.ready_of(t.listener) == Ready.ACCEPTED
    t.accept()
    t.expect_state(State.ESTABLISHED)
    assert t.host.counters["SyncookiesRecv"] == 1
    assert t.host.counters["TcpPassiveOpens"] == 1
    t.inject("PA", text=b"question")
    t.expect("A", ack=9)
    assert t.receive() == b"question"
    t.send(b"answer")
    t.expect("PA", seq=1, text=b"answer")


@pytest.mark.rfc("4987", "3.6")
def test_cookies_are_sent_only_while_the_queue_is_full(tcp):
    t = tcp(syn_queue=1)
    t.listen()
    t.inject("S")
    t.expect("SA", why=Why.SYN_ACCEPTED)
    t.peer = Peer(port=41_000)
    t.inject("S")
    t.expect("SA", why=Why.SYN_COOKIE)
    t.inject("A")
    t.accept()
    assert t.listener.half_open == 1


@pytest.mark.rfc("4987", "3.6")
def test_data_behind_a_lost_ack_brings_the_cookie_as_well(tcp):
    t = flooded(tcp, peer=MODERN)
    t.inject("S")
    t.expect("SA")
    t.inject("PA", text=b"GET / HTTP/1.0\r\n\r\n")
    t.expect("A", ack=19)
    t.accept()
    assert t.receive() == b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.rfc("4987", "3.6")
def test_a_fin_with_the_cookie_is_taken(tcp):
    t = flooded(tcp)
    t.inject("S")
    t.expect("SA")
    t.inject("FPA", text=b"bye")
    t.expect("A", ack=5)
    t.accept()
    t.expect_state(State.CLOSE_WAIT)


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize("scale", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
def test_window_scale_and_sack_survive_in_the_timestamp(tcp, scale, sack):
    t = flooded(tcp, peer={"wscale": scale, "sack": sack, "ts": True})
    t.inject("S")
    one = t.expect("SA", sack_ok=sack)
    assert (one.wscale is None) == (scale is None)
    t.advance(700 * MS)
    t.inject("A", window=40_000)
    t.accept()
    assert bool(t.tcb.ts_ok)
    assert bool(t.tcb.sack_ok) == sack
    assert bool(t.tcb.wscale_ok) == (scale is not None)
    assert t.tcb.snd_wscale == (scale or 0)
    assert t.tcb.rcv_wscale == (one.wscale or 0)
    unit = 1 << (scale or 0)
    t.expect_value("snd_wnd", 40_000 // unit * unit, t.tcb.snd_wnd)


@pytest.mark.rfc("4987", "3.6")
def test_without_timestamps_nothing_but_the_mss_is_agreed_upon(tcp):
    t = flooded(tcp, peer={"wscale": 7, "sack": True})
    t.inject("S")
    t.expect("SA", mss=1460, wscale=absent, sack_ok=False, ts=absent)
    t.wscale = None
    t.inject("A")
    t.accept()
    assert not (t.tcb.ts_ok or t.tcb.sack_ok or t.tcb.wscale_ok)


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize(("asked", "mode"), [("CE", Mode.CLASSIC), ("CEN", Mode.ACCURATE)])
def test_ecn_survives_in_the_timestamp(tcp, asked, mode):
    t = flooded(tcp, peer=MODERN)
    t.inject("S" + asked)
    t.take()
    t.inject("A")
    t.accept()
    assert t.tcp.ecn.mode is mode


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize("offered", [None, 20, 48, 536, 1000, 1379, 1460, 9000, 65_535])
@versions
def test_the_mss_survives_as_the_next_lower_one_of_the_table(tcp, version, offered):
    t = flooded(tcp, version, mtu=9000, peer={"mss": offered})
    t.inject("S")
    t.expect("SA", mss=9000 - (40 if version == 4 else 60))
    t.inject("A")
    t.accept()
    meant = {None: 536 if version == 4 else 1220, 20: 48}.get(offered, offered)
    assert t.tcb.peer_mss == max(size for size in MSS_TABLE if size <= meant)


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize("field", ["seq", "ack", "port"])
def test_a_cookie_holds_for_its_own_handshake_only(tcp, field):
    t = flooded(tcp)
    t.inject("S")
    t.expect("SA")
    t.judged = False
    t.inject("A", **{field: {"seq": 2, "ack": 2, "port": 40_001}[field]})
    (one,) = t.take()
    assert one.flags == "R"
    assert not t.host.connections
    assert t.host.counters["SyncookiesFailed"] == 1


@pytest.mark.rfc("4987", "3.6")
def test_a_cookie_expires(tcp):
    t = flooded(tcp)
    t.inject("S")
    t.expect("SA")
    t.advance(LIFETIME + 1)
    t.inject("A")
    t.expect("R")
    assert not t.host.connections


@pytest.mark.rfc("4987", "3.6")
def test_a_cookie_is_good_for_a_tick_at_least_and_two_at_most():
    cookies, path = SynCookies(b"key"), a_path()
    for start in (0, TICK - 1, 31 * TICK, 32 * TICK + 5, 1000 * TICK):
        cookie = cookies.make(path, 77, 1460, start)
        assert cookies.check(path, 77, cookie, start + TICK) == 1460
        assert cookies.check(path, 77, cookie, start // TICK * TICK + 2 * TICK) is None
        assert cookies.check(path, 77, cookie, start + 32 * TICK) is None


def a_path():
    path = ffi.new("struct path *")
    path.sport, path.dport = 80, 40_000
    return path


@pytest.mark.rfc("4987", "3.6")
def test_without_cookies_sent_an_ack_is_no_cookie(tcp):
    t = tcp()
    t.listen()
    t.judged = False
    t.inject("A", seq=1, ack=1)
    t.expect("R")
    assert t.host.counters["SyncookiesFailed"] == 0


@pytest.mark.rfc("4987", "3.6")
def test_a_flood_of_forged_acks_opens_nothing(tcp):
    t = flooded(tcp)
    t.judged = False
    t.inject("S")
    t.take()
    draw = random.Random(5)
    for _ in range(2000):
        t.inject("A", seq=1, ack=draw.randrange(1 << 32))
    t.take()
    assert not t.host.connections
    assert t.host.counters["SyncookiesFailed"] == 2000


def test_two_hosts_do_not_make_the_same_cookies():
    path = a_path()
    first, second = SynCookies(b"one"), SynCookies(b"two")
    assert first.make(path, 1, 1460, 0) != second.make(path, 1, 1460, 0)
    assert second.check(path, 1, first.make(path, 1, 1460, 0), 0) is None


@pytest.mark.rfc("4987", "3.6")
def test_a_cookie_that_comes_while_the_accept_queue_is_full_is_tried_again(tcp):
    t = flooded(tcp)
    t.listener.backlog = 1
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    t.peer = Peer(port=41_000)
    t.listener.backlog = 2  # let the SYN through, not the ACK
    t.inject("S")
    t.expect("SA")
    t.listener.backlog = 1
    t.inject("PA", text=b"hi")
    t.expect_nothing()
    assert t.host.counters["ListenOverflows"] == 1
    assert t.listener.accept() is not None
    t.inject("PA", seq=1, text=b"hi")
    t.expect("A", ack=3)
    t.accept()
    assert t.receive() == b"hi"


@pytest.mark.rfc("4987", "3.6")
def test_cookies_can_be_switched_off(tcp):
    t = flooded(tcp, syn_cookies=False)
    t.inject("S")
    t.expect_nothing(SECOND)
    assert t.host.counters["TCPReqQFull"] == 1


@pytest.mark.rfc("7323", "5.4")
def test_the_timestamp_that_remembers_lies_before_the_clock_and_near_it():
    for clock in (0, 1, 127, 128, 5000, 123_456_789):
        for scale in (None, 0, 7, 14):
            for mode in Mode:
                agreed = Agreed(scale, True, mode)
                value = agreed.into(clock)
                assert clock - 128 < value <= clock
                assert Agreed.of(value & 0xFFFFFFFF) == agreed


def test_a_timestamp_that_cannot_be_ours_is_refused():
    assert Agreed.of(0b1100000) is None


@pytest.mark.rfc("4987", "3.6")
def test_the_first_round_trip_is_not_guessed(tcp):
    t = flooded(tcp, peer=MODERN)
    t.inject("S")
    t.expect("SA")
    t.advance(50 * MS)
    t.inject("A")
    t.accept()
    assert t.tcb.srtt == 0
    t.send(b"x")
    t.expect("PA")
    t.advance(50 * MS)
    t.inject("A")
    assert t.tcb.srtt == 50 * MS
