"""What ICMP tells an application about the datagrams that it sent, and what that changes."""

import errno

import pytest

from stack.core.ip.path_mtu import LIFETIME_US
from stack.core.ready import Ready
from stack.core.udp.datagram import Origin
from stack.core.udp.settings import Discovery
from tests.support.packets import OURS, PEER, packed
from tests.support.udp_bench import UdpBench, error, quoted, raises, too_big, udp, versions

ROUTER = {4: "192.0.2.99", 6: "2001:db8::99"}

# (version, type, code, rest) and the errno that Linux has for it.
HARD = [
    (4, 3, 2, 0, errno.ENOPROTOOPT),
    (4, 3, 3, 0, errno.ECONNREFUSED),
    (4, 3, 7, 0, errno.EHOSTDOWN),
    (4, 3, 8, 0, errno.ENONET),
    (4, 3, 10, 0, errno.EHOSTUNREACH),
    (4, 3, 13, 0, errno.EHOSTUNREACH),
    (4, 12, 0, 0, errno.EPROTO),
    (6, 1, 1, 0, errno.EACCES),
    (6, 1, 4, 0, errno.ECONNREFUSED),
    (6, 1, 5, 0, errno.EACCES),
    (6, 4, 0, 6, errno.EPROTO),
]
SOFT = [
    (4, 3, 0, 0, errno.ENETUNREACH),
    (4, 3, 1, 0, errno.EHOSTUNREACH),
    (4, 3, 5, 0, errno.EOPNOTSUPP),
    (4, 3, 11, 0, errno.ENETUNREACH),
    (4, 3, 12, 0, errno.EHOSTUNREACH),
    (4, 11, 0, 0, errno.EHOSTUNREACH),
    (6, 1, 0, 0, errno.ENETUNREACH),
    (6, 1, 3, 0, errno.EHOSTUNREACH),
    (6, 3, 0, 0, errno.EHOSTUNREACH),
]


@pytest.fixture
def bench():
    return UdpBench()


def sent(bench, endpoint, version, text=b"question"):
    """The packet of one datagram to PEER's port 53."""
    endpoint.send_to(text, PEER[version], 53, bench.now)
    (packet,) = bench.sent()
    return packet


# ---- errors ---------------------------------------------------------------------------


@pytest.mark.rfc("1122", "4.1.3.3")
@pytest.mark.parametrize(("version", "kind", "code", "rest", "number"), HARD)
def test_a_connected_endpoint_hears_of_hard_errors_once(bench, version, kind, code, rest, number):
    for hear in (
        lambda endpoint: endpoint.receive(bench.now),
        lambda endpoint: endpoint.peek(),
        lambda endpoint: endpoint.send(b"x", bench.now),
        lambda endpoint: endpoint.send_to(b"x", PEER[version], 99, bench.now),
    ):
        endpoint = bench.connected(version)
        question = sent(bench, endpoint, version)
        assert bench.receive(error(version, kind, code, question, rest=rest)) == []
        assert bench.ready(endpoint) == Ready.ERROR
        assert endpoint.readable
        with raises(number):
            hear(endpoint)
        assert endpoint.receive(bench.now) is None
        assert bench.sent() == []


@pytest.mark.rfc("1122", "4.1.3.3")
@pytest.mark.parametrize(("version", "kind", "code", "rest", "number"), SOFT)
def test_errors_that_may_pass_are_told_only_to_who_asked(bench, version, kind, code, rest, number):
    for report in (False, True):
        endpoint = bench.connected(version)
        endpoint.settings(version).report_errors = report
        bench.receive(error(version, kind, code, sent(bench, endpoint, version), rest=rest))
        assert endpoint.take_error() == (number if report else 0)
        assert bench.ready(endpoint) == (Ready.ERROR if report else Ready(0))


