"""Turns packets around that a host sends to itself."""

from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.link.base import Link
from stack.wire.batch import CAPACITY, LOOPED, Inbound, Outbound

if TYPE_CHECKING:
    from stack._native import FlowTable

DEFAULT_MTU = 16_384
_WAITING_MAX = 4096  # packets; what comes on top is lost, as on any link


class LoopbackLink(Link):
    """Lets a host with `addresses` (packed, 16 bytes) talk to itself, beside a link or alone.

    What goes to one of the addresses never reaches `inner` (RFC 1122 §3.2.1.3: loopback
    stays within the host). Alone, what goes elsewhere is lost. Owns `inner`.
    """

    def __init__(
        self, addresses: Collection[bytes], inner: Link | None = None, *, mtu: int = DEFAULT_MTU
    ) -> None:
        self.mtu = inner.mtu if inner else mtu
        self._inner = inner
        self._addresses = frozenset(addresses)
        self._waiting: deque[bytes] = deque()
        self._inbound = Inbound()
        self._rest = Outbound()

    @property
    def offload(self) -> bool:  # type: ignore[override]
        """Whether super-segments are taken: here always, so `inner` decides."""
        return self._inner.offload if self._inner else True

    def fileno(self) -> int:
        return self._inner.fileno() if self._inner else -1

    def receive(self, now: int) -> Inbound:
        if not self._waiting and self._inner is not None:
            return self._inner.receive(now)
        inbound = self._inbound
        packets = [self._waiting.popleft() for _ in range(min(len(self._waiting), CAPACITY))]
        # The same host made the checksums a moment ago, or left them out.
        inbound.fill(packets, lib.PARSE_TRUST_CHECKSUM)
        for index in range(inbound.count):
            inbound.slot(index).vnet_flags = LOOPED
        return inbound

    def transmit(self, out: Outbound, now: int) -> None:
        ours = [index for index in range(out.count) if self._is_ours(out, index)]
        if ours:
            self._turn_around(out, ours)
        if self._inner is None or len(ours) == out.count:
            return
        self._inner.transmit(self._without(out, ours) if ours else out, now)

    def _is_ours(self, out: Outbound, index: int) -> bool:
        return out.destination(index) in self._addresses

    def _turn_around(self, out: Outbound, indices: list[int]) -> None:
        room = _WAITING_MAX - len(self._waiting)
        self._waiting.extend(out.bytes(index) for index in indices[:room])

    def _without(self, out: Outbound, indices: list[int]) -> Outbound:
        """The packets but those; they keep what the device has to complete."""
        rest, left_out = self._rest, set(indices)
        rest.clear()
        for index in range(out.count):
            if index not in left_out:
                ffi.memmove(rest.next_slot(), out.raw + index, ffi.sizeof("struct outgoing"))
                rest.push(out.whys[index], out.details[index])
        return rest

    @property
    def pending(self) -> bool:
        return bool(self._waiting) or (self._inner is not None and self._inner.pending)

    def next_deadline(self) -> int | None:
        if self._waiting:
            return 0
        return self._inner.next_deadline() if self._inner else None

    def on_deadline(self, now: int) -> None:
        if self._inner is not None:
            self._inner.on_deadline(now)

    def on_change(self, call: Callable[[], None]) -> None:
        if self._inner is not None:
            self._inner.on_change(call)

    def set_offload(self, on: bool) -> None:
        if self._inner is not None:
            self._inner.set_offload(on)

    def land(self, flows: "FlowTable | None") -> None:
        if self._inner is not None:
            self._inner.land(flows)

    def close(self) -> None:
        self._waiting.clear()
        if self._inner is not None:
            self._inner.close()
