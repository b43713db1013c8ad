"""A packet on its way in: IP's checks, then ICMP, UDP or TCP (RFC 1122 §3.2.1, §3.2.2)."""

from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip import icmp
from stack.core.ip.addresses import is_loopback
from stack.core.ip.headers import Protocol
from stack.core.ip.icmp import EchoReply, EchoRequest, IcmpError
from stack.core.tcp import icmp_errors, mtu_reports
from stack.core.tcp.arrive import segment_arrives
from stack.core.tcp.source_route import routed_segment_arrives
from stack.core.udp import icmp_errors as udp_errors
from stack.core.udp.arrive import datagram_arrives
from stack.core.why import Verdict, Why
from stack.wire.address import raw
from stack.wire.batch import LOOPED
from stack.wire.icmp import Unreachable4, Unreachable6

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.host import Host

_TCP = int(Protocol.TCP)

# The counters of a packet that the parser found fault with.
_FAULTS: dict[int, str] = {
    lib.FAULT_SHORT: "IpInTruncatedPkts",
    lib.FAULT_VERSION: "IpInHdrErrors",
    lib.FAULT_IP_HEADER_LENGTH: "IpInHdrErrors",
    lib.FAULT_IP_LENGTH: "IpInTruncatedPkts",
    lib.FAULT_IP_CHECKSUM: "IpInCsumErrors",
    lib.FAULT_IP_OPTION: "IpInHdrErrors",
    lib.FAULT_SOURCE_ROUTE: "IpInSourceRoutes",
    lib.FAULT_EXTENSION: "IpInHdrErrors",
}
_FAULT_NAMES = {
    getattr(lib, name): name[6:].lower().replace("_", " ")
    for name in (
        "FAULT_SHORT",
        "FAULT_VERSION",
        "FAULT_IP_HEADER_LENGTH",
        "FAULT_IP_LENGTH",
        "FAULT_IP_CHECKSUM",
        "FAULT_IP_OPTION",
        "FAULT_SOURCE_ROUTE",
        "FAULT_EXTENSION",
        "FAULT_TRANSPORT_SHORT",
        "FAULT_DATA_OFFSET",
        "FAULT_UDP_LENGTH",
        "FAULT_TRANSPORT_CHECKSUM",
    )
}
_TRANSPORT_ERRORS = {
    int(Protocol.TCP): ("TcpInErrs", "TcpInCsumErrors"),
    int(Protocol.UDP): ("UdpInErrors", "UdpInCsumErrors"),
    int(Protocol.ICMP): ("IcmpInErrors", "IcmpInCsumErrors"),
    int(Protocol.IPV6_ICMP): ("IcmpInErrors", "IcmpInCsumErrors"),
}

_ERROR_COUNTERS = {
    Why.UNREACHABLE: "IcmpOutDestUnreachs",
    Why.PARAMETER_PROBLEM: "IcmpOutParmProbs",
    Why.REASSEMBLY_TIMEOUT: "IcmpOutTimeExcds",
    Why.HOP_LIMIT: "IcmpOutTimeExcds",
    Why.TOO_BIG: "IcmpOutPktTooBigs",
}

Result = tuple[Verdict, str]


def packet_arrives(host: "Host", packet: "Packet", now: int) -> Result:
    """Processes one parsed packet; returns what was made of it and a detail."""
    if packet.fault:
        return _faulty(host, packet, now)
    if packet.protocol == _TCP and not packet.is_fragment:
        # A known flow needs no further check of its addresses, which were checked when it
        # began; but what goes on within the host is nobody's outside.
        flow = lib.flow_find(host.flows, packet)
        if flow:
            connection = host.connections[flow]
            if connection.looped and not packet.vnet_flags & LOOPED:
                host.counters.count("IpInBadSources")
                return Verdict.BAD_SOURCE, ""
            host.counters.count("TcpInSegs")
            verdict = segment_arrives(connection, packet, now)
            host.segment_path.judge(connection)
            return verdict, ""
    return _check_addresses(host, packet, now)


