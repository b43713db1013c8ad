"""How much memory the buffers of all connections of a host may grow by."""

from stack._native import ffi


class Budget:
    """A number of bytes that buffers draw on as they grow and give back at their end; `raw` is
    what the segment path sees of it.
    """

    __slots__ = ("raw",)

    def __init__(self, size: int) -> None:
        self.raw = ffi.new("struct budget *")
        self.raw.left = size

    @property
    def left(self) -> int:
        """How many bytes may still be drawn."""
        return self.raw.left

    def take(self, size: int) -> int:
        """Draws up to `size` bytes; returns how many were left to draw."""
        taken = min(max(size, 0), self.raw.left)
        self.raw.left -= taken
        return taken

    def give(self, size: int) -> None:
        """Returns what was drawn."""
        self.raw.left += size
