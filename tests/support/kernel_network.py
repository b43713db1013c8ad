"""A network namespace with a TUN device, whose kernel's sockets can be used from outside."""

import os
import signal
import socket
import sys
from contextlib import suppress
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Self

from stack.link.namespace import prepare_command

KERNEL = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
OURS = {socket.AF_INET: "192.0.2.2", socket.AF_INET6: "2001:db8::2"}
PREFIXES = {socket.AF_INET: 24, socket.AF_INET6: 64}


def interfaces(addresses: dict[int, str]) -> list[str]:
    """Addresses as a host or a device takes them."""
    return [f"{address}/{PREFIXES[family]}" for family, address in addresses.items()]


class KernelNetwork:
    """The namespace, the device's descriptor in `tun`, and sockets on demand.

    A context manager: with it go the process, the namespace and, once `tun` is closed, the
    device.
    """

    def __init__(self, mtu: int = 1500) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.set_inheritable(True)
        program = str(Path(__file__).with_name("socket_maker.py"))
        command = [sys.executable, program, str(theirs.fileno())]
        addresses = [ip_interface(text) for text in interfaces(KERNEL)]
        self._command = prepare_command(command, os.environ, addresses, mtu)
        theirs.close()
        self.tun = self._command.tun
        self._command.go()

    @property
    def pid(self) -> int:
        """A process in the namespace."""
        return self._command.pid

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM) -> Any:
        """A socket of the kernel, on its side of the device."""
        self._control.send(f"{int(family)} {int(kind)}".encode())
        _, (descriptor, *_), _, _ = socket.recv_fds(self._control, 64, 1)
        self._control.recv(64)
        return socket.socket(fileno=descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._command.wait()
        self._command.close()
