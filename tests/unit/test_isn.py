"""Numbers that nobody outside can compute (RFC 6528, RFC 6056, RFC 7323 §5.4)."""

from ipaddress import ip_address

import pytest

from stack._native import ffi
from stack.core.tcp.isn import Secrets
from stack.wire.address import fill_path, pack


def path(src="192.0.2.2", dst="192.0.2.1", sport=80, dport=40_000):
    made = ffi.new("struct path *")
    version = ip_address(src).version
    fill_path(made, version, pack(ip_address(src)), pack(ip_address(dst)), sport, dport)
    return made


PATHS = [
    path(),
    path(src="192.0.2.3"),
    path(dst="192.0.2.9"),
    path(sport=81),
    path(dport=40_001),
    path("2001:db8::2", "2001:db8::1"),
]


@pytest.mark.rfc("6528", "3")
def test_every_part_of_the_four_tuple_and_the_secret_count():
    numbers = {Secrets(b"a" * 32).initial_sequence(one, 0) for one in PATHS}
    assert len(numbers) == len(PATHS)
    assert Secrets(b"b" * 32).initial_sequence(PATHS[0], 0) not in numbers


@pytest.mark.rfc("9293", "MUST-8")
def test_the_clock_adds_one_every_four_microseconds_and_wraps():
    secrets = Secrets(b"a" * 32)
    first = secrets.initial_sequence(PATHS[0], 0)
    for now, expected in ((3, 0), (4, 1), (4_000_000, 1_000_000), (4 << 32, 0), (5 << 32, 1 << 30)):
        assert (secrets.initial_sequence(PATHS[0], now) - first) % (1 << 32) == expected


@pytest.mark.rfc("7323", "5.4")
def test_timestamp_offsets_differ_and_stay():
    secrets = Secrets(b"a" * 32)
    offsets = [secrets.timestamp_offset(one) for one in PATHS]
    assert len(set(offsets)) == len(PATHS)
    assert offsets == [secrets.timestamp_offset(one) for one in PATHS]
    assert offsets[0] != secrets.initial_sequence(PATHS[0], 0)


@pytest.mark.rfc("6056", "3.2")
@pytest.mark.rfc("6056", "3.3.3")
def test_every_port_of_the_range_is_offered_once():
    secrets = Secrets(b"a" * 32)
    ports = list(secrets.ports(PATHS[0], 40_000, 40_099))
    assert sorted(ports) == list(range(40_000, 40_100))


@pytest.mark.rfc("6056", "3.3.3")
def test_the_next_choice_goes_on_where_the_last_one_stopped():
    secrets = Secrets(b"a" * 32)
    chosen = [next(secrets.ports(PATHS[0], 40_000, 40_099)) for _ in range(100)]
    assert len(set(chosen)) == 100


@pytest.mark.rfc("6056", "3.3.3")
def test_where_the_choice_begins_depends_on_the_remote_end():
    starts = {next(Secrets(b"a" * 32).ports(path(dport=port), 1024, 65_535)) for port in range(50)}
    assert len(starts) > 40
