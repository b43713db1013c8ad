"""Records of what is in flight, held against a model that keeps one entry for each byte."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from stack._native import ffi
from stack.core.tcp.flight import Flight

MOD = 1 << 32


def flight_of(*lengths, start=1000):
    """A flight of so many bytes a record, sent at 1, 2, … µs."""
    tcb = ffi.new("struct tcb *")
    tcb.snd_una = tcb.snd_nxt = start
    flight = Flight(tcb)
    for now, length in enumerate(lengths, 1):
        end = (tcb.snd_nxt + length) % MOD
        flight.sent(tcb.snd_nxt, end, now)
        tcb.snd_nxt = end
    return tcb, flight


def edges(flight, start=1000):
    return [((r.seq - start) % MOD, (r.end - start) % MOD) for r in flight]


def acknowledge(tcb, flight, distance):
    una = (tcb.snd_una + distance) % MOD
    gone = flight.acknowledge(una)
    tcb.snd_una = una
    return gone


def test_an_acknowledgement_removes_whole_records():
    tcb, flight = flight_of(10, 20, 30)
    gone = acknowledge(tcb, flight, 30)
    assert [record.length for record in gone] == [10, 20]
    assert edges(flight) == [(30, 60)]


def test_an_acknowledgement_in_the_middle_cuts_a_record():
    tcb, flight = flight_of(10, 20)
    gone = acknowledge(tcb, flight, 15)
    assert [record.length for record in gone] == [10, 5]
    assert edges(flight) == [(15, 30)]
    assert flight.first().sent_at == 2


@pytest.mark.rfc("6675", "4")
def test_a_sack_marks_what_is_new_in_it():
    tcb, flight = flight_of(10, 10, 10)
    assert [r.length for r in flight.sack(1010, 1020)] == [10]
    assert [r.length for r in flight.sack(1005, 1025)] == [5, 5]
    assert flight.sack(1005, 1025) == []
    assert tcb.sacked == 20
    assert flight.pipe == 10
    assert edges(flight) == [(0, 5), (5, 25), (25, 30)]


@pytest.mark.rfc("6675", "4")
def test_a_sacked_record_is_no_longer_lost():
    tcb, flight = flight_of(10, 10)
    flight.mark_lost(flight.first())
    assert (tcb.lost, flight.pipe) == (10, 10)
    flight.sack(1000, 1010)
    assert (tcb.lost, tcb.sacked, flight.pipe) == (0, 10, 10)
    flight.mark_lost(flight.first())
    assert tcb.lost == 0


@pytest.mark.rfc("6675", "4")
def test_what_is_sent_again_is_in_the_network_again():
    tcb, flight = flight_of(10, 10)
    first = flight.first()
    flight.mark_lost(first)
    assert flight.next_lost() is first
    flight.resent(first, 99)
    assert (tcb.lost, flight.pipe, first.sent_at, first.retransmitted) == (0, 20, 99, True)
    assert flight.next_lost() is None


def test_forgetting_sacks_makes_everything_count_as_outstanding():
    tcb, flight = flight_of(10, 10, 10)
    flight.sack(1010, 1030)
    flight.forget_sacks()
    assert (tcb.sacked, flight.pipe) == (0, 30)


def test_a_cut_keeps_both_parts():
    tcb, flight = flight_of(30, 10)
    flight.mark_lost(flight.first())
    flight.cut(flight.first(), 12)
    assert edges(flight) == [(0, 12), (12, 30), (30, 40)]
    assert [r.lost for r in flight] == [True, True, False]
    assert tcb.lost == 30


@pytest.mark.parametrize("start", [MOD - 1, MOD - 15, MOD - 20, (1 << 31) - 5])
def test_numbers_wrap(start):
    tcb, flight = flight_of(10, 10, 10, start=start)
    flight.sack((start + 10) % MOD, (start + 20) % MOD)
    assert tcb.sacked == 10
    acknowledge(tcb, flight, 25)
    assert tcb.sacked == 0
    assert edges(flight, start) == [(25, 30)]


class FlightMachine(RuleBasedStateMachine):
    """Any calls in any order; the model says of each byte whether it is sacked or lost."""

    records = Bundle("records")

    @initialize(start=st.sampled_from([0, 5, MOD - 40, (1 << 31) - 40]))
    def begin(self, start):
        self.start = start
        self.una = self.nxt = 0
        self.tcb = ffi.new("struct tcb *")
        self.tcb.snd_una = self.tcb.snd_nxt = start
        self.flight = Flight(self.tcb)
        self.sacked = set()
        self.lost = set()
        self.now = 0

    def number(self, at):
        return (self.start + at) % MOD

    def bytes_of(self, record):
        first = (record.seq - self.start) % MOD
        return set(range(first, first + record.length))

    @rule(length=st.integers(1, 20))
    def send(self, length):
        self.now += 1
        self.flight.sent(self.number(self.nxt), self.number(self.nxt + length), self.now)
        self.nxt += length
        self.tcb.snd_nxt = self.number(self.nxt)

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share):
        una = self.una + round((self.nxt - self.una) * share)
        gone = self.flight.acknowledge(self.number(una))
        assert set().union(*map(self.bytes_of, gone)) == set(range(self.una, una))
        self.tcb.snd_una = self.number(una)
        self.tcb.bytes_acked += una - self.una
        self.una = una
        self.sacked -= set(range(una))
        self.lost -= set(range(una))

    @rule(a=st.floats(0, 1), b=st.floats(0, 1))
    def sack(self, a, b):
        left, right = sorted(self.una + round((self.nxt - self.una) * x) for x in (a, b))
        if left < right:
            fresh = self.flight.sack(self.number(left), self.number(right))
            new = set(range(left, right)) - self.sacked
            assert set().union(*map(self.bytes_of, fresh)) == new
            self.sacked |= new
            self.lost -= new

    @rule(which=st.integers(0, 50))
    def lose(self, which):
        records = self.flight.records()
        if records:
            record = records[which % len(records)]
            self.flight.mark_lost(record)
            if not record.sacked:
                self.lost |= self.bytes_of(record)

    @rule()
    def resend(self):
        record = self.flight.next_lost()
        if record is None:
            assert not self.lost
        else:
            self.now += 1
            assert min(self.lost) == min(self.bytes_of(record))
            self.lost -= self.bytes_of(record)
            self.flight.resent(record, self.now)

    @rule(which=st.integers(0, 50), share=st.floats(0, 1))
    def cut(self, which, share):
        records = [record for record in self.flight.records() if record.length > 1]
        if records:
            record = records[which % len(records)]
            self.flight.cut(record, max(1, min(record.length - 1, round(record.length * share))))

    @rule()
    def renege(self):
        self.flight.forget_sacks()
        self.sacked.clear()

    @invariant()
    def the_records_say_what_the_model_says(self):
        if not hasattr(self, "flight"):
            return
        at = self.una
        for record in self.flight:
            covered = self.bytes_of(record)
            assert covered == set(range(at, at + record.length))
            assert record.length > 0
            assert covered <= self.sacked if record.sacked else not covered & self.sacked
            assert covered <= self.lost if record.lost else not covered & self.lost
            at += record.length
        assert at == self.nxt
        assert self.tcb.sacked == len(self.sacked)
        assert self.tcb.lost == len(self.lost)
        assert self.flight.pipe == self.nxt - self.una - len(self.sacked) - len(self.lost)
        assert bool(self.flight) == (self.nxt > self.una)


TestFlightMachine = FlightMachine.TestCase
TestFlightMachine.settings = settings(max_examples=50, stateful_step_count=30)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 30)), max_size=60))
def test_sacked_neighbours_become_one_record(blocks):
    """The list stays as short as the flight has holes."""
    _, flight = flight_of(*[10] * 13)
    for left, length in blocks:
        flight.sack(1000 + left, 1000 + left + length)
    states = [record.sacked for record in flight]
    assert (True, True) not in set(pairwise(states))
