"""Path MTU estimates by destination (RFC 1191, RFC 8201)."""

from typing import NamedTuple

from stack.core.ip.addresses import is_ipv4

# RFC 1191 allows estimates down to 68 bytes, but then a forged message makes us send 28 bytes
# of text a packet. No path of today is that narrow: the floor is 552, as common hosts have it,
# and below it the sender lets routers fragment (`may_fragment`).
IPV4_FLOOR = 552
IPV4_MINIMUM = 68
IPV6_FLOOR = 1280
LIFETIME_US = 600_000_000

# RFC 1191 §7.1: MTUs that occur, for routers that do not tell theirs.
_PLATEAUS = (65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, IPV4_MINIMUM)


class _Estimate(NamedTuple):
    mtu: int
    deadline: int
    narrow: bool  # the path is below our floor


class PathMtu:
    """What each destination's path lets through, in bytes of IP packet.

    An estimate only goes down, and is dropped after ten minutes, so that a path that became
    wider is found (RFC 1191 §6.3, RFC 8201 §4). `limit` destinations are kept; the one
    heard of longest ago makes room.
    """

    def __init__(self, link_mtu: int, limit: int = 1024) -> None:
        self.link_mtu = link_mtu
        self._limit = limit
        # In order of the deadline, as every change puts its entry last.
        self.known: dict[bytes, _Estimate] = {}

    def mtu_to(self, packed: bytes) -> int:
        """The largest packet to send there, in bytes."""
        known = self.known.get(packed)
        return min(known.mtu, self.link_mtu) if known else self.link_mtu

    def estimate(self, packed: bytes) -> tuple[int, bool]:
        """`mtu_to` and `may_fragment` together."""
        if packed not in self.known:
            return self.link_mtu, False
        return self.mtu_to(packed), self.may_fragment(packed)

    def may_fragment(self, packed: bytes) -> bool:
        """Whether IPv4 packets to there must leave without DF: its path is below our floor."""
        known = self.known.get(packed)
        return known is not None and known.narrow

    def learn(self, packed: bytes, mtu: int, now: int, quoted_length: int = 0) -> int | None:
        """Takes a router's word; returns the new estimate when it went down, else None.

        `mtu` is the next-hop MTU of the message; an IPv4 router may send 0, and then the
        next plateau below `quoted_length`, the total length that the message quotes, is
        taken (RFC 1191 §5). A message below the IPv6 minimum is void (RFC 8201 §4).
        """
        current = self.mtu_to(packed)
        if is_ipv4(packed) and mtu == 0:
            mtu = _plateau_below(min(quoted_length or current, current))
        if mtu < (IPV4_MINIMUM if is_ipv4(packed) else IPV6_FLOOR):
            return None
        narrow = is_ipv4(packed) and mtu < min(IPV4_FLOOR, self.link_mtu)
        new = min(IPV4_FLOOR, self.link_mtu) if narrow else mtu
        if new > current or (mtu >= self.link_mtu and packed not in self.known):
            return None
        self._remember(
            packed, _Estimate(new, now + LIFETIME_US, narrow or self.may_fragment(packed))
        )
        return new if new < current else None

    def assume(self, packed: bytes, mtu: int, now: int) -> None:
        """Takes what a sender found out by itself, up or down (RFC 4821 §5.2)."""
        if mtu >= self.link_mtu:
            self.known.pop(packed, None)
        else:
            self._remember(packed, _Estimate(mtu, now + LIFETIME_US, narrow=False))

    def _remember(self, packed: bytes, estimate: _Estimate) -> None:
        self.known.pop(packed, None)
        self.known[packed] = estimate
        while len(self.known) > self._limit:
            del self.known[next(iter(self.known))]

    def next_deadline(self) -> int | None:
        """When the oldest estimate is to be dropped (µs)."""
        for estimate in self.known.values():
            return estimate.deadline
        return None

    def expire(self, now: int) -> list[bytes]:
        """Drops estimates that are too old; returns their destinations."""
        old = []
        for packed, estimate in self.known.items():
            if estimate.deadline > now:
                break
            old.append(packed)
        for packed in old:
            del self.known[packed]
        return old


def _plateau_below(length: int) -> int:
    return next((plateau for plateau in _PLATEAUS if plateau < length), IPV4_MINIMUM)
