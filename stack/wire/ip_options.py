"""Options of the IPv4 header (RFC 791 §3.1), as they stand there."""

from collections.abc import Iterator
from typing import NamedTuple

END = 0
NO_OPERATION = 1
RECORD_ROUTE = 7
TIMESTAMP = 68
LOOSE_ROUTE = 131
STRICT_ROUTE = 137
SOURCE_ROUTES = frozenset({LOOSE_ROUTE, STRICT_ROUTE})

FIRST = 4  # where the first address of a route stands, counted from one
LONGEST = 40  # bytes that all options may take


class IpOption(NamedTuple):
    """One option: where it begins among the others, and its bytes with kind and length."""

    at: int
    data: bytes

    @property
    def kind(self) -> int:
        """Its number at IANA."""
        return self.data[0]

    @property
    def pointer(self) -> int:
        """Of a route or a timestamp: where the next entry goes, counted from one."""
        return self.data[2]

    @property
    def addresses(self) -> list[bytes]:
        """The entries of a route, 4 bytes each."""
        return [self.data[at : at + 4] for at in range(3, len(self.data) - 3, 4)]


def walk_ip_options(options: bytes) -> Iterator[IpOption]:
    """The options but for padding, up to the end of the list or to one that has no sound
    length; ones with a pointer are whole (RFC 791 §3.1).
    """
    at = 0
    while at < len(options) and options[at] != END:
        if options[at] == NO_OPERATION:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if not _least(options[at]) <= size <= len(options) - at:
            return
        yield IpOption(at, options[at : at + size])
        at += size


def _least(kind: int) -> int:
    if kind == TIMESTAMP:
        return 4
    return 3 if kind in SOURCE_ROUTES or kind == RECORD_ROUTE else 2


def source_route(options: bytes) -> IpOption | None:
    """The first source route among them, if there is one."""
    return next((one for one in walk_ip_options(options) if one.kind in SOURCE_ROUTES), None)


def final_destination(options: bytes) -> bytes | None:
    """The 4 bytes of the address that a source route still leads to, which then is not that
    of the header and is the one that checksums cover (RFC 9293 §3.1); None without one.
    """
    route = source_route(options)
    if route is None or route.pointer > len(route.data) or not route.addresses:
        return None
    return route.addresses[-1]
