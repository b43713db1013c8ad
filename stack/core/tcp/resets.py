"""Resets for segments that belong to no connection (RFC 9293 §3.10.7.1)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Emit, Packet


def answer(seg: "Packet", emit: "Emit") -> None:
    """Fills `emit` with the reset that `seg` calls for; `seg` has no RST itself."""
    emit.window = 0
    emit.options = 0
    emit.urgent = 0
    if seg.flags & lib.FLAG_ACK:
        emit.seq = seg.ack
        emit.ack = 0
        emit.flags = lib.FLAG_RST
        return
    length = seg.text_length + bool(seg.flags & lib.FLAG_SYN) + bool(seg.flags & lib.FLAG_FIN)
    emit.seq = 0
    emit.ack = (seg.seq + length) & MASK
    emit.flags = lib.FLAG_RST | lib.FLAG_ACK