def _faulty(host: "Host", packet: "Packet", now: int) -> Result:
    fault = packet.fault
    if fault in _FAULTS:
        host.counters.count(_FAULTS[fault])
    else:
        errors, checksums = _TRANSPORT_ERRORS[packet.protocol]
        host.counters.count(errors)
        if fault == lib.FAULT_TRANSPORT_CHECKSUM:
            host.counters.count(checksums)
            return Verdict.BAD_CHECKSUM, ""
    if fault == lib.FAULT_SOURCE_ROUTE:
        return _routed_on(host, packet, now)
    dst = raw(packet.dst)
    if packet.problem and (host.local.owns(dst) or host.local.listens_to(dst)):
        reply_error(
            host,
            icmp.parameter_problem(
                packet, packet.problem_code, packet.problem_pointer, addresses=host.local
            ),
            Why.PARAMETER_PROBLEM,
            now,
        )
    if fault == lib.FAULT_IP_CHECKSUM:
        return Verdict.BAD_CHECKSUM, ""
    return Verdict.MALFORMED, _FAULT_NAMES[fault]


def _routed_on(host: "Host", packet: "Packet", now: int) -> Result:
    """We are to forward a packet along its source route, which a host need not
    (RFC 1122 §3.3.5) and ours never does.
    """
    if host.config.accept_source_route and host.local.owns(raw(packet.dst)):
        failed = Unreachable4.SOURCE_ROUTE_FAILED
        error = icmp.destination_unreachable(packet, failed, 0, addresses=host.local)
        reply_error(host, error, Why.UNREACHABLE, now)
    return Verdict.SOURCE_ROUTED, ""


def _check_addresses(host: "Host", packet: "Packet", now: int) -> Result:
    """RFC 1122 §3.2.1.3: to us, from someone who can be answered."""
    local = host.local
    dst = raw(packet.dst)
    ours = local.owns(dst)
    if not ours and not (local.listens_to(dst) or local.is_broadcast(dst)):
        host.counters.count("IpInAddrErrors")
        return Verdict.NOT_OURS, ""
    src = raw(packet.src)
    outside = not packet.vnet_flags & LOOPED
    if not local.is_valid_source(src) or (outside and (local.owns(src) or is_loopback(dst))):
        host.counters.count("IpInBadSources")
        return Verdict.BAD_SOURCE, ""
    if packet.source_route and not host.config.accept_source_route:
        host.counters.count("IpInSourceRoutes")
        return Verdict.SOURCE_ROUTED, ""
    if packet.is_fragment:
        return _reassemble(host, packet, now)
    return _dispatch(host, packet, now, ours=ours)


def _dispatch(host: "Host", packet: "Packet", now: int, *, ours: bool) -> Result:
    protocol = packet.protocol
    host.counters.count("IpInDelivers")
    if protocol == _TCP:
        host.counters.count("TcpInSegs")
        if not ours:  # RFC 9293 MUST-57: a SYN to a group is discarded silently
            return Verdict.NOT_OURS, ""
        if packet.source_route:
            return routed_segment_arrives(host, packet, now), ""
        return host.segment_without_connection(packet, now), ""
    if protocol == (Protocol.ICMP if packet.version == 4 else Protocol.IPV6_ICMP):
        return _icmp(host, packet, now, ours=ours)
    if protocol == Protocol.UDP:
        return _udp(host, packet, now, ours=ours)
    host.counters.count("IpInUnknownProtos")
    why = Why.UNREACHABLE if packet.version == 4 else Why.PARAMETER_PROBLEM
    reply_error(host, icmp.unknown_protocol(packet, addresses=host.local), why, now)
    return Verdict.NO_PROTOCOL, ""


def _udp(host: "Host", packet: "Packet", now: int, *, ours: bool) -> Result:
    """For an endpoint, or answered with port unreachable (RFC 1122 §4.1.3.1)."""
    verdict = datagram_arrives(host, packet, ours=ours)
    if verdict is not Verdict.NO_PORT:
        return verdict, ""
    error = icmp.destination_unreachable(
        packet,
        Unreachable4.PORT_UNREACHABLE,
        Unreachable6.PORT_UNREACHABLE,
        addresses=host.local,
    )
    reply_error(host, error, Why.UNREACHABLE, now)
    return verdict, ""


