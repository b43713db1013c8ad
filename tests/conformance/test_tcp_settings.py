"""What an application may set on a connection, and what the wire then shows."""

import struct

import pytest

from stack.core.tcp.cork import LONGEST
from stack.core.tcp.info import as_ss_shows, tcp_info
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.sockets.tcp_options import Settings
from tests.support import states
from tests.support.endpoint import MS, SECOND

versions = pytest.mark.parametrize("version", [4, 6])


def established(tcp, *arguments, **settings):
    t = tcp(*arguments, **settings)
    states.established(t)
    return t


# ---- TCP_CORK and MSG_MORE ------------------------------------------------------------


def cork(t, on):
    t.tcp.cork.set(t.tcp, on)
    t._after()


def test_a_corked_connection_sends_whole_segments_only(tcp):
    t = established(tcp)
    cork(t, True)
    t.send(b"x" * 1000)
    t.expect_nothing(100 * MS)
    t.send(b"y" * 1000)
    t.expect("A", text=b"x" * 1000 + b"y" * 460)
    t.expect_nothing()
    cork(t, False)
    t.expect("PA", text=b"y" * 540)


@pytest.mark.rfc("9293", "MUST-60")
def test_a_cork_does_not_hold_data_without_end(tcp):
    t = established(tcp)
    cork(t, True)
    t.send(b"half")
    t.advance(50 * MS)
    t.send(b" more")
    t.expect("PA", text=b"half more", after=LONGEST - 50 * MS)
    t.inject("A")
    t.send(b"again")
    t.expect_nothing(LONGEST - 1)
    t.expect("PA", text=b"again", after=1)


def test_a_fin_takes_the_cork_out(tcp):
    t = established(tcp)
    cork(t, True)
    t.send(b"last")
    t.expect_nothing()
    t.shutdown()
    t.expect("FPA", text=b"last")


def test_urgent_data_leaves_in_spite_of_the_cork(tcp):
    t = established(tcp)
    cork(t, True)
    t.call("send_urgent", b"!")
    t.expect("PAU", text=b"!")


