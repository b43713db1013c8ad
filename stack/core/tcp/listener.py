"""A listening port: LISTEN of RFC 9293 §3.10.7.2, with bounded queues."""

import errno
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stack._native import ffi, lib
from stack.core.ready import Ready
from stack.core.tcp import fast_open, handshake, syn_cookies
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
    established; at most `backlog` wait there, as Linux counts it. `fast_open` is how many
    may be handed out before their handshake is over (RFC 7413), 0 for none. Listeners that all
    have `reuse_port` may have the same port, and peers are spread over them.
    """

    def __init__(
        self,
        host: "Host",
        address: bytes | None,
        version: int,
        port: int,
        backlog: int,
        fast_open: int = 0,
        *,
        reuse_port: bool = False,
    ) -> None:
        self.host = host
        self.address = address
        self.version = version
        self.port = port
        self._queue = ffi.new("struct accept_queue *")  # what the segment path knows of it
        self.backlog = backlog
        self.owner: Any = None
        self.configure: Callable[[Connection], None] | None = None
        """Sets up each connection before its SYN-ACK leaves."""
        self.half_open: dict[Connection, None] = {}  # a set that keeps its order
        self.closed = False
        self.cookies_until = 0  # µs, when the last SYN cookie is void
        self.fast_open = fast_open
        self.reuse_port = reuse_port
        self._early: set[Connection] = set()  # handed out in SYN-RECEIVED
        self._early_failed: deque[int] = deque()  # µs, when each of those frees its place
        self._accepted: deque[Connection] = deque()

    @property
    def backlog(self) -> int:
        """How many connections may wait to be accepted."""
        return self._queue.backlog

    @backlog.setter
    def backlog(self, places: int) -> None:
        self._queue.backlog = places

    @property
    def local(self) -> tuple[str, int]:
        """Address and port; the unspecified address when it listens on all."""
        if self.address is None:
            return "0.0.0.0" if self.version == 4 else "::", self.port
        return text(self.address, self.version), self.port

    def conflicts(self, other: "Listener") -> bool:
        """Whether both would take the same segment with the same right, and did not agree to
        share (SO_REUSEPORT).
        """
        return not (self.reuse_port and other.reuse_port) and self._overlaps(other)

    def _overlaps(self, other: "Listener") -> bool:
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
            verdict = syn_cookies.returned(self, seg, now)
            if verdict is None:
                self.host.refuse(seg, Why.NO_CONNECTION)
            return verdict or Verdict.NO_CONNECTION
        if not flags & lib.FLAG_SYN:
            return Verdict.IGNORED
        if self.full:
            self.host.counters.count("ListenOverflows")
            self.host.counters.count("ListenDrops")
            return Verdict.QUEUE_FULL
        if len(self.half_open) >= self.host.config.tcp.syn_queue:
            if self.host.config.tcp.syn_cookies:
                return syn_cookies.answer(self, seg, now)
            self.host.counters.count("TCPReqQFull")
            self.host.counters.count("ListenDrops")
            return Verdict.QUEUE_FULL
        connection = self.open(seg, now, above=above)
        self.half_open[connection] = None
        if self.fast_open and seg.options & lib.OPTION_FAST_OPEN:
            fast_open.answer(self, connection, seg, now)
        connection.syn_why = Why.SYN_ACCEPTED
        connection.wants_output()
        return Verdict.SYN_RECEIVED

    def open(
        self, syn: "Packet", now: int, *, above: int | None = None, iss: int | None = None
    ) -> "Connection":
        """A connection in SYN-RECEIVED, with what `syn` says; `iss` is our initial sequence
        number where that is fixed already.
        """
        host = self.host
        connection = host.new_connection(host.path_back(syn), State.LISTEN)
        connection.listener = self
        connection.tcb.accepts = self._queue
        connection.move(Cause.SYN, now)
        handshake.prepare(connection, now, above=above, iss=iss)
        if self.configure is not None:
            self.configure(connection)
        handshake.take_options(connection, syn, now)
        connection.ecn.on_syn(syn)
        return connection

    def queue_detail(self) -> str:
        """How full the SYN queue is, for the trace."""
        return f"queue {len(self.half_open)}/{self.host.config.tcp.syn_queue}"

    @property
    def pending(self) -> int:
        """How many connections `accept` could hand out now."""
        return len(self._accepted)

    @property
    def full(self) -> bool:
        """Whether no more established connections can wait."""
        return len(self._accepted) >= self.backlog

    def fast_open_room(self, now: int) -> bool:
        """Whether one more connection may be handed out early (RFC 7413 §4.2.2)."""
        while self._early_failed and self._early_failed[0] <= now:
            self._early_failed.popleft()
        return len(self._early) + len(self._early_failed) < self.fast_open

    def opened_early(self, connection: "Connection") -> None:
        """A connection is handed out before its handshake is over."""
        self.half_open.pop(connection, None)
        self._early.add(connection)
        self._hand_out(connection)

    def established(self, connection: "Connection") -> None:
        """The handshake of a connection of ours is complete."""
        self.host.counters.count("TcpPassiveOpens")
        if connection in self._early:
            self._early.remove(connection)
            return
        self.half_open.pop(connection, None)
        self._hand_out(connection)

    def _hand_out(self, connection: "Connection") -> None:
        self._accepted.append(connection)
        self._queue.waiting = len(self._accepted)
        self.host.tell(self, Ready.ACCEPTED)

    def dropped(self, connection: "Connection") -> None:
        """A connection of ours ended before anyone accepted it."""
        self.half_open.pop(connection, None)
        if connection in self._early:
            self._early.remove(connection)
            self._early_failed.append(self.host.now + fast_open.FAILED_FOR)

    def accept(self) -> "Connection | None":
        """The next established connection, or None."""
        if not self._accepted:
            return None
        self._queue.waiting -= 1
        return self._accepted.popleft()

    def close(self, now: int) -> None:
        """Stops listening; what was not accepted is reset, as Linux does."""
        if self.closed:
            return
        self.closed = True
        self.host.stop_listening(self)
        for connection in [*self.half_open, *self._accepted]:
            connection.orphan = True
            if connection.state in (State.CLOSED, State.TIME_WAIT):
                connection.abort(now)
            else:
                connection.reset(Why.LISTENER_CLOSED, errno.ECONNABORTED, now)
        self.half_open.clear()
        self._accepted.clear()
        self._queue.waiting = 0
