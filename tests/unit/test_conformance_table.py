import subprocess
import sys

from tests.support import conformance_http2
from tests.support.conformance import ROOT, TABLE, render


def test_the_conformance_table_is_current():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.conformance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    mend = "stale: run .venv/bin/python -m tests.support.conformance --write"
    assert done.stdout == TABLE.read_text() + conformance_http2.TABLE.read_text(), mend


def test_a_row_names_files_of_several_kinds_and_never_more_than_three_tests():
    names = [f"tests/conformance/test_a.py::test_{n}" for n in range(5)]
    names += ["tests/drill/rto/karn.pkt", "tests/unit/test_b.py::test_b"]
    shown = "`conformance/test_a.py`: `test_0`; `drill/rto/karn.pkt`; `unit/test_b.py`: `test_b`"
    assert f"| {shown} and 4 more |" in render({("9293", "MUST-18"): names})


def test_a_script_stands_in_the_table_under_its_own_path():
    table = TABLE.read_text()
    assert "`drill/rto/karn.pkt`" in table
    assert "test_scripts.py" not in table


def test_no_requirement_of_rfc_9293_and_no_section_of_another_rfc_is_missing():
    assert "missing**" not in TABLE.read_text()


def test_a_section_without_a_test_is_told():
    overview = render({("6633", "3"): ["tests/unit/test_a.py::test_a"]})
    assert "| Source quench deprecated | 3, **5: missing** | 1 |" in overview


def test_every_must_of_http_2_has_a_test_or_a_reason():
    assert "**missing**" not in conformance_http2.TABLE.read_text()
