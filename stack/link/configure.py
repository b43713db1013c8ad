"""The kernel's side of a TUN device: addresses, routes, mtu, forwarding."""

import errno
import ipaddress
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from stack.link.prefix import Interface, Network

IFF_UP = 0x1
IFF_MULTICAST = 0x1000
IFA_F_NODAD = 0x02
RT_TABLE_LOCAL = 255
# Packets that may wait for us in the device. A window grows beyond the kernel's 500 before we have
# read the first ones, and a slow start in plain packets would end with hundreds of losses.
_QUEUE = 5000


def configure_tun(name: str, addresses: Sequence[Interface], mtu: int) -> None:
    """Gives the device its addresses, which bring their routes, and sets it up.

    `mtu` is in bytes. IPv6 addresses are usable at once: on a device with two ends there is
    nobody to detect a duplicate. Raises OSError.
    """
    _silence(name)
    with _netlink() as netlink:
        index = _index(netlink, name)
        # Without IFF_MULTICAST the kernel reports no group memberships, which would be
        # noise in a trace of a link that has no multicast listeners.
        netlink.link(
            "set",
            index=index,
            mtu=mtu,
            txqlen=_QUEUE,
            flags=IFF_UP,
            change=IFF_UP | IFF_MULTICAST,
        )
        for address in addresses:
            netlink.addr(
                "add",
                index=index,
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
                **({"flags": IFA_F_NODAD} if address.version == 6 else {}),
            )


def configure_loopback() -> None:
    """Sets `lo` up, as programs in a fresh namespace expect."""
    with _netlink() as netlink:
        netlink.link("set", index=_index(netlink, "lo"), state="up")


def enable_forwarding() -> bool:
    """Makes this namespace a router, so that two stacks in it reach each other.

    Returns False where /proc/sys is not writable, as in some containers.
    """
    return all(
        [
            _write_setting("net/ipv4/ip_forward", "1"),
            _write_setting("net/ipv6/conf/all/forwarding", "1"),
        ]
    )


def clashes(addresses: Iterable[Interface]) -> list[str]:
    """What of the machine's addresses and routes overlaps these prefixes, in words."""
    wanted = [address.network for address in addresses]
    with _netlink() as netlink:
        links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        found: dict[Network, str] = {}
        for kind, network, index in (*_addresses(netlink), *_routes(netlink)):
            if any(_overlap(network, other) for other in wanted):
                found.setdefault(network, f"{kind} on {links.get(index, 'another device')}")
    return [f"{network} ({where})" for network, where in found.items()]


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)


def _addresses(netlink: Any) -> Iterable[tuple[str, Network, int]]:
    for message in netlink.get_addr():
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        interface = ipaddress.ip_interface(f"{text}/{message['prefixlen']}")
        yield "address", interface.network, message["index"]


def _routes(netlink: Any) -> Iterable[tuple[str, Network, int]]:
    """Routes but the default ones, which every prefix overlaps, and the local table."""
    for message in netlink.get_routes():
        text = message.get_attr("RTA_DST")
        if text is None or message["table"] == RT_TABLE_LOCAL:
            continue
        network = ipaddress.ip_network(f"{text}/{message['dst_len']}", strict=False)
        if network.prefixlen > 1 and not network.is_multicast:
            yield "route", network, message.get_attr("RTA_OIF") or 0


@contextmanager
def _netlink() -> Iterator[Any]:
    """A netlink socket whose errors are OSError, as other system calls' are."""
    try:
        with IPRoute() as netlink:
            yield netlink
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _index(netlink: Any, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    if not found:
        raise OSError(errno.ENODEV, f"no network device {name}")
    return int(found[0])


def _silence(name: str) -> None:
    """Keeps the kernel from sending router solicitations and using a link-local address."""
    for setting, value in (
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("addr_gen_mode", "1"),
    ):
        _write_setting(f"net/ipv6/conf/{name}/{setting}", value)


def _write_setting(name: str, value: str) -> bool:
    with suppress(OSError):
        Path("/proc/sys", name).write_text(value, encoding="ascii")
        return True
    return False