@pytest.mark.rfc("1122", "4.1.3.3")
@pytest.mark.parametrize(("version", "kind", "code", "rest", "number"), HARD + SOFT)
def test_who_is_not_connected_hears_of_errors_only_if_it_asked(
    bench, version, kind, code, rest, number
):
    endpoint = bench.open(4000)
    bench.receive(error(version, kind, code, sent(bench, endpoint, version), rest=rest))
    assert (endpoint.take_error(), endpoint.reported) == (0, False)
    endpoint.settings(version).report_errors = True
    question = sent(bench, endpoint, version)
    bench.receive(error(version, kind, code, question, rest=rest, src=ROUTER[version]))
    with raises(number):
        endpoint.receive(bench.now)
    told = endpoint.take_send_error()
    assert (told.number, told.type, told.code) == (number, kind, code)
    assert told.origin == (Origin.ICMP if version == 4 else Origin.ICMP6)
    assert told.data == b"question"
    assert (told.route.address, told.route.port) == (PEER[version], 53)
    assert told.offender == packed(ROUTER[version])
    assert told.info == (rest if kind == 4 else 0)
    assert endpoint.take_send_error() is None


def test_the_pointer_of_a_parameter_problem_is_told(bench):
    endpoint = bench.open(4000)
    endpoint.ipv4.report_errors = True
    bench.receive(error(4, 12, 0, sent(bench, endpoint, 4), rest=9 << 24))
    assert endpoint.take_send_error().info == 9


@versions
def test_an_error_of_one_version_says_nothing_of_the_other(bench, version):
    endpoint = bench.open(4000)
    endpoint.settings(10 - version).report_errors = True
    kind, code = {4: (3, 3), 6: (1, 4)}[version]
    bench.receive(error(version, kind, code, sent(bench, endpoint, version)))
    assert endpoint.take_error() == 0


@versions
def test_the_errno_follows_the_queue_of_errors(bench, version):
    endpoint = bench.open(4000)
    endpoint.settings(version).report_errors = True
    question = sent(bench, endpoint, version)
    refused, unreachable = {4: ((3, 3), (3, 1)), 6: ((1, 4), (1, 3))}[version]
    bench.receive(error(version, *refused, question), error(version, *unreachable, question))
    assert endpoint.take_error() == errno.EHOSTUNREACH
    assert endpoint.take_send_error().number == errno.ECONNREFUSED
    assert endpoint.take_error() == errno.EHOSTUNREACH  # the next one that waits
    assert endpoint.take_send_error().number == errno.EHOSTUNREACH
    assert endpoint.take_error() == 0


@versions
def test_errors_that_nobody_reads_take_bounded_room(bench, version):
    endpoint = bench.open(4000)
    endpoint.receive_buffer = 10_000
    endpoint.settings(version).report_errors = True
    kind, code = {4: (3, 3), 6: (1, 4)}[version]
    question = sent(bench, endpoint, version, bytes(400))
    for _ in range(100):
        bench.receive(error(version, kind, code, question))
    count = 0
    while endpoint.take_send_error():
        count += 1
    assert count == 16  # 400 bytes, and 256 for holding them
    bench.receive(udp(version, 53, 4000, b"room again"))
    assert endpoint.take_error() == 0
    assert endpoint.receive(bench.now)[0] == b"room again"


@pytest.mark.rfc("5927", "4.1")
@versions
def test_errors_about_what_was_never_sent_change_nothing(bench, version):
    endpoint = bench.connected(version, 53, 4000)
    kind, code = {4: (3, 3), 6: (1, 4)}[version]
    stranger = ROUTER[version]
    for about in (
        quoted(version, 4001, 53),
        quoted(version, 4000, 54),
        quoted(version, 4000, 53, dst=stranger),
        quoted(version, 4000, 53, src=stranger),
        quoted(version, 4000, 53)[: {4: 20, 6: 40}[version] + 7],
    ):
        bench.receive(error(version, kind, code, about))
        bench.receive(too_big(version, 1300, about))
    assert endpoint.take_error() == 0
    assert bench.host.path_mtu.mtu_to(packed(PEER[version])) == 1500
    assert bench.counted("PathMtuLowered") == 0
    assert bench.counted("IcmpInForeign") == 10


