"""One direction of a wire: taps, faults on purpose, faults by chance, and the way to the end."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Protocol

from stack.link.impair import Impairments
from stack.link.line import Line
from stack.sim.rules import Rule, Rules
from stack.wire.batch import CAPACITY, Inbound, Outbound

Tap = Callable[[int, str, bytes], None]
"""Called with the time (µs), the direction as in "a>b", and one IP packet."""

Onward = Callable[[Outbound, int, int], bool]
"""Sends packets on, if none has more than so many bytes, at a time (µs), and says so; or leaves
them all as they are.
"""

Receiver = Callable[[list[bytes], int], None]
"""Takes packets that arrived together, and the time (µs)."""


class TapPoint(Enum):
    """Where on its way a packet is seen."""

    ENTRY = auto()
    """as it is sent, before the wire does anything to it"""
    EXIT = auto()
    """as it arrives: late, twice, damaged, or not at all"""


class Schedule(Protocol):
    """The network, as far as its parts need it."""

    now: int

    def schedule(self, when: int, call: Callable[[int], None]) -> int:
        """Has `call` called with the time at `when`, or now if that is over; returns which
        (µs).
        """


class Channel:
    """Carries packets from the station `src` to the station `dst`.

    `mtu` is in bytes; what is longer vanishes, as it does on a path whose routers tell
    nobody.
    """

    def __init__(
        self, network: Schedule, src: str, dst: str, impairments: Impairments, mtu: int
    ) -> None:
        self.src = src
        self.dst = dst
        self.direction = f"{src}>{dst}"
        self.impairments = impairments
        self.mtu = mtu
        self._too_long = 0
        self._receiver: Receiver = _nobody
        self._at_once = False
        self._line = impairments if isinstance(impairments, Line) else None
        self._hand_over: Callable[[Line, int], None] | None = None
        self._onward: Onward | None = None
        self.taps: dict[TapPoint, list[Tap]] = {point: [] for point in TapPoint}
        self._entry = self.taps[TapPoint.ENTRY]
        self._exit = self.taps[TapPoint.EXIT]
        self._rules: Rules | None = None  # made with the first rule
        self._network = network
        self._due: int | None = None  # the one entry in the schedule that counts
        self._keeps_order = impairments.keeps_order

    @property
    def too_long(self) -> int:
        """Packets that vanished because they are longer than the MTU."""
        line = self._line
        return self._too_long + (0 if line is None else line.native.too_long)

    def receive_by(self, receiver: Receiver, *, at_once: bool = False) -> None:
        """Hands what arrives to `receiver`. With `at_once` it may be called while another
        station is at work, if the channel has neither faults nor delay.
        """
        self._receiver = receiver
        self._at_once = at_once and self.impairments.transparent

    def fill(self, inbound: Inbound, filled: Callable[[int], None]) -> None:
        """Lets packets arrive in `inbound` where nobody has to see their bytes, and calls
        `filled` with the time then, in the place of the receiver.
        """

        def hand_over(line: Line, now: int) -> None:
            due = line.deliver(inbound, now)
            if due >= 0:
                self._due = self._network.schedule(due, self._arrive)
            filled(now)

        self._hand_over = hand_over

    def pass_on(self, passing: Outbound, onward: Onward) -> None:
        """Lets packets that arrive be sent on by `onward` where nobody has to see their bytes;
        what it leaves goes to the receiver. `passing` is where they are meanwhile.
        """

        def hand_over(line: Line, now: int) -> None:
            due = line.lend(passing, now)
            if due >= 0:
                self._due = self._network.schedule(due, self._arrive)
            if not onward(passing, self.mtu, now):
                self._receiver(passing.copies(), now)

        self._hand_over = hand_over
        self._onward = onward

    @property
    def plain(self) -> bool:
        """Whether whole batches may enter that nobody has to see the bytes of."""
        return self._line is not None and self._rules is None and not self._entry

    def add(self, rule: Rule) -> None:
        """Has a rule looked at for every packet that enters from now on."""
        if self._rules is None:
            self._rules = Rules(self.direction)
        self._rules.add(rule)

    def carry(self, out: Outbound, now: int) -> None:
        """The packets of a batch enter, in their order."""
        line = self._line
        if line is None or self._rules is not None or self._entry:
            self.send(out.copies(), now)
        elif self._at_once:
            self._carry_at_once(out, now)
        else:
            due = line.carry(out, self.mtu, now)
            if self._due is None and due >= 0:
                self._due = self._network.schedule(due, self._arrive)

    def _carry_at_once(self, out: Outbound, now: int) -> None:
        if self._onward is None or self._exit or not self._onward(out, self.mtu, now):
            self.send(out.copies(), now)
        else:
            self.impairments.counters.passed += out.count

    def send(self, packets: Sequence[bytes], now: int) -> None:
        """Packets enter, in their order."""
        push, mtu = self.impairments.push, self.mtu
        if self._at_once and self._rules is None and not self._exit:
            push = self._pass
        for data in packets:
            for tap in self._entry:
                tap(now, self.direction, data)
            if len(data) > mtu:
                self._too_long += 1
            elif self._rules is None:
                push(data, now)
            else:
                self._judge(self._rules, data, now)
        if self._due is None or not self._keeps_order:
            self._rearm()

    def _pass(self, data: bytes, now: int) -> None:
        self.impairments.counters.passed += 1
        self._receiver([data], now)

    def _judge(self, rules: Rules, data: bytes, now: int) -> None:
        for delay, copy in rules.judge(data, now):
            if delay:
                self._network.schedule(now + delay, partial(self._enter, copy))
            else:
                self.impairments.push(copy, now)

    def _enter(self, data: bytes, now: int) -> None:
        self.impairments.push(data, now)
        self._rearm()

    def deliver(self, now: int) -> None:
        """Hands over what has arrived by `now`; costs nothing when that is nothing."""
        if self._due is not None and self._due <= now:
            self._arrive(self._due)

    def _arrive(self, now: int) -> None:
        if self._due != now:
            return  # an entry that an earlier one made needless
        self._due = None
        if self._hand_over is not None and self._line is not None and not self._exit:
            self._hand_over(self._line, now)
            return
        packets = self.impairments.pop(now, CAPACITY)
        for tap in self._exit:
            for data in packets:
                tap(now, self.direction, data)
        self._rearm()
        if packets:
            self._receiver(packets, now)

    def _rearm(self) -> None:
        due = self.impairments.next_deadline()
        if due is not None and (self._due is None or due < self._due):
            self._due = self._network.schedule(due, self._arrive)


def _nobody(_packets: list[bytes], _now: int) -> None:
    """What arrives where nobody is attached any more is lost."""
