"""`tunstack replay`: a recorded run once more, in virtual time."""

import argparse
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack.errors import UsageError

if TYPE_CHECKING:
    from stack.observe.recording.event import Event, Outcome
    from stack.observe.recording.player import Diverged, Player

EXAMPLES = """\
examples:
  tunstack run --record run.rec -- curl http://192.0.2.2/
  tunstack replay run.rec                           the same bytes once more?
  tunstack replay --trace run.rec                   each packet with its reason, as `run --trace`
  tunstack replay --events run.rec                  each input of the host, with its number
  tunstack replay --until 250 --tcb run.rec         every variable behind event 250
  tunstack replay --until 1.5s --tcb --connection 3 run.rec
  tunstack replay --capture run.pcapng run.rec      the packets for Wireshark

Times count from the first packet on, as in the trace. Exit status: 0 when the host did what the
recorded one did, bit for bit; 1 when it did something else, 2 when the file cannot be used.
"""

_UNITS = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="do a recorded run once more, bit for bit, up to any event",
        description="Does everything that `--record` wrote down on a fresh host, in virtual "
        "time, and compares\nevery packet and every result.",
        epilog=EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the recording")
    parser.add_argument(
        "--until",
        metavar="EVENT",
        type=_point,
        help="stop behind this event, a number; or a time, such as 1.5s or 20ms",
    )
    parser.add_argument("--trace", action="store_true", help="print every packet with its reason")
    parser.add_argument("--events", action="store_true", help="print every input of the host")
    parser.add_argument(
        "--tcb", action="store_true", help="print the variables of all connections at the end"
    )
    parser.add_argument(
        "--connection", metavar="N", type=int, help="only those of this one, with --tcb"
    )
    parser.add_argument(
        "--capture", metavar="FILE.pcapng", type=Path, help="write the packets for Wireshark"
    )
    parser.set_defaults(handler=replay)


def _point(text: str) -> tuple[int | None, int | None]:
    """(event, None) or (None, µs)."""
    if re.fullmatch(r"\d{1,18}", text):
        return int(text), None
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)(us|µs|ms|s)", text)
    if found is None:
        raise UsageError(f"--until {text!r}: give the number of an event, or a time such as 1.5s")
    return None, round(float(found[1]) * _UNITS[found[2]])


def replay(args: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 0, or 1 when the host did something else."""
    from stack.observe.recording.player import Player, first_packet_time

    if args.connection is not None and not args.tcb:
        raise UsageError("--connection belongs to --tcb: give that, too")
    with ExitStack() as exits:
        player = Player(args.file)
        exits.callback(player.close)
        return _Replay(args, player, first_packet_time(args.file)).run()


class _Replay:
    """One replay as its options ask for it; `zero` is when the first packet came (µs)."""

    def __init__(self, args: argparse.Namespace, player: "Player", zero: int) -> None:
        self._args = args
        self._player = player
        self._zero = zero
        until: tuple[int | None, int | None] = args.until or (None, None)
        self._until, self._until_time = until
        self._sent = self._received = 0
        self._nested: list[str] = []
        player.after = self._after

    def run(self) -> int:
        from stack.observe.recording.frames import Damaged
        from stack.observe.recording.player import Diverged, Stopped

        player = self._player
        with ExitStack() as exits:
            self._observe(exits)
            status = 0
            problem = ""
            try:
                if self._until != 0:
                    until = self._until_time
                    player.play(None if until is None else until + self._zero)
            except Stopped:
                pass
            except Diverged as error:
                status, problem = 1, self._explain(error)
            except Damaged as error:
                status, problem = 2, f"{self._args.file}: {self._where()}: {error}"
        if self._args.tcb:
            self._print_tcbs()
        sys.stdout.flush()
        if problem:
            print(f"tunstack: {problem}", file=sys.stderr)
        else:
            print(self._summary())
        return status

    def _observe(self, exits: ExitStack) -> None:
        host = self._player.host
        host.observe(self._count)
        if self._args.trace:
            from ipaddress import ip_interface

            from stack.observe.trace import TextTrace

            ours = {ip_interface(address).ip for address in self._player.addresses}
            trace = TextTrace(sys.stdout.write, colour=sys.stdout.isatty(), ours=ours)
            host.observe(trace)
            exits.callback(trace.flush)
        if self._args.capture is not None:
            from stack.observe.capture import Capture

            capture = Capture(self._args.capture, epoch_us=self._player.epoch_us)
            host.observe(capture)
            exits.callback(self._finish, capture)

    def _finish(self, capture: Any) -> None:
        capture.close()
        if capture.error:
            print(f"tunstack: --capture {self._args.capture}: {capture.error}", file=sys.stderr)

    def _count(self, event: object) -> None:
        from stack.core.events import PacketReceived, PacketSent

        self._sent += isinstance(event, PacketSent)
        self._received += isinstance(event, PacketReceived)

    def _after(self, event: "Event", outcome: "Outcome | None") -> None:
        from stack.observe.recording.event import event_line
        from stack.observe.recording.player import Stopped

        if self._args.events:
            # What an application did meanwhile stands below the call that it was asked in.
            self._nested.append(event_line(event, outcome, self._zero))
            if event.depth == 0:
                print(self._nested.pop())
                print("".join(f"{line}\n" for line in self._nested), end="")
                self._nested.clear()
        if self._until is not None and event.number >= self._until:
            raise Stopped

    def _print_tcbs(self) -> None:
        from stack.observe.tcb import tcb_text

        wanted = self._args.connection
        found = [one for one in self._player.connections() if wanted in (None, one.number)]
        if not found:
            name = "is no connection" if wanted is None else f"is no connection {wanted}"
            print(f"there {name} at {self._where()}")
        for connection in found:
            print(tcb_text(connection, self._player.now, self._zero))

    def _where(self) -> str:
        from stack.observe.trace import seconds

        player = self._player
        return f"event {player.events}, {seconds(player.now - self._zero)} s"

    def _explain(self, error: "Diverged") -> str:
        """What differs, in three lines."""
        import stack
        from stack.observe.recording.event import event_text

        what = "" if error.event is None else f", {event_text(error.event)}"
        lines = [
            f"{self._args.file}: the replay differs at {self._where()}{what}",
            f"  recorded: {error.recorded}",
            f"  replayed: {error.replayed}",
        ]
        if self._player.version != stack.__version__:
            lines.append(
                f"  it was recorded by version {self._player.version}, and this is"
                f" {stack.__version__}"
            )
        return "\n".join(lines)

    def _summary(self) -> str:
        player = self._player
        text = (
            f"{self._where()}: the same bit for bit, {self._received} packets in, {self._sent} out"
        )
        if player.left_out:
            text += (
                f"; the recording ends within a record, of which {player.left_out} bytes are there"
            )
        elif player.ended and not player.complete:
            text += "; the recording was cut off here: its process had no time to end it"
        return text
