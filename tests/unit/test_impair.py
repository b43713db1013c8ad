import random

import pytest

from stack.errors import UsageError
from stack.link.impair import (
    DEFAULT_QUEUE,
    HOLD_MAX,
    Faults,
    Impairments,
    ImpairmentSpec,
    impairment_pair,
    parse_impairments,
)

PACKET = bytes(range(256)) * 4
MANY = 20_000


def impairments(faults: Faults, seed: int = 1) -> Impairments:
    return Impairments(faults, random.Random(seed))


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4) + bytes(96) for number in range(count)]


def drain(link: Impairments) -> list[tuple[int, bytes]]:
    """Everything under way with the time of its arrival, as a driver would see it."""
    arrived = []
    while (deadline := link.next_deadline()) is not None:
        arrived += [(deadline, data) for data in link.pop(deadline)]
    return arrived


def test_without_faults_packets_arrive_at_once_in_order_and_unharmed():
    link = impairments(Faults())
    packets = numbered(50)
    for packet in packets:
        link.push(packet, 7)
    assert link.pop(7) == packets
    assert link.next_deadline() is None


def test_nothing_arrives_before_its_deadline():
    link = impairments(Faults(delay=20_000))
    link.push(PACKET, 1_000)
    assert link.next_deadline() == 21_000
    assert link.pop(20_999) == []
    assert link.pop(21_000) == [PACKET]


def test_pop_leaves_what_exceeds_the_limit_for_the_next_call():
    link = impairments(Faults())
    packets = numbered(5)
    for packet in packets:
        link.push(packet, 0)
    assert link.pop(0, 2) == packets[:2]
    assert link.next_deadline() == 0
    assert link.pop(0, 64) == packets[2:]


@pytest.mark.parametrize("probability", [0.005, 0.02, 0.5])
def test_loss_takes_its_share(probability):
    link = impairments(Faults(loss=probability))
    for _ in range(MANY):
        link.push(PACKET, 0)
    deviation = (MANY * probability * (1 - probability)) ** 0.5
    assert abs(link.counters.lost - MANY * probability) < 4 * deviation
    assert len(link) == MANY - link.counters.lost == link.counters.passed


def test_loss_of_everything_and_of_nothing_are_certain():
    for probability, expected in ((0.0, 100), (1.0, 0)):
        link = impairments(Faults(loss=probability))
        for _ in range(100):
            link.push(PACKET, 0)
        assert len(link) == expected


def test_a_duplicate_is_an_exact_copy_behind_the_original():
    link = impairments(Faults(duplicate=1.0))
    link.push(PACKET, 0)
    assert link.pop(0) == [PACKET, PACKET]
    assert link.counters.duplicated == 1


