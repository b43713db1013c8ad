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
    from stack._native import Listening, Packet
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
        self.raw = _raw(address, version, port)
        self.backlog = backlog
        self.owner: Any = None
        self._configure: Callable[[Connection], None] | None = None
        self._shapes_syn_ack = True
        self.closed = False
        self.cookies_until = 0  # µs, when the last SYN cookie is void
        self._fast_open = fast_open
        self.reuse_port = reuse_port
        self._early: set[Connection] = set()  # handed out in SYN-RECEIVED
        self._early_failed: deque[int] = deque()  # µs, when each of those frees its place
        self._accepted: deque[Connection] = deque()

    @property
    def backlog(self) -> int:
        """How many connections may wait to be accepted."""
        return self.raw.backlog

    @backlog.setter
    def backlog(self, places: int) -> None:
        self.raw.backlog = places

    @property
    def configure(self) -> "Callable[[Connection], None] | None":
        """Sets up each connection before its SYN-ACK leaves."""
        return self._configure

    @configure.setter
    def configure(self, configure: "Callable[[Connection], None] | None") -> None:
        self._configure = configure
        self.host.listens_otherwise(self)

    @property
    def fast_open(self) -> int:
        """How many connections may be handed out before their handshake is over."""
        return self._fast_open

    @fast_open.setter
    def fast_open(self, places: int) -> None:
        self._fast_open = places
        self.host.listens_otherwise(self)

    @property
    def half_open(self) -> int:
        """Connections in SYN-RECEIVED."""
        return self.raw.half_open

    @property
    def shapes_syn_ack(self) -> bool:
        """Whether what `configure` does may be seen in a SYN-ACK: so it is taken for, unless
        whoever sets it knows better.
        """
        return self._shapes_syn_ack

    @shapes_syn_ack.setter
    def shapes_syn_ack(self, shapes: bool) -> None:
        self._shapes_syn_ack = shapes
        self.host.listens_otherwise(self)

    @property
    def plain(self) -> bool:
        """Whether every SYN that asks for nothing special gets the same answer."""
        return not self._fast_open and not (self.configure and self._shapes_syn_ack)

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
        if self.half_open >= self.host.config.tcp.syn_queue:
            if self.host.config.tcp.syn_cookies:
                return syn_cookies.answer(self, seg, now)
            self.host.counters.count("TCPReqQFull")
            self.host.counters.count("ListenDrops")
            return Verdict.QUEUE_FULL
        connection = self.open(seg, now, above=above)
        connection.tcb.half_open = 1
        self.raw.half_open += 1
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
        connection.tcb.listening = self.raw
        connection.move(Cause.SYN, now)
        handshake.prepare(connection, now, above=above, iss=iss)
        if self.configure is not None:
            self.configure(connection)
        handshake.take_options(connection, syn, now)
        connection.ecn.on_syn(syn)
        return connection

    def opened(self, connection: "Connection") -> None:
        """The segment path has answered a SYN by itself: `connection` is in SYN-RECEIVED."""
        connection.listener = self
        if self.configure is not None:
            self.configure(connection)

    def queue_detail(self) -> str:
        """How full the SYN queue is, for the trace."""
        return f"queue {self.half_open}/{self.host.config.tcp.syn_queue}"

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
        self.leaves_half_open(connection)
        self._early.add(connection)
        self._hand_out(connection)

    def leaves_half_open(self, connection: "Connection") -> None:
        """A connection is in SYN-RECEIVED no more, if it was."""
        self.raw.half_open -= connection.tcb.half_open
        connection.tcb.half_open = 0

    def established(self, connection: "Connection") -> None:
        """The handshake of a connection of ours is complete."""
        self.host.counters.count("TcpPassiveOpens")
        if connection in self._early:
            self._early.remove(connection)
            return
        self._hand_out(connection)

    def _hand_out(self, connection: "Connection") -> None:
        self._accepted.append(connection)
        self.raw.waiting = len(self._accepted)
        self.host.tell(self, Ready.ACCEPTED)

    def dropped(self, connection: "Connection") -> None:
        """A connection of ours has ended."""
        self.leaves_half_open(connection)
        if connection in self._early:
            self._early.remove(connection)
            self._early_failed.append(self.host.now + fast_open.FAILED_FOR)

    def accept(self) -> "Connection | None":
        """The next established connection, or None."""
        if not self._accepted:
            return None
        self.raw.waiting -= 1
        return self._accepted.popleft()

    def close(self, now: int) -> None:
        """Stops listening; what was not accepted is reset, as Linux does."""
        if self.closed:
            return
        self.closed = True
        self.host.stop_listening(self)
        everyone = self.host.connections.values()
        half_open = [one for one in everyone if one.listener is self and one.tcb.half_open]
        for connection in [*half_open, *self._accepted]:
            connection.orphan = True
            if connection.state in (State.CLOSED, State.TIME_WAIT):
                connection.abort(now)
            else:
                connection.reset(Why.LISTENER_CLOSED, errno.ECONNABORTED, now)
        self._accepted.clear()
        self.raw.waiting = 0


def _raw(address: bytes | None, version: int, port: int) -> "Listening":
    """What the segment path knows of a listening port."""
    raw = ffi.new("struct listening *")
    raw.port = port
    raw.version = version
    if address is not None:
        raw.has_address = 1
        ffi.memmove(raw.address, address, len(address))
    return raw
