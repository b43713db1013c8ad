"""Packets in the language of the scripts."""

from stack.sim.drill import icmp_names, option_names
from stack.sim.drill.parse_packet import FLAGS
from stack.sim.drill.script import IcmpSpec, OptionSpec, PacketSpec, TcpSpec, UdpSpec
from stack.wire.sequence import MASK

_ECN_NAMES = {
    frozenset({0}): "noecn",
    frozenset({1}): "ect1",
    frozenset({2}): "ect0",
    frozenset({3}): "ce",
    frozenset({1, 2}): "ect01",
}


def seconds(time: int) -> str:
    """A time of a script (µs) as its seconds."""
    return f"{time / 1e6:.6f}"


def flag_letters(flags: int) -> str:
    """`S.`, `FP.`, or `-` for none."""
    order = "FSRPUEWA."
    return "".join(letter for letter in order if flags & FLAGS[letter]) or "-"


def packet(spec: PacketSpec, version: int = 4) -> str:
    """A packet without direction and time."""
    if isinstance(spec, UdpSpec):
        return f"udp ({spec.length})"
    if isinstance(spec, IcmpSpec):
        return _icmp(spec, version)
    return tcp(spec)


def tcp(spec: TcpSpec) -> str:
    """Flags, numbers, window and options; what the script leaves open is left out."""
    words = [flag_letters(spec.flags), sequence(spec.seq, spec.length)]
    if spec.ack is not None:
        words.append(f"ack {spec.ack}")
    if spec.window is not None:
        words.append(f"win {spec.window}")
    if spec.urgent:
        words.append(f"urg {spec.urgent}")
    if spec.options is None:
        words.append("<...>")
    elif spec.options:
        words.append(options(spec.options))
    return " ".join(words)


def sequence(seq: int, length: int) -> str:
    """`1:1001(1000)`"""
    return f"{seq}:{(seq + length) & MASK}({length})"


def options(specs: tuple[OptionSpec, ...] | None) -> str:
    """`<mss 1460,nop,wscale 7>`; an empty list is empty text."""
    if specs is None:
        return "<...>"
    return f"<{','.join(option_names.spelled(option) for option in specs)}>" if specs else ""


def ecn(values: frozenset[int] | None) -> str:
    """`ect0`, …; empty when the script leaves it open."""
    return "" if values is None else _ECN_NAMES.get(values, "?")


def _icmp(spec: IcmpSpec, version: int) -> str:
    words = ["icmp", icmp_names.spelled(version, spec.type, spec.code)]
    if spec.mtu is not None:
        words.append(f"mtu {spec.mtu}")
    if spec.identifier is not None:
        words.append(f"id {spec.identifier}")
    if spec.quoted == "tcp":
        words.append(f"[{sequence(spec.seq, spec.length)}]")
    elif spec.quoted:
        words.append(f"[{spec.quoted} ({spec.length})]")
    return " ".join(words)
