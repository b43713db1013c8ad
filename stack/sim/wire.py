"""A wire of a simulated network, and the taps on it."""

from collections.abc import Callable
from enum import Enum, auto

from stack.link.base import Link
from stack.link.virtual import VirtualLink
from stack.wire.batch import Inbound, Outbound

Tap = Callable[[int, str, bytes], None]
"""Called with the time (µs), the direction as in "a>b", and one IP packet."""


class TapPoint(Enum):
    """Where on its way a packet is seen."""

    ENTRY = auto()
    """as it is sent, before the wire does anything to it"""
    EXIT = auto()
    """as it arrives: late, twice, damaged, or not at all"""


class Wire:
    """A wire between the hosts named `a` and `b`."""

    def __init__(self, a: str, b: str, ends: tuple[VirtualLink, VirtualLink]) -> None:
        self._taps: dict[TapPoint, list[Tap]] = {point: [] for point in TapPoint}
        self.ends = (
            WireEnd(ends[0], f"{a}>{b}", f"{b}>{a}", self._taps),
            WireEnd(ends[1], f"{b}>{a}", f"{a}>{b}", self._taps),
        )

    def tap(self, call: Tap, point: TapPoint = TapPoint.ENTRY) -> Callable[[], None]:
        """Has `call` see every packet of both directions; returns what ends that."""
        taps = self._taps[point]
        taps.append(call)

        def detach() -> None:
            if call in taps:
                taps.remove(call)

        return detach


class WireEnd(Link):
    """What a host is attached to: one end of the wire, with the taps before it."""

    offload = False

    def __init__(
        self, inner: VirtualLink, outward: str, inward: str, taps: dict[TapPoint, list[Tap]]
    ) -> None:
        self.mtu = inner.mtu
        self.inner = inner
        self._outward = outward
        self._inward = inward
        self._entry = taps[TapPoint.ENTRY]
        self._exit = taps[TapPoint.EXIT]

    def receive(self, now: int) -> Inbound:
        inbound = self.inner.receive(now)
        for tap in self._exit:
            for index in range(inbound.count):
                tap(now, self._inward, inbound.data(index))
        return inbound

    def transmit(self, out: Outbound, now: int) -> None:
        for tap in self._entry:
            for data in out:
                tap(now, self._outward, data)
        self.inner.transmit(out, now)

    def next_deadline(self) -> int | None:
        return self.inner.next_deadline()

    def on_deadline(self, now: int) -> None:
        self.inner.on_deadline(now)

    def on_change(self, call: Callable[[], None]) -> None:
        self.inner.on_change(call)

    def close(self) -> None:
        self.inner.close()
