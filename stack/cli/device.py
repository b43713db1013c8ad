"""A TUN device in the network namespace where the command was called."""

from collections.abc import Sequence

from stack.errors import UsageError
from stack.link.configure import clashes, configure_tun
from stack.link.prefix import Interface, kernel_address
from stack.link.tun import TunLink, open_queues, open_tun


def open_device(name: str, addresses: Sequence[Interface]) -> TunLink:
    """Makes and configures a device for a stack with `addresses`; it goes when it is closed.

    Raises UsageError when the device cannot be had or an address is in use already.
    """
    # First the right to make a device, then what it would meet: without the right, a
    # clash is not what keeps a user from going on.
    return _configured([TunLink(open_tun(name))], addresses)[0]


def open_shared_device(name: str, addresses: Sequence[Interface], queues: int) -> list[TunLink]:
    """Like `open_device`, with several queues; the device goes when all are closed."""
    return _configured([TunLink(queue) for queue in open_queues(name, queues)], addresses)


def _configured(links: list[TunLink], addresses: Sequence[Interface]) -> list[TunLink]:
    """The queues of one device, ready to use; closes them when it cannot be configured."""
    theirs = [kernel_address(ours) for ours in addresses]
    first = links[0]
    try:
        _refuse_clashes(theirs)
        configure_tun(first.name, theirs, first.mtu)
    except BaseException as error:
        for link in links:
            link.close()
        if isinstance(error, OSError):
            problem = error.strerror or error
            raise UsageError(f"cannot configure {first.name}: {problem}") from error
        raise
    return links


def _refuse_clashes(theirs: Sequence[Interface]) -> None:
    taken = clashes(theirs)
    if taken:
        raise UsageError(
            f"the machine uses {', '.join(taken)} already: choose another prefix with "
            "--address CIDR"
        )
