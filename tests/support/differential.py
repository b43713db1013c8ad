"""Python alone and the segment path in C, with the same inputs: is there any difference?

Recorded inputs are given to two fresh hosts. The replay compares what leaves each of them with
the recording; here the variables of all connections are compared as well, behind every event.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

from stack._native import ffi
from stack.core.host import Host
from stack.observe.recording.event import Event
from stack.observe.recording.player import Outcome, Player, Stopped
from stack.observe.tcb import tcb_text

Prepare = Callable[[Host], None]

# Who may do the work, which is the one thing that differs.
_NO_MATTER = ("fast ",)
_TCB = ffi.offsetof("struct tcb", "sent")  # behind it are pointers
_FAST = ffi.offsetof("struct tcb", "fast")
_ALL = 16  # what only Python has is compared behind every so many events


def variables(player: Player) -> str:
    """Every variable of every connection."""
    texts = (tcb_text(one, player.host.now) for one in player.host.connections.values())
    return "".join(
        f"{line}\n"
        for text in texts
        for line in text.splitlines()
        if not line.strip().startswith(_NO_MATTER)
    )


def _blocks(player: Player) -> bytes:
    """The transmission control blocks themselves, which cost less to compare."""
    blocks = bytearray()
    for connection in player.host.connections.values():
        block = bytearray(ffi.buffer(connection.tcb, _TCB))
        block[_FAST] = 0
        blocks += block
    return bytes(blocks)


def _play(path: Path, prepare: Prepare, *, fast: bool, seen: list[bytes]) -> Player:
    """Replays a recording and notes the state behind each event as a digest."""
    player = Player(path)
    prepare(player.host)
    player.host.segment_path.enabled = fast

    def look(event: Event, outcome: Outcome | None) -> None:
        state = _blocks(player)
        if event.number % _ALL == 0:
            state += variables(player).encode()
        seen.append(blake2b(state, digest_size=8).digest())

    player.after = look
    try:
        player.play()
    finally:
        player.close()
    return player


def _variables_at(
    path: Path, prepare: Prepare, number: int, *, fast: bool
) -> tuple[str, list[str]]:
    """The event of that number, and the state behind it."""
    player = Player(path)
    prepare(player.host)
    player.host.segment_path.enabled = fast
    found: list[str] = []

    def look(event: Event, outcome: Outcome | None) -> None:
        nonlocal number
        number -= 1
        if number == 0:
            found.append(f"event {event.number}, {event.what.title} at {event.now} µs")
            found.extend(variables(player).splitlines())
            raise Stopped

    player.after = look
    try:
        player.play()
    except Stopped:
        pass
    finally:
        player.close()
    return found[0], found[1:]


def _differences(path: Path, prepare: Prepare, number: int) -> Iterator[str]:
    event, python = _variables_at(path, prepare, number, fast=False)
    _, native = _variables_at(path, prepare, number, fast=True)
    yield f"{path.name}, behind {event}:"
    for ours, theirs in zip(python, native, strict=False):
        if ours != theirs:
            yield f"  Python: {ours.strip()}"
            yield f"  C:      {theirs.strip()}"
    if len(python) != len(native):
        yield f"  {len(python)} and {len(native)} lines"


def share_of_the_fast(path: Path, prepare: Prepare = lambda host: None) -> float:
    """Replays a recording both ways and asserts that nothing differs; returns the share of the
    segments received that the segment path finished. `prepare` does to the hosts what the
    recording does not know of.
    """
    python: list[bytes] = []
    native: list[bytes] = []
    alone = _play(path, prepare, fast=False, seen=python)
    both = _play(path, prepare, fast=True, seen=native)
    assert alone.complete and both.complete
    for number, (ours, theirs) in enumerate(zip(python, native, strict=True), 1):
        if ours != theirs:
            raise AssertionError("\n".join(_differences(path, prepare, number)))
    assert alone.host.counters["FastInSegs"] == alone.host.counters["FastOutSegs"] == 0
    return both.host.counters["FastInSegs"] / max(both.host.counters["TcpInSegs"], 1)
