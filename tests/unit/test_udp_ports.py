"""Who has which UDP port, and who gets a datagram: examples, and a model to compare with."""

import errno
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from tests.support.packets import OURS, PEER, packed
from tests.support.udp_bench import UdpBench, raises, udp

SMALL = HostConfig(tcp=TcpConfig(first_ephemeral_port=50_000, last_ephemeral_port=50_009))


@pytest.fixture
def bench():
    return UdpBench()


# ---- ports that nobody asked for -------------------------------------------------------


@pytest.mark.rfc("6056", "3.3.1")
def test_ports_are_scattered_over_the_ephemeral_range(bench):
    ports = [bench.open().port for _ in range(500)]
    assert len(set(ports)) == 500
    assert all(32_768 <= port <= 60_999 for port in ports)
    steps = {second - first for first, second in pairwise(ports)}
    assert len(steps) > 490  # no port tells the next one
    assert min(ports) < 34_000
    assert max(ports) > 60_000


@pytest.mark.rfc("6056", "3.3.1")
def test_another_secret_gives_other_ports_and_the_same_one_the_same():
    def ports(seed):
        bench = UdpBench(seed=seed)
        return [bench.open().port for _ in range(10)]

    assert ports(1) == ports(1)
    assert not set(ports(1)) & set(ports(2))


def test_every_port_can_be_had_and_no_more():
    bench = UdpBench(config=SMALL)
    endpoints = [bench.open() for _ in range(10)]
    assert sorted(endpoint.port for endpoint in endpoints) == list(range(50_000, 50_010))
    with raises(errno.EADDRINUSE):
        bench.open()
    with raises(errno.EAGAIN):
        bench.host.udp.new(4).send_to(b"x", PEER[4], 53, 0)
    with raises(errno.EAGAIN):
        bench.host.udp.new(4).connect(PEER[4], 53, 0)
    freed = endpoints.pop(3)
    freed.close(0)
    assert bench.open().port == freed.port


def test_the_first_datagram_takes_a_port(bench):
    endpoint = bench.host.udp.new(0)
    assert endpoint.local == ("::", 0)
    endpoint.send_to(b"x", PEER[4], 53, bench.now)
    assert endpoint.port
    bench.receive(udp(4, 53, endpoint.port, b"answer"))
    assert endpoint.receive(bench.now)[0] == b"answer"


# ---- who may have what ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (None, None, True),
        (None, "0.0.0.0", True),
        (None, "::", True),
        (None, OURS[4], True),
        (None, OURS[6], True),
        ("0.0.0.0", "::", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", OURS[4], True),
        ("0.0.0.0", OURS[6], False),
        ("::", OURS[6], True),
        ("::", OURS[4], False),
        (OURS[4], OURS[4], True),
        (OURS[4], OURS[6], False),
        (OURS[4], "192.0.2.255", False),
        ("::ffff:192.0.2.2", OURS[4], True),
    ],
)
def test_two_endpoints_may_not_hear_the_same(bench, first, second, conflict):
    for one, other in ((first, second), (second, first)):
        held = bench.open(53, one)
        if conflict:
            with raises(errno.EADDRINUSE):
                bench.open(53, other)
        else:
            bench.open(53, other).close(0)
        held.close(0)
        bench.open(53, other).close(0)


@pytest.mark.parametrize("option", ["reuse_address", "reuse_port"])
def test_both_must_want_to_share(bench, option):
    first = bench.open(53, **{option: True})
    with raises(errno.EADDRINUSE):
        bench.open(53)
    other = {"reuse_address": "reuse_port", "reuse_port": "reuse_address"}[option]
    with raises(errno.EADDRINUSE):
        bench.open(53, **{other: True})
    second = bench.open(53, **{option: True})
    assert first.port == second.port


