"""docs/tour.md shows what its commands print."""

import re
import shlex
from pathlib import Path

import pytest

from stack.core.why import Verdict, Why
from tests.support.playground import tunstack

TOUR = (Path(__file__).parents[2] / "docs" / "tour.md").read_text()
PREFIX = "tunstack run --trace -- "
ROW = re.compile(r"\s*\d+\s+[\d.]+\s+(\S+)\s+(\S+)\s+(\S+)\s+(\d+)\s+(.*)")
# What depends on the moment: numbers, and the acknowledgements that travel alone.
CHANGING = re.compile(r"(\d+ → \d+ |\b(Seq|Ack|Win|TSval|TSecr)=\d+ ?)")
BARE = re.compile(r"(\[[^\]]*\] )*\[ACK\]")

TOLD = [line.split("`")[1] for line in TOUR.splitlines() if line.startswith(f"`{PREFIX}")]
SECTIONS = dict(zip(TOLD, TOUR.split(f"\n`{PREFIX}")[1:], strict=True))
TABLE = TOUR.split("| frame |")[1].split("\n\n")[0]
FRAMES = re.findall(r"^\| ([A-Z_]+) \|.*\| `([^`]+)`", TABLE, re.MULTILINE)

COMMON = ("DATA", "HEADERS", "SETTINGS", "WINDOW_UPDATE")  # "any of these"


def said(text):
    """{direction: what its packets say, in order}, and all reasons."""
    packets, reasons = {}, set()
    for line in text.splitlines():
        row = ROW.match(line)
        if row:
            source, destination, _, _, info = row.groups()
            info = CHANGING.sub("", info).strip()
            if not BARE.match(info):
                packets.setdefault((source, destination), []).extend(info.split(", "))
        elif "↳" in line:
            reasons.add(line.partition("↳ ")[2])
    return packets, reasons


def run(command, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(3_000_000))
    words = [word.replace("U/", "http://192.0.2.2/", 1) for word in shlex.split(command)]
    words = [word.replace("@FILE", f"@{file}") for word in words]
    return tunstack("run", "--trace", "--", *words).stderr


@pytest.mark.parametrize("command", SECTIONS)
def test_the_packets_of_the_tour_come(command, tmp_path):
    blocks = re.findall(r"```\n(.*?)```", SECTIONS[command], re.DOTALL)
    shown, reasons = said("\n".join(blocks))
    really, real_reasons = said(run(command.removeprefix(PREFIX), tmp_path))
    assert shown
    for direction, items in shown.items():
        rest = iter(really[direction])
        missing = [item for item in items if item not in rest]
        assert not missing, (direction, really[direction])
    known = {one.explain("").split(" (RFC")[0] for one in (*Why, *Verdict)}
    for reason in reasons - real_reasons:  # those of bare acknowledgements may differ
        assert any(reason.startswith(text) for text in known), reason


def test_each_type_of_frame_has_its_command():
    assert len(re.findall(r"^\| [A-Z_]+ \|", TABLE, re.MULTILINE)) == 10
    assert len(FRAMES) + len(COMMON) == 10


@pytest.mark.parametrize(("frame", "command"), FRAMES)
def test_a_command_shows_its_frame(frame, command, tmp_path):
    assert re.search(rf"\b{frame}\[", run(command, tmp_path))


@pytest.mark.parametrize("frame", COMMON)
def test_every_request_shows_the_common_frames(frame, tmp_path):
    assert re.search(rf"\b{frame}\[", run("curl -s --http2-prior-knowledge U/", tmp_path))
