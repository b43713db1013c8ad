"""Faults on purpose: what happens to the packets that a predicate picks."""

from collections.abc import Callable

from stack.sim.passing import Flows, Passing

Predicate = Callable[[Passing], bool]
Treatment = Callable[[Passing], list[tuple[int, bytes]]]
"""What becomes of a packet: what goes on its way, each after a delay (µs)."""


class Rule:
    """One fault on purpose; `hits` counts the packets that it met."""

    def __init__(self, picks: Predicate, treat: Treatment) -> None:
        self._picks = picks
        self._treat = treat
        self.hits = 0
        self.active = True

    def remove(self) -> None:
        """Ends the rule."""
        self.active = False

    def judge(self, passing: Passing) -> list[tuple[int, bytes]] | None:
        """What becomes of the packet; None when this rule does not concern it."""
        if not self.active or not self._picks(passing):
            return None
        self.hits += 1
        return self._treat(passing)


class Rules:
    """The rules of one direction; the first that picks a packet decides."""

    def __init__(self, direction: str) -> None:
        self._direction = direction
        self._flows = Flows()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """A rule behind those that are there."""
        self._rules.append(rule)

    def judge(self, data: bytes, now: int) -> list[tuple[int, bytes]]:
        """What goes on its way, each packet after a delay (µs)."""
        passing = self._flows.see(data, self._direction, now)
        for rule in self._rules:
            fate = rule.judge(passing)
            if fate is not None:
                return fate
        return [(0, data)]


def data_segment(number: int, *, times: int = 1) -> Predicate:
    """Picks the `number`th data segment of each flow, counted from 1, the first `times` times
    that it is sent: 1 is the original alone, 2 its first retransmission as well.
    """
    return lambda packet: packet.segment == number and packet.sending <= times


def retransmission(number: int | None = None) -> Predicate:
    """Picks retransmissions: all, or the `number`th of each segment, counted from 1."""
    if number is None:
        return lambda packet: packet.sending > 1
    return lambda packet: packet.sending == number + 1
