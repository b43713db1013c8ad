"""The UDP ports of a host: who has which, who gets a datagram, and what waits to leave."""

import errno
from collections import deque
from collections.abc import Iterable
from hashlib import blake2s
from typing import TYPE_CHECKING, TypeVar

from stack.core.ready import Ready
from stack.core.system_error import system_error
from stack.core.udp.datagram import read_address
from stack.core.udp.endpoint import UdpEndpoint
from stack.core.udp.output import Builder
from stack.core.why import Why

if TYPE_CHECKING:
    from stack.core.host import Host
    from stack.wire.batch import Outbound

_K = TypeVar("_K")
_UNSPECIFIED = frozenset(read_address(address)[1] for address in ("0.0.0.0", "::"))
_FourTuple = tuple[bytes, int, bytes, int]


class UdpPorts:
    """All UDP endpoints of `host`; `secret` is up to 32 random bytes."""

    def __init__(self, host: "Host", secret: bytes) -> None:
        self.host = host
        self.builder = Builder()
        self._secret = secret
        self._draws = 0
        self._endpoints: dict[int, UdpEndpoint] = {}
        self._ports: dict[int, list[UdpEndpoint]] = {}
        self._connected: dict[_FourTuple, list[UdpEndpoint]] = {}
        self.unsent: deque[tuple[UdpEndpoint, bytes, str]] = deque()

    def new(self, version: int) -> UdpEndpoint:
        """An endpoint without a port for IP version 4, 6, or both (0)."""
        endpoint = self.host.endpoint_class(self.host, version, self.host.next_number())
        self._endpoints[endpoint.number] = endpoint
        return endpoint

    @property
    def in_use(self) -> bool:
        """Whether any port is bound."""
        return bool(self._ports)

    # Who has which port.

    def bind(self, endpoint: UdpEndpoint, address: str | None, port: int) -> None:
        """See `UdpEndpoint.bind`."""
        version, packed = self._bindable(address)
        if version and endpoint.version not in (0, version):
            raise system_error(errno.EINVAL if version == 4 else errno.EAFNOSUPPORT)
        wanted = version or endpoint.version, packed
        port = port or self._free_port(*wanted)
        if any(_conflict(endpoint, *wanted, other) for other in self._ports.get(port, ())):
            raise system_error(errno.EADDRINUSE)
        endpoint.version, endpoint.address = wanted
        endpoint.port = port
        self._ports.setdefault(port, []).append(endpoint)

    def _bindable(self, address: str | None) -> tuple[int, bytes | None]:
        """(version or 0 for both, packed address or None for all)."""
        if address is None:
            return 0, None
        version, packed = read_address(address)
        if packed in _UNSPECIFIED:
            return version, None
        local = self.host.local
        if not (local.owns(packed) or local.is_broadcast(packed) or local.is_multicast(packed)):
            raise system_error(errno.EADDRNOTAVAIL)
        return version, packed

    def _free_port(self, version: int, address: bytes | None) -> int:
        """A port that nobody has, from a start that nobody can guess (RFC 6056 §3.3.1): it is
        much of what protects a datagram protocol from forged answers (RFC 5452 §4.5).
        """
        tcp = self.host.config.tcp
        count = tcp.last_ephemeral_port - tcp.first_ephemeral_port + 1
        self._draws += 1
        start = self._hash(b"port", self._draws.to_bytes(8, "big"))
        for step in range(count):
            port = tcp.first_ephemeral_port + (start + step) % count
            others = self._ports.get(port, ())
            if not any(_overlap(version, address, other) for other in others):
                return port
        raise system_error(errno.EADDRINUSE)

    def release(self, endpoint: UdpEndpoint) -> None:
        """Takes an endpoint from its port."""
        self.disconnect(endpoint)
        del self._endpoints[endpoint.number]
        if endpoint.port:
            _remove(self._ports, endpoint.port, endpoint)

    def connect(self, endpoint: UdpEndpoint) -> None:
        """Its peer's datagrams shall find it."""
        self._connected.setdefault(_four_tuple(endpoint), []).append(endpoint)

    def disconnect(self, endpoint: UdpEndpoint) -> None:
        """Ends that, where it is so."""
        if endpoint.peer is not None:
            _remove(self._connected, _four_tuple(endpoint), endpoint)

    # Who gets a datagram.

    def find(
        self, version: int, local: bytes, port: int, remote: bytes, remote_port: int
    ) -> UdpEndpoint | None:
        """The endpoint that a datagram to one host is for: connected to its sender, else bound
        to the address, else to all of its version, else to all. The last one that came wins,
        unless they share the port by SO_REUSEPORT: then senders are spread over them.
        """
        four_tuple = local, port, remote, remote_port
        takers = self._connected.get(four_tuple)
        if takers is None:
            bound = self._ports.get(port, ())
            takers = [e for e in bound if e.peer is None and _hears(e, version, local)]
            if not takers:
                return None
            best = max(map(_closeness, takers))
            takers = [e for e in takers if _closeness(e) == best]
        if len(takers) > 1 and all(e.reuse_port for e in takers):
            key = local + remote + remote_port.to_bytes(2, "big") + port.to_bytes(2, "big")
            return takers[self._hash(b"group", key) % len(takers)]
        return takers[-1]

    def find_all(
        self, version: int, group: bytes, port: int, remote: bytes, remote_port: int
    ) -> list[UdpEndpoint]:
        """The endpoints that hear a datagram to many: each that does not want something else."""
        return [
            e
            for e in self._ports.get(port, ())
            if _hears(e, version, group) and _accepts(e, remote, remote_port)
        ]

    def _hash(self, purpose: bytes, message: bytes) -> int:
        digest = blake2s(message, key=self._secret, person=purpose, digest_size=8)
        return int.from_bytes(digest.digest(), "big")

    # What waits to leave.

    def queue(self, endpoint: UdpEndpoint, pieces: Iterable[tuple[bytes, str]]) -> None:
        """Packets of `endpoint`, each with a detail for the trace."""
        self.unsent.extend((endpoint, piece, detail) for piece, detail in pieces)

    def transmit(self, out: "Outbound") -> None:
        """Moves what waits into `out`, as far as there is room."""
        unsent = self.unsent
        while unsent and not out.full:
            endpoint, packet, detail = unsent.popleft()
            out.push_raw(packet, Why.DATAGRAM, detail)
            endpoint.sent(len(packet))

    def close(self, now: int) -> None:
        """The host goes down: every application hears it."""
        for endpoint in list(self._endpoints.values()):
            endpoint.close(now)
            endpoint.error = errno.ECONNABORTED
            self.host.tell(endpoint, Ready.ERROR | Ready.CLOSED)


