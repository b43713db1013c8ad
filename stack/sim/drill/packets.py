"""Packets of a script as bytes, and the bytes that our host sends as packets of a script."""

from dataclasses import dataclass
from ipaddress import ip_address

from stack.sim.drill import option_names, pattern
from stack.sim.drill.flow import Flow
from stack.sim.drill.script import IcmpSpec, IpSpec, PacketSpec, TcpSpec, UdpSpec
from stack.wire import segment
from stack.wire.segment import ICMP, ICMPV6, SYN, TCP, UDP, IpFields, build_ip

_ECHO = {4: (8, 0), 6: (128, 129)}
_TOO_BIG = {4: (3, 4), 6: (2, 0)}
_ECN_BITS = 0x03


@dataclass(frozen=True, slots=True)
class Ends:
    """The addresses of our host and of the side that the script plays."""

    local: str
    remote: str

    @property
    def version(self) -> int:
        return ip_address(self.local).version


# ---- to bytes ----------------------------------------------------------------------


def build(spec: PacketSpec, flow: Flow, ends: Ends) -> bytes:
    """The IP packet that reaches our host for a `<` line."""
    if isinstance(spec, TcpSpec):
        return _build_tcp(spec, flow, ends)
    if isinstance(spec, UdpSpec):
        checksum = 1 if spec.ip.bad_checksum else None
        return segment.build_udp(
            ends.remote,
            ends.local,
            flow.remote_port,
            flow.local_port,
            pattern.text(0, spec.length),
            checksum=checksum,
            **_ip_fields(spec.ip),
        )
    return _build_icmp(spec, flow, ends)


def _build_tcp(spec: TcpSpec, flow: Flow, ends: Ends) -> bytes:
    live = flow.to_wire(spec)
    assert live.options is not None
    first = spec.seq + bool(spec.flags & SYN) - 1
    # Padding is zeros, that is, End of Option List (RFC 9293 §3.1).
    options = b"".join(option_names.encode(option) for option in live.options)
    return segment.build_tcp(
        ends.remote,
        ends.local,
        flow.remote_port,
        flow.local_port,
        seq=live.seq,
        ack=live.ack or 0,
        flags=live.flags,
        window=live.window or 0,
        options=options,
        text=pattern.text(first, spec.length),
        urgent=live.urgent or 0,
        checksum=1 if spec.ip.bad_checksum else None,
        **_ip_fields(spec.ip),
    )


def _build_icmp(spec: IcmpSpec, flow: Flow, ends: Ends) -> bytes:
    rest = (spec.mtu or 0) | (spec.identifier or 0) << 16
    body = b""
    if spec.type not in _ECHO[ends.version]:
        body = _quote(spec, flow, ends)
    return segment.build_icmp(
        ends.remote,
        ends.local,
        spec.type,
        spec.code,
        rest=rest,
        body=body,
        checksum=1 if spec.ip.bad_checksum else None,
        **_ip_fields(spec.ip),
    )


def _quote(spec: IcmpSpec, flow: Flow, ends: Ends) -> bytes:
    """The head of a packet of ours: its IP header and eight bytes more (RFC 792)."""
    ports = flow.local_port.to_bytes(2, "big") + flow.remote_port.to_bytes(2, "big")
    headers = {"udp": 8, "raw": 0}.get(spec.quoted, 20)
    if spec.quoted == "udp":
        protocol, head = UDP, ports + (8 + spec.length).to_bytes(2, "big") + bytes(2)
    elif spec.quoted == "raw":
        protocol, head = 255, bytes(8)
    else:
        protocol, head = TCP, ports + flow.quoted_seq(spec.seq).to_bytes(4, "big")
    ip = 20 if ends.version == 4 else 40
    total = ip + headers + spec.length
    return build_ip(ends.local, ends.remote, protocol, head, total_length=total, dont_fragment=True)


def _ip_fields(ip: IpSpec) -> IpFields:
    fields = IpFields()
    tclass = ip.tos or 0
    if ip.ecn is not None:
        # Where the script leaves a choice, as ect01 does, a sender takes ECT(0).
        tclass = tclass & ~_ECN_BITS | max(ip.ecn & {0, 2, 3} or ip.ecn)
    fields["tclass"] = tclass
    if ip.ttl is not None:
        fields["ttl"] = ip.ttl
    if ip.flow_label is not None:
        fields["flow_label"] = ip.flow_label
    return fields


# ---- from bytes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet that our host sent: as a script would have it, the text, and the flow's ports.

    `remote` is the address that it went to, `ports` ours first.
    """

    spec: PacketSpec
    text: bytes
    local: str
    remote: str
    ports: tuple[int, int]


def read(data: bytes) -> Seen:
    """Reads a packet of our host, with the numbers of the wire."""
    packet = segment.parse(data)
    assert packet.src is not None
    assert packet.dst is not None
    ip = IpSpec(
        frozenset({packet.tclass & _ECN_BITS}), packet.tclass, packet.ttl, packet.flow_label
    )
    transport = packet.transport
    local, remote = str(packet.src), str(packet.dst)
    if isinstance(transport, segment.Tcp):
        ports = transport.sport, transport.dport
        return Seen(_tcp_spec(transport, ip), transport.text, local, remote, ports)
    if isinstance(transport, segment.Udp):
        ports = transport.sport, transport.dport
        spec = UdpSpec(len(transport.text), ports, ip)
        return Seen(spec, transport.text, local, remote, ports)
    assert isinstance(transport, segment.Icmp)
    return Seen(_icmp_spec(transport, packet.version, ip), transport.body, local, remote, (0, 0))


def _tcp_spec(tcp: segment.Tcp, ip: IpSpec) -> TcpSpec:
    return TcpSpec(
        flags=tcp.flags,
        seq=tcp.seq,
        length=len(tcp.text),
        ack=tcp.ack,
        window=tcp.window,
        urgent=tcp.urgent,
        options=tuple(option_names.decode(option) for option in tcp.options),
        ports=(tcp.sport, tcp.dport),
        ip=ip,
    )


def _icmp_spec(icmp: segment.Icmp, version: int, ip: IpSpec) -> IcmpSpec:
    mtu = identifier = None
    if (icmp.type, icmp.code) == _TOO_BIG[version]:
        mtu = icmp.rest & 0xFFFF if version == 4 else icmp.rest
    if icmp.type in _ECHO[version]:
        identifier = icmp.rest >> 16
        return IcmpSpec(icmp.type, icmp.code, mtu, identifier, ip=ip)
    quoted, seq, length = _read_quote(icmp.body)
    return IcmpSpec(icmp.type, icmp.code, mtu, identifier, quoted, seq, length, ip)


def _read_quote(body: bytes) -> tuple[str, int, int]:
    """Kind, sequence number as on the wire, and length of the text of the quoted packet."""
    quoted = segment.parse(body)
    whole = len(quoted.data) + quoted.missing - quoted.header_length
    payload = quoted.payload
    if quoted.protocol == TCP and len(payload) >= 8:
        header = (payload[12] >> 4) * 4 if len(payload) > 12 else 20
        return "tcp", int.from_bytes(payload[4:8], "big"), max(whole - header, 0)
    if quoted.protocol == UDP:
        return "udp", 0, max(whole - 8, 0)
    if quoted.protocol in (ICMP, ICMPV6, -1):
        return "", 0, 0
    return "raw", 0, max(whole, 0)
