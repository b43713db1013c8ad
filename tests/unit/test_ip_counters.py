"""Counters: known names only, and every name that the code counts is known."""

import re
from pathlib import Path

import pytest

from stack.core.counters import COUNTERS, Counters

CORE = Path(__file__).resolve().parents[2] / "stack" / "core"


def test_counters_start_at_zero_and_add():
    counters = Counters()
    assert set(counters.as_dict().values()) == {0}
    counters.count("IpInReceives")
    counters.count("IpInReceives", 4)
    assert counters["IpInReceives"] == 5
    assert counters.non_zero() == {"IpInReceives": 5}


def test_an_unknown_name_is_a_programming_error():
    with pytest.raises(KeyError):
        Counters().count("IpInRecieves")


def test_as_dict_is_a_copy_in_the_order_of_the_list():
    counters = Counters()
    values = counters.as_dict()
    values["IpInReceives"] = 99
    assert counters["IpInReceives"] == 0
    assert list(values) == list(COUNTERS)


def test_every_name_counted_anywhere_is_in_the_list():
    counted = re.compile(r"\b(?:count|_fail|_Refused)\(\s*\"(\w+)\"")
    names = {
        name
        for path in CORE.rglob("*.py")
        for name in counted.findall(path.read_text(encoding="utf-8"))
    }
    assert names, "the pattern finds what it looks for"
    assert names <= set(COUNTERS)


def test_every_counter_has_a_meaning():
    assert all(COUNTERS.values())
