"""The text that packets and writes of a script carry: it tells where in the stream it stands.

So the runner sees when bytes come out of the stack in the wrong order or twice, though a
script says nothing of contents.
"""

# A prime, so that no segment size, buffer or power of two is a multiple of the period.
_PERIOD = 251
_CYCLE = bytes((index * 7 + 3) % _PERIOD for index in range(_PERIOD))


def text(offset: int, length: int) -> bytes:
    """`length` bytes from `offset` in a stream, whose first byte is number 0."""
    start = offset % _PERIOD
    times = (start + length) // _PERIOD + 1
    return (_CYCLE * times)[start : start + length]
