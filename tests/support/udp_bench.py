"""One host in virtual time for tests of UDP: packets go in, packets and events come out."""

import errno
import random
from contextlib import contextmanager
from struct import pack

import pytest

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.ready import Ready
from stack.wire.batch import Inbound
from stack.wire.craft import build_udp
from stack.wire.segment import Packet, parse
from tests.support.packets import OURS, PEER, icmp

UNREACHABLE = {4: 3, 6: 1}
versions = pytest.mark.parametrize("version", [4, 6])


class UdpBench:
    """A host at OURS that is handed packets from PEER and asked for what it sends."""

    def __init__(self, mtu: int = 1500, config: HostConfig | None = None, seed: int = 5) -> None:
        self.host = Host(
            ["192.0.2.2/24", "2001:db8::2/64"],
            random_bytes=random.Random(seed).randbytes,
            mtu=mtu,
            config=config,
        )
        self.now = 1_000_000

    def open(self, port: int = 0, address: str | None = None, **options: bool):
        """An endpoint of the host."""
        return self.host.open_udp(address, port, **options)

    def connected(self, version: int, port: int = 53, local_port: int = 0):
        """An endpoint that is connected to PEER."""
        endpoint = self.host.open_udp(None, local_port)
        endpoint.connect(PEER[version], port, self.now)
        return endpoint

    def receive(self, *packets: bytes) -> list[bytes]:
        """What the host sends when these packets come together."""
        self.host.receive(Inbound.of(packets), self.now)
        return self.sent()

    def sent(self) -> list[bytes]:
        """What the host has to send."""
        found: list[bytes] = []
        while (out := self.host.transmit(self.now)).count:
            found += list(out)
        return found

    def sends(self, endpoint, data: bytes, version: int = 4, port: int = 53) -> list[Packet]:
        """The packets that carry one datagram to PEER."""
        endpoint.send_to(data, PEER[version], port, self.now)
        return [parse(packet) for packet in self.sent()]

    def ready(self, endpoint) -> Ready:
        """What the application of an endpoint is told."""
        return dict(self.host.events()).get(endpoint, Ready(0))

    def counted(self, name: str) -> int:
        """A counter's value."""
        return self.host.counters[name]


def udp(version: int, sport: int, dport: int, text: bytes = b"", **fields) -> bytes:
    """A datagram from PEER to OURS; fields may say otherwise, wrong ones too."""
    src, dst = fields.pop("src", PEER[version]), fields.pop("dst", OURS[version])
    return build_udp(src, dst, sport, dport, text, **fields)


def error(
    version: int, kind: int, code: int, about: bytes, *, rest: int = 0, src: str | None = None
) -> bytes:
    """An ICMP error that quotes `about`, a packet of ours."""
    room = 548 if version == 4 else 1232
    return icmp(version, kind, code, rest, about[:room], src=src)


def too_big(version: int, mtu: int, about: bytes) -> bytes:
    """What a router says of a packet longer than the next link's MTU."""
    if version == 4:
        return error(4, 3, 4, about, rest=mtu)
    return error(6, 2, 0, about, rest=mtu)


def quoted(version: int, sport: int, dport: int, length: int = 9, **fields) -> bytes:
    """The beginning of a packet that OURS sent to PEER, as a quote needs it."""
    src, dst = fields.get("src", OURS[version]), fields.get("dst", PEER[version])
    datagram = build_udp(src, dst, sport, dport, bytes(length - 8))
    assert datagram[-length:][:4] == pack("!HH", sport, dport)
    return datagram


@contextmanager
def raises(number: int):
    """The block raises OSError with this errno."""
    with pytest.raises(OSError) as raised:
        yield
    assert raised.value.errno == number, errno.errorcode[raised.value.errno]
