"""A datagram arrives: to whom it goes, or what is said of it (RFC 768, RFC 1122 §4.1)."""

from typing import TYPE_CHECKING

from stack._native import ffi
from stack.core.ip.options import arrived
from stack.core.udp.datagram import Datagram
from stack.core.why import Verdict
from stack.wire.address import raw

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.host import Host


def datagram_arrives(host: "Host", packet: "Packet", *, ours: bool) -> Verdict:
    """Delivers a checked datagram to one endpoint, or to all that hear a group or broadcast
    (`ours` false). `Verdict.NO_PORT` says that the sender is to be told.
    """
    destination, source = raw(packet.dst), raw(packet.src)
    where = packet.version, destination, packet.dport, source, packet.sport
    if ours:
        endpoint = host.udp.find(*where)
        takers = [] if endpoint is None else [endpoint]
    else:
        takers = host.udp.find_all(*where)
    if not takers:
        host.counters.count("UdpNoPorts")
        return Verdict.NO_PORT
    datagram = Datagram(
        ffi.buffer(packet.text, packet.text_length)[:],
        source,
        packet.sport,
        packet.version,
        destination,
        packet.ttl,
        packet.traffic_class,
        arrived(packet),
    )
    taken = sum(endpoint.deliver(datagram) for endpoint in takers)
    host.counters.count("UdpInDatagrams", taken)
    if taken < len(takers):
        host.counters.count("UdpRcvbufErrors", len(takers) - taken)
        host.counters.count("UdpInErrors", len(takers) - taken)
    return Verdict.DATAGRAM if taken else Verdict.NO_ROOM