def test_who_connects_leaves_the_other_addresses_to_others(bench):
    host = bench.host
    host.local = type(host.local)(["192.0.2.2/24", "198.51.100.2/24"])
    connected = bench.open(4000)
    connected.connect(PEER[4], 53, bench.now)
    bench.open(4000, "198.51.100.2")
    with raises(errno.EADDRINUSE):
        bench.open(4000, OURS[4])


@pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8:ffff::1"])
def test_only_own_addresses_can_be_bound(bench, address):
    with raises(errno.EADDRNOTAVAIL):
        bench.open(53, address)


def test_a_version_that_an_endpoint_has_not_cannot_be_bound(bench):
    with raises(errno.EAFNOSUPPORT):
        bench.host.udp.new(4).bind(OURS[6], 53)
    with raises(errno.EINVAL):
        bench.host.udp.new(6).bind(OURS[4], 53)


def test_an_endpoint_is_bound_once(bench):
    endpoint = bench.open(53)
    with raises(errno.EINVAL):
        endpoint.bind(None, 54)


# ---- who gets it ------------------------------------------------------------------------


def test_a_group_of_endpoints_shares_the_senders_out(bench):
    group = [bench.open(53, reuse_port=True) for _ in range(4)]
    for port in range(4000, 4400):
        bench.receive(udp(4, port, 53, b"x"), udp(4, port, 53, b"x"))
    heard = []
    for endpoint in group:
        ports = []
        while found := endpoint.receive(bench.now):
            ports.append(found[2])
        assert all(ports.count(port) == 2 for port in ports)  # a sender stays with one
        assert 60 < len(set(ports)) < 140
        heard += ports
    assert len(heard) == 800


def test_the_last_one_that_came_gets_what_several_may_have(bench):
    first, second = (bench.open(53, reuse_address=True) for _ in range(2))
    bench.receive(udp(4, 4000, 53, b"to the second"))
    assert (first.readable, second.readable) == (False, True)
    second.close(0)
    bench.receive(udp(4, 4000, 53, b"to the first"))
    assert first.readable


LOCALS = [None, "0.0.0.0", "::", OURS[4], OURS[6]]
PEERS = [None, (PEER[4], 1), (PEER[4], 2), (PEER[6], 1), (PEER[6], 2)]
versions = st.sampled_from([4, 6])
ports = st.sampled_from([1, 2])


def expected(endpoints, version, sport):
    """What the rules say in words: the connected one, else the closest, else the last."""

    def rank(number):
        local, peer = endpoints[number]
        if peer is not None:
            return 3 if peer == (PEER[version], sport) else -1
        if local is None:
            return 0
        if local in ("0.0.0.0", "::"):
            return 1 if (":" in local) == (version == 6) else -1
        return 2 if local == OURS[version] else -1

    ranked = [(rank(number), number) for number in range(len(endpoints))]
    return max((one for one in ranked if one[0] >= 0), default=(0, None))[1]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(LOCALS), st.sampled_from(PEERS)), max_size=8),
    st.lists(st.tuples(versions, ports), min_size=1, max_size=6),
)
def test_a_datagram_finds_the_endpoint_that_the_rules_name(wanted, datagrams):
    bench = UdpBench()
    made, kept = [], []
    for local, peer in wanted:
        version = 0 if local is None else 6 if ":" in local else 4
        if peer is not None and version not in (0, 6 if ":" in peer[0] else 4):
            peer = None
        endpoint = bench.open(53, local, reuse_address=True)
        if peer is not None:
            endpoint.connect(*peer, bench.now)
        made.append(endpoint)
        kept.append((local, peer))
    for version, sport in datagrams:
        answers = bench.receive(udp(version, sport, 53, b"x"))
        taker = expected(kept, version, sport)
        assert len(answers) == (taker is None)
        for number, endpoint in enumerate(made):
            assert (endpoint.take(bench.now) is not None) == (number == taker)
    for endpoint in made:
        endpoint.close(bench.now)
    assert bench.host.udp.find(4, packed(OURS[4]), 53, packed(PEER[4]), 1) is None
    assert bench.open(53).port == 53  # nothing was left behind
