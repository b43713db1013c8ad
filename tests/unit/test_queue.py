"""The bottleneck: limits, the rate, marks, and CoDel by RFC 8289."""

from functools import cache
from itertools import pairwise
from math import sqrt

import pytest

from stack.link.codel import CoDel
from stack.link.queue import DropTail, QueueCounters
from stack.wire import ecn
from tests.support.packets import ipv4, udp

MS = 1_000


@cache
def packet(length, ect):
    return ipv4(bytes(length - 20), protocol=17, tos=ect)


class Bench:
    """A bottleneck whose rate is 1 byte/µs unless another one is given."""

    def __init__(self, spec, rate=8_000_000):
        self.counters = QueueCounters()
        self.sent = []
        self.bottleneck = spec.make(
            rate, self.counters, lambda data, at: self.sent.append((at, data))
        )

    def push(self, length, now, ect=ecn.Codepoint.NOT_ECT):
        self.bottleneck.push(packet(length, ect), now)

    def signals(self):
        return self.counters.aqm_dropped + self.counters.marked

    def overload(self, begin, end, ect=ecn.Codepoint.NOT_ECT):
        """Twice the rate in packets of 1000 bytes; the times at which CoDel acted."""
        before, acted = self.signals(), []
        for now in range(begin, end, 500):
            self.push(1000, now, ect)
            acted += [now] * (self.signals() - before - len(acted))
        return acted

    def times(self):
        return [at for at, _ in self.sent]


@pytest.mark.parametrize("spec", [DropTail(), CoDel()])
def test_packets_leave_one_behind_the_other_at_the_rate(spec):
    bench = Bench(spec)
    for length in (1000, 500, 1500):
        bench.push(length, 0)
    bench.bottleneck.advance(10 * MS)
    assert bench.times() == [1000, 1500, 3000]
    bench.push(100, 20 * MS)
    bench.bottleneck.advance(30 * MS)
    assert bench.times()[-1] == 20_100, "after a pause it begins at once"


@pytest.mark.parametrize("spec", [DropTail(), CoDel()])
def test_fractions_of_a_microsecond_do_not_add_up(spec):
    bench = Bench(spec, rate=10_000_000_000)
    for _ in range(1000):
        bench.push(1500, 0)
    bench.bottleneck.advance(10 * MS)
    assert bench.times()[-1] == 1200


@pytest.mark.parametrize("spec", [DropTail(packets=3), CoDel(packets=3)])
def test_a_limit_in_packets_counts_those_that_wait(spec):
    bench = Bench(spec)
    for _ in range(10):
        bench.push(100, 0)
    assert bench.bottleneck.waiting(0) == 3
    bench.bottleneck.advance(10 * MS)
    assert bench.times() == [100, 200, 300, 400]  # one is sent, three wait
    assert bench.counters.queue_dropped == 6


@pytest.mark.parametrize("spec", [DropTail(octets=1000), CoDel(octets=1000)])
def test_a_limit_in_bytes_lets_short_packets_in_where_long_ones_have_no_room(spec):
    bench = Bench(spec)
    for length in (1500, 900, 200, 100, 100):
        bench.push(length, 0)
    assert bench.bottleneck.waiting(0) == 2
    bench.bottleneck.advance(10 * MS)
    assert bench.times() == [1500, 2400, 2500]
    assert bench.counters.queue_dropped == 2


@pytest.mark.parametrize("spec", [DropTail(octets=1000), CoDel(octets=1000)])
def test_a_packet_longer_than_the_queue_passes_when_nothing_waits(spec):
    bench = Bench(spec)
    bench.push(1500, 0)
    bench.push(1500, 0)
    bench.push(1500, 0)
    bench.bottleneck.advance(10 * MS)
    assert bench.times() == [1500, 3000]


@pytest.mark.rfc("3168", "5")
def test_above_the_threshold_ecn_capable_packets_are_marked_and_others_pass():
    bench = Bench(DropTail(packets=10, mark_above=2))
    for ect in (2, 2, 2, 2, 1, 0):
        bench.push(100, 0, ect)
    marks = [ecn.codepoint(data) for _, data in bench.sent]
    assert marks == [2, 2, 2, 2, 3, 0], "one is being sent and two may wait unmarked"
    assert bench.counters.marked == 1


