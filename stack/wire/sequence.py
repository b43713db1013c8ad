"""Sequence number arithmetic, modulo 2^32 (RFC 9293 §3.4).

Two numbers compare as a wire would order them as long as they lie less than 2^31 apart,
which windows guarantee. At exactly 2^31 each is before the other.
"""

MOD = 1 << 32
MASK = MOD - 1
HALF = 1 << 31


def add(a: int, n: int) -> int:
    """The number n bytes behind `a`; n may be negative."""
    return (a + n) & MASK


def sub(a: int, b: int) -> int:
    """The signed distance a - b in bytes, from -2^31 to 2^31 - 1."""
    return ((a - b + HALF) & MASK) - HALF


def lt(a: int, b: int) -> bool:
    """Whether `a` comes before `b`."""
    return (a - b) & HALF != 0


def leq(a: int, b: int) -> bool:
    """Whether `a` comes before `b` or is `b`."""
    return (a - b) & MASK == 0 or (a - b) & HALF != 0


def gt(a: int, b: int) -> bool:
    """Whether `a` comes behind `b`."""
    return (b - a) & HALF != 0


def geq(a: int, b: int) -> bool:
    """Whether `a` comes behind `b` or is `b`."""
    return (a - b) & MASK == 0 or (b - a) & HALF != 0


def between(a: int, x: int, b: int) -> bool:
    """Whether a <= x < b, going up from `a` modulo 2^32; an empty range holds nothing."""
    return (x - a) & MASK < (b - a) & MASK


def seq_max(a: int, b: int) -> int:
    """The later of the two."""
    return b if lt(a, b) else a


def seq_min(a: int, b: int) -> int:
    """The earlier of the two."""
    return a if lt(a, b) else b
