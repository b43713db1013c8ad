"""Settings that are chosen by name."""

import pytest

from stack.core.tcp.config import CHOICES, TcpConfig
from stack.errors import UsageError


@pytest.mark.parametrize("setting", CHOICES)
def test_a_choice_that_does_not_exist_is_refused_by_name(setting):
    with pytest.raises(UsageError, match=f"{setting}='yes': choose one of"):
        TcpConfig(**{setting: "yes"})


@pytest.mark.parametrize(("setting", "choice"), [(s, c) for s in CHOICES for c in CHOICES[s]])
def test_every_choice_is_taken(setting, choice):
    assert getattr(TcpConfig(**{setting: choice}), setting) == choice
