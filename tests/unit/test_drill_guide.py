"""The guide's example is what really happens."""

import re
from pathlib import Path

import pytest

from stack.cli.main import main
from stack.sim.drill import settings, syscalls

GUIDE = Path(__file__).parent.parent.parent / "docs" / "drill.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_worked_example_prints_what_the_guide_shows(tmp_path, monkeypatch, capsys):
    script, passed, failed = BLOCKS[:3]
    monkeypatch.chdir(tmp_path)
    Path("hello.pkt").write_text(script, "utf-8")
    assert main(["drill", "hello.pkt"]) == 0
    assert "$ tunstack drill hello.pkt\n" + capsys.readouterr().out == passed
    lines = script.splitlines(keepends=True)
    Path("hello.pkt").write_text("".join(lines[:22] + lines[23:]), "utf-8")
    assert main(["drill", "hello.pkt"]) == 1
    assert "$ tunstack drill hello.pkt\n" + capsys.readouterr().out == failed


@pytest.mark.parametrize("name", sorted(syscalls.HANDLERS))
def test_the_guide_names_every_call(name):
    assert f"`{name}`" in GUIDE.read_text("utf-8")


@pytest.mark.parametrize("name", sorted(settings.OPTIONS))
def test_the_guide_names_every_option(name):
    assert f"--{name}" in GUIDE.read_text("utf-8")


def test_the_links_of_the_guide_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text("utf-8")):
        assert (GUIDE.parent / target).exists(), target
