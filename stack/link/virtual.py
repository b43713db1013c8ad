"""A wire between two hosts of one process, in whatever time its callers keep."""

from collections.abc import Callable

from stack.link.base import Link
from stack.link.impair import Impairments, ImpairmentSpec, impairment_pair
from stack.wire.batch import CAPACITY, Inbound, Outbound

DEFAULT_MTU = 1500


class VirtualLink(Link):
    """One end of a virtual wire; `VirtualLink.pair` makes both."""

    offload = False

    def __init__(self, incoming: Impairments, outgoing: Impairments, mtu: int) -> None:
        self.mtu = mtu
        self.incoming = incoming
        self.outgoing = outgoing
        self._peer: VirtualLink | None = None
        self._changed: Callable[[], None] | None = None
        self._closed = False
        self._inbound = Inbound.of(())

    @classmethod
    def pair(
        cls,
        spec: ImpairmentSpec = ImpairmentSpec(),
        *,
        seed: int = 0,
        mtu: int = DEFAULT_MTU,
    ) -> "tuple[VirtualLink, VirtualLink]":
        """Returns both ends; `spec` is seen from the first one (in: towards it)."""
        towards_first, towards_second = impairment_pair(spec, seed)
        first = cls(towards_first, towards_second, mtu)
        second = cls(towards_second, towards_first, mtu)
        first._peer, second._peer = second, first
        return first, second

    def receive(self, now: int) -> Inbound:
        self._inbound.fill([] if self._closed else self.incoming.pop(now, CAPACITY))
        return self._inbound

    def transmit(self, out: Outbound, now: int) -> None:
        if self._closed:
            return
        for data in out:
            self.outgoing.push(data, now)
        if self._peer and self._peer._changed and out.count:
            self._peer._changed()

    def next_deadline(self) -> int | None:
        return None if self._closed else self.incoming.next_deadline()

    def on_change(self, call: Callable[[], None]) -> None:
        self._changed = call

    def close(self) -> None:
        self._closed = True
        self._changed = None
