"""One line for a packet, in the words of Wireshark's packet list: protocol and info."""

from collections.abc import Callable
from struct import unpack_from

from stack.observe.streams import Place
from stack.wire.segment import (
    ACK,
    ICMP,
    ICMPV6,
    MSS,
    NO_NEXT_HEADER,
    SACK,
    SACK_PERMITTED,
    TCP,
    TIMESTAMPS,
    UDP,
    URG,
    WINDOW_SCALE,
    Icmp,
    Option,
    Packet,
    Tcp,
    Udp,
)
from stack.wire.tcp_options import sack_edges

FLAG_NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")
PROTOCOL_NAMES = {
    ICMP: "ICMP",
    2: "IGMP",
    TCP: "TCP",
    UDP: "UDP",
    41: "IPv6",
    47: "GRE",
    50: "ESP",
    ICMPV6: "ICMPv6",
    132: "SCTP",
}

USER_TIMEOUT = 28
FAST_OPEN = 34


def flag_names(flags: int) -> str:
    """The flags as `SYN, ACK`."""
    names = [name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1]
    return ", ".join(names) or "<None>"


# ---- TCP -----------------------------------------------------------------------


def tcp_info(tcp: Tcp, place: Place) -> str:
    """Ports, flags, numbers and the options in wire order, without the marks."""
    words = [f"{tcp.sport} → {tcp.dport} [{flag_names(tcp.flags)}] Seq={place.seq & 0xFFFFFFFF}"]
    if tcp.flags & ACK:
        words.append(f"Ack={place.ack & 0xFFFFFFFF}")
    words.append(f"Win={place.window}")
    if tcp.flags & URG:
        words.append(f"Urg={tcp.urgent}")
    words.append(f"Len={place.length}")
    sacked = iter(place.sacked)
    for option in tcp.options:
        if option.kind == SACK and not option.fault:
            edges = [next(sacked, block) for block in sack_edges(option.data)]
            words += [f"SLE={left & 0xFFFFFFFF} SRE={right & 0xFFFFFFFF}" for left, right in edges]
        elif word := _option_word(option):
            words.append(word)
    return " ".join(words)


def _option_word(option: Option) -> str:
    """An option as Wireshark's list shows it; "" for those that it leaves out."""
    kind, data = option.kind, option.data
    if option.fault:
        return f"[option {kind}: {option.fault}]"
    if kind == TIMESTAMPS and len(data) == 8:
        tsval, tsecr = unpack_from("!II", data)
        return f"TSval={tsval} TSecr={tsecr}"
    if kind == MSS and len(data) == 2:
        return f"MSS={int.from_bytes(data, 'big')}"
    if kind == WINDOW_SCALE and len(data) == 1:
        return f"WS={1 << min(data[0], 14)}"
    if kind == SACK_PERMITTED:
        return "SACK_PERM"
    if kind == FAST_OPEN:
        return "TFO=C" if data else "TFO=R"
    if kind == USER_TIMEOUT and len(data) == 2:
        return f"USER_TO={int.from_bytes(data, 'big') & 0x7FFF}"
    return ""


# ---- everything else -------------------------------------------------------------


def other_info(packet: Packet) -> tuple[str, str]:
    """Protocol and info of a packet without a TCP header to show."""
    protocol, info = _other_info(packet)
    return protocol, f"{info} [Malformed Packet: {packet.fault}]" if packet.fault else info


def _other_info(packet: Packet) -> tuple[str, str]:
    transport, version = packet.transport, f"IPv{packet.version}"
    if packet.src is None:
        return "IP", "not an IP packet"
    if packet.is_fragment:
        return version, _fragment_info(packet)
    if isinstance(transport, Udp):
        return "UDP", f"{transport.sport} → {transport.dport} Len={len(transport.text)}"
    if isinstance(transport, Icmp):
        if packet.version == 6:
            return "ICMPv6", _icmpv6_info(transport, packet.ttl)
        return "ICMP", _icmp_info(transport, packet.ttl)
    if packet.version == 6 and packet.protocol == NO_NEXT_HEADER:
        return version, "IPv6 no next header"
    name = PROTOCOL_NAMES.get(packet.protocol, version)
    return name, f"IP protocol {packet.protocol}, {len(packet.payload)} bytes"