@pytest.mark.rfc("6633", "5")
def test_source_quench_is_discarded_in_silence(bench):
    endpoint = bench.connected(4, 53, 4000)
    endpoint.ipv4.report_errors = True
    bench.receive(error(4, 4, 0, sent(bench, endpoint, 4)))
    assert (endpoint.take_error(), endpoint.reported) == (0, False)


# ---- path MTU -------------------------------------------------------------------------


def fragments(bench, endpoint, version, size):
    """The packets of a datagram of `size` bytes: (bytes, offset, "don't fragment")."""
    packets = bench.sends(endpoint, bytes(size), version)
    return [(len(p.data), p.fragment_offset, p.dont_fragment) for p in packets]


@pytest.mark.rfc("1191", "2")
def test_what_fits_says_dont_fragment_and_what_does_not_is_cut(bench):
    endpoint = bench.open(4000)
    assert fragments(bench, endpoint, 4, 1472) == [(1500, 0, True)]
    assert fragments(bench, endpoint, 4, 1473) == [(1500, 0, False), (21, 1480, False)]
    assert fragments(bench, endpoint, 6, 1452) == [(1500, 0, False)]
    assert fragments(bench, endpoint, 6, 1453) == [(1496, 0, False), (61, 1448, False)]


@pytest.mark.rfc("6864", "4.3")
@pytest.mark.rfc("7739", "5")
@versions
def test_fragments_of_one_datagram_share_a_number_that_others_have_not(bench, version):
    endpoint = bench.open(4000)
    seen = set()
    for _ in range(50):
        numbers = set()
        for packet in bench.sends(endpoint, bytes(3000), version):
            at = (4, 6) if version == 4 else (44, 48)
            numbers.add(packet.data[at[0] : at[1]])
        assert len(numbers) == 1
        seen |= numbers
    assert len(seen) == 50


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("8201", "4")
@versions
def test_a_router_lowers_what_is_sent_whole(bench, version):
    endpoint = bench.open(4000)
    whole = sent(bench, endpoint, version, bytes(1400))
    bench.receive(too_big(version, 1300, whole))
    assert endpoint.take_error() == 0  # it did not ask for reports: the next one just fits
    sizes = [size for size, _, _ in fragments(bench, endpoint, version, 1400)]
    assert max(sizes) <= 1300
    assert len(sizes) == 2
    assert bench.counted("PathMtuLowered") == 1
    (other,) = fragments(bench, endpoint, version, 1200)
    assert other[2] == (version == 4)


@pytest.mark.rfc("1122", "4.1.3.3")
@versions
def test_a_connected_endpoint_hears_that_its_datagram_was_too_big(bench, version):
    endpoint = bench.connected(version)
    bench.receive(too_big(version, 1300, sent(bench, endpoint, version, bytes(1400))))
    with raises(errno.EMSGSIZE):
        endpoint.receive(bench.now)
    endpoint.settings(version).report_errors = True
    bench.now += 1
    bench.receive(too_big(version, 1280, sent(bench, endpoint, version, bytes(1250))))
    told = endpoint.take_send_error()
    assert (told.number, told.info) == (errno.EMSGSIZE, 1280)


@pytest.mark.rfc("1191", "6.3")
@versions
def test_what_a_router_said_is_forgotten_after_ten_minutes(bench, version):
    endpoint = bench.open(4000)
    bench.receive(too_big(version, 1300, sent(bench, endpoint, version, bytes(1400))))
    bench.now += LIFETIME_US
    assert bench.host.next_deadline() <= bench.now
    bench.host.on_deadline(bench.now)
    assert len(fragments(bench, endpoint, version, 1400)) == 1


@pytest.mark.rfc("1191", "5")
def test_an_old_router_that_tells_no_mtu_is_guessed_at(bench):
    endpoint = bench.open(4000)
    bench.receive(too_big(4, 0, sent(bench, endpoint, 4, bytes(1472))))
    assert max(size for size, _, _ in fragments(bench, endpoint, 4, 1472)) <= 1492


