"""TCP Fast Open (RFC 7413): data in the SYN, from both ends."""

import errno
import random

import pytest

from stack._native import ffi
from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.fast_open import COOKIE_LENGTH, FAILED_FOR, ROTATION, Cookies
from stack.core.tcp.fast_open_client import CookieCache
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire import segment
from stack.wire.batch import Inbound
from stack.wire.segment import Option
from tests.support.endpoint import MS, OURS, PEER, PORT, SECOND, Peer
from tests.support.seen import absent
from tests.support.wirecheck import check

versions = pytest.mark.parametrize("version", [4, 6])
FAST_OPEN = 34
COOKIE = bytes(range(1, 9))


def syn_options(cookie, mss=1460):
    return [segment.mss(mss), segment.sack_permitted(), Option(FAST_OPEN, cookie)]


def cookie_of(seen):
    """The option's data in a segment; None without the option."""
    found = [option.data for option in seen.packet.tcp.options if option.kind == FAST_OPEN]
    return found[0] if found else None


def server(tcp, *arguments, limit=16, **settings):
    t = tcp(*arguments, **settings)
    t.listen(fast_open=limit)
    return t


def earned(t):
    """The cookie that our host gives to its peer, from a connection of its own."""
    peer, t.peer = t.peer, Peer(port=39_000)
    t.inject("S", options=syn_options(b""))
    cookie = cookie_of(t.expect("SA", ack=1))
    t.inject("RA", seq=1)
    t.peer = peer
    t.iss = None
    return cookie


# ---- the server -----------------------------------------------------------------------


@pytest.mark.rfc("7413", "4.1.2")
@versions
def test_who_asks_for_a_cookie_gets_one_with_the_syn_ack(tcp, version):
    t = server(tcp, version)
    t.inject("S", options=syn_options(b""))
    one = t.expect("SA", ack=1, why=Why.SYN_ACCEPTED)
    assert len(cookie_of(one)) == COOKIE_LENGTH
    assert t.host.counters["TCPFastOpenCookieReqd"] == 1


@pytest.mark.rfc("7413", "3.1")
def test_nobody_gets_a_cookie_unasked_or_where_fast_open_is_off(tcp):
    t = server(tcp)
    t.inject("S")
    assert cookie_of(t.expect("SA")) is None
    t = server(tcp, limit=0)
    t.inject("S", options=syn_options(b""))
    assert cookie_of(t.expect("SA")) is None


@pytest.mark.rfc("7413", "4.2.2")
@versions
def test_data_in_a_syn_with_a_good_cookie_is_delivered_before_the_handshake_is_over(tcp, version):
    t = server(tcp, version)
    cookie = earned(t)
    t.inject("S", text=b"GET /", options=syn_options(cookie))
    t.expect("SA", seq=0, ack=6)
    assert t.ready_of(t.listener) & Ready.ACCEPTED
    t.accept()
    t.expect_state(State.SYN_RECEIVED)
    assert t.ready_of() == Ready.READABLE
    assert t.receive() == b"GET /"
    assert t.host.counters["TCPFastOpenPassive"] == 1
    t.inject("A")
    t.expect_state(State.ESTABLISHED)
    assert t.listener.accept() is None


@pytest.mark.rfc("7413", "4.2.2")
def test_the_answer_leaves_before_the_handshake_is_over(tcp):
    t = server(tcp)
    t.inject("S", text=b"GET /", options=syn_options(earned(t)))
    t.expect("SA", ack=6)
    t.accept()
    t.send(b"200 OK")
    t.expect("PA", seq=1, ack=6, text=b"200 OK")
    t.advance(20 * MS)
    t.inject("A", ack=7)
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.send_queued == 0
    t.expect_nothing(10 * SECOND)


@pytest.mark.rfc("7413", "4.2.2")
def test_early_data_stays_within_the_initial_window(tcp):
    t = server(tcp)
    t.inject("S", text=b"GET /", options=syn_options(earned(t)))
    t.expect("SA")
    t.accept()
    t.send(bytes(100_000))
    assert sum(one.length for one in t.take()) == 10 * 1460


