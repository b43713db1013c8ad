"""What drives one host of a simulated network."""

from stack.core.host import Host
from stack.link.base import Link
from stack.run.pump import transmit
from stack.sim.channel import Channel, Schedule
from stack.wire.batch import Inbound


class Node:
    """A driver in the time of a network: each call does one batch of work at one instant.

    Exceptions of applications come out of the run: in a simulation they are errors.
    """

    def __init__(self, network: Schedule, host: Host, link: Link) -> None:
        self.host = host
        self.link = link
        self._network = network
        self._incoming: list[Channel] = []
        self._inbound = Inbound.of(())
        self._due: int | None = None  # the one entry in the schedule that counts
        self._woken = False  # whether something is due besides timers
        self._inside = False
        self._closed = False

    def attach(self, channel: Channel) -> None:
        """Takes what arrives by `channel`."""
        channel.receive_by(self.arrives)
        channel.fill(self._inbound, self._filled)
        self._incoming.append(channel)

    def now(self) -> int:
        """The time of the network in µs."""
        return self._network.now

    def wake(self) -> None:
        """Has the host send what it has, at this instant, after what is under way."""
        if not self._inside:
            self._woken = True
            self._schedule(self._network.now)

    def close(self) -> None:
        """Sends what is due and stops; may be called more than once."""
        if not self._closed:
            self._turn(self._network.now)
            self._closed = True

    def arrives(self, packets: list[bytes], now: int) -> None:
        """Up to 64 packets came in together."""
        if not self._closed:
            self._inbound.fill(packets)
            self._filled(now)

    def _filled(self, now: int) -> None:
        if not self._closed:
            self.host.receive(self._inbound, now)
            self._turn(now)

    def _run(self, now: int) -> None:
        if self._closed or self._due != now:
            return  # an entry that an earlier one made needless
        self._due = None
        # An acknowledgement that arrives at this instant stops a timer: it goes first.
        for channel in self._incoming:
            channel.deliver(now)
        deadline = self.host.next_deadline()
        if deadline is not None and deadline <= now:
            self.host.on_deadline(now)
            self._turn(now)
        elif self._woken:
            self._turn(now)
        else:
            self._rearm()

    def _turn(self, now: int) -> None:
        """Tells applications and sends, until neither has more to do at this instant."""
        host = self.host
        self._inside = True
        self._woken = False
        try:
            events = host.events()
            while True:
                for source, ready in events:
                    if source.owner is not None:
                        source.owner.on_ready(ready)
                transmit(self.host, self.link, now)
                events = host.events()
                if not events:
                    break
        finally:
            self._inside = False
        self._rearm()

    def _rearm(self) -> None:
        deadline = self.host.next_wake()
        if deadline is not None and (self._due is None or deadline < self._due):
            self._schedule(max(deadline, self._network.now))

    def _schedule(self, when: int) -> None:
        if not self._closed and (self._due is None or when < self._due):
            self._due = when
            self._network.schedule(when, self._run)
