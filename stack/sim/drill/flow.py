"""One connection as the script counts and as the wire counts.

In a script each side's SYN is number 0. On the wire our host draws its own initial
sequence number and its own timestamp offset, and the script's side begins at `remote_isn`.
"""

from dataclasses import dataclass, field, replace

from stack.sim.drill.script import OptionSpec, TcpSpec
from stack.wire.segment import ACK, RST
from stack.wire.sequence import MASK
from stack.wire.tcp_options import SACK, TIMESTAMPS


@dataclass(slots=True)
class Flow:
    """Ports, and what turns numbers of the script into numbers of the wire and back.

    `connection` is the host's number for the connection that `local_isn` belongs to.
    """

    local_port: int
    remote_port: int
    remote_isn: int
    local_isn: int | None = None
    connection: int | None = None
    acked: int = 0  # the highest number of ours that a packet acknowledged, as in the script
    _tsvals: dict[int, int] = field(default_factory=dict)  # script → wire, of our host
    _scripted: dict[int, int] = field(default_factory=dict)  # and back

    # From the script to the wire.

    def to_wire(self, spec: TcpSpec) -> TcpSpec:
        """A packet of the script's side with the numbers that our host shall see."""
        options = spec.options
        assert options is not None
        return replace(
            spec,
            seq=(spec.seq + self.remote_isn) & MASK,
            ack=None if spec.ack is None else (spec.ack + (self.local_isn or 0)) & MASK,
            options=tuple(self._option_to_wire(option) for option in options),
        )

    def quoted_seq(self, seq: int) -> int:
        """A number of our host's, which an ICMP message quotes."""
        return (seq + (self.local_isn or 0)) & MASK

    def _option_to_wire(self, option: OptionSpec) -> OptionSpec:
        if option.kind == SACK:
            return _shifted(option, self.local_isn or 0)
        if option.kind == TIMESTAMPS:
            tsval, ecr = option.values
            return replace(option, values=(tsval & MASK, self._ecr_to_wire(ecr)))
        return option

    def _ecr_to_wire(self, ecr: int) -> int:
        """What our host sent for a timestamp that the script calls `ecr`; a value between
        those that were sent is counted from the first.
        """
        if ecr in self._tsvals:
            return self._tsvals[ecr]
        if not self._tsvals or ecr == 0:
            return ecr & MASK
        scripted, live = next(iter(self._tsvals.items()))
        return (live + ecr - scripted) & MASK

    # From the wire to the script.

    def to_script(self, spec: TcpSpec) -> TcpSpec:
        """A packet of our host with the numbers that the script has; timestamps excepted."""
        options = spec.options
        assert options is not None
        resets_nothing = spec.flags & RST and spec.seq == 0  # RFC 9293 §3.10.7.1
        base = 0 if resets_nothing else self.local_isn or 0
        ack = None
        if spec.flags & ACK and spec.ack is not None:
            ack = (spec.ack - self.remote_isn) & MASK
        return replace(
            spec,
            seq=(spec.seq - base) & MASK,
            ack=ack,
            options=tuple(self._option_to_script(option) for option in options),
        )

    def _option_to_script(self, option: OptionSpec) -> OptionSpec:
        if option.kind == SACK and option.values:
            return _shifted(option, -self.remote_isn)
        return option

    # Timestamps of our host, which the script names as it likes.

    def learn_tsval(self, scripted: int, live: int) -> None:
        """The script calls our host's timestamp `live` by the name `scripted`."""
        self._tsvals[scripted] = live
        self._scripted[live] = scripted

    def first_tsval(self) -> tuple[int, int] | None:
        """The first pair of script's and wire's, from which others are counted."""
        return next(iter(self._tsvals.items()), None)

    def scripted_tsval(self, live: int) -> int:
        """What the script calls our host's timestamp, or would call it."""
        if live in self._scripted or not self._tsvals:
            return self._scripted.get(live, live)
        scripted, first = next(iter(self._tsvals.items()))
        return (scripted + live - first) & MASK


def _shifted(option: OptionSpec, by: int) -> OptionSpec:
    return replace(option, values=tuple((value + by) & MASK for value in option.values))
