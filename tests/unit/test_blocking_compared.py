"""Blocking sockets, compared call by call with the kernel's."""

import pytest

from tests.support.blocking_cases import CASES
from tests.support.two_worlds import kernels, ours


@pytest.mark.parametrize("scenario", CASES, ids=lambda function: function.__name__)
def test_same_as_the_kernel(scenario):
    with kernels() as world:
        expected = list(scenario(world))
    with ours() as world:
        assert list(scenario(world)) == expected
