"""The addresses of this host, and what an address may be used for.

Addresses are 16 bytes here, IPv4 in mapped form, as everywhere below the API.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from typing import TypeVar

from stack.errors import UsageError
from stack.wire.address import MAPPED_PREFIX, pack

_T = TypeVar("_T")
Interface = IPv4Interface | IPv6Interface

_CACHE_LIMIT = 4096

# RFC 6724 §2.1: the default policy table, most specific first. IPv4 addresses never stand
# beside IPv6 ones in a choice, so their row is left out.
_LABELS = (
    (IPv6Network("::1/128"), 0),
    (IPv6Network("2001::/32"), 5),
    (IPv6Network("::/96"), 3),
    (IPv6Network("2002::/16"), 2),
    (IPv6Network("3ffe::/16"), 12),
    (IPv6Network("fec0::/10"), 11),
    (IPv6Network("fc00::/7"), 13),
    (IPv6Network("::/0"), 1),
)

# RFC 6724 §3.1: scopes that take part in the choice of a source address.
_SCOPE_LINK = 0x2
_SCOPE_SITE = 0x5
_SCOPE_GLOBAL = 0xE

# RFC 4291 §2.8 and RFC 1112 §4: groups that every host listens to.
_ALL_HOSTS = frozenset(
    {
        MAPPED_PREFIX + IPv4Address("224.0.0.1").packed,
        IPv6Address("ff01::1").packed,
        IPv6Address("ff02::1").packed,
    }
)


_LOOPBACK = (IPv4Interface("127.0.0.1/32"), IPv6Interface("::1/128"))


def is_loopback(packed: bytes) -> bool:
    """Whether an address must never be seen on a link (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3)."""
    if is_ipv4(packed):
        return packed[12] == 127
    return packed == _LOOPBACK[1].ip.packed


def is_ipv4(packed: bytes) -> bool:
    """Whether 16 bytes stand for an IPv4 address (RFC 4291 §2.5.5.2)."""
    return packed.startswith(MAPPED_PREFIX)


class LocalAddresses:
    """The addresses that a host answers to, given as "192.0.2.2/24" or "2001:db8::2/64".

    With `loopback` it has 127.0.0.1 and ::1, too, which nobody outside may use.

    Raises UsageError for text that is no address, or an address that no host may have.
    """

    def __init__(self, cidrs: Sequence[str], *, loopback: bool = False) -> None:
        if not cidrs:
            raise UsageError("a host needs an address: give one like 192.0.2.2/24")
        self.interfaces: tuple[Interface, ...] = (
            *(_parse(text) for text in cidrs),
            *(_LOOPBACK if loopback else ()),
        )
        self._packed = tuple(pack(interface.ip) for interface in self.interfaces)
        self._own = frozenset(self._packed)
        if len(self._own) != len(self._packed):
            raise UsageError(f"an address is given twice: {', '.join(cidrs)}")
        self._broadcasts = frozenset(_broadcasts(self.interfaces))
        self._unicast: dict[bytes, bool] = {}
        self._sources: dict[bytes, bytes | None] = {}

    @property
    def own(self) -> tuple[bytes, ...]:
        """All of them, in their order."""
        return self._packed

    @property
    def broadcasts(self) -> frozenset[bytes]:
        """Addresses that stand for all hosts of our networks."""
        return self._broadcasts

    def owns(self, packed: bytes) -> bool:
        """Whether this is a unicast address of ours."""
        return packed in self._own

    def listens_to(self, packed: bytes) -> bool:
        """Whether this is a group that every host belongs to (RFC 4291 §2.8, RFC 1112 §4)."""
        return packed in _ALL_HOSTS

    def is_broadcast(self, packed: bytes) -> bool:
        """The limited broadcast, or one of our networks', in its all-zeros form too.

        RFC 1122 §3.2.1.3 and §3.3.6; a /31 or /32 has none (RFC 3021 §2.1).
        """
        return packed in self._broadcasts

    @staticmethod
    def is_multicast(packed: bytes) -> bool:
        """Whether this is a group address (RFC 1112 §4, RFC 4291 §2.7)."""
        if is_ipv4(packed):
            return packed[12] & 0xF0 == 0xE0
        return packed[0] == 0xFF

    def is_valid_source(self, packed: bytes) -> bool:
        """Whether a packet from the link may come from there: one host, not this one's loopback.

        RFC 1122 §3.2.1.3, RFC 4291 §2.5.2, §2.5.3 and §2.7, RFC 9293 MUST-63.
        """
        known = self._unicast.get(packed)
        if known is None:
            known = packed in self._own or not (self.is_broadcast(packed) or _names_no_host(packed))
            _remember(self._unicast, packed, known)
        return known

    def is_valid_destination(self, packed: bytes) -> bool:
        """Whether a connection may be opened to there (RFC 9293 MUST-46)."""
        return self.is_valid_source(packed)

    def source_for(self, remote: bytes) -> bytes | None:
        """The address of ours to send from; None when we have none of that version.

        RFC 6724 §5: rule 1 (same address), rule 2 (scope), rule 6 (label), rule 8 (longest
        matching prefix); the other rules tell interfaces and kinds of address apart that this
        host has not.
        """
        if remote in self._sources:
            return self._sources[remote]
        wanted = is_ipv4(remote)
        candidates = [
            (self._preference(index, remote), -index)
            for index, own in enumerate(self._packed)
            if is_ipv4(own) == wanted and (own == remote or not is_loopback(own))
        ]
        source = self._packed[-max(candidates)[1]] if candidates else None
        _remember(self._sources, remote, source)
        return source

    def _preference(self, index: int, remote: bytes) -> tuple[bool, int, bool, int]:
        own = self._packed[index]
        prefix = self.interfaces[index].network.prefixlen + (96 if is_ipv4(own) else 0)
        return (
            own == remote,
            _scope_preference(_scope(own), _scope(remote)),
            is_ipv4(own) or _label(own) == _label(remote),
            min(_common_prefix(own, remote), prefix),
        )


def _parse(text: str) -> Interface:
    try:
        interface = ip_interface(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no address with a prefix length: write it like 192.0.2.2/24"
            " or 2001:db8::2/64"
        ) from None
    if "%" in text or (interface.version == 6 and is_ipv4(interface.ip.packed)):
        raise UsageError(f"{text!r} cannot be used: give the address without a zone or mapping")
    packed = pack(interface.ip)
    if _names_no_host(packed) or packed in _broadcasts((interface,)):
        raise UsageError(f"{text!r} names no single host: choose another address of the network")
    return interface


def _broadcasts(interfaces: Sequence[Interface]) -> set[bytes]:
    found = {MAPPED_PREFIX + b"\xff\xff\xff\xff"}
    for interface in interfaces:
        network = interface.network
        if network.version == 4 and network.prefixlen <= 30:
            found.add(pack(network.broadcast_address))
            found.add(pack(network.network_address))
    return found


def _names_no_host(packed: bytes) -> bool:
    """Unspecified, loopback, multicast or reserved, whatever our networks are."""
    if is_ipv4(packed):
        # 0/8 is "this network", 127/8 loopback, 224/4 multicast, 240/4 reserved (RFC 6890).
        return packed[12] in (0, 127) or packed[12] >= 224
    return packed[0] == 0xFF or packed == bytes(16) or packed == bytes(15) + b"\x01"


def _scope(packed: bytes) -> int:
    """RFC 6724 §3.1 and §3.2; IPv4 private addresses count as global."""
    if is_ipv4(packed):
        link_local = packed[12:14] == b"\xa9\xfe" or packed[12] == 127
        return _SCOPE_LINK if link_local else _SCOPE_GLOBAL
    if packed[0] == 0xFF:
        return packed[1] & 0x0F
    if packed[0] == 0xFE and packed[1] >= 0x80:
        return _SCOPE_LINK if packed[1] < 0xC0 else _SCOPE_SITE
    return _SCOPE_LINK if packed == bytes(15) + b"\x01" else _SCOPE_GLOBAL


def _label(packed: bytes) -> int:
    address = IPv6Address(packed)
    return next(label for network, label in _LABELS if address in network)


def _scope_preference(own: int, remote: int) -> int:
    """Higher is better: the least scope that reaches the remote one, else the widest."""
    return 0x100 - own if own >= remote else own


def _common_prefix(a: bytes, b: bytes) -> int:
    return 128 - (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_length()


def _remember(cache: dict[bytes, _T], key: bytes, value: _T) -> None:
    # A peer may come under any number of addresses: the cache must not grow with them.
    if len(cache) >= _CACHE_LIMIT:
        cache.clear()
    cache[key] = value
