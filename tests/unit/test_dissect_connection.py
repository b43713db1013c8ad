"""What applications say is put together from segments in any order."""

import random

import pytest

from stack.observe.dissect.connection import EARLY_MAX
from stack.observe.dissect.layer import CLIENT
from stack.observe.ranges import Ranges
from stack.observe.rows import Rows
from stack.observe.streams import FLOWS_MAX, Streams
from stack.wire import segment
from stack.wire.segment import ACK, FIN, SYN
from tests.support.conversations import Conversation

REQUEST = b"GET /some/where HTTP/1.1\r\nHost: somebody\r\n\r\n"
NAME = "GET /some/where HTTP/1.1"


def infos(packets) -> list[str]:
    rows = Rows()
    return [rows.take(now, data).info for now, data in packets]


def pieces(size: int = 5) -> tuple[Conversation, list[tuple[int, bytes]]]:
    """A connection, and a request in segments of `size` bytes that were not sent yet."""
    conversation = Conversation()
    conversation.handshake()
    begun = len(conversation.packets)
    for at in range(0, len(REQUEST), size):
        conversation.emit(conversation.client, ACK, REQUEST[at : at + size])
    parts = conversation.packets[begun:]
    del conversation.packets[begun:]
    return conversation, parts


def test_a_message_in_many_segments_is_named_with_the_last():
    conversation, parts = pieces()
    found = infos(conversation.packets + parts)
    assert found[-1] == NAME
    assert all(info.endswith("[TCP segment of a reassembled PDU]") for info in found[3:-1])


@pytest.mark.parametrize("seed", range(20))
def test_order_and_repetition_make_no_difference(seed):
    source = random.Random(seed)
    conversation, parts = pieces(source.randrange(1, 12))
    shuffled = parts + source.sample(parts, len(parts) // 2)
    source.shuffle(shuffled)
    found = infos(conversation.packets + shuffled)
    assert sum(NAME in info for info in found) == 1


def test_segments_that_overlap_are_put_together_once():
    conversation = Conversation()
    conversation.handshake()
    start = conversation.client.seq
    for left, right in ((0, 10), (5, 20), (30, len(REQUEST)), (3, 31)):
        conversation.client.seq = (start + left) & 0xFFFFFFFF
        conversation.emit(conversation.client, ACK, REQUEST[left:right])
    assert NAME in infos(conversation)[-1]


def test_what_was_not_captured_ends_the_dissection_of_its_direction_only():
    conversation, parts = pieces()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    conversation.packets += parts[:2] + parts[3:]
    conversation.emit(conversation.server, ACK, answer)
    conversation.send(conversation.client, REQUEST)
    found = infos(conversation)
    assert not any(NAME in info for info in found)
    assert found[-3].endswith("HTTP/1.1 200 OK")


def test_a_packet_whose_checksum_is_wrong_changes_nothing():
    conversation, parts = pieces(100)
    wrong = conversation.build(
        conversation.client, ACK, b"x" * 44, seq=conversation.client.seq - 44, checksum=1
    )
    found = infos([*conversation.packets, (0, wrong), *parts])
    assert found[-2].endswith("[TCP CHECKSUM INCORRECT]")
    assert found[-1] == NAME


def test_segments_that_a_capture_cut_short_keep_their_lengths():
    conversation = Conversation()
    conversation.handshake()
    conversation.send(conversation.client, REQUEST)
    cut = [(now, data[:60]) for now, data in conversation]
    found = infos(cut)
    assert f"Len={len(REQUEST)} " in found[3]
    assert "Malformed" not in found[3]
    assert f"Ack={len(REQUEST) + 1} " in found[4]


def test_a_response_that_ends_with_the_connection_is_named_at_the_fin():
    conversation = Conversation()
    conversation.handshake()
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    conversation.send(conversation.server, head + b"body")
    conversation.emit(conversation.server, FIN | ACK)
    assert infos(conversation)[-1] == "HTTP/1.0 200 OK  (text/plain)"


def test_what_comes_too_early_is_kept_within_bounds():
    conversation = Conversation()
    conversation.handshake()
    conversation.client.seq += 1
    rows = Rows()
    for now, data in conversation:
        rows.take(now, data)
    for _ in range(EARLY_MAX // 60_000 + 2):
        data = conversation.emit(conversation.client, ACK, bytes(60_000))
        row = rows.take(0, data)
    assert "Len=60000" in row.info
    (flow,) = rows._streams._flows.values()
    stream = flow.attached._streams[CLIENT]
    assert stream.lost
    assert not stream._early


def test_only_the_latest_connections_are_remembered():
    streams = Streams()
    for number in range(FLOWS_MAX + 50):
        data = segment.build_tcp("192.0.2.1", "192.0.2.2", 1 + number % 60_000, 80, seq=7, ack=9)
        packet = segment.parse(data)
        place = streams.place(packet, packet.tcp, number, 0)
        assert (place.seq, place.ack) == (1, 1)
    assert len(streams._flows) == FLOWS_MAX


def test_relative_numbers_count_past_the_turn_of_sequence_space():
    conversation = Conversation()
    conversation.handshake()
    for _ in range(40):
        conversation.send(conversation.client, b"x" * 10_000)
    *_, last = infos(conversation)
    assert "Ack=400001 " in last


def test_ranges_merge_where_they_touch():
    ranges, numbers = Ranges(), set()
    source = random.Random(1)
    for _ in range(200):
        left = source.randrange(1000)
        right = left + source.randrange(20)
        ranges.add(left, right)
        numbers |= set(range(left, right))
        left = source.randrange(1000)
        right = left + source.randrange(20)
        assert ranges.contains(left, right) == numbers.issuperset(range(left, right))
        assert all(number in numbers for number in range(left, ranges.right_of(left)))


def test_ranges_forget_the_lowest_when_they_are_many():
    ranges = Ranges(limit=3)
    for left in range(0, 100, 10):
        ranges.add(left, left + 5)
    assert [ranges.contains(left, left + 5) for left in (60, 70, 80, 90)] == [
        False,
        True,
        True,
        True,
    ]


def test_a_response_ends_when_bytes_that_the_fin_overtook_have_come():
    conversation = Conversation()
    conversation.handshake()
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    for part in (head, b"body"):
        conversation.emit(conversation.server, ACK, part)
    conversation.emit(conversation.server, FIN | ACK)
    conversation.packets[-2:] = conversation.packets[:-3:-1]
    assert infos(conversation)[-1].endswith("HTTP/1.0 200 OK  (text/plain)")


def test_a_syn_whose_checksum_is_wrong_begins_no_connection():
    conversation, parts = pieces(100)
    wrong = conversation.build(conversation.client, SYN, seq=5, checksum=1)
    found = infos([*conversation.packets, (0, wrong), *parts])
    assert found[-1] == NAME
