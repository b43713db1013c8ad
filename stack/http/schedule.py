"""Whose turn it is to send: the priorities of RFC 9218, or the tree of RFC 7540 §5.3.

A stream is pushed when it has something to send, and popped for one turn. Clients that say
nothing about priorities get all their responses side by side.
"""

import contextlib
import re
from abc import ABC, abstractmethod
from collections import deque
from heapq import heappop, heappush

from priority.priority import (
    BadWeightError,
    DeadlockError,
    DuplicateStreamError,
    MissingStreamError,
    PriorityLoop,
    PriorityTree,
    PseudoStreamError,
    TooManyStreamsError,
)

from stack.http.frames import Dependency, PriorityUpdate, Signal

URGENCIES = 8
DEFAULT_URGENCY = 3
# Streams that a client may rank before it opens them.
# The tree is walked by recursion, so this also bounds its depth.
LONGEST_TREE = 300
MOST_UPDATES = 256

_URGENCY = re.compile(rb"u=([0-7])")
_INCREMENTAL = re.compile(rb"i(?:=\?([01]))?")


def parse_priority(value: bytes) -> tuple[int, bool]:
    """Urgency (0 first, 7 last) and incremental of a Priority field (RFC 9218 §4).

    What cannot be understood is as if it were not there (RFC 9218 §4: a member of unexpected
    type or value is ignored).
    """
    urgency, incremental = DEFAULT_URGENCY, False
    for member in value.split(b","):
        item = member.partition(b";")[0].strip()
        if found := _URGENCY.fullmatch(item):
            urgency = int(found[1])
        elif found := _INCREMENTAL.fullmatch(item):
            incremental = found[1] != b"0"
    return urgency, incremental


class Ranked:
    """What the scheduler knows of a stream. Unless the client says so, responses share."""

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.urgency = DEFAULT_URGENCY
        self.incremental = True
        self.scheduled = False


class Order(ABC):
    """An order of the streams that have something to send."""

    @abstractmethod
    def push(self, stream: Ranked) -> None:
        """The stream has something to send."""

    @abstractmethod
    def pop(self) -> Ranked | None:
        """The stream whose turn it is; it stands in the order no more."""

    @abstractmethod
    def discard(self, stream: Ranked) -> None:
        """The stream, which was pushed, has nothing to send after all."""

    @abstractmethod
    def may_pass(self, stream: Ranked) -> bool:
        """Whether a small response on `stream` may leave before those that wait."""


class ByUrgency(Order):
    """RFC 9218 §10: the most urgent first; among equals those that are of use only as a whole,
    one by one as they were asked for, then the incremental ones in turn.
    """

    def __init__(self) -> None:
        self._whole: list[list[int]] = [[] for _ in range(URGENCIES)]
        self._shared: list[deque[Ranked]] = [deque() for _ in range(URGENCIES)]
        self._streams: dict[int, Ranked] = {}

    def push(self, stream: Ranked) -> None:
        self._streams[stream.id] = stream
        if stream.incremental:
            self._shared[stream.urgency].append(stream)
        else:
            heappush(self._whole[stream.urgency], stream.id)

    def pop(self) -> Ranked | None:
        if not self._streams:
            return None
        for whole, shared in zip(self._whole, self._shared, strict=True):
            if whole:
                return self._streams.pop(heappop(whole))
            if shared:
                stream = shared.popleft()
                del self._streams[stream.id]
                return stream
        return None

    def discard(self, stream: Ranked) -> None:
        del self._streams[stream.id]
        if stream.incremental:
            self._shared[stream.urgency].remove(stream)
        else:
            self._whole[stream.urgency].remove(stream.id)
            self._whole[stream.urgency].sort()

    def may_pass(self, stream: Ranked) -> bool:
        return not (
            any(self._shared[: stream.urgency])
            or any(self._whole[: stream.urgency + 1 if stream.incremental else stream.urgency])
        )


