"""Identification values of fragments."""

import pytest

from stack.core.ip.identification import Identification
from tests.support.packets import packed

OURS, PEER = packed("192.0.2.2"), packed("192.0.2.1")
OURS6, PEER6 = packed("2001:db8::2"), packed("2001:db8::1")


@pytest.mark.rfc("6864", "4.3")
def test_values_for_one_source_destination_protocol_do_not_repeat():
    numbers = Identification(b"secret")
    seen = [numbers.next(OURS, PEER, 1) for _ in range(65_536)]
    assert len(set(seen)) == 65_536
    assert max(seen) == 0xFFFF


@pytest.mark.rfc("7739", "5.3")
def test_the_start_differs_by_destination_and_by_secret():
    starts = {
        Identification(secret).next(OURS6, packed(f"2001:db8::{n}"), 17)
        for secret in (b"one", b"two")
        for n in range(10, 60)
    }
    assert len(starts) == 100


def test_ipv6_values_use_32_bits():
    numbers = Identification(b"secret")
    assert any(Identification(bytes((n,))).next(OURS6, PEER6, 58) > 0xFFFF for n in range(4))
    first = numbers.next(OURS6, PEER6, 58)
    assert numbers.next(OURS6, PEER6, 58) == (first + 1) & 0xFFFFFFFF


def test_the_same_secret_gives_the_same_values():
    assert Identification(b"s").next(OURS, PEER, 1) == Identification(b"s").next(OURS, PEER, 1)
