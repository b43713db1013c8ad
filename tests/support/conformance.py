"""Makes docs/conformance.md and docs/http2.md from the `rfc` markers of the tests.

    python -m tests.support.conformance          prints the tables
    python -m tests.support.conformance --write  writes docs/conformance.md and docs/http2.md

A row is *proved by* the tests that are bound to it. They all pass whenever the test run
does; a test of its own compares the file with the markers. A requirement without a test
is missing, whatever the code does.

A row names few tests and says how many there are besides; `pytest --collect-only` and the
markers in the files know them all.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import redirect_stdout
from itertools import chain, groupby, zip_longest
from pathlib import Path

import pytest

from tests.support import conformance_http2 as http2
from tests.support.requirements import REQUIREMENTS
from tests.support.rfcs import RFCS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "conformance.md"
_SHOWN = 3
_SCRIPT = re.compile(r"tests/drill/.*\[(.*)\]")

# Requirements that do not apply, with the reason that the RFC supports.
NOT_APPLICABLE: dict[str, str] = {
    "SHLD-13": "asks applications not to use urgent data; the stack only offers it",
    "SHLD-23": "asks applications not to change DSCP often; the stack only offers it",
}

# What the RFC lets a host leave out (MAY), and why ours does.
NOT_OFFERED: dict[str, str] = {
    "MAY-17": "no socket interface has a place for it; data is announced as it arrives",
}

Proofs = dict[tuple[str, str], list[str]]


class _Collector:
    """A pytest plugin that notes which test is bound to which requirement."""

    def __init__(self) -> None:
        self.proofs: Proofs = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            name = _name(item.nodeid)
            for marker in item.iter_markers("rfc"):
                for rfc, place in _places(marker.args):
                    if name not in self.proofs[rfc, place]:
                        self.proofs[rfc, place].append(name)


def _name(node: str) -> str:
    """What tells a reader where to look: file and function, or the script that is run."""
    script = _SCRIPT.match(node)
    return f"tests/drill/{script[1]}.pkt" if script else node.partition("[")[0]


def _places(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    """A marker's RFC with each of its places, section signs left out."""
    rfc, *places = (str(argument) for argument in arguments)
    return [(rfc, place.lstrip("§ ")) for place in places or [""]]


def collect() -> Proofs:
    """The tests of the whole tree by what they prove."""
    collector = _Collector()
    arguments = ["--collect-only", "-qq", "-p", "no:cacheprovider", str(ROOT / "tests")]
    with redirect_stdout(sys.stderr):
        status = pytest.main(arguments, plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"the tests cannot be collected: {status!r}")
    return collector.proofs


def render(proofs: Proofs) -> str:
    """The document."""
    numbered = {number for number, _, _ in REQUIREMENTS}
    lines = [
        "# Conformance",
        "",
        "Made by `python -m tests.support.conformance --write` from the markers of the tests;",
        "`scripts/test` fails when it is stale. A requirement without a test is *missing*.",
        "",
        "## RFC 9293",
        "",
        _count(proofs),
        "",
        "| requirement | section | what it asks | proved by |",
        "| --- | --- | --- | --- |",
    ]
    for number, section, text in REQUIREMENTS:
        lines.append(f"| {number} | {section} | {text} | {_proof(number, proofs)} |")
    lines += _overview(proofs)
    lines += ["", "## By section", "", "| RFC | section | proved by |", "| --- | --- | --- |"]
    rest = [key for key in proofs if not (key[0] == "9293" and key[1] in numbered)]
    rest = [key for key in rest if not http2.numbered(*key)]
    for rfc, place in sorted(rest, key=_order):
        lines.append(f"| {rfc} | {place} | {_names(proofs[rfc, place])} |")
    return "\n".join(lines) + "\n"


def _overview(proofs: Proofs) -> list[str]:
    """The other RFCs, each with the sections that ask something of a host."""
    lines = [
        "",
        "## The other RFCs of TCP and IP",
        "",
        "Sections are listed that ask something of a host. What proves each is listed below.",
        "",
        "| RFC | subject | sections | tests |",
        "| --- | --- | --- | --- |",
    ]
    for number, title, listed in RFCS:
        told = [
            place if _below(number, place, proofs) else f"**{place}: missing**"
            for place in listed.split("; ")
        ]
        tests = {name for key, names in proofs.items() if key[0] == number for name in names}
        lines.append(f"| {_link(number)} | {title} | {', '.join(told)} | {len(tests)} |")
    return lines


def _below(number: str, place: str, proofs: Proofs) -> bool:
    """Whether a section, or one within it, has a test."""
    return any(
        rfc == number and (found == place or found.startswith(place + ".")) for rfc, found in proofs
    )


def _link(number: str) -> str:
    if number.isdigit():
        return f"[{number}](https://www.rfc-editor.org/rfc/rfc{number})"
    return f"[{number}](https://datatracker.ietf.org/doc/{number}/)"


def _count(proofs: Proofs) -> str:
    proved = sum(bool(proofs.get(("9293", number))) for number, _, _ in REQUIREMENTS)
    spared, left_out = len(NOT_APPLICABLE), len(NOT_OFFERED)
    missing = len(REQUIREMENTS) - proved - spared - left_out
    return (
        f"Of {len(REQUIREMENTS)} numbered requirements: {proved} proved, {spared} not applicable, "
        f"{left_out} optional and not offered, {missing} missing."
    )


def _proof(number: str, proofs: Proofs) -> str:
    names = proofs.get(("9293", number))
    if names:
        return _names(names)
    if number in NOT_APPLICABLE:
        return f"*not applicable:* {NOT_APPLICABLE[number]}"
    if number in NOT_OFFERED:
        return f"*not offered:* {NOT_OFFERED[number]}"
    return "**missing**"


def _names(names: list[str]) -> str:
    """A few of the tests, each file once, and how many there are besides."""
    shown = _spread(names)
    files: dict[str, list[str]] = {}
    for name in sorted(shown):
        file, _, function = name.removeprefix("tests/").partition("::")
        files.setdefault(file, []).extend([function] if function else [])
    more = len(names) - len(shown)
    told = [
        f"`{file}`" + ": " * bool(functions) + ", ".join(f"`{one}`" for one in functions)
        for file, functions in files.items()
    ]
    return "; ".join(told) + (f" and {more} more" if more else "")


def _spread(names: Iterable[str]) -> list[str]:
    """As many as are shown, of as many kinds of test as there are."""
    kinds = [list(group) for _, group in groupby(sorted(names), key=lambda n: n.split("/")[1])]
    return [name for name in chain(*zip_longest(*kinds)) if name][:_SHOWN]


def _order(key: tuple[str, str]) -> tuple[int, list[tuple[int, int | str]]]:
    rfc, place = key
    parts = re.findall(r"\d+|\D+", place)
    number = int(rfc) if rfc.isdigit() else 1 << 20  # drafts come last
    return number, [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


if __name__ == "__main__":
    proofs = collect()
    documents = {TABLE: render(proofs), http2.TABLE: http2.render(proofs, _names)}
    for path, document in documents.items():
        if "--write" in sys.argv:
            path.write_text(document)
        else:
            print(document, end="")
