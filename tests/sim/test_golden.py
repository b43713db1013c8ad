"""The golden table: what is in git is what the stack does."""

import os

import pytest

from tests.support.golden import (
    ALGORITHMS,
    CHEAP,
    GUIDE,
    PLACES,
    TABLE,
    cell,
    line,
    shown_in,
    theory,
)

LONG = os.environ.get("TUNSTACK_FUZZ") == "long"
MEND = "a figure moved: if that is meant, `scripts/golden --write`, and look at the diff"


@pytest.mark.parametrize("place", PLACES if LONG else CHEAP, ids=lambda place: place.key)
def test_the_golden_table_is_what_the_stack_does(place):
    """A few lines each time; all of them with `scripts/test --fuzz`."""
    figures = [cell((place, algorithm)) for algorithm in ALGORITHMS]
    known = [text for text in TABLE.read_text().splitlines(keepends=True) if place.key in text]
    assert known == [line(place, figures)], MEND


def test_the_guide_shows_the_golden_table():
    assert shown_in(GUIDE.read_text()) == TABLE.read_text()


def rows():
    """(place, {algorithm: Mbit/s}) of the table in git."""
    for place, text in zip(PLACES, TABLE.read_text().splitlines()[2:], strict=True):
        assert text.startswith(place.key)
        reno, _, cubic, _, bbr = map(float, text.strip("|").split("|")[3:])
        yield place, dict(zip(ALGORITHMS, (reno, cubic, bbr), strict=True))


def test_the_golden_table_keeps_to_theory():
    """Without loss every algorithm fills its link; with loss Reno and CUBIC carry what their
    windows allow, and BBR fills the link all the same.
    """
    for place, carried in rows():
        for name, mbit in carried.items():
            share = mbit / theory(place, name)
            assert 0.7 <= share <= 1.5, (place, name, share)
            if not place.loss:
                assert share >= 0.95, (place, name, share)
