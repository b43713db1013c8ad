"""TCP_CORK and MSG_MORE: a segment below full size waits for more to fill it (tcp(7))."""

from typing import TYPE_CHECKING

from stack.core.tcp.timers import Timer
from stack.wire.sequence import MASK, lt

if TYPE_CHECKING:
    from stack.core.tcp.connection import Connection

LONGEST = 200_000  # µs that a partial segment waits at most (MUST-60: never without end)


class Cork:
    """What holds partial segments of one connection back: `corked` until it is taken out,
    `more` until the next call to send that does not announce more.
    """

    __slots__ = ("_pushed_to", "corked", "held", "more")

    def __init__(self) -> None:
        self.corked = False
        self.more = False
        self.held = False  # either of them
        self._pushed_to: int | None = None  # up to here nothing waits any longer

    def set(self, connection: "Connection", corked: bool) -> None:
        """Puts the cork in, or takes it out and lets go what waited."""
        self.corked = corked
        self._settle(connection)

    def expect_more(self, connection: "Connection", more: bool) -> None:
        """The application announces that it will send more at once, or no more."""
        self.more = more
        self._settle(connection)

    def _settle(self, connection: "Connection") -> None:
        self.held = self.corked or self.more
        connection.tcb.fast = 0
        if not self.held:
            self._pushed_to = None
            connection.stop_timer(Timer.CORK)
            connection.wants_output()

    def push(self, connection: "Connection") -> None:
        """What is queued by now leaves in spite of the cork."""
        if self.held:
            tcb = connection.tcb
            self._pushed_to = (tcb.snd_una + tcb.snd.length) & MASK
            connection.wants_output()

    def holds(self, connection: "Connection") -> bool:
        """Whether a partial segment at snd_nxt waits; its time runs from here."""
        if not self.held:
            return False
        if self._pushed_to is not None and lt(connection.tcb.snd_nxt, self._pushed_to):
            return False
        if not connection.deadlines[Timer.CORK]:
            connection.start_timer(Timer.CORK, connection.host.now + LONGEST)
        return True
