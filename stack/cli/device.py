"""A TUN device in the network namespace where the command was called."""

from collections.abc import Sequence

from stack.errors import UsageError
from stack.link.configure import clashes, configure_tun
from stack.link.prefix import Interface, kernel_address
from stack.link.tun import TunLink, open_tun


def open_device(name: str, addresses: Sequence[Interface]) -> TunLink:
    """Makes and configures a device for a stack with `addresses`; it goes when it is closed.

    Raises UsageError when the device cannot be had or an address is in use already.
    """
    theirs = [kernel_address(ours) for ours in addresses]
    # First the right to make a device, then what it would meet: without the right, a
    # clash is not what keeps a user from going on.
    link = TunLink(open_tun(name))
    try:
        _refuse_clashes(theirs)
        configure_tun(link.name, theirs, link.mtu)
    except OSError as error:
        link.close()
        raise UsageError(f"cannot configure {link.name}: {error.strerror or error}") from error
    except BaseException:
        link.close()
        raise
    return link


def _refuse_clashes(theirs: Sequence[Interface]) -> None:
    taken = clashes(theirs)
    if taken:
        raise UsageError(
            f"the machine uses {', '.join(taken)} already: choose another prefix with "
            "--address CIDR"
        )
