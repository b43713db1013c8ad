"""One direction of a wire: taps, faults on purpose, faults by chance, and the way to the end."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial

from stack._native import ffi, lib
from stack.link.impair import Impairments
from stack.link.line import Line
from stack.sim.agenda import Agenda
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


class Channel:
    """Carries packets from the station `src` to the station `dst`.

    `mtu` is in bytes; what is longer vanishes, as it does on a path whose routers tell
    nobody.
    """

    def __init__(
        self, agenda: Agenda, src: str, dst: str, impairments: Impairments, mtu: int
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
        self._agenda = agenda
        self.raw = ffi.new("struct channel *")
        self.raw.number = agenda.add_channel(self)
        self.raw.mtu = mtu
        self.raw.due = lib.LINE_NOTHING
        if self._line is not None:
            self.raw.line = self._line.native
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
                self._agenda.expect(self.raw, due)
            filled(now)

        self._hand_over = hand_over

    def pass_on(self, passing: Outbound, onward: Onward) -> None:
        """Lets packets that arrive be sent on by `onward` where nobody has to see their bytes;
        what it leaves goes to the receiver. `passing` is where they are meanwhile.
        """

        def hand_over(line: Line, now: int) -> None:
            due = line.lend(passing, now)
            if due >= 0:
                self._agenda.expect(self.raw, due)
            if not onward(passing, self.mtu, now):
                self._receiver(passing.copies(), now)

        self._hand_over = hand_over
        self._onward = onward

    @property
    def plain(self) -> bool:
        """Whether whole batches may enter that nobody has to see the bytes of."""
        return self._line is not None and self._rules is None and not self._entry

    @property
    def swallows(self) -> bool:
        """Whether native code may let packets enter: `plain`, and no chance is to be drawn."""
        line = self._line
        return self.plain and not self._at_once and line is not None and line.loses_nothing

    @property
    def unseen(self) -> bool:
        """Whether native code may hand packets over."""
        return self._line is not None and not self._exit

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
            if self.raw.due < 0 and due >= 0:
                self._agenda.expect(self.raw, due)

    def _carry_at_once(self, out: Outbound, now: int) -> None:
        if self._onward is None or self._exit or not self._onward(out, self.mtu, now):
            self.send(out.copies(), now)
        else:
            self.impairments.counters.passed += out.count

    def send(self, packets: Sequence[bytes], now: int) -> None:
        """Packets enter, in their order."""
        self._agenda.begin_epoch()  # taps and rules may call anybody
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
        if self.raw.due < 0 or not self._keeps_order:
            self._rearm()

    def _pass(self, data: bytes, now: int) -> None:
        self.impairments.counters.passed += 1
        self._receiver([data], now)

    def _judge(self, rules: Rules, data: bytes, now: int) -> None:
        for delay, copy in rules.judge(data, now):
            if delay:
                self._agenda.schedule(now + delay, partial(self._enter, copy))
            else:
                self.impairments.push(copy, now)

    def _enter(self, data: bytes, now: int) -> None:
        self.impairments.push(data, now)
        self._rearm()

    def deliver(self, now: int) -> None:
        """Hands over what has arrived by `now`; costs nothing when that is nothing."""
        if 0 <= self.raw.due <= now:
            self.arrive(self.raw.due)

    def arrive(self, now: int) -> None:
        """Hands over what arrives at this instant, if it was not handed over before."""
        if self.raw.due != now:
            return  # an entry that an earlier one made needless
        self.raw.due = lib.LINE_NOTHING
        if self._hand_over is not None and self._line is not None and not self._exit:
            self._hand_over(self._line, now)
            return
        self._agenda.begin_epoch()  # taps and receivers may call anybody
        packets = self.impairments.pop(now, CAPACITY)
        for tap in self._exit:
            for data in packets:
                tap(now, self.direction, data)
        self._rearm()
        if packets:
            self._receiver(packets, now)

    def _rearm(self) -> None:
        due = self.impairments.next_deadline()
        if due is not None and (self.raw.due < 0 or due < self.raw.due):
            self._agenda.expect(self.raw, due)


def _nobody(_packets: list[bytes], _now: int) -> None:
    """What arrives where nobody is attached any more is lost."""
