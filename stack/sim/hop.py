"""The common case of forwarding: a whole batch goes one way, and has hops left."""

from collections.abc import Callable

from stack._native import ffi, lib
from stack.sim.channel import Channel
from stack.wire.batch import Outbound


class Hop:
    """What a router needs to send batches on without looking at their bytes.

    `way_to` says where packets to an address go, 4 or 16 bytes as they have it; None where
    they ask for more than to be sent on.
    """

    def __init__(self, way_to: Callable[[bytes], Channel | None]) -> None:
        self._way_to = way_to
        self._ways: dict[bytes, Channel | None] = {}
        self._hop = ffi.new("struct hop *")
        self._destination = ffi.buffer(self._hop.destination)
        self._onward = Outbound()

    def forget_ways(self) -> None:
        """Asks `way_to` anew from now on."""
        self._ways.clear()

    def take(self, out: Outbound, longest: int, now: int) -> bool:
        """Sends the packets on at `now`, if none has more than `longest` bytes, and says so;
        or does nothing.
        """
        raw, count = out.raw, out.count
        size = lib.hop_look(self._hop, raw, count, longest)
        if not size:
            return False
        destination = self._destination[:size]
        try:
            way = self._ways[destination]
        except KeyError:
            way = self._ways[destination] = self._way_to(destination)
        if way is None or not way.plain or self._hop.longest > way.mtu:
            return False
        onward = self._onward
        lib.hop_take(onward.raw, raw, count)
        onward.take(count)
        way.carry(onward, now)
        return True