def test_setting_nodelay_pushes_once_and_the_cork_holds_again(tcp):
    t = established(tcp)
    settings = Settings()
    settings.attach(t.tcp)
    cork(t, True)
    t.send(b"queued")
    t.expect_nothing()
    settings.set(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    t._after()
    t.expect("PA", text=b"queued")
    t.inject("A")
    t.send(b"next")
    t.expect_nothing(LONGEST - 1)
    t.expect("PA", text=b"next", after=1)


def test_more_to_come_is_a_cork_until_the_next_call(tcp):
    t = established(tcp)
    t.tcp.cork.expect_more(t.tcp, True)
    t.send(b"header")
    t.expect_nothing()
    t.tcp.cork.expect_more(t.tcp, False)
    t.send(b"body")
    t.expect("PA", text=b"headerbody")


# ---- what IP is told ------------------------------------------------------------------


@pytest.mark.rfc("1122", "3.2.1.6")
@pytest.mark.rfc("9293", "MUST-48")
@pytest.mark.rfc("9293", "SHLD-21")
@pytest.mark.rfc("9293", "SHLD-22")
@versions
def test_the_application_chooses_the_dscp_of_its_segments_and_may_change_it(tcp, version):
    t = established(tcp, version)
    setting = "tos" if version == 4 else "tclass"
    t.tcp.set(setting, 0xB8)
    t.send(b"expedited")
    one = t.expect("PA")
    assert one.packet.tclass == 0xB8
    t.inject("PA", text=b"x")
    assert t.expect("A").packet.tclass == 0xB8
    t.tcp.set(setting, 0x28)
    t.send(b"usual")
    t.inject("A", ack=10)
    assert t.expect("PA").packet.tclass == 0x28


@pytest.mark.rfc("9293", "MUST-48")
def test_the_bits_of_ecn_are_not_the_applications(tcp):
    t = tcp(ecn="classic")
    t.connect()
    t.expect("SEC")
    t.inject("SAE")
    t.expect("A")
    t.tcp.set("tos", 0xBB)
    t.send(b"data")
    one = t.expect("PA")
    assert one.packet.tclass == 0xB8 | 2  # ECT(0)


@pytest.mark.rfc("9293", "MUST-49")
@versions
def test_the_application_chooses_the_hop_limit(tcp, version):
    t = established(tcp, version)
    t.tcp.path.ttl = 3
    t.send(b"near")
    assert t.expect("PA").packet.ttl == 3


@pytest.mark.rfc("9293", "MUST-49")
@versions
def test_the_hop_limit_of_a_host_is_configurable(tcp, version):
    t = tcp(version)
    assert t.host.config.ttl == 64
    t.connect()
    assert t.expect("S").packet.ttl == 64


@pytest.mark.rfc("9293", "MUST-48")
def test_what_is_set_on_a_listener_shows_from_the_syn_ack_on(tcp):
    t = tcp()
    listener = t.listen()
    settings = Settings(listener=listener, listening=True)
    listener.configure = settings.apply
    settings.set(0, 1, 0x20)  # IPPROTO_IP, IP_TOS
    settings.set(0, 2, 9)  # IP_TTL
    settings.set(6, 2, 700)  # IPPROTO_TCP, TCP_MAXSEG
    settings.set(1, 8, 8192)  # SOL_SOCKET, SO_RCVBUF
    t.inject("S")
    one = t.expect("SA", mss=700, window=8192)
    assert (one.packet.tclass, one.packet.ttl) == (0x20, 9)
    t.inject("A")
    t.accept()
    t.send(bytes(2000))
    assert [one.length for one in t.take()] == [700, 700, 600]


# ---- TCP_MAXSEG -----------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-14")
@versions
def test_a_limit_of_the_mss_set_before_the_syn_holds_both_ways(tcp, version):
    t = tcp(version)
    connection = t.host.connect(
        "192.0.2.1" if version == 4 else "2001:db8::1", 40_000, t.now, local_port=50_000
    )
    t.connection, t.local_port = connection, 50_000
    connection.set("mss", 500)
    t._after()
    t.expect("S", mss=500)
    t.inject("SA")
    t.expect("A")
    t.send(bytes(1200))
    assert [one.length for one in t.take()] == [500, 500, 200]


def test_a_limit_of_the_mss_set_later_holds_for_what_we_send(tcp):
    t = established(tcp)
    t.tcp.set("mss", 400)
    t.send(bytes(900))
    assert [one.length for one in t.take()] == [400, 400, 100]


# ---- TCP_QUICKACK -----------------------------------------------------------------------


@pytest.mark.rfc("9293", "SHLD-18")
def test_quick_acknowledgements_come_at_once_and_can_be_switched_off(tcp):
    t = established(tcp, quick_acks=0)
    t.inject("PA", text=b"one")
    t.expect_nothing()
    t.tcp.acks.set_quick(t.tcp, True)
    t._after()
    t.expect("A", ack=4, why=Why.QUICK_ACK)
    for _ in range(40):
        t.inject("PA", text=b"more")
        t.expect("A", why=Why.QUICK_ACK)
    t.tcp.acks.set_quick(t.tcp, False)
    t.inject("PA", text=b"late")
    t.expect("A", after=40 * MS, why=Why.DELAYED_ACK)


# ---- SO_MAX_PACING_RATE -------------------------------------------------------------------


def test_a_pacing_rate_spreads_the_segments(tcp):
    t = established(tcp)
    settings = Settings()
    settings.attach(t.tcp)
    settings.set(1, 47, struct.pack("=Q", 146_000))  # SOL_SOCKET, SO_MAX_PACING_RATE
    t.send(bytes(14_600))
    t.advance(100 * MS)
    t.inject("A")
    times = [one.now for one in t.take()]
    assert len(times) == 10 or times[-1] - times[0] >= 80 * MS


# ---- keep-alive ---------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-24")
@pytest.mark.rfc("9293", "MUST-27")
def test_keep_alive_goes_by_the_times_that_were_set(tcp):
    t = established(tcp)
    settings = Settings()
    settings.attach(t.tcp)
    settings.set(6, 4, 10)  # TCP_KEEPIDLE
    settings.set(6, 5, 3)  # TCP_KEEPINTVL
    settings.set(6, 6, 2)  # TCP_KEEPCNT
    settings.set(1, 9, 1)  # SO_KEEPALIVE
    t.expect("A", seq=0, after=10 * SECOND, why=Why.KEEPALIVE)
    t.expect("A", seq=0, after=3 * SECOND, why=Why.KEEPALIVE)
    t.advance(3 * SECOND)
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("9293", "MUST-21")
def test_the_user_timeout_is_an_option_of_the_socket(tcp):
    t = established(tcp)
    settings = Settings()
    settings.attach(t.tcp)
    settings.set(6, 18, 5000)  # TCP_USER_TIMEOUT
    t.send(b"lost")
    t.advance(4 * SECOND)
    t.expect_state(State.ESTABLISHED)
    t.advance(9 * SECOND)
    t.expect_state(State.CLOSED)
    t.take()


# ---- TCP_INFO -----------------------------------------------------------------------------


def test_the_info_tells_what_happened(tcp):
    t = established(tcp, peer={"ts": True, "wscale": 7})
    t.advance(10 * MS)
    t.send(bytes(5000))
    t.take()
    t.inject("A", ack=1449, sack=[(2897, 4345)])
    t.inject("PA", text=b"hello", ack=1449)
    t.take()
    info = tcp_info(t.tcp, t.now)
    assert info["state"] == 1
    assert info["options"] == 7
    assert (info["snd_wscale"], info["rcv_wscale"]) == (7, t.tcb.rcv_wscale)
    assert (info["unacked"], info["sacked"]) == (3, 1)
    assert info["bytes_acked"] == 1448
    assert info["bytes_received"] == 5
    assert info["data_segs_out"] >= 4
    assert info["data_segs_in"] == 1
    assert info["snd_cwnd"] == t.tcb.cwnd // t.tcb.snd_mss
    assert info["pmtu"] == 1500
    assert info["notsent_bytes"] == 0
    assert info["ca_state"] in (1, 3)
    assert info["last_data_sent"] == 0
    t.advance(5 * MS)
    assert tcp_info(t.tcp, t.now)["last_data_recv"] == 5


def test_ss_names_the_same_things(tcp):
    t = established(tcp)
    t.send(b"hello")
    t.take()
    shown = as_ss_shows(t.tcp, t.now)
    assert shown == t.tcp.info()
    assert (shown["mss"], shown["advmss"]) == (1460, 1460)
    assert (shown["cwnd"], shown["unacked"]) == (14_600, 5)
    assert shown["bytes_sent"] == 5
