"""Source routes with the kernel as gateway and as peer (RFC 9293 §3.9.2.1)."""

import json
import os
import sys

import pytest

from tests.support.playground import call, require
from tests.support.source_route_world import NEAR, SIZE, route


@pytest.fixture(scope="module")
def seen():
    require("unshare")
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = [sys.executable, "-m", "tests.support.source_route_world"]
    done = call(["unshare", "--net", *own_user, *program])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.rfc("9293", "MUST-51")
def test_the_kernel_passes_a_connection_on_along_our_route(seen):
    assert seen["active"]["received"] == SIZE
    assert seen["active"]["hops"] == [NEAR]


@pytest.mark.rfc("9293", "MUST-53")
def test_we_answer_the_kernel_by_the_way_that_its_segments_came(seen):
    assert seen["passive"]["received"] == SIZE
    assert seen["passive"]["hops"] == [NEAR]
    assert bytes.fromhex(seen["passive"]["way_back"]) == route(NEAR)
