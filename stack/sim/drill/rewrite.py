"""A captured connection as the text of a script.

What the application did is not in a capture; it is inferred from the segments: what was
written from the text that left, what was read from the windows, how it closed from FIN and
RST. Where that leaves a choice a `Guess` makes it, and the recorder tries the guesses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stack.core.tcp.config import TcpConfig
from stack.core.tcp.window import LARGEST_UNSCALED, wanted_scale
from stack.observe.ranges import Ranges
from stack.sim.drill.captured import Captured, Segment
from stack.sim.drill.respell import Numbers
from stack.sim.drill.settings import DEFAULT_TOLERANCE, HEADERS
from stack.wire.segment import ACK, FIN, PSH, RST, SYN

_RANGES_MAX = 1 << 16
_LEAD = 100_000  # µs from the beginning of the script to a peer's SYN


@dataclass(frozen=True, slots=True)
class Guess:
    """What a capture does not say. Times in µs.

    Packets that arrive within `gather` of each other came in one batch; text that leaves
    within `prompt` of a packet was written because of it. With `reads` the application
    reads all that comes at once, and otherwise when a window shows it. `windows` compares
    the windows of our segments.
    """

    gather: int = 200
    prompt: int = 2_000
    nodelay: bool = False
    reads: bool = True
    windows: bool = True
    closes: bool = False
    tolerance: int = DEFAULT_TOLERANCE


class Rewriter:
    """Writes the script of one connection under one guess."""

    def __init__(self, captured: Captured, guess: Guess) -> None:
        self._captured = captured
        self._guess = guess
        self._numbers = Numbers(captured.segments)
        self._lines: list[str] = []
        self._last = 0  # the time of the event before, in µs of the script
        self._begin = 0 if captured.active else _LEAD
        self._fd = 3 if captured.active else 4
        self._established = False
        self._ended = False  # our side has sent its FIN or a reset
        self._longest_write = 0
        self._written = 1  # next number of ours that was not written yet
        self._received = Ranges(_RANGES_MAX)
        self._read = 1  # next number of theirs that was not read yet
        self._edge: int | None = None  # the right edge that we announced

    def text(self, remark: str) -> str:
        """The whole script, with `remark` in its first line."""
        self._opening()
        for arrived, left in self._rounds():
            self._round(arrived, left)
        return "\n".join([f"// {remark}", "", *self._head(), "", *self._lines]) + "\n"

    def _event(self, time: int, text: str) -> None:
        """An event at `time`; one earlier than the event before it happens at once."""
        passed = max(time - self._last, 0)
        seconds = f"{passed / 1e6:.6f}".rstrip("0").rstrip(".")
        self._lines.append(f"+{seconds} {text}")
        self._last += passed

    def _call(self, text: str) -> None:
        self._event(self._last, text)

    # What holds for the whole connection.

    def _head(self) -> Iterator[str]:
        captured = self._captured
        yield "--together"
        if captured.version == 6:
            yield "--ip_version=ipv6"
        yield f"--local_ip={captured.local[0]}"
        yield f"--remote_ip={captured.remote[0]}"
        port = captured.remote[1] if captured.active else captured.local[1]
        yield f"--{'connect' if captured.active else 'bind'}_port={port}"
        if self._guess.tolerance != DEFAULT_TOLERANCE:
            yield f"--tolerance_usecs={self._guess.tolerance}"
        yield from self._settings()

    def _settings(self) -> Iterator[str]:
        """What our SYN tells of the settings of the host."""
        captured = self._captured
        syns = [s for s in captured.segments if s.tcp.flags & SYN]
        ours = next((s.tcp for s in syns if s.ours), None)
        if ours is None:
            return
        # A SYN-ACK without an option says something only where the SYN had it.
        asked = None if captured.active else syns[0].tcp
        if ours.mss is not None and ours.mss + HEADERS[captured.version] != 1500:
            yield f"--mtu={ours.mss + HEADERS[captured.version]}"
        if not ours.sack_permitted and (asked is None or asked.sack_permitted):
            yield "--set=sack=false"
        if ours.timestamps is None and (asked is None or asked.timestamps is not None):
            yield "--set=timestamps=false"
        if ours.window_scale is None and (asked is None or asked.window_scale is not None):
            yield "--set=window_scaling=false"
        if ours.window_scale not in (None, wanted_scale(TcpConfig().largest_window)):
            yield f"--set=receive_buffer={self._receive_buffer(ours.window_scale or 0)}"
        if self._longest_write > TcpConfig().first_send_buffer:
            yield f"--set=send_buffer={self._longest_write}"
        if self._tells_scaled_window():
            yield "--set=scaled_window_update=true"

    def _receive_buffer(self, scale: int) -> int:
        """A size that asks for this window scale: the largest window announced, if it does."""
        ours = (s.tcp for s in self._captured.segments if s.ours)
        windows = (tcp.window for tcp in ours if not tcp.flags & SYN)
        largest = max(windows, default=0) << scale
        return largest if wanted_scale(largest) == scale else LARGEST_UNSCALED << scale

    def _tells_scaled_window(self) -> bool:
        """Whether a bare ACK of ours follows the one that established the connection."""
        segments = self._captured.segments
        if self._captured.active or len(segments) < 4 or segments[2].tcp.text:
            return False
        update = segments[3]
        return update.ours and update.tcp.flags == ACK and not update.tcp.text

    def _opening(self) -> None:
        if self._captured.active:
            self._lines.append("0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3")
            self._call("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)")
            self._set_nodelay()
            return
        self._lines.append("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
        self._call("bind(3, ..., ...) = 0")
        self._call("listen(3, 128) = 0")
        self._lines.append("")

    def _set_nodelay(self) -> None:
        if self._guess.nodelay:
            self._call(f"setsockopt({self._fd}, SOL_TCP, TCP_NODELAY, [1], 4) = 0")

    # Rounds: what arrives, and then what leaves.

    def _rounds(self) -> Iterator[tuple[list[Segment], list[Segment]]]:
        arrived: list[Segment] = []
        left: list[Segment] = []
        for segment in self._captured.segments:
            if not segment.ours and left:
                yield arrived, left
                arrived, left = [], []
            (left if segment.ours else arrived).append(segment)
        yield arrived, left

    def _round(self, arrived: list[Segment], left: list[Segment]) -> None:
        for group in self._groups(arrived):
            time = self._begin + group[-1].time
            for segment in group:
                self._event(time, f"< {self._numbers.spelled(segment, window=True)}")
                self._take(segment)
            self._after_arrival(group)
        moment = self._begin + arrived[-1].time if arrived else -self._guess.prompt
        for segment in left:
            time = self._begin + segment.time
            moment = moment if time - moment <= self._guess.prompt else time
            self._leave(segment, moment)

    def _groups(self, arrived: list[Segment]) -> Iterator[list[Segment]]:
        """Packets that came in one batch."""
        group: list[Segment] = []
        for segment in arrived:
            if group and segment.time - group[-1].time > self._guess.gather:
                yield group
                group = []
            group.append(segment)
        if group:
            yield group

    # What the application does when packets have arrived.

    def _take(self, segment: Segment) -> None:
        if segment.tcp.text:
            first = self._numbers.seq(segment)
            self._received.add(first, first + len(segment.tcp.text))

    def _after_arrival(self, group: list[Segment]) -> None:
        acknowledges = any(one.tcp.flags & (ACK | RST) == ACK for one in group)
        if not self._established and acknowledges:
            self._established = True
            if not self._captured.active:
                self._call("accept(3, ..., ...) = 4")
                self._set_nodelay()
        if self._guess.reads:
            self._read_up_to(self._received.right_of(self._read), self._last)

    def _read_up_to(self, end: int, moment: int) -> None:
        size = end - self._read
        if size > 0 and self._established:
            self._event(moment, f"read({self._fd}, ..., {size}) = {size}")
            self._read = end

    # What leaves, and what the application must have done for it.

    def _leave(self, segment: Segment, moment: int) -> None:
        tcp = segment.tcp
        if not self._guess.reads:
            self._read_for_window(segment, moment)
        if tcp.text and self._numbers.seq(segment) + len(tcp.text) > self._written:
            self._write(segment, moment)
        if tcp.flags & FIN and not self._ended:
            self._ended = True
            closes = self._guess.closes
            self._event(moment, f"close({self._fd}) = 0" if closes else self._shutdown())
        if tcp.flags & RST and not self._ended and self._established:
            self._abort(moment)
        spelled = self._numbers.spelled(segment, window=self._guess.windows)
        self._event(self._begin + segment.time, f"> {spelled}")
        if tcp.flags & (ACK | RST | SYN) == ACK:
            self._edge = max(self._edge or 0, self._numbers.right_edge(segment))

    def _shutdown(self) -> str:
        return f"shutdown({self._fd}, SHUT_WR) = 0"

    def _write(self, segment: Segment, moment: int) -> None:
        """All that left up to the next PSH was written by now: a PSH shows an empty buffer."""
        segments = self._captured.segments
        end = self._written
        for later in segments[segments.index(segment) :]:
            if later.ours and later.tcp.text:
                end = max(end, self._numbers.seq(later) + len(later.tcp.text))
                if later.tcp.flags & PSH:
                    break
        size = end - self._written
        self._longest_write = max(self._longest_write, size)
        self._event(moment, f"write({self._fd}, ..., {size}) = {size}")
        self._written = end

    def _abort(self, moment: int) -> None:
        """A reset that ends the connection is the application's: close with a linger of 0 s."""
        self._ended = True
        option = "SO_LINGER, {onoff=1, linger=0}, 8"
        self._event(moment, f"setsockopt({self._fd}, SOL_SOCKET, {option}) = 0")
        self._event(moment, f"close({self._fd}) = 0")

    def _read_for_window(self, segment: Segment, moment: int) -> None:
        """A right edge that moves shows that the application made room."""
        if self._edge is None or segment.tcp.flags & (ACK | RST) != ACK:
            return
        ahead = self._numbers.right_edge(segment) - self._edge
        if ahead > 0:
            here = self._received.right_of(self._read)
            end = min(here, self._read + ahead)
            # The window field is rounded to its scale: what is hidden in that was read, too.
            self._read_up_to(here if here - end < self._numbers.unit else end, moment)
