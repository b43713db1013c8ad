"""One device for several worker processes: each has a queue of it, and flows of its own.

Which worker a packet is for follows from the packet alone (`share_owner` in native/steer.c):
all of a connection goes to one worker, whatever happens and however long it is silent. The
kernel is told to deliver packets like that (`stack.link.steering`), but nothing depends on
it: what comes out of the wrong queue is handed over to its worker through a socket.
"""

import os
import select
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.link.base import Link
from stack.link.tun import VNET_HEADER, TunLink
from stack.wire.batch import CAPACITY, Inbound, Outbound, packet_bytes

if TYPE_CHECKING:
    from stack._native import FlowTable

_HEADER = struct.Struct("=BBHHHH")  # struct virtio_net_hdr, in the byte order of the machine
_SEGMENTED = 1  # any kind of segmentation offload: our side only asks whether there is one
_ROOM = 4 << 20  # bytes that wait for a worker which is busy
_SO_SNDBUFFORCE = 32
# Batches that may turn out to be all for others before somebody else gets a turn.
_ATTEMPTS = 4


class Exchange:
    """A way to each worker from each other one.

    Make it before the processes are: they inherit it. What is written to one of `doors` is read
    by one worker from its inbox, one packet a message.
    """

    def __init__(self, workers: int) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
        self.inboxes = [inbox for inbox, _ in pairs]
        self.doors = [door for _, door in pairs]
        for inbox, door in pairs:
            inbox.setblocking(False)
            door.setblocking(False)
            _make_room(door)

    def close(self) -> None:
        """Gives all descriptors back."""
        for each in (*self.inboxes, *self.doors):
            each.close()


def _make_room(door: socket.socket) -> None:
    with suppress(OSError):  # without the right to it, as far as the system lets us
        door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        door.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)


class SharedLink(Link):
    """The queue of worker `number` and what others hand over to it; owns the queue.

    All workers must be given the same `key`. Nothing is read before `begin`: what comes while
    a worker gets ready waits for it.
    """

    def __init__(self, queue: TunLink, exchange: Exchange, number: int, key: int) -> None:
        self.mtu = queue.mtu
        self.handed_over = 0
        """Packets that another worker got from this one."""
        self.lost = 0
        """Packets whose worker had no room for them."""
        self._queue = queue
        self._inbox = exchange.inboxes[number]
        self._doors: Sequence[socket.socket] = exchange.doors
        self._share = ffi.new("struct share *", (number, len(exchange.doors), key))
        self._strays = ffi.new("struct packet[]", CAPACITY)
        self._owners = ffi.new("uint32_t[]", CAPACITY)
        self._inbound = Inbound()
        self._begun = False
        self._inbox_first = False
        # Readable when either is: a driver watches one descriptor.
        self._either = select.epoll()

    def begin(self) -> None:
        """Lets packets in."""
        self._begun = True
        for descriptor in (self._queue.fileno(), self._inbox.fileno()):
            self._either.register(descriptor, select.EPOLLIN)

    def summary(self) -> str:
        """One line about this process and what it did for others."""
        return (
            f"worker {os.getpid()}: {self.handed_over} packets handed over to other workers, "
            f"{self.lost} lost on the way"
        )

    @property
    def offload(self) -> bool:  # type: ignore[override]
        """Whether the device takes super-segments."""
        return self._queue.offload

    def fileno(self) -> int:
        return self._either.fileno()

    def receive(self, now: int) -> Inbound:
        if not self._begun:
            return self._inbound
        # By turns, so that neither can keep the other waiting for ever.
        self._inbox_first = not self._inbox_first
        if self._inbox_first:
            return self._from_inbox() or self._from_queue(now)
        return self._from_queue(now) or self._from_inbox()

    def _from_inbox(self) -> Inbound:
        batch = self._inbound
        if lib.tun_receive(self._inbox.fileno(), batch.raw, VNET_HEADER, ffi.NULL) < 0:
            batch.raw.count = 0
        return batch

    def _from_queue(self, now: int) -> Inbound:
        for _ in range(_ATTEMPTS):
            batch = self._queue.receive(now)
            if not batch.count:
                break
            strays = lib.share_split(self._share, batch.raw, self._strays, self._owners)
            for index in range(strays):
                packet = self._strays[index]
                self._hand_over(
                    self._owners[index], packet_bytes(packet), packet.vnet_flags, packet.gso_size
                )
            if batch.count:
                break
        return batch

    def take_rebuilt(self, packet: bytes) -> bool:
        """For `Host.elsewhere`: hands a packet that was rebuilt from fragments to its worker;
        returns False when that is this one.
        """
        parsed = ffi.new("struct packet *")
        lib.packet_parse(parsed, ffi.from_buffer("uint8_t[]", packet), len(packet), 0)
        owner = lib.share_owner(self._share, parsed)
        if owner == self._share.number:
            return False
        self._hand_over(owner, packet, 0, 0)
        return True

    def _hand_over(self, owner: int, packet: bytes, flags: int, gso: int) -> None:
        """As a TUN device writes it, so that it is read like one. A worker that has fallen
        behind loses packets, as it would lose them in front of its queue.
        """
        header = _HEADER.pack(flags, _SEGMENTED if gso else 0, 0, gso, 0, 0)
        try:
            self._doors[owner].sendmsg([header, packet])
            self.handed_over += 1
        except OSError:
            self.lost += 1

    def transmit(self, out: Outbound, now: int) -> None:
        self._queue.transmit(out, now)

    def set_offload(self, on: bool) -> None:
        self._queue.set_offload(on)

    def land(self, flows: "FlowTable | None") -> None:
        self._queue.land(flows)

    def close(self) -> None:
        self._either.close()
        self._queue.close()
