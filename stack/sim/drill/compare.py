"""A packet that a script expects beside the one that our host sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from stack.sim.drill import icmp_names, notation
from stack.sim.drill.flow import Flow
from stack.sim.drill.option_names import FAST_OPEN
from stack.sim.drill.script import IcmpSpec, IpSpec, OptionSpec, PacketSpec, TcpSpec, UdpSpec
from stack.wire.segment import ACK, SYN, URG
from stack.wire.tcp_options import EOL, NOP, TIMESTAMPS

_PADDING = (NOP, EOL)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of both packets, as text; `differs` says whether the script is contradicted."""

    name: str
    expected: str
    actual: str
    differs: bool


def fields(expected: PacketSpec, actual: PacketSpec, version: int) -> list[Field]:
    """All fields that either packet has, in the order of the notation."""
    ip = list(_ip_fields(expected.ip, actual.ip))
    if isinstance(expected, TcpSpec) and isinstance(actual, TcpSpec):
        return ip + list(_tcp_fields(expected, actual))
    if isinstance(expected, UdpSpec) and isinstance(actual, UdpSpec):
        return ip + list(_udp_fields(expected, actual))
    if isinstance(expected, IcmpSpec) and isinstance(actual, IcmpSpec):
        return ip + list(_icmp_fields(expected, actual, version))
    return [_field("protocol", _protocol(expected), _protocol(actual))]


def _field(name: str, expected: str, actual: str, *, open_: bool = False) -> Field:
    return Field(name, "(any)" if open_ else expected, actual, not open_ and expected != actual)


def _protocol(spec: PacketSpec) -> str:
    return {TcpSpec: "tcp", UdpSpec: "udp", IcmpSpec: "icmp"}[type(spec)]


def _ip_fields(expected: IpSpec, actual: IpSpec) -> Iterator[Field]:
    if expected.ecn is not None and actual.ecn is not None:
        names = notation.ecn(expected.ecn), notation.ecn(actual.ecn)
        yield Field("ecn", *names, differs=not actual.ecn <= expected.ecn)
    if expected.tos is not None:
        yield _field("tos", f"{expected.tos:#04x}", f"{actual.tos:#04x}")
    if expected.ttl is not None:
        yield _field("ttl", str(expected.ttl), str(actual.ttl))
    if expected.flow_label is not None:
        yield _field("flowlabel", f"{expected.flow_label:#x}", f"{actual.flow_label:#x}")


def _tcp_fields(expected: TcpSpec, actual: TcpSpec) -> Iterator[Field]:
    if expected.ports is not None and actual.ports is not None:
        yield _field("ports", _ports(expected.ports), _ports(actual.ports))
    letters = notation.flag_letters
    yield _field("flags", letters(expected.flags), letters(actual.flags))
    sequence = notation.sequence
    yield _field(
        "seq", sequence(expected.seq, expected.length), sequence(actual.seq, actual.length)
    )
    if actual.flags & ACK or expected.ack is not None:
        given = expected.ack is not None
        yield _field("ack", str(expected.ack), _number(actual.ack), open_=not given)
    yield _field("win", str(expected.window), str(actual.window), open_=expected.window is None)
    if expected.urgent is not None or actual.flags & URG:
        given = expected.urgent is not None
        yield _field("urg", str(expected.urgent), str(actual.urgent), open_=not given)
    yield _options_field(expected.options, actual.options or ())


def _udp_fields(expected: UdpSpec, actual: UdpSpec) -> Iterator[Field]:
    if expected.ports is not None and actual.ports is not None:
        yield _field("ports", _ports(expected.ports), _ports(actual.ports))
    yield _field("length", str(expected.length), str(actual.length))


def _ports(ports: tuple[int, int]) -> str:
    return f"{ports[0]} > {ports[1]}"


def _number(value: int | None) -> str:
    return "(none)" if value is None else str(value)


def _options_field(
    expected: tuple[OptionSpec, ...] | None, actual: tuple[OptionSpec, ...]
) -> Field:
    shown = notation.options(actual) or "(none)"
    if expected is None:
        return Field("options", "(any)", shown, differs=False)
    same = without_padding(expected, actual) == expected
    return Field("options", notation.options(expected) or "(none)", shown, differs=not same)


def without_padding(
    expected: tuple[OptionSpec, ...], actual: tuple[OptionSpec, ...]
) -> tuple[OptionSpec, ...]:
    """The options that count: a script that writes no nop and no eol leaves padding open."""
    if any(option.kind in _PADDING for option in expected):
        return actual
    return tuple(option for option in actual if option.kind not in _PADDING)


