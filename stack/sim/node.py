"""What drives one host of a simulated network."""

from stack._native import ffi
from stack.core.host import Host
from stack.link.base import Link
from stack.run.pump import transmit
from stack.sim.agenda import Agenda
from stack.sim.channel import Channel
from stack.sim.wire import WireEnd
from stack.wire.batch import Inbound


class Node:
    """A driver in the time of a network: each call does one batch of work at one instant.

    Exceptions of applications come out of the run: in a simulation they are errors. While a
    turn needs no decision of Python's, native code takes it (native/network.c): not with an
    observer, nor where packets must be seen on the wire, nor in the place of a recorder.
    """

    def __init__(self, agenda: Agenda, host: Host, link: Link) -> None:
        self.host = host
        self.link = link
        self._agenda = agenda
        self._incoming: list[Channel] = []
        self._inbound = Inbound.of(())
        self._due: int | None = None  # the one entry in the schedule that counts
        self._woken = False  # whether something is due besides timers
        self._inside = False
        self._closed = False
        self._judged = 0  # the epoch in which native code was allowed to take turns, or not
        self._station = ffi.new("struct station *")
        self._station.number = agenda.add_node(self)
        self._station.now = -1

    def attach(self, channel: Channel) -> None:
        """Takes what arrives by `channel`."""
        channel.receive_by(self.arrives)
        channel.fill(self._inbound, self._filled)
        self._incoming.append(channel)
        if isinstance(self.link, WireEnd) and self.link.outgoing is not None:
            station = self._station
            station.path = self.host.segment_path.raw
            station.batch = self._inbound.raw
            station.out = self._agenda.outbound.slot(0)
            station.way = self.link.outgoing.raw
            channel.raw.to = station

    def now(self) -> int:
        """The time of the network in µs."""
        return self._agenda.now

    def wake(self) -> None:
        """Has the host send what it has, at this instant, after what is under way."""
        if not self._inside:
            self._woken = True
            self._schedule(self._agenda.now)

    def close(self) -> None:
        """Sends what is due and stops; may be called more than once."""
        if not self._closed:
            self._turn(self._agenda.now)
            self._closed = True
            self._station.ready = 0

    def arrives(self, packets: list[bytes], now: int) -> None:
        """Up to 64 packets came in together."""
        if not self._closed:
            self._inbound.fill(packets)
            self._filled(now)

    def _filled(self, now: int) -> None:
        if not self._closed:
            self.host.receive(self._inbound, now)
            self._turn(now)

    # What native code has begun.

    def receive_rest(self, first: int, now: int) -> None:
        """The turn goes on with packet `first` of those that came in together."""
        self.host.receive_rest(self._inbound, first, now)
        self._turn(now)

    def transmit_rest(self, number: int, now: int) -> None:
        """The turn goes on with what connection `number` has to send."""
        self.host.segment_path.take_notes()
        self.host.connections[number].wants_output()
        self._turn(now)

    def start_timers(self) -> None:
        """The turn is over, and an earlier timer may run now."""
        self.host.segment_path.take_notes()
        self._rearm()

    # A turn.

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
            if host.observed:
                self._agenda.begin_epoch()  # an observer may have called another host
            while True:
                if events:
                    self._agenda.begin_epoch()
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
        host.segment_path.follow_paths()
        epoch = self._agenda.epoch
        if self._judged != epoch:
            self._judged = epoch
            self._station.ready = epoch if self._is_plain() else 0

    def _is_plain(self) -> bool:
        """Whether native code may take turns until somebody may have called a host again: all
        that was to be done is done, and nobody has to see how it is.
        """
        host, link = self.host, self.link
        return (
            type(host) is Host
            and host.segment_path.enabled
            and not (host.observed or host.offload or self._closed)
            and isinstance(link, WireEnd)
            and link.outgoing is not None
            and link.outgoing.swallows
            and all(channel.unseen for channel in self._incoming)
        )

    def _rearm(self) -> None:
        deadline = self.host.next_wake()
        if deadline is not None and (self._due is None or deadline < self._due):
            self._schedule(max(deadline, self._agenda.now))

    def _schedule(self, when: int) -> None:
        if not self._closed and (self._due is None or when < self._due):
            self._due = when
            self._agenda.schedule(when, self._run)
