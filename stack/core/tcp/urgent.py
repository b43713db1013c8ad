"""Urgent data, sent and received (RFC 9293 §3.8.5, RFC 6093).

The pointer names the octet behind the urgent data (MUST-62). It is a mark in the stream,
and the data in front of it stays where it is (`inline`, as RFC 6093 §4 has it); sockets
without SO_OOBINLINE get the last octet before it by itself, "out of band", and miss it in
the stream.

            read up to here    rcv_up     rcv_nxt
                  |               |          |
        ----------|-------------[x]----------|---------
                                 |
                                mark
"""

import errno
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ready import Ready
from stack.core.system_error import system_error
from stack.core.tcp.states import RECEIVING, State
from stack.core.why import Why
from stack.wire.sequence import MASK, geq, sub

if TYPE_CHECKING:
    from stack._native import Emit, Packet
    from stack.core.tcp.connection import Connection

_POINTER_MAX = 0xFFFF


class Urgent:
    """The urgent state of one connection.

    `sending`: up to snd_up our data is urgent. Of the connection's own, which is asked with
    every read, `urgent_mark` is the sequence number of the peer's last urgent octet, None once
    that is behind the reader, and with `urgent_inline` it stays in the stream.
    """

    __slots__ = ("_fetched", "sending")

    def __init__(self) -> None:
        self.sending = False
        self._fetched = False  # the octet was given to the application out of band

    # Sending.

    def begin(self, connection: "Connection") -> None:
        """All that is queued to send is urgent; the peer hears it at once, even with a
        closed window.
        """
        tcb = connection.tcb
        connected = tcb.state not in (State.SYN_SENT, State.SYN_RECEIVED)
        start = tcb.snd_una if connected else (tcb.iss + 1) & MASK
        tcb.snd_up = (start + tcb.snd.length) & MASK
        self.sending = True
        tcb.fast = 0
        if connected:
            connection.acks.now(connection, Why.URGENT)

    def point(self, connection: "Connection", emit: "Emit") -> None:
        """Sets the pointer of a segment that leaves. Data that is urgent beyond the pointer's
        16 bits is pointed at as far as they reach: the pointer moves on later (MUST-31).
        """
        tcb = connection.tcb
        if geq(tcb.snd_una, tcb.snd_up):
            self.sending = False
            return
        ahead = sub(tcb.snd_up, emit.seq)
        if ahead > 0 and not emit.flags & lib.FLAG_RST:
            emit.flags |= lib.FLAG_URG
            emit.urgent = min(ahead, _POINTER_MAX)

    # Receiving.

    def arrives(self, connection: "Connection", seg: "Packet") -> None:
        """A segment has URG: moves rcv_up and tells the application when it advances
        (MUST-32), whether the data is here or not.
        """
        tcb = connection.tcb
        last = (seg.seq + seg.urgent - 1) & MASK
        if tcb.state not in RECEIVING or sub(last, _read_up_to(connection)) < 0:
            return
        if connection.urgent_mark is not None:
            if sub(last, connection.urgent_mark) <= 0:
                return
            self._give_way(connection)
        connection.urgent_mark = last
        self._fetched = False
        tcb.rcv_up = (last + 1) & MASK
        connection.tell(Ready.URGENT)

    def _give_way(self, connection: "Connection") -> None:
        """A newer mark comes: the octet at the old one is missed in the stream only where
        the reader stands at it already.
        """
        if not connection.urgent_inline and self._is_at_head(connection):
            lib.ring_consume(connection.rcv, 1)

    def _is_at_head(self, connection: "Connection") -> bool:
        return connection.urgent_mark == _read_up_to(connection) and connection.tcb.rcv.length > 0

    def readable(self, connection: "Connection") -> int:
        """Bytes that one read may take: it stops in front of the mark, and the next goes on
        behind it.
        """
        length: int = connection.tcb.rcv.length
        if connection.urgent_mark is None:
            return length
        ahead = sub(connection.urgent_mark, _read_up_to(connection))
        if ahead:
            return min(length, ahead)
        return length if connection.urgent_inline or not length else length - 1

    def skipped(self, connection: "Connection") -> int:
        """1 when the next read leaves out the octet at the head of the ring, else 0."""
        return int(not connection.urgent_inline and self._is_at_head(connection))

    def on_read(self, connection: "Connection", length: int) -> None:
        """The application is about to read `length` bytes, which `readable` allowed."""
        if self.skipped(connection):
            lib.ring_consume(connection.rcv, 1)
            connection.urgent_mark = None
        elif length and connection.urgent_mark == _read_up_to(connection):
            connection.urgent_mark = None

    def remaining(self, connection: "Connection") -> int:
        """Bytes of urgent data not yet read, with those still to come (MUST-33)."""
        if connection.urgent_mark is None:
            return 0
        return sub(connection.tcb.rcv_up, _read_up_to(connection))

    def at_mark(self, connection: "Connection") -> bool:
        """Whether the next byte to read is the last urgent one: what SIOCATMARK answers."""
        return connection.urgent_mark is not None and connection.urgent_mark == _read_up_to(
            connection
        )

    def fetch(self, connection: "Connection", *, keep: bool) -> bytes:
        """The octet at the mark, out of band; `keep` leaves it to be fetched again.

        Raises OSError: EINVAL when there is none (or it is inline), EAGAIN when it was
        announced and has not come.
        """
        if connection.urgent_inline or connection.urgent_mark is None or self._fetched:
            raise system_error(errno.EINVAL)
        octet = ffi.new("uint8_t[]", 1)
        offset = sub(connection.urgent_mark, _read_up_to(connection))
        if not lib.ring_peek(connection.rcv, offset, octet, 1):
            if connection.tcb.fin_received or connection.tcb.state == State.CLOSED:
                return b""
            raise system_error(errno.EAGAIN)
        self._fetched = not keep
        return bytes(octet)


def _read_up_to(connection: "Connection") -> int:
    """The sequence number of the next byte that the application reads."""
    tcb = connection.tcb
    return (tcb.rcv_nxt - bool(tcb.fin_received) - tcb.rcv.length) & MASK
