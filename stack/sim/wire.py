"""A wire of a simulated network: two channels, the taps on them, and faults on purpose."""

from collections.abc import Callable

from stack.errors import UsageError
from stack.link.base import Link
from stack.sim.channel import Channel, Tap, TapPoint
from stack.sim.passing import Passing
from stack.sim.rules import Predicate, Rule, Treatment
from stack.wire import ecn
from stack.wire.batch import Inbound, Outbound


class Wire:
    """A wire between the stations `a` and `b`.

    Faults on purpose concern both directions, or one as in "a>b", from the time they are
    given. They happen where packets enter, before anything else; the first that picks a
    packet decides. Each returns its Rule, which counts its hits and can be removed.
    """

    def __init__(self, forth: Channel, back: Channel) -> None:
        self.channels = (forth, back)

    def towards(self, station: str) -> Channel:
        """The direction that ends at a station; raises UsageError for one that is not here."""
        for channel in self.channels:
            if channel.dst == station:
                return channel
        raise UsageError(f"this wire does not lead to {station!r}, but to {self._ends}")

    @property
    def _ends(self) -> str:
        return " and ".join(repr(channel.dst) for channel in self.channels)

    def tap(self, call: Tap, point: TapPoint = TapPoint.ENTRY) -> Callable[[], None]:
        """Has `call` see every packet of both directions; returns what ends that."""
        for channel in self.channels:
            channel.taps[point].append(call)

        def detach() -> None:
            for channel in self.channels:
                if call in channel.taps[point]:
                    channel.taps[point].remove(call)

        return detach

    # Faults on purpose.

    def drop(self, picks: Predicate, direction: str | None = None) -> Rule:
        """Loses the packets that `picks` is true for."""
        return self._rule(picks, lambda packet: [], direction)

    def delay(self, picks: Predicate, by: int, direction: str | None = None) -> Rule:
        """Holds packets back for `by` µs, so that later ones overtake them."""
        return self._rule(picks, lambda packet: [(by, packet.data)], direction)

    def duplicate(self, picks: Predicate, direction: str | None = None) -> Rule:
        """Sends packets twice."""
        return self._rule(picks, lambda packet: [(0, packet.data)] * 2, direction)

    def mark(self, picks: Predicate, direction: str | None = None) -> Rule:
        """Sets "congestion experienced" where the transport is ECN-capable (RFC 3168 §5)."""
        return self.alter(picks, lambda packet: ecn.marked(packet.data) or packet.data, direction)

    def alter(
        self, picks: Predicate, change: Callable[[Passing], bytes], direction: str | None = None
    ) -> Rule:
        """Sends in their place what `change` returns."""
        return self._rule(picks, lambda packet: [(0, change(packet))], direction)

    def _rule(self, picks: Predicate, treat: Treatment, direction: str | None) -> Rule:
        rule = Rule(picks, treat)
        channels = [c for c in self.channels if direction in (None, c.direction)]
        if not channels:
            known = " or ".join(channel.direction for channel in self.channels)
            raise UsageError(f"this wire has no direction {direction!r}: say {known}")
        for channel in channels:
            channel.add(rule)
        return rule


class WireEnd(Link):
    """What a host sends by: its end of a wire, once there is one. What arrives is handed to
    the host by the network.
    """

    offload = False

    def __init__(self, mtu: int) -> None:
        self.mtu = mtu
        self.outgoing: Channel | None = None
        self._nothing = Inbound.of(())

    def attach(self, outgoing: Channel) -> None:
        """Sends by `outgoing` from now on."""
        self.outgoing = outgoing

    def receive(self, now: int) -> Inbound:
        return self._nothing

    def transmit(self, out: Outbound, now: int) -> None:
        if self.outgoing is not None:
            self.outgoing.carry(out, now)

    def close(self) -> None:
        self.outgoing = None