# ---- CoDel --------------------------------------------------------------------------


@pytest.mark.rfc("8289", "5.5")
def test_codel_leaves_a_short_delay_alone():
    bench = Bench(CoDel())
    for now in range(0, 1_000 * MS, 10 * MS):
        for _ in range(4):  # bursts that wait up to 3 ms
            bench.push(1000, now)
    assert bench.signals() == 0


@pytest.mark.rfc("8289", "5.5")
def test_codel_drops_first_after_an_interval_above_the_target_then_ever_sooner():
    acted = Bench(CoDel(packets=0)).overload(0, 600 * MS)
    # The delay reaches 5 ms after 10 ms, and has been above it for an interval 100 ms later.
    assert acted[0] == pytest.approx(110 * MS, abs=2 * MS)
    for count, (earlier, later) in enumerate(pairwise(acted), 1):
        assert later - earlier == pytest.approx(100 * MS / sqrt(count), abs=2 * MS)


@pytest.mark.rfc("8289", "5.5")
def test_codel_stops_when_the_delay_is_below_the_target_and_soon_resumes_its_pace():
    bench = Bench(CoDel(packets=0))
    bench.overload(0, 600 * MS)
    bench.bottleneck.advance(2_000 * MS)  # all that waited has left
    dropped, begin = bench.signals(), bench.times()[-1]
    for number in range(100):
        bench.push(1000, begin + number * MS)
    assert bench.signals() == dropped
    acted = bench.overload(begin + 100 * MS, begin + 300 * MS)
    # The pause was short: it goes on at the rate it had, not at one drop an interval.
    assert acted[0] - begin == pytest.approx(210 * MS, abs=2 * MS)
    assert acted[1] - acted[0] < 60 * MS


@pytest.mark.rfc("8289", "5.5")
def test_codel_marks_where_the_transport_understands_it():
    bench = Bench(CoDel(packets=0))
    acted = bench.overload(0, 400 * MS, ecn.Codepoint.ECT_0)
    assert bench.counters.aqm_dropped == 0
    assert bench.counters.marked == len(acted) > 3
    bench.bottleneck.advance(10_000 * MS)
    marks = sum(ecn.codepoint(data) is ecn.Codepoint.CE for _, data in bench.sent)
    assert marks == bench.counters.marked
    dropper = Bench(CoDel(packets=0, mark=False))
    dropper.overload(0, 400 * MS, ecn.Codepoint.ECT_0)
    assert dropper.counters.marked == 0 < dropper.counters.aqm_dropped


@pytest.mark.rfc("8289", "5.6")
def test_codel_never_drops_the_last_packet():
    bench = Bench(CoDel(), rate=80_000)  # a packet takes 100 ms: the delay is always long
    for now in range(0, 10_000 * MS, 100 * MS):
        bench.push(1000, now)
    assert bench.signals() == 0


# ---- the field ----------------------------------------------------------------------


@pytest.mark.rfc("3168", "5")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("tclass", [0b01, 0b10, 0b11, 0b10111010])
def test_a_mark_changes_two_bits_and_the_header_checksum(version, tclass):
    data = bytearray(udp(version, 1, 2, b"text"))
    if version == 4:
        data[1] = tclass
        data[10:12] = b"\0\0"
        total = sum(int.from_bytes(data[i : i + 2]) for i in range(0, 20, 2))
        data[10:12] = (0xFFFF - total % 0xFFFF).to_bytes(2)
    else:
        data[0] = 0x60 | tclass >> 4
        data[1] = tclass << 4 & 0xF0
    marked = ecn.marked(bytes(data))
    assert ecn.codepoint(marked) is ecn.Codepoint.CE
    assert marked[2:10] == data[2:10]
    assert marked[12:] == data[12:]
    if version == 4:
        assert marked[1] == tclass | 3
        assert int.from_bytes(marked[:20]) % 0xFFFF == 0
    else:
        assert (marked[0] << 8 | marked[1]) == (data[0] << 8 | data[1]) | 0x30


@pytest.mark.parametrize("version", [4, 6])
def test_a_transport_that_is_not_ecn_capable_cannot_be_marked(version):
    assert ecn.marked(udp(version, 1, 2, b"text")) is None
