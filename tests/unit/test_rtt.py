"""SRTT, RTTVAR and RTO (RFC 6298 §2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack._native import ffi
from stack.core.tcp import rtt
from stack.core.tcp.config import TcpConfig


def tcb_of(**fields):
    tcb = ffi.new("struct tcb *")
    for name, value in fields.items():
        setattr(tcb, name, value)
    return tcb


@pytest.mark.rfc("6298", "2.2")
def test_the_first_sample_sets_both():
    tcb = tcb_of()
    rtt.sample(tcb, 100_000, TcpConfig(minimum_rto=1))
    assert (tcb.srtt, tcb.rttvar, tcb.rto) == (100_000, 50_000, 300_000)


@pytest.mark.rfc("6298", "2.3")
def test_later_samples_count_an_eighth_and_a_quarter():
    tcb = tcb_of(srtt=80_000, rttvar=20_000)
    rtt.sample(tcb, 120_000, TcpConfig(minimum_rto=1))
    assert (tcb.srtt, tcb.rttvar) == (85_000, 25_000)
    assert tcb.rto == 85_000 + 4 * 25_000


@pytest.mark.rfc("6298", "2.4")
def test_a_steady_round_trip_leaves_the_minimum_as_margin():
    tcb = tcb_of()
    for _ in range(200):
        rtt.sample(tcb, 10_000, TcpConfig(minimum_rto=200_000))
    assert tcb.srtt == 10_000
    assert tcb.rto == 210_000


@pytest.mark.rfc("6298", "5.6")
@pytest.mark.rfc("6298", "5.5")
def test_each_expiry_doubles_up_to_the_maximum():
    config = TcpConfig(maximum_rto=60_000_000)
    timeouts = [rtt.backed_off(tcb_of(rto=1_000_000, backoff=n), config) for n in range(9)]
    assert timeouts == [1e6, 2e6, 4e6, 8e6, 16e6, 32e6, 60e6, 60e6, 60e6]
    assert rtt.backed_off(tcb_of(rto=1_000_000, backoff=1 << 31), config) == 60_000_000


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=50))
def test_no_sample_brings_the_timeout_out_of_its_bounds(samples):
    tcb = tcb_of()
    config = TcpConfig()
    for one in samples:
        rtt.sample(tcb, one, config)
        assert config.minimum_rto <= tcb.rto <= config.maximum_rto
        assert tcb.srtt >= 1
        assert tcb.rttvar >= 0
        assert 1 <= tcb.min_rtt <= max(min(samples), 1) or tcb.min_rtt > 0
    assert tcb.min_rtt == max(min(samples), 1)
