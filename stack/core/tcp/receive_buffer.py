"""The size of the receive buffer: it follows what the application reads in a round trip
(dynamic right-sizing, as Linux has it), so that no window is too small for its path.

The sender doubles its rate each round trip while it probes, so the window must be twice
what was read in the last one, and more while that still grows.
"""

from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.tcp import window
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection

# A window is announced rounded up to its scale, each time anew: more may arrive than the
# receive buffer takes, an eighth where a reader lets all of it fill up in full segments.
_ROUNDING = 1 << 14
_SHORTEST = 1_000  # µs: our timestamps tick no faster


def _with_rounding(size: int) -> int:
    return size + size // 8 + _ROUNDING


class ReceiveBuffer:
    """The receive buffers of all connections; what there is to know of each is in its TCB.
    Sizes in bytes, times in µs.

    While `tcb.rcv_automatic`, `tcb.rcv_space` is the most that was read within one round trip,
    and `tcb.rcv_rtt` the receiver's own estimate of that, 0 while it is not known. The round
    trip at hand began at `tcb.rcv_round_at`, with `tcb.rcv_round_from` as the next byte to
    read. `tcb.rcv_drawn` is what the buffer drew of the host's budget.
    """

    __slots__ = ()

    def fix(self, connection: "Connection", size: int) -> None:
        """The application sets the size (SO_RCVBUF): it stays. The window scale was agreed
        upon, and with it the most that can be announced; what was announced stays so, too.
        """
        connection.tcb.rcv_automatic = 0
        self._resize(connection, min(size, window.LARGEST_UNSCALED << connection.tcb.rcv_wscale))

    def _resize(self, connection: "Connection", size: int) -> None:
        tcb = connection.tcb
        tcb.rcv_wnd_max = size
        tcb.rcv.limit = max(tcb.rcv.limit, _with_rounding(size))

    def begin(self, connection: "Connection", now: int) -> None:
        """The connection is established: the first measurement begins."""
        tcb = connection.tcb
        tcb.rcv_rtt = max(tcb.srtt, _SHORTEST) if tcb.srtt else 0
        tcb.rcv_space = min(connection.config.initial_window * tcb.rcv_mss, tcb.rcv_wnd_max)
        tcb.rcv_round_from = (tcb.rcv_nxt - tcb.rcv.length) & MASK
        tcb.rcv_round_at = tcb.rcv_measure_at = now

    def copy(self, connection: "Connection", offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, which are there."""
        spans = connection.host.spans
        if lib.ring_spans(connection.rcv, offset, length, spans) == 1:
            return ffi.buffer(spans[0].data, length)[:]
        first, second = (ffi.buffer(span.data, span.length) for span in spans)
        return b"".join((first, second))

    def on_segment(self, connection: "Connection", seg: "Packet", now: int) -> None:
        """Data came. Once a round trip its timestamp shows how long one takes: the sender
        echoes ours as soon as it may send more.
        """
        tcb = connection.tcb
        if now < tcb.rcv_measure_at or not seg.options & lib.OPTION_TIMESTAMPS:
            return
        if not tcb.ts_ok or not seg.tsecr:
            return
        sample = max(((connection.timestamp(now) - seg.tsecr) & MASK) * 1000, _SHORTEST)
        if sample < tcb.rcv_rtt or not tcb.rcv_rtt:
            tcb.rcv_rtt = sample
        else:  # slowly: a sender that had nothing to say makes a sample too long
            tcb.rcv_rtt += (sample - tcb.rcv_rtt) // 8
        tcb.rcv_measure_at = now + tcb.rcv_rtt

    def on_read(self, connection: "Connection", now: int) -> None:
        """The application has read: once a round trip, the window follows what it took."""
        tcb = connection.tcb
        if now - tcb.rcv_round_at < tcb.rcv_rtt or not tcb.rcv_rtt:
            return
        read_up_to = (tcb.rcv_nxt - tcb.rcv.length) & MASK
        copied = (read_up_to - tcb.rcv_round_from) & MASK
        if copied > tcb.rcv_space:
            self._grow(connection, copied)
            tcb.rcv_space = copied
        tcb.rcv_round_from = read_up_to
        tcb.rcv_round_at = now

    def _grow(self, connection: "Connection", copied: int) -> None:
        tcb = connection.tcb
        wanted = 2 * copied + 16 * tcb.rcv_mss
        wanted += wanted * min(copied - tcb.rcv_space, tcb.rcv_space) // tcb.rcv_space
        most = min(connection.config.largest_receive_buffer, 0xFFFF << tcb.rcv_wscale)
        drawn = connection.host.buffer_memory.take(min(wanted, most) - tcb.rcv_wnd_max)
        if drawn:
            tcb.rcv_drawn += drawn
            self._resize(connection, tcb.rcv_wnd_max + drawn)
