"""The laws of sequence number arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.wire.sequence import (
    HALF,
    MOD,
    add,
    between,
    geq,
    gt,
    leq,
    lt,
    seq_max,
    seq_min,
    sub,
)

numbers = st.integers(0, MOD - 1)
steps = st.integers(1, HALF - 1)
pytestmark = pytest.mark.rfc("9293", "§3.4")


@given(numbers, st.integers(-(2**40), 2**40))
def test_add_stays_within_the_number_space(a, n):
    assert 0 <= add(a, n) < MOD
    assert (add(a, n) - a - n) % MOD == 0


@given(numbers, numbers)
def test_sub_is_the_inverse_of_add_and_fits_32_signed_bits(a, b):
    assert -HALF <= sub(a, b) < HALF
    assert add(b, sub(a, b)) == a


@given(numbers, steps)
def test_a_number_less_than_half_the_space_ahead_is_greater(a, n):
    b = add(a, n)
    assert lt(a, b)
    assert gt(b, a)
    assert leq(a, b)
    assert geq(b, a)
    assert not lt(b, a)
    assert not gt(a, b)
    assert not leq(b, a)
    assert not geq(a, b)


@given(numbers)
def test_a_number_is_equal_to_itself_only(a):
    assert leq(a, a)
    assert geq(a, a)
    assert not lt(a, a)
    assert not gt(a, a)


@given(numbers, numbers, numbers)
def test_comparison_is_the_same_wherever_the_numbers_lie(a, b, shift):
    assert lt(a, b) == lt(add(a, shift), add(b, shift))
    assert leq(a, b) == (sub(a, b) <= 0)


@given(numbers, steps, st.integers(0, HALF))
def test_between_includes_the_left_edge_and_excludes_the_right(a, n, x):
    assert between(a, add(a, x), add(a, n)) == (x < n)


@given(numbers, numbers)
def test_an_empty_range_holds_nothing(a, x):
    assert not between(a, x, a)


@given(numbers, steps)
def test_max_and_min_go_by_sequence_order(a, n):
    b = add(a, n)
    assert seq_max(a, b) == seq_max(b, a) == b
    assert seq_min(a, b) == seq_min(b, a) == a


def test_order_goes_across_the_wrap():
    assert lt(MOD - 1, 0)
    assert sub(2, MOD - 3) == 5
    assert between(MOD - 2, 0, 3)
