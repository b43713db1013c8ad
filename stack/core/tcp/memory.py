"""How much memory the buffers of all connections of a host may grow by."""


class Budget:
    """A number of bytes that buffers draw on as they grow and give back at their end."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> int:
        """Draws up to `size` bytes; returns how many were left to draw."""
        taken = min(max(size, 0), self.left)
        self.left -= taken
        return taken

    def give(self, size: int) -> None:
        """Returns what was drawn."""
        self.left += size
