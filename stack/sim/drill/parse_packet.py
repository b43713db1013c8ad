"""Packet lines: what stands behind `<` or `>`."""

import re
from dataclasses import replace

from stack.sim.drill import icmp_names, option_names
from stack.sim.drill.lexer import Kind
from stack.sim.drill.option_names import ACCECN_FIELDS, EXPERIMENT, FAST_OPEN_MAGIC
from stack.sim.drill.reader import Reader
from stack.sim.drill.script import RAW, IcmpSpec, IpSpec, OptionSpec, PacketSpec, TcpSpec, UdpSpec
from stack.wire.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from stack.wire.tcp_options import SACK, TIMESTAMPS

FLAGS = {
    "F": FIN,
    "S": SYN,
    "R": RST,
    "P": PSH,
    ".": ACK,
    "U": URG,
    "E": ECE,
    "W": CWR,
    "A": AE,
}
_ECN = {
    "noecn": frozenset({0}),
    "ect1": frozenset({1}),
    "ect0": frozenset({2}),
    "ect01": frozenset({1, 2}),
    "ce": frozenset({3}),
}
_ENCAPSULATIONS = frozenset({"gre", "mpls", "ipv4", "ipv6"})
OPTION_BYTES_MAX = 40


def read_packet(reader: Reader, *, inbound: bool) -> PacketSpec:
    """A TCP segment, a UDP datagram or an ICMP message."""
    ip = _ip(reader)
    if reader.next.text in _ENCAPSULATIONS:
        raise reader.error(
            f"{reader.next}: packets in tunnels are not supported: leave the tunnel out"
        )
    if reader.skip("icmp"):
        return _icmp(reader, ip)
    if reader.skip("udp"):
        return _udp(reader, ip)
    return _tcp(reader, ip, inbound=inbound)


# ---- the IP header ----------------------------------------------------------------


def _ip(reader: Reader) -> IpSpec:
    """`[ect0]`, `(tos 0x10)`, `[ce, ttl 3]`, …"""
    ip = IpSpec()
    for opening, closing in ("[]", "()"):
        if reader.skip(opening):
            while not reader.skip(closing):
                ip = _ip_word(reader, ip)
                reader.skip(",")
    return ip


def _ip_word(reader: Reader, ip: IpSpec) -> IpSpec:
    word = reader.word("what the IP header says: noecn, ect0, ect1, ect01, ce, tos, ttl, flowlabel")
    if word in _ECN:
        return replace(ip, ecn=_ECN[word])
    if word == "tos":
        return replace(ip, tos=reader.integer("a TOS"))
    if word == "ttl":
        return replace(ip, ttl=reader.integer("a TTL"))
    if word == "flowlabel":
        return replace(ip, flow_label=reader.integer("a flow label"))
    if word == "badsum":
        return replace(ip, bad_checksum=True)
    raise reader.error(f"`{word}` is no word for the IP header: take noecn, ect0, ce, tos, ttl, …")


# ---- TCP -----------------------------------------------------------------------------


def _tcp(reader: Reader, ip: IpSpec, *, inbound: bool) -> TcpSpec:
    ports = _ports(reader)
    flags = _flags(reader)
    seq, length = _sequence(reader)
    ack = reader.integer("the ACK number") if reader.skip("ack") else None
    window = reader.integer("the window") if reader.skip("win") else None
    urgent = reader.integer("the urgent pointer") if reader.skip("urg") else None
    options = _options(reader, inbound=inbound)
    if inbound and window is None and not flags & RST:
        raise reader.error("a packet that arrives needs a window: add `win N`", reader.last.line)
    if inbound and flags & ACK and ack is None:
        raise reader.error(
            "a packet with the ACK flag needs its number: add `ack N`", reader.last.line
        )
    return TcpSpec(flags, seq, length, ack, window, urgent, options, ports, ip)


