"""What every driver does with one host and one link; only the clock and the waiting differ."""

from collections.abc import Callable
from typing import Any, Protocol

from stack.core.host import Host
from stack.core.tcp.states import State
from stack.link.base import Link
from stack.wire.batch import CAPACITY

# Rounds of "tell applications, send what they wrote" before a driver looks at its device
# again, so that two applications which only talk to each other cannot keep it from there.
ROUNDS = 16
# Full batches of which applications hear together.
TOGETHER = 4


def transmit(host: Host, link: Link, now: int) -> None:
    """Sends until the host has no more, which a batch that is not full says."""
    while True:
        out = host.transmit(now)
        if out.count:
            link.transmit(out, now)
        if out.count < CAPACITY:
            return


def lingers(host: Host) -> bool:
    """Whether a connection that its application closed has not come to its end yet."""
    return any(
        (connection.orphan or connection.closing)
        and connection.state not in (State.CLOSED, State.TIME_WAIT)
        for connection in host.connections.values()
    )


class Driver(Protocol):
    """What socket adapters need from whatever drives their host."""

    host: Host
    link: Link

    def now(self) -> int:
        """The time in µs."""

    def wake(self) -> None:
        """Says that an application called the host, so that packets may wait to be sent."""

    def close(self) -> None:
        """Stops driving; may be called more than once."""


class Pump:
    """Moves packets between a host and its link. Never waits and knows no clock.

    `failed(source, error)` is called when an application's callback raised; the pump goes
    on with the next one.
    """

    def __init__(self, host: Host, link: Link, failed: Callable[[Any, Exception], None]) -> None:
        self.host = host
        self.link = link
        self._failed = failed
        self._can_offload = link.offload
        self._observed = host.observed
        self._set_offload()

    def receive(self, now: int) -> int:
        """Takes in what the link brings, up to some batches; returns how many packets that were.

        A full batch that ends with text is a part of something longer, so what follows is
        taken in as well before applications are told, and before it is acknowledged. Where
        it ends otherwise, many connections may want to be accepted first.
        """
        self._follow_observers()
        total = 0
        for _ in range(TOGETHER):
            inbound = self.link.receive(now)
            count: int = inbound.count
            if count:
                self.host.receive(inbound, now)
                total += count
            if count < CAPACITY or not inbound.slot(count - 1).text_length:
                break
        if total:
            self._tell()
        return total

    def expire(self, now: int) -> None:
        """Runs what is due at `now`, first in the link and then in the host.

        What has arrived is taken in between: an acknowledgement that waits in the device
        is no loss, and a timer that it stops must not run out.
        """
        self._follow_observers()
        self.link.on_deadline(now)
        for _ in range(ROUNDS):
            if not self.receive(now):
                break
        self.host.on_deadline(now)
        self._tell()

    def flush(self, now: int) -> bool:
        """Sends what the host has to send; returns whether it must be called again soon."""
        self._follow_observers()
        for _ in range(ROUNDS):
            transmit(self.host, self.link, now)
            arrived = self.link.pending and self.receive(now)
            if not self._tell() and not arrived:
                return False
        return True

    def stop(self) -> None:
        """Leaves the link to others."""
        self.link.land(None)

    def abandon(self, now: int) -> None:
        """Ends everything on the host: the link carries nothing any more."""
        self.host.close(now)
        while self.host.transmit(now).count:
            pass
        self._tell()

    def next_deadline(self) -> int | None:
        """When `expire` must be called (µs), if nothing happens before."""
        host, link = self.host.next_deadline(), self.link.next_deadline()
        if host is None or link is None:
            return link if host is None else host
        return min(host, link)

    def next_wake(self) -> int | None:
        """No later than `next_deadline`, and found with less work (`Host.next_wake`)."""
        host, link = self.host.next_wake(), self.link.next_deadline()
        if host is None or link is None:
            return link if host is None else host
        return min(host, link)

    def _tell(self) -> bool:
        """Tells the applications what is ready; returns whether there was anything."""
        events = self.host.events()
        for source, ready in events:
            owner = source.owner
            if owner is None:
                continue
            try:
                owner.on_ready(ready)
            except Exception as error:
                self._failed(source, error)
        return bool(events)

    def _follow_observers(self) -> None:
        """People shall see the packets of a wire: with an observer there is no offload, and
        packets come whole.
        """
        if self.host.observed is not self._observed:
            self._observed = self.host.observed
            self._set_offload()

    def _set_offload(self) -> None:
        if self._can_offload:
            self.link.set_offload(not self._observed)
        self.host.offload = self.link.offload and not self._observed
        self.link.land(None if self._observed else self.host.flows)
