"""Blocking UDP sockets, compared call by call with the kernel's."""

import pytest

from tests.support import udp_option_cases  # noqa: F401 - registers its cases
from tests.support.udp_cases import CASES
from tests.support.udp_worlds import compare, kernels, ours


@pytest.mark.parametrize("scenario", CASES, ids=lambda function: function.__name__)
def test_same_as_the_kernel(scenario):
    with kernels() as world:
        expected = list(scenario(world))
    with ours() as world:
        compare(list(scenario(world)), expected)