def _ports(reader: Reader) -> tuple[int, int] | None:
    if reader.next.kind is not Kind.INTEGER:
        return None
    source = reader.integer("a port")
    reader.expect(">", "a pair of ports between them")
    destination = reader.integer("a port")
    return source, destination


def _flags(reader: Reader) -> int:
    """Letters and a dot; a digit 0 to 7 is the ACE field (RFC 9768 §3.1.1)."""
    token = reader.next
    if reader.skip("-"):
        return 0
    letters = ""
    while reader.next.kind is Kind.WORD or reader.at(".") or _is_ace(reader):
        if letters and reader.next.start != reader.last.end:
            break
        letters += reader.take().text
    flags = 0
    for letter in letters:
        if letter in "01234567":
            flags |= int(letter) << 6  # AE, CWR and ECE lie side by side
        elif letter in FLAGS:
            flags |= FLAGS[letter]
        else:
            raise reader.error(
                f"`{letter}` in `{letters}` is no flag: there are {' '.join(FLAGS)}", token.line
            )
    if not letters:
        raise reader.error(f"{token} where the flags should be, such as `S`, `.`, `P.` or `-`")
    return flags


def _is_ace(reader: Reader) -> bool:
    return bool(re.fullmatch(r"\.[0-7]", reader.next.text))


def _sequence(reader: Reader) -> tuple[int, int]:
    """`first:end(length)`"""
    line = reader.next.line
    seq = reader.integer("the sequence number")
    reader.expect(":", "sequence numbers `first:end(length)`")
    end = reader.integer("the end of the sequence numbers")
    reader.expect("(", "sequence numbers `first:end(length)`")
    length = reader.integer("the length")
    reader.expect(")", "sequence numbers `first:end(length)`")
    if (end - seq - length) % (1 << 32) or not 0 <= length <= 65_535:
        raise reader.error(
            f"{seq}:{end}({length}): the end is not {length} behind the beginning", line
        )
    return seq % (1 << 32), length


def _options(reader: Reader, *, inbound: bool) -> tuple[OptionSpec, ...] | None:
    if not reader.skip("<"):
        return ()
    if reader.skip("..."):
        reader.expect(">", "the list of options at its end")
        if inbound:
            raise reader.error(
                "`<...>` says nothing that could be sent: name the options of a `<` packet"
            )
        return None
    options = [_option(reader)]
    while reader.skip(","):
        options.append(_option(reader))
    reader.expect(">", "a list of options between two, a `,`, and at its end,")
    if sum(len(option_names.encode(option)) for option in options) > OPTION_BYTES_MAX:
        raise reader.error("the options take more than 40 bytes: leave some out", reader.last.line)
    return tuple(options)


def _option(reader: Reader) -> OptionSpec:
    name = reader.word("a TCP option")
    if name in option_names.BARE_BY_NAME:
        return OptionSpec(option_names.BARE_BY_NAME[name])
    if name == "TS":
        reader.expect("val", "the timestamp option")
        tsval = reader.integer("the timestamp")
        reader.expect("ecr", "the timestamp option")
        return OptionSpec(TIMESTAMPS, (tsval, reader.integer("the timestamp echo")))
    if name in option_names.BY_NAME:
        return _checked(reader, OptionSpec(option_names.BY_NAME[name], (reader.integer(name),)))
    if name == "sack":
        return OptionSpec(SACK, _sack_blocks(reader))
    if name == "ECN":
        return _accecn(reader)
    if name == "kind":
        kind = reader.integer("the kind of the option")
        return OptionSpec(kind % 256, (), _blob(reader))
    if name == "raw":
        return OptionSpec(RAW, (), reader.hex_bytes("the bytes"))
    if name in ("FOEXP", "FO_EXP"):
        return OptionSpec(EXPERIMENT, (), FAST_OPEN_MAGIC + _blob(reader))
    if name in option_names.BLOB_BY_NAME:
        return OptionSpec(option_names.BLOB_BY_NAME[name], (), _blob(reader))
    raise reader.error(f"`{name}` is no TCP option: write `kind N HEX` for one without a name")