@pytest.mark.rfc("7413", "4.2.2")
def test_early_data_that_is_lost_is_repeated_once_the_handshake_is_over(tcp):
    t = server(tcp)
    t.inject("S", text=b"GET /", options=syn_options(earned(t)))
    t.expect("SA")
    t.accept()
    t.send(b"200 OK")
    t.expect("PA", seq=1)
    t.advance(20 * MS)
    t.inject("A", ack=1)
    t.expect_state(State.ESTABLISHED)
    t.expect("PA", seq=1, text=b"200 OK", within=SECOND)
    t.inject("A", ack=7)
    t.expect_nothing(10 * SECOND)


@pytest.mark.rfc("7413", "4.2.2")
def test_a_lost_syn_ack_is_repeated_with_the_data_acknowledged(tcp):
    t = server(tcp)
    options = syn_options(earned(t))
    t.inject("S", text=b"GET /", options=options)
    t.expect("SA", ack=6)
    t.inject("S", seq=0, options=[segment.mss(1460), segment.sack_permitted()])
    t.expect("SA", seq=0, ack=6)
    t.expect("SA", seq=0, ack=6, within=2 * SECOND)
    t.accept()
    assert t.receive() == b"GET /"
    t.inject("A")
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("9293", "3.10.4")
def test_a_close_before_the_handshake_is_over_sends_the_fin_behind_it(tcp):
    t = server(tcp)
    t.inject("S", text=b"GET /", options=syn_options(earned(t)))
    t.expect("SA")
    t.accept()
    t.receive()
    t.send(b"200 OK")
    t.expect("PA", seq=1)
    t.close()
    t.expect_nothing(100 * MS)
    t.inject("A", ack=7)
    t.expect("FA", seq=7)
    t.expect_state(State.FIN_WAIT_1)


@pytest.mark.rfc("7413", "4.1.2")
@pytest.mark.parametrize("wrong", [bytes(8), bytes(4), bytes(16)])
def test_a_wrong_cookie_is_answered_by_a_good_one_and_the_data_is_left(tcp, wrong):
    t = server(tcp)
    t.inject("S", text=b"GET /", options=syn_options(wrong))
    one = t.expect("SA", ack=1)
    assert cookie_of(one) == t.host.fast_open_cookies.make(
        next(iter(t.host.connections.values())).path, t.now
    )
    assert t.listener.accept() is None
    t.peer.nxt = 1
    t.inject("PA", text=b"GET /")
    t.expect("A", ack=6)
    t.accept()
    assert t.receive() == b"GET /"
    assert t.host.counters["TCPFastOpenPassiveFail"] == 1


@pytest.mark.rfc("7413", "4.1.2")
def test_a_cookie_belongs_to_one_client_and_one_server():
    def path(src, dst):
        made = ffi.new("struct path *")
        made.src, made.dst = bytes([src] * 16), bytes([dst] * 16)
        return made

    cookies = Cookies(b"key")
    cookie = cookies.make(path(1, 2), 0)
    assert cookies.check(path(1, 2), cookie, 0)
    assert not cookies.check(path(1, 3), cookie, 0)
    assert not cookies.check(path(3, 2), cookie, 0)
    assert not Cookies(b"yek").check(path(1, 2), cookie, 0)


@pytest.mark.rfc("7413", "4.1.2")
def test_the_key_rotates_and_the_last_cookie_is_good_for_one_more_period(tcp):
    t = server(tcp)
    old = earned(t)
    t.advance(ROTATION)
    t.inject("S", text=b"early", options=syn_options(old))
    new = cookie_of(t.expect("SA", ack=6))
    assert new is not None
    assert new != old
    t.inject("RA")
    t.peer = Peer(port=41_000)
    t.advance(ROTATION)
    t.inject("S", text=b"late", options=syn_options(old))
    t.expect("SA", ack=1)


