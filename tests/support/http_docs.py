"""Writes the tables of limits and counters into docs/http.md.

python -m tests.support.http_docs
"""

import ast
import inspect
import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

from stack.http import limits
from stack.http.counters import COUNTERS
from stack.http.limits import Limits

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def limit_rows() -> list[str]:
    """A row for each field of Limits, its docstring in the source."""
    body = next(
        node for node in ast.parse(inspect.getsource(limits)).body if isinstance(node, ast.ClassDef)
    ).body
    texts = {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    defaults = {field.name: field.default for field in fields(Limits)}
    return [f"| `{name}` | {_value(defaults[name])} | {texts[name]} |" for name in defaults]


def _value(default: float | bool) -> str:
    return (
        f"{default:,}"
        if isinstance(default, int) and not isinstance(default, bool)
        else f"{default}"
    )


def tables() -> tuple[str, str]:
    """Both, with their heads."""
    rows = [f"| `{name}` | {text} |" for name, text in COUNTERS.items()]
    first = ["| limit | default | what |", "| --- | ---: | --- |", *limit_rows()]
    second = ["| counter | what it counts |", "| --- | --- |", *rows]
    return "\n".join(first), "\n".join(second)


def filled(text: str) -> str:
    """The page with tables that are current."""
    first, second = tables()
    head = r"\| limit \|.*?\n(?!\|)", r"\| counter \|.*?\n(?!\|)"
    for pattern, table in zip(head, (first, second), strict=True):
        text = re.sub(pattern, lambda _, table=table: table + "\n", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
