"""The native line against the impairments in Python: packets, times and chances are the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.link.codel import CoDel
from stack.link.impair import Faults, Impairments
from stack.link.line import Line, impairments
from stack.link.loss import EveryNth, GilbertElliott
from stack.link.queue import DropTail
from stack.wire.batch import CAPACITY, Inbound, Outbound
from tests.support.packets import ipv4

MTU = 1500

LIMITS = st.integers(0, 5), st.integers(0, 4000)
QUEUES = st.one_of(st.integers(0, 5), st.builds(DropTail, *LIMITS))
LOSSES = st.sampled_from(
    (0.0, 0.3, 1.0, EveryNth(3), GilbertElliott(to_bad=0.3, to_good=0.4, loss_good=0.1))
)
FAULTS = st.builds(
    Faults,
    loss=LOSSES,
    delay=st.integers(0, 3000),
    rate=st.one_of(st.just(0), st.integers(10_000, 20_000_000)),
    queue=QUEUES,
)
# How much later a batch comes, and the lengths of its packets.
BATCHES = st.lists(
    st.tuples(
        st.integers(0, 3000), st.lists(st.integers(20, MTU + 200), max_size=CAPACITY), st.booleans()
    ),
    max_size=12,
)


def both(faults: Faults) -> tuple[Impairments, Line]:
    line = impairments(faults, random.Random(1))
    assert isinstance(line, Line)
    return Impairments(faults, random.Random(1)), line


def packet(length: int, number: int) -> bytes:
    return ipv4(number.to_bytes(4) + bytes(length - 24), protocol=253)


def batch(packets: list[bytes]) -> Outbound:
    out = Outbound()
    for data in packets:
        out.push_raw(data, None)
    return out


def enter(model: Impairments, line: Line, packets: list[bytes], now: int, whole: bool) -> None:
    fits = [data for data in packets if len(data) <= MTU]
    for data in fits:
        model.push(data, now)
    if whole:
        due = line.carry(batch(packets), MTU, now)
        assert (None if due < 0 else due) == model.next_deadline()
        return
    for data in fits:
        line.push(data, now)


def leave(model: Impairments, line: Line, inbound: Inbound, now: int, whole: bool) -> None:
    expected = model.pop(now, CAPACITY)
    if not whole:
        assert line.pop(now, CAPACITY) == expected
        return
    due = line.deliver(inbound, now)
    assert (None if due < 0 else due) == model.next_deadline()
    assert [inbound.data(index) for index in range(inbound.count)] == expected


@given(FAULTS, BATCHES)
def test_a_line_does_what_the_impairments_in_python_do(faults, batches):
    model, line = both(faults)
    inbound, now, number = Inbound(), 0, 0
    for later, lengths, whole in batches:
        now += later
        leave(model, line, inbound, now, whole)
        packets = [packet(max(length, 24), number + i) for i, length in enumerate(lengths)]
        number += len(packets)
        enter(model, line, packets, now, whole)
        assert line.waiting(now) == model.waiting(now)
    while (due := model.next_deadline()) is not None:
        assert line.next_deadline() == due
        leave(model, line, inbound, due, whole=False)
    assert len(line) == 0
    assert line._rng.getstate() == model._rng.getstate()
    for name in ("passed", "lost", "queue_dropped"):
        assert getattr(line.counters, name) == getattr(model.counters, name)


def test_pop_without_a_limit_takes_all():
    line = impairments(Faults(), random.Random(1))
    packets = [packet(24, number) for number in range(3 * CAPACITY + 1)]
    for data in packets:
        line.push(data, 0)
    assert len(line) == len(packets)
    assert line.pop(0) == packets
    assert line.next_deadline() is None


def test_the_mtu_is_looked_at_before_chance():
    line = impairments(Faults(loss=1.0), random.Random(1))
    assert line.carry(batch([bytes(1501), bytes(1500)]), MTU, 0) < 0
    assert (line.native.too_long, line.counters.lost, line.counters.passed) == (1, 1, 0)


def test_a_line_is_transparent_when_it_does_nothing():
    assert impairments(Faults(), random.Random(1)).transparent
    for faults in (Faults(delay=1), Faults(rate=1), Faults(loss=0.1)):
        assert not impairments(faults, random.Random(1)).transparent


def test_counters_stay_those_of_the_line():
    line = impairments(Faults(rate=8_000_000, queue=1), random.Random(1))
    counters = line.counters
    for _ in range(4):
        line.push(bytes(1000), 0)
    assert (counters.passed, counters.queue_dropped) == (2, 2)
    counters.passed = counters.queue_dropped = 0
    assert (counters.passed, counters.queue_dropped) == (0, 0)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(duplicate=0.1),
        Faults(reorder=0.1),
        Faults(corrupt=0.1),
        Faults(jitter=1),
        Faults(rate=1, queue=CoDel()),
        Faults(rate=1, queue=DropTail(mark_above=1)),
        Faults(rate=1 << 70),
        Faults(rate=1, queue=1 << 40),
        Faults(delay=1 << 60),
    ],
)
def test_what_needs_a_decision_stays_in_python(faults):
    assert type(impairments(faults, random.Random(1))) is Impairments