@pytest.mark.rfc("7413", "4.1.2")
def test_a_current_cookie_is_not_sent_again(tcp):
    t = server(tcp)
    t.inject("S", text=b"early", options=syn_options(earned(t)))
    assert cookie_of(t.expect("SA", ack=6)) is None


@pytest.mark.rfc("7413", "4.2.2")
def test_over_the_limit_of_early_connections_the_handshake_comes_first(tcp):
    t = server(tcp, limit=1)
    cookie = earned(t)
    t.inject("S", text=b"one", options=syn_options(cookie))
    t.expect("SA", ack=4)
    first, t.peer = t.peer, Peer(port=41_000)
    t.inject("S", text=b"two", options=syn_options(cookie))
    t.expect("SA", ack=1)
    assert t.host.counters["TCPFastOpenListenOverflow"] == 1
    t.peer, t.iss = first, None
    t.arrive(_ack_of_syn(t, first))
    t.peer = Peer(port=42_000)
    t.inject("S", text=b"three", options=syn_options(cookie))
    t.expect("SA", ack=6)


def _ack_of_syn(t, peer):
    syn_ack = next(one for one in t.seen if one.ours and one.dport == peer.port)
    return segment.build_tcp(
        PEER[4],
        OURS[4],
        peer.port,
        PORT,
        seq=peer.iss + 4,
        ack=syn_ack.packet.tcp.seq + 1,
        flags=segment.ACK,
        window=65_535,
    )


@pytest.mark.rfc("7413", "5.1")
def test_a_reset_request_keeps_its_place_for_a_while(tcp):
    t = server(tcp, limit=1)
    cookie = earned(t)
    t.inject("S", text=b"one", options=syn_options(cookie))
    t.expect("SA", ack=4)
    t.inject("RA", seq=4)
    t.peer = Peer(port=41_000)
    t.inject("S", text=b"two", options=syn_options(cookie))
    t.expect("SA", ack=1)
    t.inject("RA", seq=1)
    t.advance(FAILED_FOR)
    t.peer = Peer(port=42_000)
    t.inject("S", text=b"three", options=syn_options(cookie))
    t.expect("SA", ack=6)


@pytest.mark.rfc("7413", "4.2.2")
def test_a_reset_before_the_handshake_is_over_reaches_the_application(tcp):
    t = server(tcp)
    t.inject("S", text=b"one", options=syn_options(earned(t)))
    t.expect("SA")
    t.accept()
    t.inject("RA")
    assert t.ready_of() & Ready.ERROR
    assert t.tcp.error == errno.ECONNRESET


@pytest.mark.rfc("7413", "4.2.2")
def test_a_listener_that_closes_leaves_early_connections_to_those_who_accepted_them(tcp):
    t = server(tcp)
    t.inject("S", text=b"one", options=syn_options(earned(t)))
    t.expect("SA")
    t.accept()
    t.listener.close(t.now)
    t._after()
    t.expect_nothing()
    t.inject("A")
    t.expect_state(State.ESTABLISHED)
    assert t.receive() == b"one"


def test_a_listener_that_closes_resets_early_connections_that_nobody_accepted(tcp):
    t = server(tcp)
    t.inject("S", text=b"one", options=syn_options(earned(t)))
    t.expect("SA")
    t.listener.close(t.now)
    t._after()
    t.expect("RA")
    assert not t.host.connections


def test_more_than_the_window_of_a_syn_is_not_taken(tcp):
    t = server(tcp, receive_buffer=1000)
    t.judged = False
    t.inject("S", text=bytes(1400), options=syn_options(earned(t)))
    t.expect("SA", ack=1001, window=0)
    t.accept()
    assert len(t.receive()) == 1000
    t.expect("A", ack=1001, window=1000)


# ---- the client -----------------------------------------------------------------------


def client(tcp, *arguments, cookie=COOKIE, mss=1460, **settings):
    """An endpoint that knows the cookie of its peer."""
    t = tcp(*arguments, **settings)
    t.connect(fast_open_data=b"", local_port=49_000)
    one = t.expect("S", text=b"", why=Why.ACTIVE_OPEN)
    assert cookie_of(one) == b""
    t.inject("SA", options=syn_options(cookie, mss))
    t.expect("A")
    t.abort()
    t.expect("RA")
    t.peer = Peer()
    t.iss = None
    return t


