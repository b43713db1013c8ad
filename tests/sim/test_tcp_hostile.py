"""Whatever the wire does, the bytes arrive, and everything is given back at the end."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.link.impair import Faults
from tests.support.hostile import MS, Pair, Reader


def some_bytes(length, seed):
    return random.Random(seed).randbytes(length)


faults = st.builds(
    Faults,
    loss=st.one_of(st.just(0.0), st.floats(0, 0.59)),
    duplicate=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    reorder=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    corrupt=st.one_of(st.just(0.0), st.floats(0, 0.2)),
    delay=st.integers(0, 200 * MS),
    jitter=st.integers(0, 20 * MS),
)
configs = st.fixed_dictionaries(
    {
        "sack": st.booleans(),
        "timestamps": st.booleans(),
        "window_scaling": st.booleans(),
        "congestion": st.sampled_from(["reno", "cubic"]),
        "receive_buffer": st.one_of(st.integers(1, 100), st.integers(100, 200_000)),
        "send_buffer": st.one_of(st.integers(1, 100), st.integers(100, 200_000)),
        "scaled_window_update": st.booleans(),
        "quick_acks": st.sampled_from([0, 16]),
    }
)
readers = st.builds(
    Reader,
    limit=st.one_of(st.integers(1, 200), st.just(1 << 30)),
    pause=st.one_of(st.just(0), st.integers(1, 2000 * MS)),
)
lengths = st.one_of(st.integers(0, 5000), st.integers(0, 60_000))


def bounded(length, *knobs):
    """Fewer bytes where each costs a round trip, so that a test takes its second at most."""
    return min(length, 2000) if any(knob < 300 for knob in knobs) else length


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    version=st.sampled_from([4, 6]),
    wire=st.tuples(faults, faults),
    a=configs,
    b=configs,
    a_reads=readers,
    b_reads=readers,
    to_a=lengths,
    to_b=lengths,
)
def test_every_byte_arrives_over_a_hostile_wire(
    seed, version, wire, a, b, a_reads, b_reads, to_a, to_b
):
    pair = Pair(seed, version=version, faults=wire, a=a, b=b)
    to_a = bounded(to_a, a["receive_buffer"], b["send_buffer"], a_reads.limit)
    to_b = bounded(to_b, b["receive_buffer"], a["send_buffer"], b_reads.limit)
    pair.transfer(some_bytes(to_b, seed), some_bytes(to_a, seed + 1), a_reads, b_reads)
    pair.check_wire()