def _overlap(version: int, address: bytes | None, other: UdpEndpoint) -> bool:
    """Whether both would take some datagram."""
    peer = other.peer
    others_version, others = (peer.version, peer.source) if peer else (other.version, other.address)
    if address is not None and others is not None:
        return address == others
    return version == others_version or 0 in (version, others_version)


def _conflict(
    endpoint: UdpEndpoint, version: int, address: bytes | None, other: UdpEndpoint
) -> bool:
    """Whether `endpoint` cannot have what it wants because `other` is there."""
    if not _overlap(version, address, other):
        return False
    return not (
        (endpoint.reuse_address and other.reuse_address)
        or (endpoint.reuse_port and other.reuse_port)
    )


def _hears(endpoint: UdpEndpoint, version: int, destination: bytes) -> bool:
    """Whether what comes for `destination` is for the address that it is bound to."""
    if endpoint.address is not None:
        return endpoint.address == destination
    if endpoint.peer is not None:
        return endpoint.peer.source == destination
    return endpoint.version in (0, version)


def _accepts(endpoint: UdpEndpoint, remote: bytes, port: int) -> bool:
    """Whether it takes datagrams from there: from everywhere unless it is connected."""
    peer = endpoint.peer
    return peer is None or (peer.destination == remote and peer.port == port)


def _closeness(endpoint: UdpEndpoint) -> int:
    return 2 if endpoint.address is not None else int(endpoint.version != 0)


def _four_tuple(endpoint: UdpEndpoint) -> _FourTuple:
    peer = endpoint.peer
    assert peer is not None
    return peer.source, endpoint.port, peer.destination, peer.port


def _remove(table: dict[_K, list[UdpEndpoint]], key: _K, endpoint: UdpEndpoint) -> None:
    endpoints = table[key]
    endpoints.remove(endpoint)
    if not endpoints:
        del table[key]
