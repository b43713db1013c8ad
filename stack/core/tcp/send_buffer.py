"""The size of the send buffer: it follows cwnd, so that an application which writes as
fast as it may always leaves the next window's data ready (as Linux has it).
"""

from typing import TYPE_CHECKING

from stack.core.ready import Ready
from stack.wire.sequence import MASK, gt

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection


class SendBuffer:
    """The send buffers of all connections; what there is to know of each is in its TCB. One
    grows while `tcb.snd_automatic`, and `tcb.snd_drawn` is what it drew of the host's budget.
    Sizes in bytes.
    """

    __slots__ = ()

    def fix(self, connection: "Connection", size: int) -> None:
        """The application sets the size (SO_SNDBUF): it stays. What was taken stays taken."""
        connection.tcb.snd_automatic = 0
        ring = connection.tcb.snd
        ring.limit = max(size, ring.length)

    def on_blocked(self, connection: "Connection") -> None:
        """Data was acknowledged while the application waits for room: twice cwnd is one
        window in flight and one ready to follow it.
        """
        tcb = connection.tcb
        ring = tcb.snd
        wanted = min(2 * tcb.cwnd, connection.config.largest_send_buffer)
        if tcb.snd_automatic and wanted > ring.limit:
            drawn = connection.host.buffer_memory.take(wanted - ring.limit)
            tcb.snd_drawn += drawn
            ring.limit += drawn

    def flush(self, connection: "Connection") -> int:
        """Drops what lies to the right of the peer's window and has not been sent; returns
        how much that was (RFC 9293 §3.9.1.7, MAY-14).
        """
        tcb = connection.tcb
        first = tcb.snd_una if tcb.snd_una != tcb.iss else (tcb.iss + 1) & MASK
        kept = max(tcb.snd_wnd, (tcb.snd_nxt - first) & MASK)
        dropped: int = max(tcb.snd.length - kept, 0)
        if dropped == 0:
            return 0
        tcb.snd.length -= dropped
        end = (first + tcb.snd.length) & MASK
        if connection.urgent.sending and gt(tcb.snd_up, end):
            tcb.snd_up = end
        if tcb.send_blocked:
            tcb.send_blocked = 0
            connection.tell(Ready.WRITABLE)
        connection.wants_output()
        return dropped
