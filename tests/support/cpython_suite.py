"""CPython's own tests of sockets, run against the drop-in on a host of ours.

    python -m tests.support.cpython_suite MODULE CLASS...     for example test_socket BasicTCPTest

prints one line of JSON: for each test its outcome, "ok", "skipped: why" or "failed: why". The
drop-in is in place of `socket` for the whole process, with every internet socket on one host
that has 127.0.0.1 and ::1 and talks to itself.
"""

import contextlib
import importlib
import io
import json
import os
import sys
import unittest
import warnings
from typing import Any

from stack.sockets import dropin


class Outcomes(unittest.TestResult):
    """Keeps one outcome for each test, the worst."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def _note(self, test: Any, outcome: str) -> None:
        name = test.id().removeprefix("test.")
        if not self.found.get(name, "").startswith("failed"):
            self.found[name] = outcome

    def addSuccess(self, test: Any) -> None:  # noqa: N802 - unittest's name
        self._note(test, "ok")

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802 - unittest's name
        self._note(test, f"skipped: {reason}")

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        self._note(test, f"failed: {err[0].__name__}: {err[1]}")

    addFailure = addError  # noqa: N815 - unittest's name

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            self.addError(test, err)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self._note(test, "ok")


def load(module: Any, names: list[str]) -> unittest.TestSuite:
    """The tests of these classes; a class may be followed by a dot and a test."""
    loader = unittest.defaultTestLoader
    return unittest.TestSuite(loader.loadTestsFromName(name, module) for name in names)


def main(module: str, names: list[str]) -> None:
    addresses = ("192.0.2.2/24", "2001:db8::2/64")
    host = dropin.open_host(None, *addresses, loopback=True)
    with dropin.installed(host, shared=False):
        warnings.simplefilter("ignore")
        outcomes = Outcomes()
        tests = load(importlib.import_module(f"test.{module}"), names)
        with contextlib.redirect_stderr(io.StringIO()):
            tests.run(outcomes)
    print(json.dumps(outcomes.found), flush=True)
    os._exit(0)  # threads that a failed test left behind do not matter


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
