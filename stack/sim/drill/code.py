"""`%{ … }%`: Python in a script, with the variables of the connection as Linux names them."""

import ast
import textwrap
from typing import Any

from stack.core.tcp.connection import Connection
from stack.sim.drill.errors import Mismatch
from stack.sim.drill.tcp_info import CONSTANTS, tcp_info


class Snippets:
    """Runs the snippets of one script; what one of them defines, later ones have."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = dict(CONSTANTS)

    def run(
        self, source: str, connection: Connection | None, counters: dict[str, int], now: int
    ) -> None:
        """Runs a snippet at `now` (µs). Raises Mismatch when an assertion fails or it breaks."""
        if connection is not None:
            self._names.update(tcp_info(connection, now))
        self._names["counters"] = counters
        text = textwrap.dedent(source).strip()
        try:
            # A script is a program that its user chose to run, as any Python file is.
            exec(compile(text, "snippet", "exec"), self._names)  # noqa: S102
        except AssertionError as error:
            raise Mismatch("an assertion failed", self._details(text, error)) from None
        except Exception as error:
            what = f"the Python code failed: {type(error).__name__}: {error}"
            if connection is None and isinstance(error, NameError):
                what += "; there is no connection yet"
            raise Mismatch(what, self._details(text, None)) from None

    def _details(self, text: str, error: AssertionError | None) -> tuple[str, ...]:
        """The snippet, and what the names in it stand for."""
        lines = [f"  {line}" for line in text.splitlines()]
        said = "" if error is None else str(error)
        if said:
            lines.append(f"  the assertion says: {said}")
        lines += [
            f"  {name} = {self._names[name]!r}" for name in _names_in(text) if self._is_value(name)
        ]
        return tuple(lines)

    def _is_value(self, name: str) -> bool:
        return isinstance(self._names.get(name), int | float | str)


def _names_in(text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    found = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return list(dict.fromkeys(found))


def check(source: str) -> str:
    """What is wrong with the syntax of a snippet; empty when nothing is."""
    try:
        ast.parse(textwrap.dedent(source).strip())
    except SyntaxError as error:
        return f"{error.msg} in the Python code"
    return ""
