"""Path MTU discovery without the help of routers (RFC 4821, RFC 8899 §4).

Where messages about packets that are too big get lost, a connection hangs: the path is a
black hole for full segments. Two timeouts in a row bring the size down to one that every
path carries; then single segments of larger sizes try what the path really takes. A probe
that is lost alone says that it was too large, and nothing of congestion (§7.4).
"""

from typing import TYPE_CHECKING

from stack.core.ip.path_mtu import IPV4_FLOOR
from stack.core.tcp.handshake import HEADERS, overhead
from stack.core.tcp.mtu_reports import path_changed
from stack.core.tcp.recovery_state import Recovery
from stack.core.why import Why
from stack.wire.sequence import geq

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

BASE = {4: 1024, 6: 1280}  # bytes of IP packet; RFC 4821 §7.2, and IPv6's minimum
FLOOR = {4: IPV4_FLOOR, 6: 1280}
TIMEOUTS = 2  # in a row, which make a black hole
_PRECISION = 8  # bytes, below which it is not worth another probe
_SEGMENTS_BEHIND = 3  # so that a loss shows by acknowledgements and not by a timeout


class MtuProbe:
    """The search on one connection; sizes in bytes of IP packet, times in µs.

    What is not above `low` gets through, what is above `high` does not. `low` is 0 while
    nothing gave a reason to search. `size` is that of a probe in flight, which begins at
    `seq`; 0 without one.
    """

    __slots__ = ("_again_at", "_end", "_hint", "high", "low", "seq", "size")

    def __init__(self) -> None:
        self.low = 0
        self.high = 0
        self.size = 0
        self.seq = 0
        self._end = 0
        self._again_at = 0  # when the whole range is searched again
        self._hint = 0  # a size that is worth a try

    def on_established(self, connection: "Connection", now: int) -> None:
        """Begins from the size that every path carries, unless trouble is to come first."""
        if connection.config.mtu_probing == "always":
            self._restart(connection, BASE[connection.version], now)

    def _restart(self, connection: "Connection", low: int, now: int) -> None:
        self.high = self._hint = _ceiling(connection)
        self.low = min(low, self.high)
        self._again_at = now + connection.config.mtu_probe_interval
        self._adopt(connection, now)

    def _adopt(self, connection: "Connection", now: int) -> None:
        """`low` is what goes to this destination now, and for whoever comes next."""
        host = connection.host
        host.path_mtu.assume(connection.remote_packed, self.low, now)
        path_changed(host, connection.remote_packed)

    # What happens to the connection.

    def on_timeout(self, connection: "Connection", now: int) -> None:
        """The retransmission timer ran out, `tcb.backoff` times in a row by now."""
        if self.size:
            self._failed(connection)
        tcb, version = connection.tcb, connection.version
        if tcb.backoff % TIMEOUTS or connection.flight.first().length <= tcb.snd_mss // 2:
            return
        size = tcb.snd_mss + overhead(connection)
        smaller = max(min(BASE[version], size // 2 if self.low else size), FLOOR[version])
        if smaller < size:
            connection.host.counters.count("TCPMTUPBlackHole")
            self._restart(connection, smaller, now)

    def on_acknowledged(self, connection: "Connection", ack: int, now: int) -> None:
        """Everything up to `ack` arrived: the probe, too?"""
        if self.size and geq(ack, self._end):
            connection.host.counters.count("TCPMTUPSuccess")
            self.low, self.size = self.size, 0
            self._adopt(connection, now)

    def absorbs(self, connection: "Connection") -> bool:
        """Losses were found: whether they are the probe's alone, which is no congestion. It
        is sent again in segments that fit.
        """
        if not self.size:
            return False
        lost = [record for record in connection.flight if record.lost]
        alone = all(geq(r.seq, self.seq) and geq(self._end, r.end) for r in lost)
        if alone:
            self._failed(connection)
            connection.retransmit_why = Why.PATH_MTU
        else:
            self.size = 0  # it says nothing now
        return alone

    def on_too_big(self, connection: "Connection", seq: int, mtu: int) -> bool:
        """A router answers, after all; returns whether it was about the probe."""
        if not self.size or seq != self.seq:
            return False
        probe = next(record for record in connection.flight.records() if record.seq == seq)
        self._failed(connection)
        if self.low <= mtu < self.high:
            self.high = self._hint = mtu
        connection.flight.mark_lost(probe)
        connection.retransmit_why = Why.PATH_MTU
        connection.wants_output()
        return True

    def _failed(self, connection: "Connection") -> None:
        connection.host.counters.count("TCPMTUPFail")
        self.high, self.size = self.size - 1, 0

    # Probing.

    def text_due(self, connection: "Connection", unsent: int, now: int) -> int:
        """How many of `unsent` bytes, which the window allows, a probe shall carry now; 0
        for none.
        """
        tcb = connection.tcb
        if not self.low or self.size or tcb.recovery != Recovery.OPEN or tcb.sacked or tcb.lost:
            return 0
        if now >= self._again_at:
            self.high = self._hint = _ceiling(connection)
            self._again_at = now + connection.config.mtu_probe_interval
        if self.high - self.low < _PRECISION:
            return 0
        text = self._candidate() - overhead(connection)
        behind = _SEGMENTS_BEHIND * tcb.snd_mss
        if text <= tcb.snd_mss or min(unsent, tcb.cwnd) < text + behind:
            return 0
        return text

    def _candidate(self) -> int:
        """The largest first, since mostly the path is what its link is; then half by half."""
        return self._hint if self._hint == self.high else (self.low + self.high + 1) // 2

    def sent(self, connection: "Connection", seq: int, text: int) -> None:
        """A probe is about to leave."""
        self.size = text + overhead(connection)
        self.seq = seq
        self._end = (seq + text) & 0xFFFFFFFF


def _ceiling(connection: "Connection") -> int:
    """The largest packet that link, peer and application take."""
    mss = min(connection.tcb.peer_mss, connection.mss_limit)
    return min(connection.host.mtu, mss + HEADERS[connection.version])
