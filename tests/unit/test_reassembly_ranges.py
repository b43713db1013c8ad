"""Out-of-order ranges and their SACK blocks, held against a set of byte numbers."""

from hypothesis import given
from hypothesis import strategies as st

from stack.core.tcp.reassembly import Reassembly
from tests.support.invariants import ranges

MOD = 1 << 32


def ranges_of(received, base=0):
    """The runs of a set of byte numbers."""
    runs = []
    for byte in sorted(received):
        if runs and runs[-1][1] == byte:
            runs[-1][1] = byte + 1
        else:
            runs.append([byte, byte + 1])
    return [((base + a) % MOD, (base + b) % MOD) for a, b in runs]


pieces = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 30)), max_size=30)
bases = st.sampled_from([0, 1000, MOD - 1, MOD - 100, (1 << 31) - 50])


@given(bases, pieces)
def test_ranges_are_the_runs_of_what_was_added(base, added):
    reassembly = Reassembly()
    received = set()
    for left, length in added:
        received |= set(range(left, left + length))
        reassembly.add(base, (base + left) % MOD, (base + left + length) % MOD)
        assert ranges(reassembly) == ranges_of(received, base)
        recent = reassembly.blocks(4)
        (changed,) = [
            (a, b) for a, b in ranges(reassembly) if (left - (a - base)) % MOD < (b - a) % MOD
        ]
        assert recent[0] == changed
        assert set(recent) <= set(ranges(reassembly))
        assert len(recent) == min(4, len(reassembly))


@given(bases, pieces, st.integers(1, 300))
def test_advancing_takes_in_all_that_becomes_contiguous(base, added, by):
    reassembly = Reassembly()
    received = set(range(by))
    for left, length in added:
        received |= set(range(left, left + length))
        reassembly.add(base, (base + left) % MOD, (base + left + length) % MOD)
    more = reassembly.advance(base, by)
    reached = by
    while reached in received:
        reached += 1
    assert by + more == max(reached, by)
    rest = {byte for byte in received if byte > reached}
    assert ranges(reassembly) == ranges_of(rest, base)


@given(bases, pieces, st.integers(1, 230), st.integers(1, 30))
def test_holds_says_whether_all_of_a_range_is_here(base, added, left, length):
    reassembly = Reassembly()
    received = set()
    for start, size in added:
        received |= set(range(start, start + size))
        reassembly.add(base, (base + start) % MOD, (base + start + size) % MOD)
    wanted = set(range(left, left + length))
    assert reassembly.holds(base, (base + left) % MOD, (base + left + length) % MOD) == (
        wanted <= received
    )


def test_a_duplicate_is_reported_once_and_first():
    reassembly = Reassembly()
    reassembly.add(0, 100, 200)
    assert reassembly.has_blocks
    reassembly.note_duplicate(10, 20)
    assert reassembly.blocks(3) == [(10, 20), (100, 200)]
    assert reassembly.blocks(3) == [(100, 200)]


def test_a_duplicate_alone_makes_a_block():
    reassembly = Reassembly()
    assert not reassembly.has_blocks
    reassembly.note_duplicate(10, 20)
    assert reassembly.has_blocks
    assert reassembly.blocks(3) == [(10, 20)]
    assert not reassembly.has_blocks


def test_the_right_edge_is_that_of_the_highest_range():
    reassembly = Reassembly()
    assert reassembly.right_edge is None
    reassembly.add(0, 100, 200)
    reassembly.add(0, 20, 30)
    assert reassembly.right_edge == 200