def test_corruption_flips_exactly_one_bit_anywhere_in_the_packet():
    link = impairments(Faults(corrupt=1.0))
    positions = set()
    for _ in range(2_000):
        link.push(PACKET, 0)
        (damaged,) = link.pop(0)
        difference = int.from_bytes(damaged) ^ int.from_bytes(PACKET)
        assert difference.bit_count() == 1
        assert len(damaged) == len(PACKET)
        positions.add((difference.bit_length() - 1) // 8)
    assert min(positions) < len(PACKET) // 10
    assert max(positions) > len(PACKET) * 9 // 10


def test_a_corrupt_copy_leaves_the_original_whole():
    link = impairments(Faults(duplicate=1.0, corrupt=0.5), seed=3)
    outcomes = set()
    for _ in range(200):
        link.push(PACKET, 0)
        outcomes.add(tuple(data == PACKET for data in link.pop(0)))
    assert len(outcomes) == 4


def test_reordering_lets_later_packets_overtake_the_held_one():
    link = impairments(Faults(reorder=0.02))
    packets = numbered(2_000)
    for index, packet in enumerate(packets):
        link.push(packet, index * 100)
    arrived = [data for _, data in drain(link)]
    assert sorted(arrived) == packets
    assert arrived != packets
    assert 15 < link.counters.reordered < 70
    # Held packets come after later ones; all others among themselves keep their order.
    overtaken = [data for index, data in enumerate(arrived) if data < max(arrived[: index + 1])]
    assert len(overtaken) == link.counters.reordered


def test_a_held_packet_is_late_by_milliseconds_only():
    link = impairments(Faults(reorder=1.0, delay=10_000))
    for _ in range(500):
        link.push(PACKET, 0)
    times = [time for time, _ in drain(link)]
    assert min(times) > 10_000
    assert max(times) <= 10_000 + HOLD_MAX


def test_jitter_spreads_arrivals_and_keeps_the_order():
    link = impairments(Faults(delay=10_000, jitter=5_000))
    packets = numbered(1_000)
    for index, packet in enumerate(packets):
        link.push(packet, index * 1_000)
    arrivals = drain(link)
    assert [data for _, data in arrivals] == packets
    delays = [time - index * 1_000 for index, (time, _) in enumerate(arrivals)]
    assert min(delays) < 11_000
    assert 14_000 < max(delays) <= 15_000


def test_rate_spaces_packets_by_their_length():
    link = impairments(Faults(rate=8_000_000))  # one byte takes 1 µs
    for length in (1_000, 500, 1_500):
        link.push(bytes(length), 0)
    assert [time for time, _ in drain(link)] == [1_000, 1_500, 3_000]


def test_rate_and_delay_add_up():
    link = impairments(Faults(rate=8_000_000, delay=20_000))
    link.push(bytes(1_000), 5)
    assert drain(link)[0][0] == 21_005


def test_a_full_queue_drops_the_tail():
    link = impairments(Faults(rate=8_000_000, queue=3))
    packets = numbered(10)
    for packet in packets:
        link.push(packet, 0)
    assert [data for _, data in drain(link)] == packets[:4]  # one is sent, three wait
    assert link.counters.queue_dropped == 6


def test_the_queue_has_room_again_when_packets_have_left():
    link = impairments(Faults(rate=8_000_000, queue=1))
    for now in (0, 0, 0, 100, 100):
        link.push(bytes(100), now)
    assert link.counters.queue_dropped == 2
    assert [time for time, _ in drain(link)] == [100, 200, 300]


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others():
    faults = Faults(0.1, 0.1, 0.1, 0.1, delay=1_000, jitter=900, rate=100_000_000)

    def run(seed):
        link = impairments(faults, seed)
        for index, packet in enumerate(numbered(2_000)):
            link.push(packet, index * 10)
        return drain(link)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_one_direction_does_not_move_the_chance_of_the_other():
    spec = ImpairmentSpec(Faults(loss=0.5), Faults(loss=0.5))

    def outbound(inbound_packets):
        towards_us, from_us = impairment_pair(spec, 9)
        for packet in numbered(inbound_packets):
            towards_us.push(packet, 0)
        for packet in numbered(100):
            from_us.push(packet, 0)
        return from_us.pop(0)

    assert outbound(0) == outbound(77)


def test_a_spec_sets_both_directions_unless_it_names_one():
    spec = parse_impairments("loss=2%, in:delay=20ms,out:rate=100mbit,out:loss=1")
    assert spec.inbound == Faults(loss=0.02, delay=20_000)
    assert spec.outbound == Faults(loss=1.0, rate=100_000_000)


def test_the_issue_spec_is_read():
    spec = parse_impairments("loss=2%,reorder=2%,duplicate=1%,corrupt=0.5%,delay=20ms,rate=100mbit")
    expected = Faults(
        loss=0.02,
        reorder=0.02,
        duplicate=0.01,
        corrupt=0.005,
        delay=20_000,
        rate=100_000_000,
        queue=DEFAULT_QUEUE,
    )
    assert spec == ImpairmentSpec(expected, expected)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", Faults()),
        ("delay=1.5s", Faults(delay=1_500_000)),
        ("delay=250us,jitter=0ms", Faults(delay=250)),
        ("rate=2.5gbit/s", Faults(rate=2_500_000_000)),
        ("rate=64kbit,queue=10", Faults(rate=64_000, queue=10)),
        ("loss=.5", Faults(loss=0.5)),
        ("loss=10%,loss=20%", Faults(loss=0.2)),
    ],
)
def test_values_have_units(text, faults):
    assert parse_impairments(text).inbound == faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("los=2%", "know only loss, duplicate, reorder, corrupt, delay, jitter, rate, queue"),
        ("loss", "a value is missing, as in loss=2%"),
        ("loss=", "give it as in loss=2%"),
        ("loss=2", "0% to 100%"),
        ("loss=101%", "0% to 100%"),
        ("loss=-1%", "0% to 100%"),
        ("loss=nan", "0% to 100%"),
        ("delay=20", "delay=20ms"),
        ("delay=20min", "delay=20ms"),
        ("rate=0mbit", "rate=100mbit"),
        ("rate=fast", "rate=100mbit"),
        ("queue=0", "queue="),
        ("queue=1.5", "queue="),
        ("up:loss=2%", "a direction is 'in:' or 'out:'"),
        (":loss=2%", "a direction is 'in:' or 'out:'"),
    ],
)
def test_a_spec_that_cannot_be_used_says_what_can(text, words):
    with pytest.raises(UsageError) as raised:
        parse_impairments(text)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
