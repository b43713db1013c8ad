"""What the guide and the README show of the simulator is what it does."""

from pathlib import Path

import pytest

from tests.support.examples import examples

ROOT = Path(__file__).parents[2]
SHOWN = [
    pytest.param(example, id=f"{name}:{example.line}")
    for name in ("docs/simulation.md", "README.md")
    for example in examples((ROOT / name).read_text())
    if "stack.sim" in example.code
]


@pytest.mark.parametrize("example", SHOWN)
def test_an_example_prints_what_is_written_below_it(example):
    printed = example.run()
    mend = "if that is meant: python -m tests.support.examples FILE --write"
    assert printed == (example.text or ""), mend


def test_the_guide_has_its_examples():
    assert len(SHOWN) >= 10
