"""Path MTU estimates: what lowers them, where they stop, when they are forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.ip.path_mtu import LIFETIME_US, PathMtu
from tests.support.packets import packed

V4 = packed("198.51.100.1")
V6 = packed("2001:db8:1::1")
NOW = 1_000_000


def test_an_unknown_path_has_the_mtu_of_the_link():
    assert PathMtu(1500).mtu_to(V4) == 1500


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize("address", [V4, V6])
def test_a_smaller_mtu_lowers_the_estimate_for_that_destination_only(address):
    paths = PathMtu(1500)
    assert paths.learn(address, 1400, NOW) == 1400
    assert paths.mtu_to(address) == 1400
    assert paths.mtu_to(packed("198.51.100.2")) == 1500


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize("address", [V4, V6])
def test_a_message_never_raises_the_estimate(address):
    paths = PathMtu(1500)
    paths.learn(address, 1400, NOW)
    assert paths.learn(address, 1450, NOW) is None
    assert paths.learn(address, 9000, NOW) is None
    assert paths.mtu_to(address) == 1400


@pytest.mark.rfc("8201", "4")
@pytest.mark.rfc("8021", "4")
@pytest.mark.parametrize("mtu", [0, 68, 1279])
def test_ipv6_below_1280_is_void(mtu):
    paths = PathMtu(1500)
    assert paths.learn(V6, mtu, NOW) is None
    assert paths.mtu_to(V6) == 1500
    assert paths.next_deadline() is None


@pytest.mark.rfc("1191", "3")
def test_ipv4_stops_at_the_floor_and_lets_routers_fragment_below():
    paths = PathMtu(1500)
    assert paths.learn(V4, 296, NOW) == 552
    assert paths.may_fragment(V4)
    assert not paths.may_fragment(V6)
    assert paths.learn(V4, 296, NOW) is None


@pytest.mark.parametrize("mtu", [1, 67])
def test_ipv4_below_68_cannot_be(mtu):
    paths = PathMtu(1500)
    assert paths.learn(V4, mtu, NOW) is None
    assert paths.mtu_to(V4) == 1500


@pytest.mark.rfc("1191", "7.1")
@pytest.mark.parametrize(
    ("quoted", "expected"), [(1500, 1492), (1492, 1006), (1006, 552), (0, 1492), (9000, 1492)]
)
def test_a_message_without_mtu_takes_the_next_plateau(quoted, expected):
    paths = PathMtu(1500)
    assert paths.learn(V4, 0, NOW, quoted_length=quoted) == expected


@pytest.mark.rfc("8201", "5.3")
@pytest.mark.rfc("1191", "6.3")
@pytest.mark.rfc("8201", "4")
def test_an_estimate_is_dropped_after_ten_minutes():
    paths = PathMtu(1500)
    paths.learn(V6, 1280, NOW)
    assert paths.next_deadline() == NOW + LIFETIME_US
    assert paths.expire(NOW + LIFETIME_US - 1) == []
    assert paths.expire(NOW + LIFETIME_US) == [V6]
    assert paths.mtu_to(V6) == 1500
    assert paths.next_deadline() is None


def test_hearing_the_same_again_keeps_the_estimate_alive():
    paths = PathMtu(1500)
    paths.learn(V6, 1280, NOW)
    assert paths.learn(V6, 1280, NOW + 5) is None
    assert paths.next_deadline() == NOW + 5 + LIFETIME_US


def test_the_number_of_destinations_is_bounded():
    paths = PathMtu(1500, limit=3)
    addresses = [packed(f"198.51.100.{n}") for n in range(1, 6)]
    for number, address in enumerate(addresses):
        paths.learn(address, 1000, NOW + number)
    assert [paths.mtu_to(address) for address in addresses] == [1500, 1500, 1000, 1000, 1000]


@given(
    link=st.integers(1280, 65_535),
    told=st.lists(st.tuples(st.sampled_from([V4, V6]), st.integers(0, 2**32 - 1))),
    quoted=st.integers(0, 65_535),
)
def test_the_estimate_only_goes_down_and_stays_within_its_bounds(link, told, quoted):
    paths = PathMtu(link)
    for address, mtu in told:
        before = paths.mtu_to(address)
        went_down_to = paths.learn(address, mtu, NOW, quoted_length=quoted)
        after = paths.mtu_to(address)
        assert (552 if address == V4 else 1280) <= after <= before <= link
        assert went_down_to == (after if after < before else None)
