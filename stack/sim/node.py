"""What drives one host of a simulated network."""

from collections.abc import Callable
from typing import Any, Protocol

from stack.core.host import Host
from stack.link.base import Link
from stack.run.pump import Pump


class Schedule(Protocol):
    """The network, as far as a node needs it."""

    now: int

    def schedule(self, when: int, call: Callable[[int], None]) -> None:
        """Has `call` called with the time at `when` (µs)."""


class Node:
    """A driver in the time of a network: each call does one batch of work at one instant.

    Exceptions of applications come out of the run: in a simulation they are errors.
    """

    def __init__(self, network: Schedule, host: Host, link: Link) -> None:
        self.host = host
        self.link = link
        self._network = network
        self._pump = Pump(host, link, _raise)
        self._due: int | None = None  # the one entry in the schedule that counts
        self._inside = False
        self._closed = False
        link.on_change(self._rearm)

    def now(self) -> int:
        """The time of the network in µs."""
        return self._network.now

    def wake(self) -> None:
        """Has the host send what it has, at this instant, after what is under way."""
        if not self._inside:
            self._schedule(self._network.now)

    def close(self) -> None:
        """Sends what is due and stops; may be called more than once."""
        if not self._closed:
            self._pump.flush(self._network.now)
            self._closed = True

    def _run(self, now: int) -> None:
        if self._closed or self._due != now:
            return  # an entry that an earlier one made needless
        self._due = None
        self._inside = True
        try:
            self._pump.expire(now)
            again = self._pump.flush(now)
        finally:
            self._inside = False
        if again:
            self.wake()
        self._rearm()

    def _rearm(self) -> None:
        deadline = self._pump.next_deadline()
        if deadline is not None:
            self._schedule(max(deadline, self._network.now))

    def _schedule(self, when: int) -> None:
        if not self._closed and (self._due is None or when < self._due):
            self._due = when
            self._network.schedule(when, self._run)


def _raise(_source: Any, error: Exception) -> None:
    raise error