def _icmp_fields(expected: IcmpSpec, actual: IcmpSpec, version: int) -> Iterator[Field]:
    yield _field(
        "icmp",
        icmp_names.spelled(version, expected.type, expected.code),
        icmp_names.spelled(version, actual.type, actual.code),
    )
    if expected.mtu is not None:
        yield _field("mtu", str(expected.mtu), _number(actual.mtu))
    if expected.identifier is not None:
        yield _field("id", str(expected.identifier), _number(actual.identifier))
    if expected.quoted:
        yield _field("quotes", _quoted(expected), _quoted(actual))


def _quoted(spec: IcmpSpec) -> str:
    if spec.quoted == "tcp":
        return f"[{notation.sequence(spec.seq, spec.length)}]"
    return f"[{spec.quoted} ({spec.length})]"


# ---- timestamps -----------------------------------------------------------------------


def with_timestamps_named(
    expected: TcpSpec, actual: TcpSpec, flow: Flow, tick: int, tolerance: int
) -> TcpSpec:
    """`actual` with the timestamp of our host called as the script calls it.

    The first name is the script's to choose. Without `tick` (µs) any later one is, too;
    with it, a name must be as many ticks behind the first as the clock went, `tolerance`
    (µs) aside.
    """
    wanted = _tsval(expected)
    live = _tsval(actual)
    if live is None:
        return actual
    known = flow.first_tsval()
    name = flow.scripted_tsval(live)
    if wanted is not None and (known is None or not tick or _close(wanted, name, tick, tolerance)):
        flow.learn_tsval(wanted, live)
        name = wanted
    return _renamed(actual, name)


def _close(wanted: int, name: int, tick: int, tolerance: int) -> bool:
    return abs(wanted - name) * tick <= max(tolerance, tick)


def _tsval(spec: TcpSpec) -> int | None:
    for option in spec.options or ():
        if option.kind == TIMESTAMPS and option.values:
            return option.values[0]
    return None


def _renamed(spec: TcpSpec, tsval: int) -> TcpSpec:
    options = tuple(
        OptionSpec(TIMESTAMPS, (tsval, option.values[1]))
        if option.kind == TIMESTAMPS and option.values
        else option
        for option in spec.options or ()
    )
    return replace(spec, options=options)


# ---- cookies --------------------------------------------------------------------------


def with_cookie_named(expected: TcpSpec, actual: TcpSpec, cookies: dict[bytes, bytes]) -> TcpSpec:
    """`actual` with the Fast Open cookie that our host made called as the script calls it.

    `cookies` has the names that are known, and learns new ones: a script cannot know what a
    host draws, so a SYN-ACK may name any bytes as many as the cookie has.
    """
    if actual.flags & (SYN | ACK) != SYN | ACK:
        return actual
    name, live = _cookie(expected), _cookie(actual)
    if not live or not name or len(name) != len(live):
        return actual
    if cookies.setdefault(name, live) != live:
        return actual
    options = tuple(
        replace(option, data=name) if option.kind == FAST_OPEN else option
        for option in actual.options or ()
    )
    return replace(actual, options=options)


def _cookie(spec: TcpSpec) -> bytes:
    return next((o.data for o in spec.options or () if o.kind == FAST_OPEN), b"")


# ---- one line for several segments ---------------------------------------------------


def joined(first: TcpSpec, second: TcpSpec) -> TcpSpec | None:
    """Two segments of one burst as the one that a device would have cut in two; or None."""
    if second.seq != (first.seq + first.length) & 0xFFFF_FFFF or (first.flags & ~ACK):
        return None
    if first.flags & SYN or first.ack != second.ack or not first.length or not second.length:
        return None
    return replace(second, seq=first.seq, length=first.length + second.length, ip=first.ip)


def differences(found: list[Field]) -> list[str]:
    """What is wrong, in words: `ack 1001 instead of 1002`."""
    return [f"{f.name} {f.actual} instead of {f.expected}" for f in found if f.differs]


def table(found: list[Field]) -> list[str]:
    """The fields side by side; those that differ are marked."""
    rows = [("", "expected", "actual", " ")]
    rows += [(f.name, f.expected, f.actual, "≠" if f.differs else " ") for f in found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [
        f"  {sign} {name:<{widths[0]}}  {left:<{widths[1]}}  {right}".rstrip()
        for name, left, right, sign in rows
    ]
