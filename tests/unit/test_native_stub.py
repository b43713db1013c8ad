"""The typed stub says what the header says."""

import re
import subprocess
import sys
from pathlib import Path

from stack import _native

ROOT = Path(__file__).resolve().parents[2]


def test_the_stub_is_the_one_that_the_header_gives():
    command = [sys.executable, str(ROOT / "native" / "stub.py"), "--check"]
    result = subprocess.run(command, check=False)
    assert result.returncode == 0, "run native/stub.py after a change of native/tunstack.h"


def test_the_extension_has_every_name_of_the_stub():
    stub = (ROOT / "stack" / "_native.pyi").read_text(encoding="utf-8")
    body = stub.split("class _Lib:\n")[1].split("\nclass ")[0]
    names = set(re.findall(r"^    (?:def )?(\w+)[:(]", body, re.MULTILINE))
    assert {"FLAG_SYN", "FAULT_COUNT", "packet_parse"} <= names
    assert not {name for name in names if not hasattr(_native.lib, name)}
