"""Fixtures of all tests, and how hard Hypothesis tries."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support.endpoint import Endpoint, Peer

# A shell starts what runs in the background with SIGINT ignored, which every program that the
# tests start would inherit: Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "normal", derandomize=True, deadline=None, max_examples=100, suppress_health_check=_SLOW
)
settings.register_profile("long", deadline=None, max_examples=2000, suppress_health_check=_SLOW)
settings.load_profile("long" if os.environ.get("TUNSTACK_FUZZ") == "long" else "normal")


@pytest.fixture(scope="session", autouse=True)
def _state_of_their_own(tmp_path_factory):
    """Commands under test keep their certificate in a folder of the session's."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def tcp(request):
    """Makes endpoints; when the test has passed, each must have been honest on the wire."""
    made = []

    def make(*arguments, **settings):
        if isinstance(settings.get("peer"), dict):
            settings["peer"] = Peer(**settings["peer"])
        made.append(Endpoint(*arguments, **settings))
        return made[-1]

    yield make
    report = getattr(request.node, "outcome_of_call", None)
    if report is not None and report.passed:
        for endpoint in made:
            endpoint.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.outcome_of_call = report
    return report
