"""A device that takes super-segments: cuts them as a virtio device would (VIRTIO 1.2 §5.1.6)."""

from struct import unpack_from

from stack._native import ffi
from stack.wire.batch import Outbound
from stack.wire.segment import CWR, FIN, PSH, TCP, Packet, Tcp, build_ip, build_tcp, parse

NEEDS_CSUM = 1
GSO_TCPV4 = 1
GSO_TCPV6 = 4


def packets(out: Outbound, *, whole: bool = False) -> list[list[bytes]]:
    """What the wire carries of each packet handed over; asserts that the headers are legal.

    `whole`: super-segments stay whole, as a device hands them to a peer of its own kind.
    """
    return [
        _cut(ffi.buffer(out.raw[index].vnet)[:10], out.bytes(index), whole=whole)
        for index in range(len(out))
    ]


def _cut(header: bytes, data: bytes, *, whole: bool) -> list[bytes]:
    flags, kind = header[0], header[1]
    head_length, size, start, offset = unpack_from("=HHHH", header, 2)
    packet = parse(data)
    tcp = packet.tcp
    if not flags & NEEDS_CSUM:
        assert kind == 0, "segmentation needs the checksum left to the device"
        return [data]
    assert tcp is not None
    assert (start, offset) == (packet.header_length, 16), "checksum of a TCP segment"
    if kind == 0:
        return [_segment(packet, tcp, 0, len(tcp.text))]
    assert kind == (GSO_TCPV4 if packet.version == 4 else GSO_TCPV6)
    assert head_length == len(data) - len(tcp.text), "headers end where the text begins"
    assert 0 < size < len(tcp.text), "a super-segment is more than one segment"
    if whole:
        return [_segment(packet, tcp, 0, len(tcp.text))]
    return [
        _segment(packet, tcp, at, min(at + size, len(tcp.text)))
        for at in range(0, len(tcp.text), size)
    ]


def _segment(packet: Packet, tcp: Tcp, start: int, end: int) -> bytes:
    """The part of a super-segment with text start…end; FIN and PSH belong to the last."""
    flags = tcp.flags
    if end < len(tcp.text):
        flags &= ~(FIN | PSH)
    if start:
        flags &= ~CWR
    ip = {"ttl": packet.ttl, "tclass": packet.tclass}
    if packet.version == 4:
        ip["ip_id"] = packet.ip_id
        ip["dont_fragment"] = packet.dont_fragment
        ip["ip_options"] = packet.ip_options
    cut = build_tcp(
        packet.src,
        packet.dst,
        tcp.sport,
        tcp.dport,
        seq=(tcp.seq + start) & 0xFFFF_FFFF,
        ack=tcp.ack,
        flags=flags,
        window=tcp.window,
        options=tcp.option_bytes,
        text=tcp.text[start:end],
        urgent=tcp.urgent,
        **ip,
    )
    if packet.next_hop is None:
        return cut
    return build_ip(packet.src, packet.next_hop, TCP, cut[packet.header_length :], **ip)
