"""CUBIC and Reno under loss: the response functions, and the same equations loss by loss."""

import pytest

from stack.sim import EveryNth, TapPoint
from stack.sim.bulk import Bulk
from stack.sim.response import cubic_window, rate, reno_window
from tests.support.paths import HEADERS, MBIT, MS, SEGMENT, path
from tests.support.window_models import Cubic, Reno, average_window

MSS = SEGMENT - HEADERS
GIGABIT = 1000 * MBIT  # never the limit
EVERY = 1 << 40  # segments acknowledged one by one, as the model has it
MODELS = {"reno": Reno, "cubic": Cubic}


def expected(name, loss, rtt):
    return reno_window(loss) if name == "reno" else cubic_window(loss, rtt)


class Lossy:
    """A flow that loses segments, begun at the window that theory expects."""

    def __init__(self, name, loss, rtt, *, seed=1, chance=False, quick_acks=EVERY):
        self.net, sender, receiver = path(
            seed,
            rate=GIGABIT,
            delay=rtt // 2,
            loss=loss if chance else EveryNth(round(1 / loss)),
            congestion=name,
            quick_acks=quick_acks,
        )
        self.window = expected(name, loss, rtt)
        self.flow = Bulk(self.net, sender, receiver)
        (wire,) = self.net.wires
        self.counters = wire.towards("receiver").impairments.counters
        wire.tap(self._entered, TapPoint.ENTRY)
        self.gaps = [0]
        self._lost = 0
        self.net.run(until=self.net.now + 2 * rtt)
        self.flow.connection.tcb.ssthresh = int(self.window * MSS)

    def _entered(self, now, direction, data):
        if direction == "sender>receiver":
            if self.counters.lost > self._lost:  # the packet before
                self._lost = self.counters.lost
                self.gaps.append(0)
            self.gaps[-1] += 1

    def run(self, losses):
        """Lets so many losses pass."""
        end = self.counters.lost + losses
        assert self.net.run_until(lambda: self.counters.lost >= end, limit=10**12)
        return self

    def average(self, losses):
        """(segments a round trip, the gaps between losses) over so many losses."""
        began, arrived, before = self.net.now, self.flow.received, len(self.gaps)
        self.run(losses)
        rtt = self.flow.connection.tcb.min_rtt
        rounds = (self.net.now - began) / rtt
        return (self.flow.received - arrived) / MSS / rounds, self.gaps[before:]


@pytest.mark.rfc("9438", "5.1")
@pytest.mark.rfc("9438", "5.2")
def test_the_formulas_give_what_the_rfc_works_out():
    """Table 1, an RTT of 0.1 s and C = 0.4."""
    windows = [round(cubic_window(loss, 100 * MS)) for loss in (1e-2, 1e-4, 1e-5)]
    assert windows == [12, 187, 1054]
    assert cubic_window(1e-3, 10 * MS) == reno_window(1e-3)
    assert rate(10, 100 * MS, 1000) == 800_000


@pytest.mark.rfc("9438", "5.1")
@pytest.mark.rfc("9438", "5.2")
@pytest.mark.parametrize(
    ("name", "loss", "rtt", "losses"),
    [
        ("cubic", 1e-2, 40 * MS, 30),
        ("cubic", 1e-3, 40 * MS, 8),
        ("cubic", 1e-3, 100 * MS, 8),
        ("cubic", 1e-4, 100 * MS, 3),
        ("reno", 1e-3, 40 * MS, 8),
    ],
)
def test_the_window_follows_the_response_function(name, loss, rtt, losses):
    """At 0.01 to 1 % of loss, in the model that the function is of."""
    flow = Lossy(name, loss, rtt).run(max(losses // 2, 2))
    window, _ = flow.average(losses)
    assert 0.85 <= window / flow.window <= 1.15


@pytest.mark.rfc("9438", "4.2")
@pytest.mark.rfc("9438", "4.3")
@pytest.mark.parametrize(
    ("name", "loss", "rtt", "losses"),
    [
        ("cubic", 1e-2, 40 * MS, 100),
        ("cubic", 1e-3, 100 * MS, 25),
        ("reno", 1e-3, 40 * MS, 20),
    ],
)
def test_random_losses_leave_what_the_equations_alone_make_of_the_same_losses(
    name, loss, rtt, losses
):
    flow = Lossy(name, loss, rtt, chance=True).run(2)
    window, gaps = flow.average(losses)
    model = MODELS[name](flow.window, rtt / 1e6)
    theory = average_window(model, gaps, rtt / 1e6)
    assert 0.9 <= window / theory <= 1.1
