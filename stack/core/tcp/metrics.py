"""What earlier connections to a destination learnt of its path (RFC 9040 §6).

The path MTU is shared by all traffic and kept in `stack.core.ip.path_mtu`; here are the
round-trip time and the slow-start threshold, for the next connection to begin with.
"""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import INFINITE

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection


class Metrics:
    """Of one destination: times in µs, ssthresh in bytes (INFINITE: never set), and when it
    was noted last.
    """

    __slots__ = ("at", "rttvar", "srtt", "ssthresh")

    def __init__(self, srtt: int, rttvar: int, ssthresh: int, at: int) -> None:
        self.srtt = srtt
        self.rttvar = rttvar
        self.ssthresh = ssthresh
        self.at = at


class MetricsCache:
    """The `limit` destinations noted last; what is older than `lifetime` µs means nothing."""

    def __init__(self, limit: int, lifetime: int) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._known: dict[bytes, Metrics] = {}  # the one noted last comes last

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, destination: bytes, now: int) -> Metrics | None:
        """What is known of a destination (16 bytes), unless it is too old."""
        known = self._known.get(destination)
        if known is None or now - known.at > self._lifetime:
            return None
        return known

    def note(self, connection: "Connection", now: int) -> None:
        """A connection is over: what it measured is merged with what was known."""
        tcb = connection.tcb
        if not tcb.srtt or not tcb.bytes_acked:
            return
        destination = connection.remote_packed
        new = Metrics(tcb.srtt, tcb.rttvar, tcb.ssthresh, now)
        old = self.recall(destination, now)
        if old is not None:
            _merge(new, old)
        self._known.pop(destination, None)
        self._known[destination] = new
        while len(self._known) > self._limit:
            del self._known[next(iter(self._known))]

    def begin(self, connection: "Connection", now: int) -> None:
        """A connection is established. The round trip of a SYN tells little of that of full
        segments in a loaded network: until the first of those is measured, the timeout is
        not below what was known before.
        """
        known = self.recall(connection.remote_packed, now)
        if known is None:
            return
        tcb, config = connection.tcb, connection.config
        timeout = known.srtt + max(4 * known.rttvar, config.minimum_rto)
        tcb.rto = min(max(tcb.rto, timeout) if tcb.srtt else timeout, config.maximum_rto)
        if config.cached_ssthresh and connection.rate is None:
            tcb.ssthresh = max(known.ssthresh, 2 * tcb.snd_mss)


def _merge(new: Metrics, old: Metrics) -> None:
    """Longer times count at once, shorter ones by and by."""
    if new.srtt < old.srtt:
        new.srtt = old.srtt - (old.srtt - new.srtt) // 8
    if new.rttvar < old.rttvar:
        new.rttvar = old.rttvar - (old.rttvar - new.rttvar) // 4
    if new.ssthresh == INFINITE:
        new.ssthresh = old.ssthresh
    elif old.ssthresh != INFINITE:
        new.ssthresh = (new.ssthresh + old.ssthresh) // 2
