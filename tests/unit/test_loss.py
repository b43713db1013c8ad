"""Which packets a link loses."""

import random
from itertools import groupby

import pytest

from stack.errors import UsageError
from stack.link.loss import EveryNth, GilbertElliott, decision

MANY = 500_000


def losses(loss, seed=1, count=MANY):
    lost = decision(loss, random.Random(seed))
    return [lost() for _ in range(count)]


def bursts(outcomes):
    """The lengths of all runs of losses."""
    return [len(list(run)) for lost, run in groupby(outcomes) if lost]


def test_no_loss_asks_no_chance():
    assert decision(0.0, random.Random(1)) is None


def test_independent_losses_come_mostly_alone():
    outcomes = losses(0.02)
    assert sum(outcomes) == pytest.approx(0.02 * MANY, rel=0.1)
    assert sum(bursts(outcomes)) / len(bursts(outcomes)) == pytest.approx(1 / 0.98, rel=0.02)


@pytest.mark.parametrize(("loss", "length"), [(0.01, 5), (0.1, 2), (0.3, 20), (0.05, 1)])
def test_bursts_have_the_share_and_the_length_that_were_asked_for(loss, length):
    outcomes = losses(GilbertElliott.bursts(loss, length))
    runs = bursts(outcomes)
    assert sum(outcomes) / MANY == pytest.approx(loss, rel=0.15)
    assert sum(runs) / len(runs) == pytest.approx(length, rel=0.1)


def test_the_good_state_may_lose_and_the_bad_one_spare():
    outcomes = losses(GilbertElliott(0.01, 0.1, loss_good=0.001, loss_bad=0.5))
    # It is bad for 1/11 of the time.
    assert sum(outcomes) / MANY == pytest.approx(0.5 / 11 + 0.001 * 10 / 11, rel=0.1)


def test_every_nth_is_lost_and_no_other():
    assert losses(EveryNth(4), count=12) == [False, False, False, True] * 3


@pytest.mark.parametrize("loss", [0.1, GilbertElliott.bursts(0.1, 3), EveryNth(7)])
def test_the_same_seed_loses_the_same(loss):
    assert losses(loss, 5, 1000) == losses(loss, 5, 1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GilbertElliott(1.5, 0.1),
        lambda: GilbertElliott(0.1, 0.1, loss_bad=-1),
        lambda: GilbertElliott.bursts(1.0, 2),
        lambda: GilbertElliott.bursts(0.1, 0.5),
        lambda: EveryNth(0),
    ],
)
def test_what_cannot_be_is_said(make):
    with pytest.raises(UsageError):
        make()