def _checked(reader: Reader, option: OptionSpec) -> OptionSpec:
    most = 255 if option.kind == option_names.BY_NAME["wscale"] else 65_535
    if not 0 <= option.values[0] <= most:
        raise reader.error(f"{option.values[0]} does not fit: the option takes 0 to {most}")
    return option


def _blob(reader: Reader) -> bytes:
    """Bytes in hexadecimal digits, or none."""
    if reader.at(",") or reader.at(">"):
        return b""
    return reader.hex_bytes("data of the option")


def _sack_blocks(reader: Reader) -> tuple[int, ...]:
    edges: list[int] = []
    while reader.next.kind is Kind.INTEGER:
        edges.append(reader.integer("the left edge") % (1 << 32))
        reader.expect(":", "a SACK block between its edges")
        edges.append(reader.integer("the right edge") % (1 << 32))
    if not edges:
        raise reader.error("a SACK option needs blocks: write `sack LEFT:RIGHT`")
    return tuple(edges)


def _accecn(reader: Reader) -> OptionSpec:
    names: list[str] = []
    values: list[int] = []
    while reader.next.text in ACCECN_FIELDS[option_names.ACCECN_0]:
        names.append(reader.take().text)
        values.append(reader.integer("a counter of bytes") % (1 << 24))
    for kind, order in ACCECN_FIELDS.items():
        if tuple(names) == order[: len(names)]:
            return OptionSpec(kind, tuple(values))
    raise reader.error(
        "the counters of ECN come as e0b ceb e1b or as e1b ceb e0b: put them in order"
    )


# ---- UDP and ICMP ------------------------------------------------------------------------


def _udp(reader: Reader, ip: IpSpec) -> UdpSpec:
    ports = _ports(reader)
    reader.expect("(", "`udp (LENGTH)`")
    length = reader.integer("the length")
    reader.expect(")", "`udp (LENGTH)`")
    return UdpSpec(length, ports, ip)


def _icmp(reader: Reader, ip: IpSpec) -> IcmpSpec:
    version = reader.version
    name = reader.word("an ICMP type")
    icmp_type = icmp_names.type_of(version, name)
    if icmp_type is None:
        known = ", ".join(icmp_names.type_names(version))
        raise reader.error(f"`{name}` is no ICMP type of IPv{version}: there are {known}, type_N")
    code = _icmp_code(reader, version, name)
    mtu = reader.integer("the MTU") if reader.skip("mtu") else None
    identifier = reader.integer("the identifier") if reader.skip("id") else None
    quoted, seq, length = _quoted(reader)
    return IcmpSpec(icmp_type, code, mtu, identifier, quoted, seq, length, ip)


def _icmp_code(reader: Reader, version: int, name: str) -> int:
    if reader.next.kind is not Kind.WORD or reader.next.text in ("mtu", "id"):
        return 0
    code = icmp_names.code_of(version, name, reader.next.text)
    if code is None:
        known = ", ".join((*icmp_names.code_names(version, name), "code_N"))
        raise reader.error(f"{reader.next} is no code of ICMP {name}: there are {known}")
    reader.take()
    return code


def _quoted(reader: Reader) -> tuple[str, int, int]:
    """`[1:1001(1000)]`, `[udp (1000)]`, `[raw (100)]`: the packet that an error is about."""
    if not reader.skip("["):
        return "", 0, 0
    kind, seq = "tcp", 0
    if reader.at("udp") or reader.at("raw"):
        kind = reader.take().text
        reader.expect("(", f"`[{kind} (LENGTH)]`")
        length = reader.integer("the length")
        reader.expect(")", f"`[{kind} (LENGTH)]`")
    else:
        seq, length = _sequence(reader)
    reader.expect("]", "the quoted packet at its end")
    return kind, seq, length