@pytest.mark.rfc("8201", "4")
def test_no_router_may_ask_for_less_than_ipv6_demands(bench):
    endpoint = bench.open(4000)
    bench.receive(too_big(6, 1279, sent(bench, endpoint, 6, bytes(1400))))
    assert len(fragments(bench, endpoint, 6, 1400)) == 1


def test_below_our_floor_routers_may_fragment(bench):
    endpoint = bench.open(4000)
    bench.receive(too_big(4, 300, sent(bench, endpoint, 4, bytes(1400))))
    assert fragments(bench, endpoint, 4, 400) == [(428, 0, False)]
    assert max(size for size, _, _ in fragments(bench, endpoint, 4, 1400)) <= 552


@pytest.mark.rfc("8201", "4")
@versions
def test_a_router_that_speaks_of_a_datagram_which_fits_is_not_believed(bench, version):
    endpoint = bench.open(4000)
    bench.receive(too_big(version, 1300, sent(bench, endpoint, version, bytes(100))))
    assert bench.counted("PathMtuLowered") == 0
    assert len(fragments(bench, endpoint, version, 1400)) == 1


def lowered(bench, version):
    """An endpoint whose path to PEER is known to carry 1300 bytes."""
    endpoint = bench.open(4000)
    bench.receive(too_big(version, 1300, sent(bench, endpoint, version, bytes(1400))))
    return endpoint


# What each setting makes of 100, 1400 and 3000 bytes when the link carries 1500 and the path
# 1300: how many packets, and whether they say "don't fragment".
DISCOVERIES = {
    Discovery.DONT: ((1, False), (2, False), (3, False)),
    Discovery.WANT: ((1, True), (2, False), (3, False)),
    Discovery.DO: ((1, True), None, None),
    Discovery.PROBE: ((1, True), (1, True), None),
    Discovery.INTERFACE: ((1, False), (1, False), None),
    Discovery.OMIT: ((1, False), (1, False), (3, False)),
}


@pytest.mark.rfc("8085", "3.2")
@versions
@pytest.mark.parametrize("discovery", Discovery, ids=lambda one: one.name)
def test_an_application_chooses_what_is_done_about_the_path_mtu(bench, version, discovery):
    endpoint = lowered(bench, version)
    endpoint.settings(version).discovery = discovery
    for size, expected in zip((100, 1400, 3000), DISCOVERIES[discovery], strict=True):
        if expected is None:
            with raises(errno.EMSGSIZE):
                endpoint.send_to(bytes(size), PEER[version], 53, bench.now)
            assert bench.sent() == []
            continue
        found = fragments(bench, endpoint, version, size)
        count, whole = expected
        assert len(found) == count
        assert {flag for _, _, flag in found} == {whole and version == 4}


@versions
def test_who_lets_routers_fragment_does_not_hear_that_they_cannot(bench, version):
    endpoint = bench.connected(version)
    endpoint.settings(version).discovery = Discovery.DONT
    bench.receive(too_big(version, 1300, sent(bench, endpoint, version, bytes(1400))))
    assert endpoint.take_error() == 0
    assert bench.counted("PathMtuLowered") == 1


@versions
def test_a_datagram_that_this_host_refuses_is_reported_as_well(bench, version):
    endpoint = lowered(bench, version)
    settings = endpoint.settings(version)
    settings.discovery, settings.report_errors = Discovery.DO, True
    with raises(errno.EMSGSIZE):
        endpoint.send_to(b"x" * 1400, PEER[version], 53, bench.now)
    told = endpoint.take_send_error()
    assert (told.number, told.origin, told.info) == (errno.EMSGSIZE, Origin.LOCAL, 1300)
    assert (told.offender, told.data) == (None, b"x" * 1400)
    assert told.route == (version, packed(OURS[version]), packed(PEER[version]), 53)


def test_tcp_learns_from_what_udp_was_told(bench):
    endpoint = bench.open(4000)
    connection = bench.host.connect(PEER[4], 80, bench.now)
    bench.sent()
    assert connection.tcb.path.dont_fragment
    bench.receive(too_big(4, 300, sent(bench, endpoint, 4, bytes(1400))))
    assert not connection.tcb.path.dont_fragment