def _reassemble(host: "Host", packet: "Packet", now: int) -> Result:
    whole = host.reassembly.add(packet, now)
    problem = host.reassembly.problem
    if problem is not None:
        error = icmp.parameter_problem(packet, problem.code, problem.pointer, addresses=host.local)
        reply_error(host, error, Why.PARAMETER_PROBLEM, now)
    if whole is None:
        return Verdict.FRAGMENT, ""
    rebuilt = ffi.new("struct packet *")
    data = ffi.from_buffer("uint8_t[]", whole)
    lib.packet_parse(rebuilt, data, len(whole), 0)
    rebuilt.vnet_flags = packet.vnet_flags & LOOPED
    if rebuilt.fault or rebuilt.is_fragment:
        return _faulty(host, rebuilt, now) if rebuilt.fault else (Verdict.MALFORMED, "")
    if host.elsewhere is not None and host.elsewhere(whole):
        return Verdict.REASSEMBLED, "for another process"
    verdict, _ = packet_arrives(host, rebuilt, now)
    return Verdict.REASSEMBLED, verdict.text


def _icmp(host: "Host", packet: "Packet", now: int, *, ours: bool) -> Result:
    host.counters.count("IcmpInMsgs")
    message = icmp.interpret(packet)
    if isinstance(message, EchoRequest):
        return _echo(host, packet, ours=ours)
    if isinstance(message, EchoReply):
        host.counters.count("IcmpInEchoReps")
        return Verdict.ECHO_REPLY, ""
    if isinstance(message, IcmpError) and (
        icmp_errors.arrives(host, message, now) or udp_errors.arrives(host, packet, message, now)
    ):
        return Verdict.ICMP_ERROR, message.kind.name.lower().replace("_", " ")
    if isinstance(message, IcmpError):
        host.counters.count("IcmpInForeign")
    return Verdict.ICMP_IGNORED, ""


def _echo(host: "Host", packet: "Packet", *, ours: bool) -> Result:
    """RFC 1122 §3.2.2.6, RFC 4443 §4.2; to an IPv4 group it may stay unanswered."""
    host.counters.count("IcmpInEchos")
    if not ours and packet.version == 4:
        return Verdict.ICMP_IGNORED, ""
    source = None if ours else host.local.source_for(raw(packet.src))
    host.counters.count("IcmpOutMsgs")
    host.counters.count("IcmpOutEchoReps")
    src = raw(packet.dst) if source is None else source
    identification = host.identification.next(src, raw(packet.src), packet.protocol)
    reply = icmp.answer_echo(packet, source=source, identification=identification, now=host.now)
    host.send_whole(reply, Why.ECHO_REPLY, identification)
    return Verdict.ECHO_REQUEST, ""


def reply_error(host: "Host", error: bytes | None, why: Why, now: int) -> bool:
    """Queues an ICMP error, if there is one and the rate allows (RFC 4443 §2.4(f)); returns
    whether it did.
    """
    if error is None:
        host.counters.count("IcmpOutErrors")
        return False
    if not host.icmp_limiter.allow(now):
        host.counters.count("IcmpOutRateLimited")
        return False
    host.counters.count("IcmpOutMsgs")
    host.counters.count(_ERROR_COUNTERS[why])
    host.reply(error, why)
    return True


def expire(host: "Host", now: int) -> None:
    """Gives up reassemblies and old path MTUs."""
    for expired in host.reassembly.expire(now):
        if expired.first is not None:
            packet = ffi.new("struct packet *")
            data = ffi.from_buffer("uint8_t[]", expired.first)
            lib.packet_parse(packet, data, len(expired.first), 0)
            error = icmp.time_exceeded(packet, addresses=host.local)
            reply_error(host, error, Why.REASSEMBLY_TIMEOUT, now)
    for destination in host.path_mtu.expire(now):
        mtu_reports.path_changed(host, destination)
