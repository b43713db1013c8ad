"""A link in one process with real descriptors: a socket pair that keeps packets apart."""

import random
import socket

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.link.base import Link
from stack.wire.batch import CAPACITY, Inbound, Outbound

ROOM = 8 << 20  # bytes that wait in the kernel, enough for a window of packets


class PacketLink(Link):
    """One end of a pair; what the kernel has no room for is lost, as on a wire."""

    offload = False

    def __init__(self, end: socket.socket, mtu: int = 1500) -> None:
        self.mtu = mtu
        self._end = end
        end.setblocking(False)
        for forced, polite in ((32, socket.SO_SNDBUF), (33, socket.SO_RCVBUF)):
            try:  # SO_SNDBUFFORCE and SO_RCVBUFFORCE, which the module does not name
                end.setsockopt(socket.SOL_SOCKET, forced, ROOM)
            except PermissionError:
                end.setsockopt(socket.SOL_SOCKET, polite, ROOM)

    @classmethod
    def pair(cls) -> "tuple[PacketLink, PacketLink]":
        """Both ends."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(first), cls(second)

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self, now: int) -> Inbound:
        packets = []
        while len(packets) < CAPACITY:
            try:
                packet = self._end.recv(65_575)
            except OSError:
                break
            if not packet:  # the other end is closed, and stays readable
                self._end.shutdown(socket.SHUT_RDWR)
                break
            packets.append(packet)
        return Inbound.of(packets)

    def transmit(self, out: Outbound, now: int) -> None:
        for data in out:
            try:
                self._end.send(data)
            except OSError:
                continue

    def close(self) -> None:
        self._end.close()


def hosts(config: HostConfig | None = None) -> tuple[Host, Host]:
    """Two hosts, 192.0.2.1 and 192.0.2.2, that nobody drives yet."""
    return tuple(
        Host(
            [f"192.0.2.{number}/24", f"2001:db8::{number}/64"],
            random_bytes=random.Random(number).randbytes,
            config=config,
        )
        for number in (1, 2)
    )
