"""Which packets a link loses by itself: each with the same chance, in bursts, or every so many."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from stack.errors import UsageError

Decision = Callable[[], bool]
"""Asked once for each packet, in their order: is this one lost?"""


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """A channel with a good and a bad state, which loses in bursts (Gilbert 1960, Elliott
    1963).

    Before each packet it goes to the bad state with the probability `to_bad`, or back with
    `to_good`; then the packet is lost with the probability of the state it is in. Raises
    UsageError for a value that is no probability.
    """

    to_bad: float
    to_good: float
    loss_good: float = 0.0
    loss_bad: float = 1.0

    def __post_init__(self) -> None:
        for value in (self.to_bad, self.to_good, self.loss_good, self.loss_bad):
            if not 0 <= value <= 1:
                raise UsageError(f"{value} is no probability: give one from 0 to 1")

    @classmethod
    def bursts(cls, loss: float, length: float) -> "GilbertElliott":
        """Loses the share `loss` of all packets, on average `length` in a row.

        Raises UsageError unless 0 <= loss < 1 and length >= 1.
        """
        if not (0 <= loss < 1 and length >= 1):
            raise UsageError("bursts need a loss from 0 to below 1 and a length of at least 1")
        back = 1 / length
        return cls(to_bad=min(1.0, loss * back / (1 - loss)), to_good=back)

    def decide(self, rng: random.Random) -> Decision:
        """What to ask for each packet."""
        bad = False

        def lost() -> bool:
            nonlocal bad
            if rng.random() < (self.to_good if bad else self.to_bad):
                bad = not bad
            return rng.random() < (self.loss_bad if bad else self.loss_good)

        return lost


@dataclass(frozen=True, slots=True)
class EveryNth:
    """Loses each `n`-th packet: the deterministic loss by which response functions of
    congestion control are worked out (RFC 9438 §5). Raises UsageError unless n >= 1.
    """

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"every {self.n}th packet cannot be lost: count from 1")

    def decide(self, rng: random.Random) -> Decision:
        """What to ask for each packet."""
        count = 0

        def lost() -> bool:
            nonlocal count
            count += 1
            return count % self.n == 0

        return lost


Loss = float | GilbertElliott | EveryNth
"""How a link loses packets; a number is each packet's own chance."""


def decision(loss: Loss, rng: random.Random) -> Decision | None:
    """What to ask for each packet; None for a link that loses none."""
    if isinstance(loss, GilbertElliott | EveryNth):
        return loss.decide(rng)
    return (lambda: rng.random() < loss) if loss > 0 else None
