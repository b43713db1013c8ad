"""IPv4 options that this host sends: source routes, record route, timestamps
(RFC 791 §3.1, RFC 1122 §3.2.1.8).

An application gives them as Linux takes them in IP_OPTIONS: as they stand in the header,
but for a source route, which names every hop from the first one on. The packet is addressed
to that first hop, and the destination stands last in the route.
"""

from typing import TYPE_CHECKING

from stack._native import ffi
from stack.wire.address import raw
from stack.wire.ip_options import (
    END,
    FIRST,
    LONGEST,
    NO_OPERATION,
    RECORD_ROUTE,
    SOURCE_ROUTES,
    TIMESTAMP,
    IpOption,
    source_route,
    walk_ip_options,
)

if TYPE_CHECKING:
    from stack._native import Packet, Path

_IPV4_HEADER = 20
# What a timestamp option holds (RFC 791 §3.1): times alone, each with the address of who
# noted it, or with addresses that were given beforehand.
_TIMES, _WITH_ADDRESS, _PRESPECIFIED = 0, 1, 3
_TIMESTAMP_FIRST = 5
# Our clock does not know when midnight is, and this bit says so.
_NOT_SINCE_MIDNIGHT = 1 << 31


def checked_options(options: bytes) -> bytes:
    """Options of an application, padded to whole words. Raises ValueError for bytes that are
    none, and for two source routes (RFC 1122 §3.2.1.8).
    """
    at, routes = 0, 0
    while at < len(options) and options[at] != END:
        length = 1 if options[at] == NO_OPERATION else int.from_bytes(options[at + 1 : at + 2])
        if length < (options[at] != NO_OPERATION) + 1:
            raise ValueError("no option that can be sent")
        _check(options[at : at + length])
        routes += options[at] in SOURCE_ROUTES
        at += length
    if at > len(options) or len(options) > LONGEST or routes > 1:
        raise ValueError("options that do not fit")
    return options + bytes(-len(options) % 4)


def _check(option: bytes) -> None:
    kind, length = option[0], len(option)
    if kind in SOURCE_ROUTES and (length < 7 or length % 4 != 3 or option[2] != FIRST):
        raise ValueError("a source route needs a hop, and its pointer at the first")
    first = {RECORD_ROUTE: FIRST, TIMESTAMP: _TIMESTAMP_FIRST}.get(kind)
    if first is None:
        return
    if length < first - 1 or option[2] < first or length - 3 < option[2] <= length:
        raise ValueError("the pointer is at no whole entry")


def has_timestamp(options: bytes) -> bool:
    """Whether they say anew in each packet when it left."""
    return any(option.kind == TIMESTAMP for option in walk_ip_options(options))


def place(path: "Path", options: bytes, now: int) -> None:
    """Puts an application's options, checked and padded, into a path whose addresses are
    known; our own address and the time (µs) are noted where an option asks for them.
    """
    wire = bytearray(options)
    src = raw(path.src)[12:]
    path.routed = 0
    for option in walk_ip_options(options):
        if option.kind in SOURCE_ROUTES:
            hops = b"".join(option.addresses) + raw(path.dst)[12:]
            path.next_hop = hops[:4]
            path.routed = 1
            wire[option.at + 3 : option.at + len(option.data)] = hops[4:]
        else:
            wire[option.at : option.at + len(option.data)] = _noted(option, src, now)
    path.options_length = len(wire)
    ffi.memmove(path.options, bytes(wire), len(wire))


def _noted(option: IpOption, address: bytes, now: int) -> bytes:
    """A record route or timestamp option with an entry of ours, if there is room."""
    data = bytearray(option.data)
    at = option.data[2] - 1 if len(option.data) > 2 else 0
    if option.kind == RECORD_ROUTE:
        if FIRST <= at + 1 <= len(data) - 3:
            data[at : at + 4] = address
            data[2] += 4
    elif option.kind == TIMESTAMP and at + 1 >= _TIMESTAMP_FIRST:
        _note_time(data, at, address, now)
    return bytes(data)


def _note_time(data: bytearray, at: int, address: bytes, now: int) -> None:
    flag = data[3] & 0x0F
    size = 4 if flag == _TIMES else 8
    if at + size > len(data):
        if at < len(data):
            return  # a piece of an entry: nobody can say what it is
        missed = min((data[3] >> 4) + 1, 15)  # so many hosts had no room
        data[3] = missed << 4 | flag
        return
    if flag == _WITH_ADDRESS:
        data[at : at + 4] = address
    elif flag != _TIMES and (flag != _PRESPECIFIED or data[at : at + 4] != address):
        return  # for another host, or of a kind that nobody knows
    time = now // 1000 % _NOT_SINCE_MIDNIGHT | _NOT_SINCE_MIDNIGHT
    data[at + size - 4 : at + size] = time.to_bytes(4, "big")
    data[2] += size


def arrived(packet: "Packet") -> bytes:
    """The options of a packet, as they came."""
    if packet.version != 4 or packet.ip_header_length == _IPV4_HEADER:
        return b""
    return ffi.buffer(packet.data, packet.ip_header_length)[_IPV4_HEADER:]


def return_route(packet: "Packet") -> bytes:
    """The way back for a packet that came by a source route, in the form of an application's
    options; empty when it came straight.

    The recorded route, reversed. Some senders put themselves first into it, which is wrong
    and must do no harm (RFC 1122 §3.2.1.8).
    """
    route = source_route(arrived(packet)) if packet.source_route else None
    if route is None:
        return b""
    hops = route.addresses
    if hops and hops[0] == raw(packet.src)[12:]:
        del hops[0]
    if not hops:
        return b""
    option = bytes((route.kind, 3 + 4 * len(hops), FIRST)) + b"".join(reversed(hops))
    return bytes((NO_OPERATION,)) + option


def for_echo(packet: "Packet", path: "Path", now: int) -> None:
    """Gives the reply to an echo request the request's options (RFC 1122 §3.2.2.6): a source
    route turned round; a recorded route and timestamps go on, with an entry of ours.
    """
    kept = b"".join(
        option.data
        for option in walk_ip_options(arrived(packet))
        if option.kind in (RECORD_ROUTE, TIMESTAMP)
    )
    options = return_route(packet) + kept
    if options:
        place(path, options + bytes(-len(options) % 4), now)
