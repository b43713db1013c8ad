"""Every script below this folder, run as a test bound to the rules that its first lines name."""

import re
from pathlib import Path

import pytest

from stack.core.events import PacketReceived, PacketSent
from stack.core.why import Verdict, Why
from stack.sim.drill import load, run
from stack.sim.drill.report import report
from tests.support.wirecheck import check

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.rglob("*.pkt"))
# 2^31 ms: what is farther apart cannot be compared (RFC 7323 §5.2).
TIMESTAMPS_WRAP = 24 * 24 * 3600 * 1_000_000
# `// RFC 9293 MUST-14: what the script shows`
RULE = re.compile(r"^// RFC (\d+) ([^:\n]+): \S", re.MULTILINE)


def _rules(path):
    head = path.read_text("utf-8").split("\n\n")[0]
    return RULE.findall(head)


def _name(path):
    return str(path.relative_to(FOLDER).with_suffix(""))


def _parameter(path):
    marks = [pytest.mark.rfc(number, rule) for number, rule in _rules(path)]
    return pytest.param(path, id=_name(path), marks=marks)


@pytest.mark.parametrize("path", [_parameter(path) for path in SCRIPTS])
def test_script(path):
    outcome = run(load(path), strict=True)
    assert outcome.failure is None, "\n" + "\n".join(report(outcome))
    if outcome.duration < TIMESTAMPS_WRAP:
        assert _violations(outcome) == []


def _violations(outcome):
    """What no honest TCP sends; segments of connections that never were are left out."""
    packets = [
        (event.now, event.data)
        for event in outcome.seen
        if isinstance(event, PacketSent | PacketReceived)
        and getattr(event, "verdict", None) is not Verdict.BAD_SYN_ACK
        and getattr(event, "why", None) is not Why.BAD_SYN_ACK
    ]
    return check(packets, {outcome.script.settings.local}, loss_free=False, slow_reader=True)


def test_there_are_scripts_enough_to_document_the_stack():
    assert len(SCRIPTS) >= 150


@pytest.mark.parametrize("path", SCRIPTS, ids=_name)
def test_the_first_line_of_a_script_names_its_rule(path):
    assert RULE.match(path.read_text("utf-8"))
