"""The interface between a host and whatever carries its packets."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from stack.wire.batch import Inbound, Outbound

if TYPE_CHECKING:
    from stack._native import FlowTable


class LinkLost(OSError):
    """The carrier is gone for good; nothing can be sent or received any more."""


class Link(ABC):
    """A carrier of IP packets, without threads: it moves only when it is called.

    `mtu` is in bytes. `offload` is true while the link takes super-segments (virtio GSO)
    and fills in checksums. All times are in microseconds.
    """

    mtu: int
    offload: bool

    def fileno(self) -> int:
        """The descriptor that is readable when packets are there; -1 without one."""
        return -1

    @abstractmethod
    def receive(self, now: int) -> Inbound:
        """Returns what has arrived; `count` 0 means nothing. The next call reuses the object."""

    @abstractmethod
    def transmit(self, out: Outbound, now: int) -> None:
        """Sends the packets of `out`; what the carrier has no room for is lost, as on a wire."""

    def next_deadline(self) -> int | None:
        """When `on_deadline` and `receive` must be called though no descriptor became readable."""
        return None

    def on_deadline(self, now: int) -> None:  # noqa: B027 - most links have no timers
        """Does what has become due."""

    def on_change(self, call: Callable[[], None]) -> None:  # noqa: B027 - only virtual links need it
        """Has `call` called when `next_deadline` moved without a call to this link."""

    @property
    def pending(self) -> bool:
        """Whether what was just transmitted is there to be received, as on a loopback."""
        return False

    def set_offload(self, on: bool) -> None:  # noqa: B027 - most links have no offload
        """Switches offload at run time, where the link has any."""

    def land(self, flows: "FlowTable | None") -> None:  # noqa: B027 - most links copy packets anyway
        """From now on the text of packets may be put straight into the receive rings of the
        connections in `flows` (None: of none). Whoever calls `receive` has the host process
        what it returns before anything else is done with that host.
        """

    @abstractmethod
    def close(self) -> None:
        """Gives the carrier back; may be called more than once."""
