"""What a pump makes of the batches that its link brings."""

from types import SimpleNamespace

import pytest

from stack.run.pump import TOGETHER, Pump
from stack.wire.batch import CAPACITY


class Batches:
    """A host and a link in one; the batches are pairs of their size and the text of their last
    packet. `log` tells what happened.
    """

    def __init__(self, *batches):
        self.offload = self.observed = False
        self.flows = None
        self.log = []
        self._batches = list(batches)

    def receive(self, *given):
        if len(given) == 2:
            self.log.append(given[0].count)
            return None
        count, text = self._batches.pop(0) if self._batches else (0, 0)
        return SimpleNamespace(count=count, slot=lambda _: SimpleNamespace(text_length=text))

    def events(self):
        self.log.append("told")
        return []

    def land(self, flows):
        pass


@pytest.mark.parametrize(
    ("batches", "log"),
    [
        ([], []),
        ([(3, 9)], [3, "told"]),
        ([(CAPACITY, 9), (5, 9)], [CAPACITY, 5, "told"]),
        ([(CAPACITY, 9)], [CAPACITY, "told"]),
        ([(CAPACITY, 0), (5, 9)], [CAPACITY, "told"]),
        ([(CAPACITY, 9)] * (TOGETHER + 1), [CAPACITY] * TOGETHER + ["told"]),
    ],
    ids=["nothing", "a few", "a full one and a few", "a full one", "no text", "many"],
)
def test_full_batches_that_end_with_text_are_told_of_together(batches, log):
    both = Batches(*batches)
    pump = Pump(both, both, lambda *_: None)
    assert pump.receive(1) == sum(entry for entry in log if entry != "told")
    assert both.log == log
