"""A listening port: LISTEN of RFC 9293 §3.10.7.2, with bounded queues."""

import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from stack._native import lib
from stack.core.ready import Ready
from stack.core.tcp import handshake
from stack.core.tcp.states import Cause, State
from stack.core.why import Verdict, Why
from stack.wire.address import text

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.host import Host
    from stack.core.tcp.connection import Connection


class Listener:
    """Accepts connections for one port, on one address, or on all (`address` None) of
    version 4, 6 or both (0).

    `half_open` counts connections in SYN-RECEIVED, `accept` hands out those that are
    established; at most `backlog` wait there, as Linux counts it.
    """

    def __init__(
        self, host: "Host", address: bytes | None, version: int, port: int, backlog: int
    ) -> None:
        self.host = host
        self.address = address
        self.version = version
        self.port = port
        self.backlog = backlog
        self.owner: Any = None
        self.half_open: dict[Connection, None] = {}  # a set that keeps its order
        self.closed = False
        self._accepted: deque[Connection] = deque()

    @property
    def local(self) -> tuple[str, int]:
        """Address and port; the unspecified address when it listens on all."""
        if self.address is None:
            return "0.0.0.0" if self.version == 4 else "::", self.port
        return text(self.address, self.version), self.port

    def overlaps(self, other: "Listener") -> bool:
        """Whether both would take the same segment with the same right."""
        if self.address is not None or other.address is not None:
            return self.address == other.address
        return self.version == other.version or 0 in (self.version, other.version)

    def takes(self, version: int, destination: bytes) -> bool:
        """Whether a segment to `destination` is for this listener."""
        if self.address is not None:
            return self.address == destination
        return self.version in (0, version)

    def arrives(self, seg: "Packet", now: int, above: int | None = None) -> Verdict:
        """A segment for this port that belongs to no connection (RFC 9293 §3.10.7.2).

        `above` is the highest sequence number of ours in the connection that it follows.
        """
        flags = seg.flags
        if flags & lib.FLAG_RST:
            return Verdict.IGNORED
        if flags & lib.FLAG_ACK:
            self.host.refuse(seg, Why.NO_CONNECTION)
            return Verdict.NO_CONNECTION
        if not flags & lib.FLAG_SYN:
            return Verdict.IGNORED
        if len(self._accepted) >= self.backlog:
            self.host.counters.count("ListenOverflows")
            self.host.counters.count("ListenDrops")
            return Verdict.QUEUE_FULL
        if len(self.half_open) >= self.host.config.tcp.syn_queue:
            self.host.counters.count("TCPReqQFull")
            self.host.counters.count("ListenDrops")
            return Verdict.QUEUE_FULL
        self._open(seg, now, above)
        return Verdict.SYN_RECEIVED

    def _open(self, seg: "Packet", now: int, above: int | None) -> None:
        host = self.host
        connection = host.new_connection(host.path_back(seg), State.LISTEN)
        connection.listener = self
        connection.move(Cause.SYN, now)
        handshake.prepare(connection, now, above)
        handshake.take_options(connection, seg, now)
        connection.ecn.on_syn(seg)
        self.half_open[connection] = None
        connection.syn_why = Why.SYN_ACCEPTED
        connection.wants_output()

    def queue_detail(self) -> str:
        """How full the SYN queue is, for the trace."""
        return f"queue {len(self.half_open)}/{self.host.config.tcp.syn_queue}"

    @property
    def full(self) -> bool:
        """Whether no more established connections can wait."""
        return len(self._accepted) >= self.backlog

    def established(self, connection: "Connection", now: int) -> None:
        """The handshake of a connection of ours is complete."""
        self.half_open.pop(connection, None)
        self._accepted.append(connection)
        self.host.counters.count("TcpPassiveOpens")
        self.host.tell(self, Ready.ACCEPTED)

    def dropped(self, connection: "Connection") -> None:
        """A connection of ours ended before anyone accepted it."""
        self.half_open.pop(connection, None)

    def accept(self) -> "Connection | None":
        """The next established connection, or None."""
        return self._accepted.popleft() if self._accepted else None

    def close(self, now: int) -> None:
        """Stops listening; what was not accepted is reset, as Linux does."""
        if self.closed:
            return
        self.closed = True
        self.host.stop_listening(self)
        for connection in [*self.half_open, *self._accepted]:
            connection.orphan = True
            if connection.state not in (State.CLOSED, State.TIME_WAIT):
                connection.reset(Why.LISTENER_CLOSED, errno.ECONNABORTED, now)
        self.half_open.clear()
        self._accepted.clear()
