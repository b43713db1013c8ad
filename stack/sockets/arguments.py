"""Arguments of socket calls, taken as the standard library takes them: the same exceptions."""

import operator
from typing import Any, SupportsIndex

_INT_MAX = (1 << 31) - 1


def c_int(value: SupportsIndex) -> int:
    """An int of C. Raises OverflowError, or TypeError for what is no number."""
    number = operator.index(value)
    if number > _INT_MAX:
        raise OverflowError("signed integer is greater than maximum")
    if number < -_INT_MAX - 1:
        raise OverflowError("signed integer is less than minimum")
    return number


def readable_view(data: Any) -> memoryview:
    """The bytes of an object that has some. Raises TypeError."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        given = type(data).__name__
        raise TypeError(f"a bytes-like object is required, not {given!r}") from None


def writable_view(buffer: Any, call: str) -> memoryview:
    """The bytes of an object that can be filled. Raises TypeError."""
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        view = None
    if view is None or view.readonly:
        given = type(buffer).__name__
        raise TypeError(f"{call} must be read-write bytes-like object, not {given}")
    return view
