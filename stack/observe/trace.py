"""The text trace: a line for each packet as Wireshark's list has it, and the reason under it."""

from collections.abc import Callable, Collection, Sequence
from ipaddress import ip_address

from stack.core.events import Event, KeyLogged, PacketReceived, PacketSent
from stack.observe.dissect.layer import printable
from stack.observe.reasons import UNSOUND, explanation
from stack.observe.rows import Row, Rows
from stack.wire.segment import Address

# Received packets that wait for a TLS secret to become readable; more are not held back.
HELD_MAX = 64

Paint = Callable[[str], str]


class TextTrace:
    """An observer that writes a line for each packet, and `↳` lines with reasons.

    `write` is called once a packet, with text that ends its lines; flushing is the caller's.
    `ours` are the host's addresses, which tell directions apart where `colour` is wanted.
    A received packet that only a TLS secret makes readable waits for the next thing that
    happens: the secret follows from this very packet.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        colour: bool = False,
        ours: Collection[Address | str] = (),
        reasons: bool = True,
    ) -> None:
        self._write = write
        self._reasons = reasons
        self._ours = {str(ip_address(str(address))) for address in ours}
        self._rows = Rows()
        self._columns = Columns()
        self._paints = _paints() if colour else {}
        self._held: list[tuple[Row, Sequence[str]]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, PacketSent):
            self.packet(event.now, event.data, [explanation(event)], verify=False)
        elif isinstance(event, PacketReceived):
            self._received(event)
        elif isinstance(event, KeyLogged):
            self.add_secret(event.line)

    def packet(
        self,
        now: int,
        data: bytes,
        reasons: Sequence[str] = (),
        *,
        outbound: bool | None = None,
        note: str = "",
        verify: bool = True,
    ) -> None:
        """Writes a packet seen at `now` (µs), or a frame that is no IP packet and has a `note`."""
        self.flush()
        row = self._rows.take(now, data, note=note, verify=verify)
        self._show(row, reasons, outbound=outbound)

    def add_secret(self, line: str) -> None:
        """Takes a line of a TLS key log; what it makes readable late is told late."""
        held = {row.number for row, _ in self._held}
        for number, names in self._rows.add_secret(line):
            if number not in held and self._reasons:
                self._write(self._reason(f"packet {number} decrypted: {names}"))
        if not any(row.waiting for row, _ in self._held):
            self.flush()

    def flush(self) -> None:
        """Writes what was held back."""
        held, self._held = self._held, []
        for row, reasons in held:
            self._show(row, reasons)

    def _received(self, event: PacketReceived) -> None:
        row = self._rows.take(event.now, event.data, verify=event.verdict in UNSOUND)
        reasons = [explanation(event)]
        if (row.waiting or self._held) and len(self._held) < HELD_MAX:
            self._held.append((row, reasons))
        else:
            self.flush()
            self._show(row, reasons, outbound=False)

    def _show(self, row: Row, reasons: Sequence[str], *, outbound: bool | None = None) -> None:
        if outbound is None:
            outbound = row.source in self._ours or (not self._ours and not row.from_client)
        paint = self._paints.get("alarm" if row.alarming else "sent" if outbound else "received")
        line = self._columns.line(row)
        text = (paint(line) if paint else line) + "\n"
        if self._reasons:
            text += "".join(self._reason(line) for line in (*row.notes, *reasons) if line)
        self._write(text)

    def _reason(self, reason: str) -> str:
        """The `↳` line, under the info column."""
        text = f"{' ' * self._columns.info_at}↳ {printable(reason)}"
        paint = self._paints.get("reason")
        return (paint(text) if paint else text) + "\n"


class Columns:
    """Lines rows up; columns grow as they must and never shrink, so that little moves."""

    def __init__(self) -> None:
        self._number = 3
        self._time = 8
        self._address = 0
        self._protocol = 7  # TLSv1.3
        self._length = 4

    @property
    def info_at(self) -> int:
        """The column in which info begins."""
        widths = self._number + self._time + 2 * self._address + self._protocol + self._length
        return widths + 6 * 2

    def line(self, row: Row) -> str:
        """The row in columns."""
        time = seconds(row.time)
        self._number = max(self._number, len(str(row.number)))
        self._time = max(self._time, len(time))
        self._address = max(self._address, len(row.source), len(row.destination))
        self._protocol = max(self._protocol, len(row.protocol))
        self._length = max(self._length, len(str(row.length)))
        return (
            f"{row.number:>{self._number}}  {time:>{self._time}}"
            f"  {row.source:<{self._address}}  {row.destination:<{self._address}}"
            f"  {row.protocol:<{self._protocol}}  {row.length:>{self._length}}  {row.info}"
        )


def seconds(microseconds: int) -> str:
    """Microseconds as seconds with six decimals, exactly."""
    whole, rest = divmod(abs(microseconds), 1_000_000)
    return f"{'-' if microseconds < 0 else ''}{whole}.{rest:06d}"


def _paints() -> dict[str, Paint]:
    """What colours a line: by direction, by alarm, and reasons dim."""
    from rich.color import ColorSystem
    from rich.style import Style

    def paint(style: str) -> Paint:
        parsed = Style.parse(style)
        return lambda text: parsed.render(text, color_system=ColorSystem.STANDARD)

    return {
        "received": paint("cyan"),
        "sent": paint("green"),
        "alarm": paint("bold red"),
        "reason": paint("dim"),
    }
