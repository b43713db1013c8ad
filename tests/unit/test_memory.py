import gc
import weakref

import pytest

from stack.run import memory


class Cycle:
    def __init__(self):
        self.me = self


@pytest.fixture
def settled():
    memory.settle()
    yield
    gc.unfreeze()


def test_only_what_comes_later_is_looked_at(settled):
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects()) < 1000


def test_what_comes_later_is_still_collected(settled):
    gone = weakref.ref(Cycle())
    gc.collect()
    assert gone() is None
