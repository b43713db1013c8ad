import subprocess
import sys

from tests.support.conformance import ROOT, TABLE


def test_the_conformance_table_is_current():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.conformance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    mend = "stale: run .venv/bin/python -m tests.support.conformance --write"
    assert done.stdout == TABLE.read_text(), mend
