"""Which addresses are ours, and what others may be used for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.ip.addresses import LocalAddresses
from stack.errors import UsageError
from tests.support.packets import packed

BOTH = LocalAddresses(["192.0.2.2/24", "2001:db8::2/64"])


def test_owns_exactly_the_addresses_given():
    assert BOTH.owns(packed("192.0.2.2"))
    assert BOTH.owns(packed("2001:db8::2"))
    assert not BOTH.owns(packed("192.0.2.3"))
    assert not BOTH.owns(packed("2001:db8::1"))


def test_interfaces_keep_the_order_and_prefix_lengths():
    assert [str(interface) for interface in BOTH.interfaces] == ["192.0.2.2/24", "2001:db8::2/64"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "192.0.2.2/33",
        "192.0.2.256/24",
        "192.0.2.0/24",
        "192.0.2.255/24",
        "0.0.0.0/0",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "255.255.255.255/32",
        "::/64",
        "::1/128",
        "ff02::1/64",
        "2001:db8::2/129",
        "fe80::1%eth0/64",
        "::ffff:192.0.2.2/96",
    ],
)
def test_what_no_host_may_have_is_a_usage_error_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        LocalAddresses([text])
    assert "\n" not in str(caught.value)


def test_no_address_or_one_twice_is_a_usage_error():
    with pytest.raises(UsageError):
        LocalAddresses([])
    with pytest.raises(UsageError):
        LocalAddresses(["192.0.2.2/24", "192.0.2.2/16"])


@pytest.mark.rfc("1122", "3.2.1.3")
@pytest.mark.rfc("9293", "MUST-63")
@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.9",
        "192.0.2.255",
        "192.0.2.0",
        "224.0.0.5",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "ff02::1",
    ],
)
def test_a_source_that_is_not_one_other_host_is_invalid(text):
    assert not BOTH.is_valid_source(packed(text))
    assert not BOTH.is_valid_source(packed(text)), "the cached answer is the same"


@pytest.mark.parametrize("text", ["192.0.2.1", "198.51.100.255", "2001:db8::1", "fe80::1"])
def test_another_hosts_address_is_a_valid_source_and_destination(text):
    assert BOTH.is_valid_source(packed(text))
    assert BOTH.is_valid_destination(packed(text))


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize("text", ["192.0.2.255", "224.0.0.1", "255.255.255.255", "ff02::1", "::"])
def test_broadcast_multicast_and_unspecified_are_no_destination_to_connect_to(text):
    assert not BOTH.is_valid_destination(packed(text))


@pytest.mark.rfc("1122", "3.3.6")
def test_directed_broadcasts_count_in_both_forms_and_limited_too():
    for text in ("192.0.2.255", "192.0.2.0", "255.255.255.255"):
        assert BOTH.is_broadcast(packed(text))
    assert not BOTH.is_broadcast(packed("198.51.100.255"))


@pytest.mark.rfc("3021", "2.1")
def test_a_31_bit_prefix_has_no_broadcast():
    pair = LocalAddresses(["192.0.2.2/31"])
    assert not pair.is_broadcast(packed("192.0.2.3"))
    assert pair.is_valid_source(packed("192.0.2.3"))


def test_multicast_is_told_by_the_prefix():
    assert BOTH.is_multicast(packed("224.0.0.1"))
    assert BOTH.is_multicast(packed("239.255.255.255"))
    assert BOTH.is_multicast(packed("ff0e::1"))
    assert not BOTH.is_multicast(packed("223.255.255.255"))
    assert not BOTH.is_multicast(packed("fe80::1"))


@pytest.mark.rfc("4291", "2.8")
def test_every_host_listens_to_the_all_nodes_groups():
    for text in ("ff01::1", "ff02::1", "224.0.0.1"):
        assert BOTH.listens_to(packed(text))
    assert not BOTH.listens_to(packed("ff02::2"))


@pytest.mark.rfc("6724", "5")
def test_source_is_of_the_remote_version():
    assert BOTH.source_for(packed("198.51.100.1")) == packed("192.0.2.2")
    assert BOTH.source_for(packed("2001:db8:1::1")) == packed("2001:db8::2")
    assert LocalAddresses(["192.0.2.2/24"]).source_for(packed("2001:db8::1")) is None


@pytest.mark.rfc("6724", "5")
def test_source_rule_1_prefers_the_same_address():
    hosts = LocalAddresses(["2001:db8::2/64", "2001:db8::3/64"])
    assert hosts.source_for(packed("2001:db8::3")) == packed("2001:db8::3")


@pytest.mark.rfc("6724", "5")
def test_source_rule_2_prefers_the_appropriate_scope():
    hosts = LocalAddresses(["fe80::2/64", "2001:db8::2/64"])
    assert hosts.source_for(packed("fe80::1")) == packed("fe80::2")
    assert hosts.source_for(packed("2001:db8:5::1")) == packed("2001:db8::2")
    assert hosts.source_for(packed("ff02::1")) == packed("fe80::2")
    assert hosts.source_for(packed("ff0e::1")) == packed("2001:db8::2")
    assert LocalAddresses(["169.254.1.2/16", "192.0.2.2/24"]).source_for(
        packed("198.51.100.1")
    ) == packed("192.0.2.2")


@pytest.mark.rfc("6724", "5")
@pytest.mark.rfc("6724", "2.1")
@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("fd00:99::1", "fdff::2"),  # unique local to unique local, though few bits are common
        ("2002:c000:204::1", "2002:c000:205::2"),  # 6to4 to 6to4
        ("2001:0:1::1", "2001:0:2::2"),  # Teredo to Teredo
        ("2001:db8:9::1", "2001:db8::2"),
        ("2600::1", "2001:db8::2"),
        ("3000::1", "2001:db8::2"),  # longest prefix alone would take any of the 2000::/3
        ("fe00::1", "2001:db8::2"),  # and here the unique local one
    ],
)
def test_source_rule_6_prefers_the_matching_label(remote, source):
    hosts = LocalAddresses(
        ["2002:c000:205::2/48", "2001:0:2::2/64", "fdff::2/64", "2001:db8::2/64"]
    )
    assert hosts.source_for(packed(remote)) == packed(source)


@pytest.mark.rfc("6724", "5")
def test_source_rule_8_prefers_the_longest_matching_prefix():
    hosts = LocalAddresses(
        ["2001:db8:1::2/64", "2001:db8:2::2/64", "192.0.2.2/24", "198.51.100.2/24"]
    )
    assert hosts.source_for(packed("2001:db8:2::99")) == packed("2001:db8:2::2")
    assert hosts.source_for(packed("198.51.100.7")) == packed("198.51.100.2")


@pytest.mark.rfc("6724", "5")
def test_source_prefix_beyond_the_prefix_length_does_not_count():
    hosts = LocalAddresses(["2001:db8::1:2/64", "2001:db8::9:2/64"])
    assert hosts.source_for(packed("2001:db8::9:3")) == packed("2001:db8::1:2")


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=50))
def test_caches_do_not_change_answers(addresses):
    hosts = LocalAddresses(["192.0.2.2/24", "fe80::2/64", "2001:db8::2/64"])
    for address in addresses:
        fresh = LocalAddresses(["192.0.2.2/24", "fe80::2/64", "2001:db8::2/64"])
        assert hosts.is_valid_source(address) == fresh.is_valid_source(address)
        assert hosts.source_for(address) == fresh.source_for(address)


def test_caches_are_bounded():
    hosts = LocalAddresses(["2001:db8::2/64"])
    for number in range(10_000):
        hosts.is_valid_source(number.to_bytes(16, "big"))
        hosts.source_for(number.to_bytes(16, "big"))
    assert max(len(hosts._unicast), len(hosts._sources)) <= 4096
