"""An endpoint whose packets come through a device with offload, so that text lands in its
receive ring; and the same without, to compare with.
"""

import random
import socket
from struct import pack
from typing import Any

from stack._native import ffi, lib
from stack.link.tun import VNET_HEADER
from stack.observe.tcb import tcb_text
from stack.wire.batch import Inbound
from tests.support.endpoint import SECOND, Endpoint, Peer

SIZE = 1400  # bytes of text in a segment of a super-segment
NEEDS_CSUM = 1
ROOM = 400_000
_MEMORY = ("rcv.capacity", "rcv.head")
_STREAM = random.Random(4).randbytes(1 << 17)


class Device:
    """What `TunLink` reads from, made of two sockets."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self._theirs.settimeout(5)
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._inbound = Inbound()

    def put(self, data: bytes) -> None:
        gso = SIZE if len(data) > 2 * SIZE else 0
        self._theirs.send(pack("=BBHHHH", NEEDS_CSUM, bool(gso), 0, gso, 0, 0) + data)

    def receive(self, flows: Any) -> Inbound:
        batch = self._inbound
        if lib.tun_receive(self._ours.fileno(), batch.raw, VNET_HEADER, flows) < 0:
            batch.raw.count = 0
        return batch

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class LandingEndpoint(Endpoint):
    """A host whose device lets text land, or not. `fast`: with the segment path in C."""

    def __init__(self, version: int, *, landing: bool, fast: bool, **config: Any) -> None:
        config = {"receive_buffer": ROOM, "time_wait": SECOND} | config
        super().__init__(version, peer=Peer(ts=True, wscale=7, window=ROOM), offload=True, **config)
        self.host.segment_path.enabled = fast
        self.landed = 0
        self.came: list[bytes] = []
        self.sizes: list[int] = []
        self._flows = self.host.flows if landing else ffi.NULL
        self._device = Device()

    def end(self) -> None:
        self._device.close()

    def come(self, *packets: bytes, sizes: list[int] | None = None) -> None:
        """Packets are taken in together, or so many at a time; the sizes of the batches are
        kept, and what they had.
        """
        left = list(packets)
        self.sizes = []
        for size in sizes or [len(packets)]:
            for data in left[:size]:
                self._device.put(data)
            del left[:size]
            while self._take_batch():
                self._watch.check()
        self._after()

    def _take_batch(self) -> int:
        batch = self._device.receive(self._flows)
        if batch.count:
            self.sizes.append(batch.count)
            self.landed += sum(batch.slot(index).landed for index in range(batch.count))
            self.came += [batch.data(index) for index in range(batch.count)]
            self.host.receive(batch, self.now)
        return batch.count

    def text(self, length: int, flags: str = "A", **fields: Any) -> bytes:
        """The next super-segment of the stream, or the one at `seq`."""
        at = fields.get("seq", self.peer.nxt)
        return self.packet(flags, text=stream(at, length), **fields)

    def variables(self) -> str:
        """Every variable, but for what the landing is free to do: where its memory lies."""
        lines = tcb_text(self.tcp, self.now).splitlines()
        return "\n".join(line for line in lines if not line.strip().startswith(_MEMORY))


def stream(at: int, length: int) -> bytes:
    """The bytes with sequence numbers from `at` on: each tells its place."""
    start = at % len(_STREAM)
    return (_STREAM[start:] + _STREAM)[:length]


def established(version: int = 4, *, landing: bool = True, **settings: Any) -> LandingEndpoint:
    """A connection whose latest packet was a super-segment, so that the next one may land."""
    end = LandingEndpoint(version, landing=landing, **settings)
    end.listen()
    end.inject("S")
    end.inject("A")
    end.accept()
    end.come(end.text(20_000))
    assert end.receive() == stream(1, 20_000)
    assert end.landed == 0
    return end
