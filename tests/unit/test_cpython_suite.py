"""CPython's own tests of sockets and asyncio pass on the drop-in, but for those named."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import cpython_groups
from tests.support.cpython_groups import EXCEPTIONS, GROUPS, Group

pytestmark = pytest.mark.timeout(900)

ROOT = str(Path(__file__).parents[2])
AT_ONCE = 4
"""Processes; most of their time they sleep."""


def run(module: str, names: list[str]) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.support.cpython_suite", module, *names]
    with tempfile.TemporaryDirectory() as folder:  # these tests write where they are run
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": ROOT},
        )
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_group(group: Group) -> dict[str, str]:
    """Their outcomes; what failed is tried again by itself, since many tests wait in real time."""
    found = run(group.module, group.classes.split())
    failed = [name for name, said in found.items() if said.startswith("failed")]
    prefix = f"{group.module}."
    return found | (run(group.module, [n.removeprefix(prefix) for n in failed]) if failed else {})


@pytest.fixture(scope="module")
def outcomes():
    if importlib.util.find_spec("test.test_socket") is None:
        pytest.fail(
            "CPython's tests are missing: sudo apt-get install libpython3.N-testsuite, for python3.N"
        )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(GROUPS, pool.map(run_group, GROUPS), strict=True))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.subject)
def test_what_fails_is_named_with_its_reason(outcomes, group):
    failed = {name: said for name, said in outcomes[group].items() if said.startswith("failed")}
    assert not set(failed) - set(EXCEPTIONS), failed


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_what_is_named_does_fail(outcomes, name):
    found = {name: said for group in outcomes.values() for name, said in group.items()}
    assert found[name].startswith("failed")


def test_nine_of_ten_pass_in_every_group(outcomes):
    for group, found in outcomes.items():
        ran = [said for said in found.values() if not said.startswith("skipped")]
        assert ran.count("ok") >= 0.9 * len(ran) > 0, group.subject


def test_the_guide_has_the_table():
    assert cpython_groups.written() == cpython_groups.table(), (
        "run: python -m tests.support.cpython_groups"
    )
