import pytest

from tests.support.playground import Playground, require


@pytest.fixture(scope="session", autouse=True)
def _tools():
    for tool in ("nsenter", "unshare", "ip", "curl"):
        require(tool)


@pytest.fixture(scope="module")
def playground():
    with Playground() as running:
        yield running
