"""The addresses at both ends of a TUN device."""

import ipaddress

from stack.errors import UsageError

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def stack_address(text: str) -> Interface:
    """Reads an address with its prefix length, such as 192.0.2.2/24. Raises UsageError."""
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no address: write it as 192.0.2.2/24 or 2001:db8::2/64"
        ) from None
    if "/" not in text:
        length = 24 if address.version == 4 else 64
        raise UsageError(f"{text}: the prefix length is missing, as in {text}/{length}")
    if not _is_unicast(address):
        raise UsageError(f"{text}: a host cannot have this address; choose another")
    return address


def _is_unicast(address: Interface) -> bool:
    """Whether a host may have the address (RFC 1122 §3.2.1.3, RFC 4291 §2)."""
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback:
        return False
    if network.num_addresses <= 2:  # point-to-point prefixes use all of theirs (RFC 3021)
        return True
    is_broadcast = address.version == 4 and ip == network.broadcast_address
    return ip != network.network_address and not is_broadcast


def kernel_address(ours: Interface) -> Interface:
    """The address of the same prefix that the kernel's side takes: the first that is free.

    Raises UsageError when the prefix holds no second address.
    """
    network = ours.network
    first = network.network_address + (0 if network.num_addresses <= 2 else 1)
    for candidate in (first, first + 1):
        if candidate != ours.ip and candidate in network:
            return ipaddress.ip_interface(f"{candidate}/{network.prefixlen}")
    raise UsageError(
        f"{ours}: the prefix has no address left for the kernel's side; "
        f"give a wider one, such as {ours.ip}/{24 if ours.version == 4 else 64}"
    )
