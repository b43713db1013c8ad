"""What every dissector is: fed with the bytes of two directions, it names what is complete."""

from dataclasses import dataclass, field
from typing import Protocol

Side = int
CLIENT: Side = 0
SERVER: Side = 1

TEXT_MAX = 300


@dataclass(slots=True)
class Named:
    """What the bytes of one packet completed.

    `items` are the names in order, `notes` sentences on what they say. `open` says that a unit
    was begun and is not complete; `head` is what can be said of it already.
    """

    protocol: str
    items: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    open: bool = False
    head: str = ""

    def absorb(self, inner: "Named") -> None:
        """Takes over what a layer further up made of a part of these bytes."""
        if inner.items:
            self.protocol = inner.protocol
            self.items += inner.items
        self.notes += inner.notes
        self.open, self.head = inner.open, inner.head


class Layer(Protocol):
    """An application protocol over one connection; what it keeps is bounded."""

    def feed(self, side: Side, data: bytes) -> Named | None:
        """Takes the next bytes that `side` sent. None: they are not of this protocol."""

    def finish(self, side: Side) -> Named | None:
        """Takes that `side` sends no more. Returns what this completed, if anything."""


def printable(data: bytes | str) -> str:
    """Text from the network made safe to print: one line, no control characters, not long."""
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in text[:TEXT_MAX]
        )
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
