"""Which of several workers a packet is for, and how it gets there."""

import random

import pytest

from stack._native import ffi, lib
from stack.link.base import Link
from stack.link.share import Exchange, SharedLink
from stack.link.steering import program
from stack.wire import craft
from stack.wire.batch import Inbound
from stack.wire.icmp import Icmp4Type, Icmp6Type

KEY = 0x9ABCDEF0
PEERS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
both_versions = pytest.mark.parametrize("version", [4, 6])


def owner(packet, workers=3, number=0):
    batch = Inbound.of([packet])  # the slot holds as long as the batch
    parsed = batch.slot(0)
    assert parsed.fault == 0
    share = ffi.new("struct share *", (number, workers, KEY))
    return lib.share_owner(share, parsed)


def segment(version, sport, **fields):
    return craft.build_tcp(*PEERS[version], sport, 80, **fields)


# ---- owners ---------------------------------------------------------------------------------


@both_versions
def test_all_segments_of_a_flow_have_one_owner(version):
    for sport in range(30000, 30050):
        packets = [
            segment(version, sport, flags=craft.SYN),
            segment(version, sport, seq=7, ack=9, text=b"x" * 1000, tclass=3),
            segment(version, sport, flags=craft.RST),
        ]
        if version == 6:
            packets.append(segment(6, sport, flow_label=0x12345))
            padding = bytes((0, 0, 1, 4, 0, 0, 0, 0))
            packets.append(segment(6, sport, extensions=[(craft.DESTINATION_OPTIONS, padding)]))
        else:
            packets.append(segment(4, sport, ip_options=b"\x01\x01\x01\x01"))
        assert len({owner(packet) for packet in packets}) == 1


@both_versions
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_icmp_error_goes_to_the_owner_of_the_flow_that_it_quotes(version, protocol):
    theirs, ours = PEERS[version]
    build = craft.build_tcp if protocol == "tcp" else craft.build_udp
    for port in range(40000, 40050):
        quote = build(ours, theirs, 80, port, text=b"x" * 100)[: 28 if version == 4 else 60]
        if version == 4:
            error = craft.build_icmp(
                "198.51.100.1", ours, Icmp4Type.DESTINATION_UNREACHABLE, 4, rest=1300, body=quote
            )
        else:
            error = craft.build_icmp(
                "2001:db8:9::1", ours, Icmp6Type.PACKET_TOO_BIG, rest=1300, body=quote
            )
        assert owner(error) == owner(build(theirs, ours, port, 80))


@both_versions
def test_the_fragments_of_a_packet_have_one_owner(version):
    theirs, ours = PEERS[version]
    for number in range(50):
        if version == 4:
            parts = [
                craft.build_ip(theirs, ours, craft.TCP, bytes(64), ip_id=number, **place)
                for place in ({"more_fragments": True}, {"fragment_offset": 64})
            ]
        else:
            parts = [
                craft.build_ip(
                    theirs, ours, craft.TCP, bytes(64), extensions=[(craft.FRAGMENT, header)]
                )
                for header in (
                    bytes((0, 0, 0, 1)) + number.to_bytes(4),
                    bytes((0, 0, 0, 64)) + number.to_bytes(4),
                )
            ]
        assert len({owner(part) for part in parts}) == 1


@both_versions
def test_an_echo_request_is_anyones(version):
    kind = Icmp4Type.ECHO if version == 4 else Icmp6Type.ECHO_REQUEST
    echo = craft.build_icmp(*PEERS[version], kind, rest=0x10001, body=b"data")
    assert [owner(echo, number=number) for number in range(3)] == [0, 1, 2]


# ---- the kernel's program -------------------------------------------------------------------


def run(instructions, packet):
    """What the program returns for a packet, by an interpreter that knows its operations."""
    registers = [0] * 10
    at = 0
    while True:
        op, operands = instructions[at], instructions[at + 1]
        to, source = operands & 15, operands >> 4
        offset = int.from_bytes(instructions[at + 2 : at + 4], "little", signed=True)
        value = int.from_bytes(instructions[at + 4 : at + 8], "little")
        at += 8
        other = registers[source] if op & 8 else value
        half, mine = 0xFFFFFFFF, registers[to]
        match op:
            case 0x30 | 0x28 | 0x20 | 0x40:
                size = {0x30: 1, 0x28: 2}.get(op, 4)
                begin = value + (registers[source] if op == 0x40 else 0)
                if begin + size > len(packet):
                    return 0
                registers[0] = int.from_bytes(packet[begin : begin + size], "big")
                registers[1:6] = [0xDEADBEEF] * 5  # a load spoils them
            case 0xBF:
                registers[to] = other
            case 0xBC | 0xB4:
                registers[to] = other & half
            case 0xAC:
                registers[to] = (mine ^ other) & half
            case 0x24:
                registers[to] = mine * other & half
            case 0x27:
                registers[to] = mine * other
            case 0x74 | 0x77:
                registers[to] = mine >> other
            case 0x64:
                registers[to] = mine << other & half
            case 0x54:
                registers[to] = mine & other
            case 0x05:
                at += offset * 8
            case 0x15:
                at += offset * 8 if mine == other else 0
            case 0x55:
                at += offset * 8 if mine != other else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"operation {op:#x}")