@pytest.mark.rfc("7413", "4.1.3")
@versions
def test_without_a_cookie_the_syn_asks_for_one_and_the_data_follows_the_handshake(tcp, version):
    t = tcp(version)
    t.connect(fast_open_data=b"GET /")
    assert cookie_of(t.expect("S", text=b"")) == b""
    t.inject("SA", options=syn_options(COOKIE))
    t.expect("PA", seq=1, ack=1, text=b"GET /")
    assert len(t.host.fast_open_cache) == 1


@pytest.mark.rfc("7413", "4.2.1")
@versions
def test_with_a_cookie_the_data_leaves_in_the_syn(tcp, version):
    t = client(tcp, version)
    connection = t.connect(fast_open_data=b"GET /")
    assert cookie_of(t.expect("S", seq=0, text=b"GET /")) == COOKIE
    assert connection.send_queued == 5
    t.advance(20 * MS)
    t.inject("SA", ack=6)
    t.expect("A", seq=6, ack=1)
    assert connection.send_queued == 0
    assert t.ready_of() == Ready.CONNECTED | Ready.WRITABLE
    assert t.host.counters["TCPFastOpenActive"] == 1
    assert t.tcb.srtt == 20 * MS
    t.send(b"more")
    t.expect("PA", seq=6, text=b"more")


