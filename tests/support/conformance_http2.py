"""Makes docs/http2.md: every MUST of RFC 9113 and RFC 7541 with the tests that prove it.

It is written together with docs/conformance.md, by `tests.support.conformance`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.http2_requirements import NOT_APPLICABLE, RFC_7541, RFC_9113

TABLE = Path(__file__).parents[2] / "docs" / "http2.md"
RFCS = {
    "9113": ("HTTP/2", RFC_9113),
    "7541": ("HPACK", RFC_7541),
}

Proofs = Mapping[tuple[str, str], list[str]]


def numbered(rfc: str, place: str) -> bool:
    """Whether this is one of the requirements, not a whole section."""
    return rfc in RFCS and any(place == number for number, _ in RFCS[rfc][1])


def render(proofs: Proofs, names: Callable[[list[str]], str]) -> str:
    """The document; `names` tells tests by name."""
    lines = [
        "# HTTP/2: what the RFCs ask, and the test that shows it",
        "",
        "Made by `python -m tests.support.conformance --write` from the markers of the tests;",
        "`scripts/test` fails when it is stale. Each MUST and MUST NOT has a row, in words of ours;",
        "the number behind the section counts within it. Where the RFC asks for a stream error we",
        "often end the connection with the same code, which RFC 9113 §5.4.1 allows: who gets",
        "frames wrong is not worth more.",
    ]
    for rfc, (name, requirements) in RFCS.items():
        lines += ["", f"## RFC {rfc}: {name}", "", _count(rfc, proofs), ""]
        lines += ["| requirement | what it asks | proved by |", "| --- | --- | --- |"]
        lines += [
            f"| {number} | {text} | {_proof((rfc, number), proofs, names)} |"
            for number, text in requirements
        ]
    return "\n".join(lines) + "\n"


def _count(rfc: str, proofs: Proofs) -> str:
    numbers = [number for number, _ in RFCS[rfc][1]]
    proved = sum(bool(proofs.get((rfc, number))) for number in numbers)
    spared = sum((rfc, number) in NOT_APPLICABLE for number in numbers)
    return (
        f"Of {len(numbers)} requirements {proved} are proved, {spared} do not apply, "
        f"{len(numbers) - proved - spared} are missing."
    )


def _proof(key: tuple[str, str], proofs: Proofs, names: Callable[[list[str]], str]) -> str:
    if proofs.get(key):
        return names(proofs[key])
    reason = NOT_APPLICABLE.get(key)
    return f"*not applicable:* {reason}" if reason else "**missing**"


def missing(proofs: Proofs) -> list[tuple[str, str]]:
    """Requirements that no test proves and no reason excuses."""
    keys = [(rfc, number) for rfc, (_, rows) in RFCS.items() for number, _ in rows]
    return [key for key in keys if not proofs.get(key) and key not in NOT_APPLICABLE]
