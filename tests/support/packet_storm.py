"""Throws bad packets at a device: random, truncated, bit-flipped, and odd but well-formed.

    python packet_storm.py DEVICE COUNT SEED [SECONDS]

The same seed makes the same packets. A packet socket puts them into the device's queue as
the kernel would, so the stack reads them like any other. Prints how many the
stack has read.
"""

import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stack.wire.craft import build_icmp, build_ip, build_tcp, build_udp

ETH_P_IP = 0x0800
PEERS = {"192.0.2.2": "192.0.2.1", "2001:db8::2": "2001:db8::1"}
PORTS = (80, 443, 8080, 8443, 81, 9, 0, 65535)
ICMP_TYPES = (0, 3, 4, 5, 8, 11, 12, 1, 2, 128, 129, 130, 133, 135, 255)
EXTENSIONS = (0, 43, 44, 51, 60, 59, 135)

Make = Callable[[random.Random], bytes]


def tcp(rng: random.Random) -> bytes:
    """A segment with a good checksum and anything else by chance."""
    dst, src = rng.choice(tuple(PEERS.items()))
    return build_tcp(
        src,
        dst,
        rng.choice((40000, rng.randrange(65536))),
        rng.choice(PORTS),
        seq=rng.getrandbits(32),
        ack=rng.getrandbits(32),
        flags=rng.choice((2, 16, 18, 17, 4, 20, 24, rng.getrandbits(9))),
        window=rng.getrandbits(16),
        options=rng.randbytes(rng.choice((0, 0, 4, 12, 20, 40))),
        text=rng.randbytes(rng.choice((0, 0, 1, 100, 1400))),
        urgent=rng.choice((0, rng.getrandbits(16))),
    )


def udp(rng: random.Random) -> bytes:
    dst, src = rng.choice(tuple(PEERS.items()))
    text = rng.randbytes(rng.randrange(64))
    length = rng.choice((None, None, rng.randrange(65536)))
    return build_udp(src, dst, rng.randrange(65536), rng.randrange(65536), text, length=length)


def icmp(rng: random.Random) -> bytes:
    """A message that may quote a segment of a connection that exists, or nonsense."""
    dst, src = rng.choice(tuple(PEERS.items()))
    quoted = build_tcp(dst, src, rng.choice(PORTS), 40000, seq=rng.getrandbits(32))
    body = rng.choice((quoted, quoted[: rng.randrange(len(quoted))], rng.randbytes(40)))
    return build_icmp(
        src, dst, rng.choice(ICMP_TYPES), rng.randrange(16), rest=rng.getrandbits(32), body=body
    )


def fragment(rng: random.Random) -> bytes:
    """One piece of packets that never become whole, or contradict each other."""
    payload = rng.randbytes(8 * rng.randrange(1, 100))
    if rng.random() < 0.5:
        return build_ip(
            "192.0.2.1",
            "192.0.2.2",
            rng.choice((1, 6, 17)),
            payload,
            ip_id=rng.randrange(64),
            fragment_offset=8 * rng.randrange(1 << rng.randrange(1, 13)),
            more_fragments=rng.random() < 0.7,
        )
    offset = 8 * rng.randrange(1 << rng.randrange(1, 13)) | (rng.random() < 0.7)
    extension = bytes(2) + offset.to_bytes(2) + rng.randrange(64).to_bytes(4)
    return build_ip("2001:db8::1", "2001:db8::2", 6, payload, extensions=((44, extension),))


def extended(rng: random.Random) -> bytes:
    """IPv6 extension headers, or IPv4 options, in any order and of any content."""
    payload = rng.randbytes(rng.randrange(64))
    if rng.random() < 0.3:
        options = rng.randbytes(4 * rng.randrange(1, 11))
        return build_ip("192.0.2.1", "192.0.2.2", 6, payload, ip_options=options)
    chain = tuple(
        (rng.choice(EXTENSIONS), b"\0" + bytes((rng.choice((0, 0, 1, 255)),)) + rng.randbytes(6))
        for _ in range(rng.randrange(1, 5))
    )
    return build_ip(
        "2001:db8::1", "2001:db8::2", rng.choice((6, 17, 58)), payload, extensions=chain
    )


def noise(rng: random.Random) -> bytes:
    """Nothing but random bytes, at times behind a believable first byte."""
    data = rng.randbytes(rng.randrange(1, 200))
    return rng.choice((b"", b"\x45", b"\x60")) + data


WELL_FORMED: tuple[Make, ...] = (tcp, tcp, tcp, udp, icmp, fragment, extended)


def truncated(rng: random.Random) -> bytes:
    data = rng.choice(WELL_FORMED)(rng)
    return data[: rng.randrange(1, len(data))]


def flipped(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(WELL_FORMED)(rng))
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        bit = rng.randrange(8 * min(len(data), rng.choice((60, 2000))))
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


KINDS: tuple[Make, ...] = (noise, truncated, flipped, flipped, *WELL_FORMED)
STRAINS = 4
"""Packets sent for each one made: building them costs more than anything else here."""

IN_QUEUE = 200
"""Packets that may wait in the device's queue, which drops what exceeds 500."""


def strain(data: bytes, rng: random.Random) -> bytes:
    """A variation of a packet: some bytes replaced, or cut."""
    choice = rng.random()
    if choice < 0.2:
        return data[: int(rng.random() * len(data)) + 1]
    at = int(rng.random() * min(len(data), 64))
    return data[:at] + rng.randbytes(2) + data[at + 2 :]


def storm(device: str, count: int, seed: int, seconds: float) -> int:
    """Sends until the stack has read `count` packets, or the time is over; returns how many."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0)) as device_socket:
        device_socket.bind((device, ETH_P_IP))
        begun, _ = statistics(device)
        sent = read = 0
        while read < count and time.monotonic() < end:
            for _ in range(IN_QUEUE // 2 // STRAINS):
                sent += put(device_socket, rng)
            read = drain(device, begun, sent)
    return read


def put(device_socket: socket.socket, rng: random.Random) -> int:
    """Sends one packet and variations of it; returns how many that were."""
    data = rng.choice(KINDS)(rng)[:1500]
    device_socket.send(data)
    for _ in range(STRAINS - 1):
        device_socket.send(strain(data, rng))
    return STRAINS


def drain(device: str, begun: int, sent: int) -> int:
    """Waits until the queue is short; returns how many packets were read in all."""
    for _ in range(2_000):
        read, dropped = statistics(device)
        if sent - (read - begun) - dropped < IN_QUEUE:
            break
        time.sleep(0.0005)
    return read - begun


def statistics(device: str) -> tuple[int, int]:
    """Packets that were read from the device, and those that its queue dropped."""
    for line in Path("/proc/self/net/dev").read_text(encoding="ascii").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == device:
            fields = numbers.split()
            return int(fields[9]), int(fields[11])
    raise SystemExit(f"there is no device {device}")


if __name__ == "__main__":
    DEVICE, COUNT, SEED, *REST = sys.argv[1:]
    print(storm(DEVICE, int(COUNT), int(SEED), float(REST[0]) if REST else 600.0))
