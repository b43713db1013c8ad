"""Segment text on its way into the receive ring (RFC 9293 §3.10.7.4, seventh step)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.ready import Ready
from stack.core.tcp import window
from stack.core.why import Verdict, Why
from stack.wire.sequence import MASK, sub

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection

# Asked for with every segment: a member of an enum costs ten times as much.
_READABLE = Ready.READABLE
_IN_ORDER = Verdict.IN_ORDER


def text(connection: "Connection", seg: "Packet", now: int) -> Verdict:
    """Puts what lies in the window into the ring and decides on the acknowledgement.

    The segment is acceptable: some of it lies in the window.
    """
    tcb = connection.tcb
    tcb.data_segments_in += 1
    tcb.last_data_received = now
    length, room = seg.text_length, window.announced(tcb)
    offset = skip = 0
    if seg.seq != tcb.rcv_nxt:
        offset = sub(seg.seq, tcb.rcv_nxt)
        skip = max(0, -offset)
        length -= skip
        room -= max(0, offset)
    length = min(length, room)
    if length <= 0:
        return _nothing_new(connection, seg)
    if offset > 0:
        return _out_of_order(connection, seg, offset, length)
    if skip:
        connection.reassembly.note_duplicate(seg.seq, tcb.rcv_nxt)
    return _in_order(connection, seg, skip, length, now)


def _nothing_new(connection: "Connection", seg: "Packet") -> Verdict:
    """All of it was received before; only its FIN may be new."""
    end = (seg.seq + seg.text_length) & MASK
    connection.reassembly.note_duplicate(seg.seq, end)
    connection.acks.now(connection, Why.DUPLICATE)
    return Verdict.DUPLICATE


def _in_order(connection: "Connection", seg: "Packet", skip: int, length: int, now: int) -> Verdict:
    tcb, ring, reassembly = connection.tcb, connection.rcv, connection.reassembly
    data = seg.text + skip if skip else seg.text
    if lib.ring_write_at(ring, ring.length, data, length) == 0:
        return Verdict.OUT_OF_WINDOW  # no memory: the peer will send it again
    filled = bool(reassembly)
    more = reassembly.advance(tcb.rcv_nxt, length) if filled else 0
    _advance(connection, length + more)
    if filled or skip:
        connection.acks.now(connection, Why.GAP_FILLED if filled else Why.DUPLICATE)
    else:
        connection.acks.on_data(connection, length, now)
    if tcb.rcv_automatic:
        connection.receive_buffer.on_segment(connection, seg, now)
    if tcb.discards:
        connection.discard(now)
    else:
        connection.host.tell(connection, _READABLE)  # who takes text is no orphan
    return _IN_ORDER


def _advance(connection: "Connection", length: int) -> None:
    tcb = connection.tcb
    lib.ring_commit(connection.rcv, length)
    tcb.rcv_nxt = (tcb.rcv_nxt + length) & MASK
    tcb.bytes_received += length


def _out_of_order(connection: "Connection", seg: "Packet", offset: int, length: int) -> Verdict:
    """Keeps the text and shows the gap at once (RFC 5681 §4.2, SHLD-31, MAY-13)."""
    tcb = connection.tcb
    left, right = seg.seq, (seg.seq + length) & MASK
    reassembly = connection.reassembly
    if reassembly.holds(tcb.rcv_nxt, left, right):
        reassembly.note_duplicate(left, right)
        connection.acks.now(connection, Why.DUPLICATE)
        return Verdict.DUPLICATE
    place = tcb.rcv.length + offset
    if lib.ring_write_at(connection.rcv, place, seg.text, length):
        reassembly.add(tcb.rcv_nxt, left, right)
        connection.out_of_order += 1
    connection.acks.now(connection, Why.OUT_OF_ORDER)
    return Verdict.OUT_OF_ORDER