@pytest.mark.parametrize("workers", [2, 3, 7, 256])
def test_the_kernels_program_names_the_owner(workers):
    chance = random.Random(workers)
    code = program(workers, KEY)
    for _ in range(300):
        version = chance.choice((4, 6))
        build = chance.choice((craft.build_tcp, craft.build_udp))
        options = {"ip_options": b"\x01" * (4 * chance.randrange(4))} if version == 4 else {}
        theirs = (
            f"10.{chance.randrange(256)}.{chance.randrange(256)}.7"
            if version == 4
            else f"2001:db8::{chance.randrange(65536):x}:1"
        )
        packet = build(theirs, PEERS[version][1], chance.randrange(65536), 443, **options)
        assert run(code, packet) == owner(packet, workers)


def test_the_kernels_program_gives_a_queue_to_whatever_comes():
    chance = random.Random(1)
    code = program(3, KEY)
    for length in range(60):
        for first in (0x45, 0x4F, 0x60, 0x00):
            assert 0 <= run(code, bytes((first,)) + chance.randbytes(length)) < 3


# ---- handing over ---------------------------------------------------------------------------


class Queue(Link):
    """In place of a device's queue: gives what it was given, a batch a list."""

    mtu = 1500
    offload = True

    def __init__(self):
        self.batches = []
        self._exchange = Exchange(1)  # a descriptor that never becomes readable
        self._inbound = Inbound()

    def fileno(self):
        return self._exchange.inboxes[0].fileno()

    def receive(self, now):
        self._inbound.fill_offloaded(self.batches.pop(0) if self.batches else ())
        return self._inbound

    def transmit(self, out, now):
        raise AssertionError("nothing is sent here")

    def close(self):
        self._exchange.close()


@pytest.fixture
def workers():
    exchange = Exchange(2)
    queues = [Queue(), Queue()]
    links = [SharedLink(queue, exchange, number, KEY) for number, queue in enumerate(queues)]
    yield links, queues
    for link in links:
        link.close()
    exchange.close()


def mixed(count):
    """Segments of flows, some of which belong to each of two workers."""
    packets = [segment(4, 30000 + n, text=b"x" * (n + 1)) for n in range(count)]
    owners = [owner(packet, workers=2) for packet in packets]
    assert set(owners) == {0, 1}
    return packets, owners


def received(link):
    found = []
    while (batch := link.receive(0)).count:
        found += [batch.data(index) for index in range(batch.count)]
    return found


def test_a_packet_for_another_worker_gets_there_and_keeps_its_order(workers):
    links, queues = workers
    packets, owners = mixed(20)
    for link in links:
        link.begin()
    queues[0].batches = [[(packet, 0, 0) for packet in packets]]
    for number in (0, 1):
        mine = [packet for packet, whose in zip(packets, owners, strict=True) if whose == number]
        assert received(links[number]) == mine
    assert links[0].handed_over == sum(owners)
    assert links[0].lost == 0


def test_what_a_device_left_open_stays_so(workers):
    links, queues = workers
    packets, owners = mixed(20)
    packet = packets[owners.index(1)]
    for link in links:
        link.begin()
    queues[0].batches = [[(packet, lib.VNET_NEEDS_CSUM, 1400)]]
    assert links[0].receive(0).count == 0
    slot = links[1].receive(0).slot(0)
    assert (slot.vnet_flags, slot.gso_size) == (lib.VNET_NEEDS_CSUM, 1400)


def test_a_batch_that_is_all_for_others_does_not_hide_the_next(workers):
    links, queues = workers
    packets, owners = mixed(20)
    links[0].begin()
    queues[0].batches = [[(packets[owners.index(whose)], 0, 0)] for whose in (1, 1, 0)]
    assert links[0].receive(0).count == 1


def test_nothing_is_read_before_the_worker_is_ready(workers):
    links, queues = workers
    packets, _ = mixed(4)
    queues[0].batches = [[(packet, 0, 0) for packet in packets]]
    assert links[0].receive(0).count == 0
    links[0].begin()
    assert links[0].receive(0).count > 0


def test_a_worker_that_reads_nothing_loses_packets_and_the_others_do_not_wait(workers):
    links, queues = workers
    _, owners = mixed(20)
    long = segment(4, 30000 + owners.index(1), text=bytes(60000))
    links[0].begin()
    for _ in range(1000):
        queues[0].batches = [[(long, 0, 0)]]
        links[0].receive(0)
    assert links[0].lost > 0
    assert links[0].handed_over + links[0].lost == 1000
    assert "lost on the way" in links[0].summary()


def test_a_packet_rebuilt_from_fragments_goes_to_its_owner(workers):
    links, _ = workers
    packets, owners = mixed(20)
    for link in links:
        link.begin()
    mine, other = packets[owners.index(0)], packets[owners.index(1)]
    assert not links[0].take_rebuilt(mine)
    assert links[0].take_rebuilt(other)
    assert received(links[1]) == [other]
