"""Congestion control algorithms, by the name that TCP_CONGESTION gives them."""

from typing import TYPE_CHECKING

from stack.core.tcp.congestion.base import CongestionControl
from stack.core.tcp.congestion.bbr import Bbr
from stack.core.tcp.congestion.cubic import Cubic
from stack.core.tcp.congestion.fixed import Fixed
from stack.core.tcp.congestion.reno import Reno
from stack.errors import UsageError

if TYPE_CHECKING:
    from stack._native import Tcb

ALGORITHMS: dict[str, type[CongestionControl]] = {
    algorithm.name: algorithm for algorithm in (Reno, Cubic, Bbr, Fixed)
}


def begins_plainly(name: str) -> bool:
    """Whether the algorithm's first window is the one that all have, and it has no need to see
    a connection before data is acknowledged.
    """
    return ALGORITHMS.get(name) in (Reno, Cubic)


def create(name: str, tcb: "Tcb", initial_window: int) -> CongestionControl:
    """The algorithm `name` for a connection; `initial_window` is in segments.

    Raises UsageError for a name that nobody registered.
    """
    if name not in ALGORITHMS:
        known = ", ".join(sorted(ALGORITHMS))
        raise UsageError(f"congestion control {name!r} is not known; choose one of {known}")
    return ALGORITHMS[name](tcb, initial_window)