class ByTree(Order):
    """RFC 7540 §5.3: a parent before its children, siblings by their weights."""

    def __init__(self) -> None:
        self._tree = PriorityTree(maximum_streams=LONGEST_TREE)
        self._streams: dict[int, Ranked] = {}

    def rank(self, signal: Dependency) -> None:
        """Puts the stream where the client wants it, whether it is open or not."""
        with contextlib.suppress(
            TooManyStreamsError, PriorityLoop, PseudoStreamError, BadWeightError
        ):
            try:
                self._tree.reprioritize(
                    signal.stream, signal.parent or None, signal.weight, signal.exclusive
                )
            except MissingStreamError:
                self._tree.insert_stream(
                    signal.stream, signal.parent or None, signal.weight, signal.exclusive
                )
                self._tree.block(signal.stream)

    def forget(self, stream_id: int) -> None:
        """The stream is over; what depended on it depends on its parent."""
        with contextlib.suppress(MissingStreamError):
            self._tree.remove_stream(stream_id)

    def push(self, stream: Ranked) -> None:
        try:
            self._tree.unblock(stream.id)
        except MissingStreamError:
            with contextlib.suppress(DuplicateStreamError, TooManyStreamsError):
                self._tree.insert_stream(stream.id)
        self._streams[stream.id] = stream

    def pop(self) -> Ranked | None:
        while self._streams:
            try:
                stream_id = next(self._tree)
                self._tree.block(stream_id)
            except DeadlockError:
                # Only streams that the tree had no room for.
                stream_id = next(iter(self._streams))
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                return stream
        return None

    def discard(self, stream: Ranked) -> None:
        del self._streams[stream.id]
        with contextlib.suppress(MissingStreamError):
            self._tree.block(stream.id)

    def may_pass(self, stream: Ranked) -> bool:
        return not self._streams


class Schedule:
    """The order of a connection's streams, in the scheme that its client speaks.

    Clients may speak both schemes; then that of RFC 9218 counts (its §2.1).
    """

    def __init__(self, *, tree_allowed: bool) -> None:
        self._order: Order = ByUrgency()
        self._tree: ByTree | None = None
        self._tree_allowed = tree_allowed
        self._waiting: dict[int, Ranked] = {}
        self._updates: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def admit(self, stream: Ranked, field: bytes | None) -> None:
        """A stream begins; `field` is the request's Priority field, if it has one."""
        if self._updates:
            # RFC 9218 §7.1: a frame that came before the request overrides its field.
            field = self._updates.pop(stream.id, field)
        if field is not None:
            self.disallow_tree()
            stream.urgency, stream.incremental = parse_priority(field)

    def signal(self, signal: Signal, stream: Ranked | None) -> None:
        """A priority came in a frame, for `stream` or for one that is not open."""
        if isinstance(signal, PriorityUpdate):
            self._update(signal, stream)
        elif self._tree_allowed:
            if self._tree is None:
                self._tree = ByTree()
                self._reorder(self._tree)
            self._tree.rank(signal)

    def _update(self, signal: PriorityUpdate, stream: Ranked | None) -> None:
        self.disallow_tree()
        if stream is None:
            if len(self._updates) < MOST_UPDATES:
                self._updates[signal.stream] = signal.value
            return
        waits = stream.scheduled
        if waits:
            self.discard(stream)
        stream.urgency, stream.incremental = parse_priority(signal.value)
        if waits:
            self.push(stream)

    def disallow_tree(self) -> None:
        """The client means RFC 9218, or we do not want the older scheme."""
        self._tree_allowed = False
        if self._tree is not None:
            self._tree = None
            self._reorder(ByUrgency())

    def _reorder(self, order: Order) -> None:
        self._order = order
        for stream in self._waiting.values():
            order.push(stream)

    def push(self, stream: Ranked) -> None:
        """The stream has something to send."""
        stream.scheduled = True
        self._waiting[stream.id] = stream
        self._order.push(stream)

    def pop(self) -> Ranked | None:
        """Takes out the stream whose turn it is."""
        stream = self._order.pop()
        if stream is not None:
            stream.scheduled = False
            del self._waiting[stream.id]
        return stream

    def discard(self, stream: Ranked) -> None:
        """The stream has nothing to send after all."""
        if stream.scheduled:
            stream.scheduled = False
            del self._waiting[stream.id]
            self._order.discard(stream)

    def forget(self, stream: Ranked) -> None:
        """The stream is over."""
        self.discard(stream)
        if self._tree is not None:
            self._tree.forget(stream.id)

    def may_pass(self, stream: Ranked) -> bool:
        """Whether a small response may leave at once, before those that wait."""
        return not self._waiting or self._order.may_pass(stream)

    def clear(self) -> None:
        """Nothing is sent any more."""
        for stream in self._waiting.values():
            stream.scheduled = False
        self._waiting.clear()
        self._order = ByUrgency()
        self._tree = None
