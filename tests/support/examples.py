"""The examples of a guide: blocks of Python, each with the text that it prints behind it.

python -m tests.support.examples docs/simulation.md --write   writes what they print now
"""

import io
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<text>.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block; `text` is what the guide says that it prints, None where it says nothing."""

    code: str
    text: str | None
    line: int

    def run(self) -> str:
        """What it prints."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(self.code, f"line {self.line}", "exec"), {"__name__": "__example__"})
        return printed.getvalue()


def examples(guide: str) -> list[Example]:
    """Those of a guide, in their order."""
    return [
        Example(block["code"], block["text"], guide.count("\n", 0, block.start("code")) + 1)
        for block in _BLOCK.finditer(guide)
    ]


def renewed(guide: str) -> str:
    """The guide with what its examples print now."""

    def block(found: re.Match[str]) -> str:
        if found["text"] is None:
            return found[0]
        text = Example(found["code"], None, 0).run()
        return f"```python\n{found['code']}```\n\n```text\n{text}```\n"

    return _BLOCK.sub(block, guide)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    result = renewed(path.read_text())
    if sys.argv[2:] == ["--write"]:
        path.write_text(result)
    else:
        print(result, end="")
