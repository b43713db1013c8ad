"""Keep-alives (RFC 9293 §3.8.4): is the peer of an idle connection still there?"""

import errno
from typing import TYPE_CHECKING

from stack.core.tcp.states import Cause, State
from stack.core.tcp.timers import Timer

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

SECOND = 1_000_000
_WATCHED = frozenset(
    {State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING}
)


class KeepAlive:
    """The probing of one connection while it `keeps_alive`, which is off by default (MUST-25);
    times in µs.

    `idle` is the silence before the first probe (MUST-27, MUST-28), `interval` the time
    between probes, `count` how many may stay unanswered (MUST-29).
    """

    __slots__ = ("_probed_at", "_probes", "count", "idle", "interval")

    def __init__(self) -> None:
        self.idle = 7200 * SECOND
        self.interval = 75 * SECOND
        self.count = 9
        self._probes = 0
        self._probed_at = 0

    def set(self, connection: "Connection", enabled: bool, now: int) -> None:
        """Switches probing of this connection on or off (MUST-24)."""
        connection.keeps_alive = enabled
        if enabled and connection.state in _WATCHED:
            self.begin(connection, now)
        elif not enabled:
            connection.stop_timer(Timer.KEEPALIVE)

    def begin(self, connection: "Connection", now: int) -> None:
        """The connection is established, or a setting changed: the silence counts from here."""
        tcb = connection.tcb
        tcb.last_heard = max(tcb.last_heard, tcb.last_sent_at)
        connection.start_timer(Timer.KEEPALIVE, max(tcb.last_heard + self.idle, now + 1))

    def on_timer(self, connection: "Connection", now: int) -> bool:
        """The timer ran out; returns whether a probe is due."""
        if not connection.keeps_alive or connection.state not in _WATCHED:
            return False
        last_heard = connection.tcb.last_heard
        quiet = now - last_heard
        busy = bool(connection.flight) or connection.send_queued > 0
        if quiet < self.idle or busy:
            # MUST-26: only when nothing is outstanding; else the other timers watch.
            self._probes = 0
            wait = self.idle if busy else self.idle - quiet
            connection.start_timer(Timer.KEEPALIVE, now + wait)
            return False
        if last_heard >= self._probed_at:
            self._probes = 0  # the last one was answered, and there was silence again since
        if self._gives_up(connection, quiet):
            connection.host.counters.count("TCPAbortOnTimeout")
            connection.finish(Cause.TIMEOUT, errno.ETIMEDOUT, now)
            return False
        self._probes += 1
        self._probed_at = now
        connection.start_timer(Timer.KEEPALIVE, now + self.interval)
        return True

    def _gives_up(self, connection: "Connection", quiet: int) -> bool:
        """After `count` probes without an answer, or one and the user timeout (RFC 5482 §4.2)."""
        if connection.user_timeout:
            return self._probes > 0 and quiet >= connection.user_timeout
        return self._probes >= self.count
