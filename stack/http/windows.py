"""How much a client may send on an HTTP/2 connection before it has to wait (RFC 9113 §5.2).

A stream begins with a small window, which grows to four times of what its application took within
a round trip: the bandwidth-delay product of path and application together, once for what is on
its way, once since the engine returns a window only when half of it was taken, and that twice to
see whether there is more. TCP sizes its buffers so, too. A slow application thus keeps a small window
and little memory, however long the path. Round trips are measured by PING, only while bodies flow.

The connection's window never is what holds a stream back: it grows by the same measure, and
what waits for applications that do not read is added to it. What they can keep in memory is
bounded by the windows of their streams.
"""

from collections.abc import Mapping
from typing import Protocol

from stack.http.limits import Limits

MARK = b"window: "
"""What the PINGs begin with that measure: eight octets, and no others are alike."""

SHARE = 4
"""A window, by what may be taken of it in a round trip."""

PATIENCE = 8
"""After a measurement that moved nothing, the next one waits for so many windows of body."""


class WindowEngine(Protocol):
    """What is needed of the engine."""

    def open_window(self, size: int, stream_id: int = 0) -> None:
        """Announces a window; a larger one at once, a smaller one as data arrives."""

    def ping(self, opaque_data: bytes) -> None:
        """Sends a PING."""


class Receiver(Protocol):
    """A stream that takes a body."""

    window: int
    taken: int


class ReceiveWindows:
    """The windows of one connection; all sizes are in bytes."""

    def __init__(self, engine: WindowEngine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._base = limits.connection_window  # what streams that are read share
        self._held = 0  # waits for applications
        self._covered = 0  # of which the connection's window takes no notice
        self._measuring = False
        self._taken = 0  # since the last measurement began
        self._due = limits.stream_window // 4

    @property
    def connection(self) -> int:
        """The connection's window.

        The engine renews it when half of it was taken; what is held is in it twice, then, so
        that the other half is free at any time.
        """
        return self._base + 2 * self._covered

    def arrived(self, size: int) -> None:
        """Some of a body is here."""
        self._held += size
        if self._held > self._covered + self._base // 4:
            self._cover(2 * self._held)

    def _cover(self, size: int) -> None:
        self._covered = size
        self._engine.open_window(self.connection)

    def dropped(self, size: int) -> None:
        """What waited will not be taken by anybody."""
        self._held -= size
        if self._held < self._covered // 4:
            self._cover(0 if self._held <= self._base // 4 else 2 * self._held)

    def taken(self, stream: Receiver, size: int) -> None:
        """The application took some of the body."""
        self.dropped(size)
        stream.taken += size
        self._taken += size
        if not self._measuring and self._taken >= self._due:
            self._measuring = True
            self._taken = size
            stream.taken = size
            self._engine.ping(MARK)

    def measured(self, streams: Mapping[int, Receiver]) -> None:
        """The PING is answered: a round trip is over."""
        if not self._measuring:
            return
        self._measuring = False
        room = self._limits.receive_memory - sum(each.window for each in streams.values())
        largest, grown = self._limits.stream_window, False
        for number, stream in streams.items():
            wanted = min(SHARE * stream.taken, stream.window + room, self._limits.largest_window)
            if wanted > stream.window:
                room -= wanted - stream.window
                stream.window = wanted
                grown = True
                self._engine.open_window(wanted, number)
            stream.taken = 0
            largest = max(largest, stream.window)
        if SHARE * self._taken > self._base:
            self._base = min(SHARE * self._taken, self._limits.receive_memory)
            self._engine.open_window(self.connection)
        self._taken = 0
        self._due = 0 if grown else PATIENCE * largest