@pytest.mark.rfc("7413", "4.2.1")
def test_data_that_the_server_left_is_sent_again_at_once(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    t.inject("SA", ack=1)
    t.expect("PA", seq=1, ack=1, text=b"GET /")
    t.inject("A", ack=6)
    assert t.tcp.send_queued == 0
    assert t.host.counters["TCPFastOpenActiveFail"] == 1


@pytest.mark.rfc("7413", "4.2.1")
def test_data_that_the_server_took_in_part_is_sent_from_there(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET / HTTP/1.0")
    t.expect("S", text=b"GET / HTTP/1.0")
    t.inject("SA", ack=4)
    t.expect("PA", seq=4, text=b" / HTTP/1.0")


@pytest.mark.rfc("7413", "4.2.1")
def test_a_syn_ack_beyond_what_the_syn_carried_is_refused(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    t.judged = False
    t.inject("SA", ack=7)
    t.expect("R", seq=7)
    t.expect_state(State.SYN_SENT)


@pytest.mark.rfc("7413", "4.1.3")
@pytest.mark.parametrize("mss", [536, 1000, 1460, 9000])
def test_the_syn_carries_what_the_server_and_the_path_take(tcp, mss):
    t = client(tcp, mss=mss)
    t.connect(fast_open_data=bytes(20_000))
    one = t.expect("S")
    assert one.length == min(mss, 1460) - 40
    assert len(one.packet.data) <= 1500
    t.inject("SA", ack=1 + one.length, options=syn_options(COOKIE, mss))
    assert t.take()[0].seq == 1 + one.length


@pytest.mark.rfc("7413", "4.1.3")
def test_a_repeated_syn_has_neither_option_nor_data(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    one = t.expect("S", seq=0, text=b"", within=2 * SECOND, why=Why.SYN_RETRANSMITTED)
    assert cookie_of(one) is None
    t.inject("SA", ack=1)
    t.expect("PA", seq=1, text=b"GET /")


@pytest.mark.rfc("7413", "4.2.1")
def test_a_late_answer_to_the_first_syn_is_taken(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    t.expect("S", text=b"", within=2 * SECOND)
    t.inject("SA", ack=6)
    t.expect("A", seq=6)
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("7413", "7.1")
def test_a_path_that_drops_fast_open_is_left_alone_for_a_while(tcp):
    t = client(tcp)

    def drop_once(port):
        t.peer, t.iss = Peer(), None
        t.connect(fast_open_data=b"GET /", local_port=port)
        assert cookie_of(t.expect("S")) == COOKIE
        t.expect("S", text=b"", within=2 * SECOND)
        t.inject("SA", ack=1)
        t.expect("PA")
        t.abort()
        t.expect("RA")

    def plain(port):
        t.peer, t.iss = Peer(), None
        t.connect(fast_open_data=b"GET /", local_port=port)
        assert cookie_of(t.expect("S", text=b"")) is None
        t.abort()

    drop_once(50_000)
    plain(50_001)
    t.advance(3600 * SECOND)
    drop_once(50_002)
    t.advance(3600 * SECOND)
    plain(50_003)
    t.advance(3600 * SECOND)
    drop_once(50_004)
    assert t.host.counters["TCPFastOpenBlackhole"] == 3


@pytest.mark.rfc("7413", "4.1.3")
def test_a_new_cookie_takes_the_place_of_the_old_one(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    t.inject("SA", ack=1, options=syn_options(bytes(16)))
    t.expect("PA")
    t.abort()
    t.take()
    t.peer, t.iss = Peer(), None
    t.connect(fast_open_data=b"GET /", local_port=50_001)
    assert cookie_of(t.expect("S")) == bytes(16)


@pytest.mark.rfc("9293", "MUST-10")
def test_two_syns_that_meet_fall_back_to_the_usual_handshake(tcp):
    t = client(tcp)
    t.connect(fast_open_data=b"GET /")
    t.expect("S", text=b"GET /")
    t.judged = False  # the SYN-ACK repeats the SYN without its data
    t.inject("S")
    t.expect("SA", seq=0, ack=1, text=b"")
    t.inject("A", ack=1)
    t.expect_state(State.ESTABLISHED)
    t.expect("PA", seq=1, text=b"GET /")


def test_connections_that_did_not_ask_send_no_option(tcp):
    t = client(tcp)
    t.connect()
    one = t.expect("S", text=b"")
    assert cookie_of(one) is None
    assert one.ts is not absent


@pytest.mark.rfc("7413", "4.1.3")
def test_the_cache_keeps_the_servers_that_were_used_last():
    cache = CookieCache(limit=3)
    paths = []
    for number in range(5):
        path = ffi.new("struct path *")
        path.dst = bytes([number] * 16)
        paths.append(path)
        cache.of(path)
        cache.get(paths[0])
    assert len(cache) == 3
    assert [cache.get(path) is not None for path in paths] == [True, False, False, True, True]


# ---- both -----------------------------------------------------------------------------


def exchange(hosts, now, captured):
    """Everything that two hosts have to say at this moment."""
    busy = True
    while busy:
        busy = False
        for here, there in (hosts, hosts[::-1]):
            while (out := here.transmit(now)).count:
                packets = list(out)
                captured += [(now, data) for data in packets]
                there.receive(Inbound.of(packets), now)
                busy = True


@pytest.mark.rfc("7413", "3")
@versions
def test_two_hosts_save_a_round_trip_from_the_second_connection_on(version):
    hosts = tuple(
        Host([f"{a[4]}/24", f"{a[6]}/64"], random_bytes=random.Random(seed).randbytes)
        for seed, a in ((1, OURS), (2, PEER))
    )
    ours, theirs = hosts
    listener = theirs.listen(None, PORT, fast_open=10)
    captured = []
    now = SECOND
    for turn in range(2):
        connection = ours.connect(PEER[version], PORT, now, fast_open_data=b"GET /")
        out = list(ours.transmit(now))
        captured += [(now, data) for data in out]
        theirs.receive(Inbound.of(out), now)
        accepted = listener.accept()
        assert (accepted is not None) == (turn == 1)
        exchange(hosts, now, captured)
        accepted = accepted or listener.accept()
        assert accepted.receive(100, now) == b"GET /"
        accepted.send(b"200 OK", now)
        accepted.close(now)
        exchange(hosts, now, captured)
        assert connection.receive(100, now) == b"200 OK"
        connection.close(now)
        exchange(hosts, now, captured)
        now += SECOND
    assert check(captured, {OURS[version], PEER[version]}, loss_free=True) == []
