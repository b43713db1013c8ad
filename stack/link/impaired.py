"""A link with faults around one without."""

from collections.abc import Callable

from stack.link.base import Link
from stack.link.impair import Impairments, ImpairmentSpec, impairment_pair
from stack.wire.batch import CAPACITY, Inbound, Outbound


class ImpairedLink(Link):
    """Passes both directions of `inner` through seeded faults.

    Takes no super-segments: faults happen to the packets that a wire would carry.
    """

    offload = False

    def __init__(self, inner: Link, spec: ImpairmentSpec, seed: int) -> None:
        inner.set_offload(False)
        self.inner = inner
        self.mtu = inner.mtu
        self.inbound: Impairments
        self.outbound: Impairments
        self.inbound, self.outbound = impairment_pair(spec, seed)
        self._out = Outbound()
        self._inbound = Inbound.of(())

    def fileno(self) -> int:
        return self.inner.fileno()

    def receive(self, now: int) -> Inbound:
        batch = self.inner.receive(now)
        for index in range(batch.count):
            self.inbound.push(batch.data(index), now)
        self._inbound.fill(self.inbound.pop(now, CAPACITY))
        return self._inbound

    def transmit(self, out: Outbound, now: int) -> None:
        for data in out:
            self.outbound.push(data, now)
        self._pass_on(now)

    def next_deadline(self) -> int | None:
        deadlines = (
            self.inbound.next_deadline(),
            self.outbound.next_deadline(),
            self.inner.next_deadline(),
        )
        return min((due for due in deadlines if due is not None), default=None)

    def on_deadline(self, now: int) -> None:
        self._pass_on(now)
        self.inner.on_deadline(now)

    def on_change(self, call: Callable[[], None]) -> None:
        self.inner.on_change(call)

    def close(self) -> None:
        self.inner.close()

    def _pass_on(self, now: int) -> None:
        """Gives `inner` what has reached the far end of the outbound direction."""
        while due := self.outbound.pop(now, self._out.capacity):
            self._out.clear()
            for data in due:
                self._out.push_raw(data, None, "")
            self.inner.transmit(self._out, now)
        self._out.clear()
