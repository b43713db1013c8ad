"""What is in the network, in the order in which it was sent last.

RACK looks for losses from the oldest transmission on and stops at the first that is not lost
yet; so an acknowledgement costs what it finds, not what is in flight (RFC 8985 §6.2 step 5).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.core.tcp.flight import Transmission


class SendOrder:
    """A doubly linked list through its members' `older` and `newer`. `newer` is None for a
    transmission that has no place; its `older` is the member it came behind when it left.
    `end` stands between the newest and the oldest.
    """

    __slots__ = ("_end",)

    def __init__(self, end: "Transmission") -> None:
        self._end = end
        end.older = end.newer = end

    def append(self, member: "Transmission") -> None:
        """Makes `member` the newest; it must have no place yet."""
        newest = self._end.older
        assert newest is not None
        self._insert(newest, member)

    def insert_after(self, member: "Transmission", fresh: "Transmission") -> None:
        """Gives `fresh` a place behind `member`, if that has one."""
        if member.newer is not None:
            self._insert(member, fresh)

    def _insert(self, before: "Transmission", member: "Transmission") -> None:
        after = before.newer
        assert after is not None
        member.older, member.newer = before, after
        before.newer = after.older = member

    def remove(self, member: "Transmission") -> None:
        """Takes its place from `member`, if it has one."""
        older, newer = member.older, member.newer
        if older is not None and newer is not None:
            older.newer, newer.older = newer, older
            member.newer = None

    def behind(self, gone: "Transmission") -> "Transmission | None":
        """The newest member of those older than `gone`, which has left; None without one."""
        older = gone.older
        while older is not None and older.newer is None:
            older = older.older  # that has left since
        gone.older = older  # the next search is shorter
        return None if older is self._end else older

    def __iter__(self) -> Iterator["Transmission"]:
        """From the oldest on; the member at hand may lose its place meanwhile."""
        member = self._end.newer
        while member is not None and member is not self._end:
            following = member.newer
            yield member
            member = following
