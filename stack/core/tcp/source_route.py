"""IPv4 options of a connection, its source route before all (RFC 9293 §3.9.2.1)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.ip import options
from stack.core.tcp import handshake
from stack.core.tcp.arrive import segment_arrives
from stack.core.why import Verdict
from stack.wire.ip_options import LONGEST, source_route

if TYPE_CHECKING:
    from stack._native import Packet, Path
    from stack.core.host import Host
    from stack.core.tcp.connection import Connection

# What is made of a segment that certainly is the peer's. Of any other the route is not
# believed: it would lead the connection past whoever forged it.
_GENUINE = frozenset(
    {
        Verdict.SYN_RECEIVED,
        Verdict.HANDSHAKE_COMPLETE,
        Verdict.IN_ORDER,
        Verdict.OUT_OF_ORDER,
        Verdict.ACKNOWLEDGEMENT,
        Verdict.DUPLICATE_ACK,
        Verdict.FIN_RECEIVED,
    }
)


class IpOptions:
    """The options of one connection: `given` by the application, and the way back that the
    peer's segments showed, which counts where the application names none (MUST-52).
    """

    __slots__ = ("given", "learnt", "stamped")

    def __init__(self) -> None:
        self.given = b""
        self.learnt = b""
        self.stamped = False  # each packet says when it left

    @property
    def sent(self) -> bytes:
        """The options that packets carry, in the form of an application's."""
        if not self.learnt or source_route(self.given) is not None:
            return self.given
        both = self.learnt + self.given
        return both if len(both) <= LONGEST else self.learnt

    def put(self, connection: "Connection", now: int) -> None:
        """Has all segments from now on carry them; they take room from the text (MUST-16)."""
        sent = self.sent
        self.stamped = options.has_timestamp(sent)
        options.place(connection.path, sent, now)
        handshake.update_mss(connection)

    def stamp(self, connection: "Connection", now: int) -> None:
        """The segments that leave now tell the time, where that was asked for."""
        if self.stamped:
            options.place(connection.path, self.sent, now)


def give(connection: "Connection", given: bytes, now: int) -> None:
    """Takes an application's options, checked and padded; none take them back."""
    if connection.ip_options is None:
        if not given:
            return
        connection.ip_options = IpOptions()
    connection.ip_options.given = given
    connection.ip_options.put(connection, now)


def take_way_back(path: "Path", seg: "Packet", now: int) -> None:
    """An answer to `seg` along `path` returns by the route that it came (RFC 1122 §3.2.1.8)."""
    route = options.return_route(seg)
    if route:
        options.place(path, route, now)


def routed_segment_arrives(host: "Host", seg: "Packet", now: int) -> Verdict:
    """A segment that came by a source route. A connection that was opened passively answers
    by the same way (MUST-53), and by another one when a later segment shows that (SHLD-24).
    """
    path = host.path_back(seg)
    flow = lib.flow_find_path(host.flows, path)
    if flow:
        verdict = segment_arrives(host.connections[flow], seg, now)
    else:
        verdict = host.segment_without_connection(seg, now)
        flow = lib.flow_find_path(host.flows, path)
    connection = host.connections.get(flow)
    if connection is not None and connection.listener is not None and verdict in _GENUINE:
        _follow(connection, options.return_route(seg), now)
    return verdict


def _follow(connection: "Connection", route: bytes, now: int) -> None:
    known = connection.ip_options
    if known is None:
        known = connection.ip_options = IpOptions()
    if known.learnt != route:
        known.learnt = route
        known.put(connection, now)