def _fragment_info(packet: Packet) -> str:
    if packet.version == 6:
        more = "y" if packet.more_fragments else "n"
        return (
            f"IPv6 fragment (off={packet.fragment_offset} more={more}"
            f" ident=0x{packet.ip_id:08x} nxt={packet.protocol})"
        )
    name = PROTOCOL_NAMES.get(packet.protocol, "unknown")
    return (
        f"Fragmented IP protocol (proto={name} {packet.protocol},"
        f" off={packet.fragment_offset}, ID={packet.ip_id:04x})"
    )


def _echo(icmp: Icmp) -> tuple[int, int]:
    """Identifier and sequence number."""
    return icmp.rest >> 16, icmp.rest & 0xFFFF


def _echo_info(name: str) -> Callable[[Icmp, int], str]:
    def info(icmp: Icmp, ttl: int) -> str:
        identifier, sequence = _echo(icmp)
        swapped = (sequence & 0xFF) << 8 | sequence >> 8  # some hosts count in their own order
        return f"{name}id=0x{identifier:04x}, seq={sequence}/{swapped}, ttl={ttl}"

    return info


_ICMP_ECHO = {
    0: _echo_info("Echo (ping) reply    "),
    8: _echo_info("Echo (ping) request  "),
    13: _echo_info("Timestamp request    "),
    14: _echo_info("Timestamp reply      "),
}

# Type: its name, and the names of its codes (RFC 792, RFC 1122 §3.2.2, RFC 1812 §5.2.7).
_ICMP_NAMES: dict[int, tuple[str, dict[int, str]]] = {
    3: (
        "Destination unreachable",
        {
            0: "Network unreachable",
            1: "Host unreachable",
            2: "Protocol unreachable",
            3: "Port unreachable",
            4: "Fragmentation needed",
            5: "Source route failed",
            9: "Network administratively prohibited",
            10: "Host administratively prohibited",
            13: "Communication administratively filtered",
        },
    ),
    4: ("Source quench", {0: "flow control"}),
    5: ("Redirect", {0: "Redirect for network", 1: "Redirect for host"}),
    11: (
        "Time-to-live exceeded",
        {0: "Time to live exceeded in transit", 1: "Fragment reassembly time exceeded"},
    ),
    12: ("Parameter problem", {0: "Pointer indicates the error"}),
}

# RFC 4443 §3, RFC 4861 §4, RFC 2710 §3, RFC 3810 §5.
_ICMPV6_NAMES: dict[int, tuple[str, dict[int, str]]] = {
    1: (
        "Destination Unreachable",
        {
            0: "no route to destination",
            1: "Administratively prohibited",
            2: "Beyond scope of source address",
            3: "Address unreachable",
            4: "Port unreachable",
            5: "Source address failed ingress/egress policy",
            6: "Reject route to destination",
        },
    ),
    2: ("Packet Too Big", {}),
    3: (
        "Time Exceeded",
        {0: "hop limit exceeded in transit", 1: "fragment reassembly time exceeded"},
    ),
    4: (
        "Parameter Problem",
        {
            0: "erroneous header field encountered",
            1: "unrecognized Next Header type encountered",
            2: "unrecognized IPv6 option encountered",
        },
    ),
    130: ("Multicast Listener Query", {}),
    131: ("Multicast Listener Report", {}),
    132: ("Multicast Listener Done", {}),
    133: ("Router Solicitation", {}),
    134: ("Router Advertisement", {}),
    135: ("Neighbor Solicitation", {}),
    136: ("Neighbor Advertisement", {}),
    143: ("Multicast Listener Report Message v2", {}),
}


def _named(icmp: Icmp, names: dict[int, tuple[str, dict[int, str]]]) -> str:
    name, codes = names.get(icmp.type, (f"Type {icmp.type}", {}))
    code = codes.get(icmp.code, f"code {icmp.code}" if icmp.code or codes else "")
    return f"{name} ({code})" if code else name


def _icmp_info(icmp: Icmp, ttl: int) -> str:
    if icmp.type in _ICMP_ECHO:
        return _ICMP_ECHO[icmp.type](icmp, ttl)
    mtu = f" MTU={icmp.rest & 0xFFFF}" if (icmp.type, icmp.code) == (3, 4) else ""  # RFC 1191 §4
    return _named(icmp, _ICMP_NAMES) + mtu


def _icmpv6_info(icmp: Icmp, hop_limit: int) -> str:
    if icmp.type in (128, 129):
        identifier, sequence = _echo(icmp)
        name = "request" if icmp.type == 128 else "reply"
        return f"Echo (ping) {name} id=0x{identifier:04x}, seq={sequence}, hop limit={hop_limit}"
    return _named(icmp, _ICMPV6_NAMES) + (f" MTU={icmp.rest}" if icmp.type == 2 else "")
