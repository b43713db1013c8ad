"""Captured segments in the numbers of a script: each side's SYN is 0, its first timestamp 1."""

from dataclasses import dataclass, replace

from stack.sim.drill import notation, option_names
from stack.sim.drill.captured import Segment
from stack.sim.drill.script import OptionSpec, TcpSpec
from stack.wire.segment import ACK, FIN, SYN, Tcp
from stack.wire.sequence import MASK
from stack.wire.tcp_options import SACK, TIMESTAMPS


@dataclass(slots=True)
class _Side:
    isn: int = 0
    tsval: int = 0
    scale: int = 0
    fin: int | None = None  # its number, as in the script


class Numbers:
    """Where both sides of a connection began."""

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        self._sides = {True: _Side(), False: _Side()}
        clocks: set[bool] = set()
        for segment in segments:
            side, tcp = self._sides[segment.ours], segment.tcp
            if tcp.flags & SYN:
                side.isn = tcp.seq
                side.scale = tcp.window_scale or 0
            if tcp.flags & FIN:
                side.fin = (tcp.seq - side.isn + len(tcp.text)) & MASK
            if segment.ours not in clocks and tcp.timestamps is not None:
                clocks.add(segment.ours)
                side.tsval = tcp.timestamps[0]

    def seq(self, segment: Segment) -> int:
        """The sequence number of the first byte of text."""
        tcp = segment.tcp
        return (tcp.seq - self._sides[segment.ours].isn + bool(tcp.flags & SYN)) & MASK

    @property
    def unit(self) -> int:
        """The bytes that one step of our window field stands for."""
        return 1 << self._sides[True].scale

    def right_edge(self, segment: Segment) -> int:
        """The number behind the window that a segment announces; a FIN takes no room."""
        tcp = segment.tcp
        scale = 0 if tcp.flags & SYN else self._sides[segment.ours].scale
        ack, fin = self._ack(segment), self._sides[not segment.ours].fin
        return ack - (fin is not None and ack > fin) + (tcp.window << scale)

    def _ack(self, segment: Segment) -> int:
        return (segment.tcp.ack - self._sides[not segment.ours].isn) & MASK

    def spelled(self, segment: Segment, *, window: bool) -> str:
        """The segment as a script has it, with its window or without."""
        tcp: Tcp = segment.tcp
        spec = TcpSpec(
            flags=tcp.flags,
            seq=(tcp.seq - self._sides[segment.ours].isn) & MASK,
            length=len(tcp.text),
            ack=self._ack(segment) if tcp.flags & ACK else None,
            window=tcp.window if window else None,
            urgent=tcp.urgent or None,
            options=tuple(
                self._option(option_names.decode(option), segment.ours) for option in tcp.options
            ),
        )
        return notation.tcp(spec)

    def _option(self, option: OptionSpec, ours: bool) -> OptionSpec:
        sender, other = self._sides[ours], self._sides[not ours]
        if option.kind == SACK:
            values = tuple((value - other.isn) & MASK for value in option.values)
            return replace(option, values=values)
        if option.kind == TIMESTAMPS and option.values:
            tsval, ecr = option.values
            echo = (ecr - other.tsval + 1) & MASK if ecr else 0
            return replace(option, values=((tsval - sender.tsval + 1) & MASK, echo))
        return option
