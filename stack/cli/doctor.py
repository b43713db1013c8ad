"""`tunstack doctor`: what this machine lacks, and the command that mends it."""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.cli.options import DEFAULT_ADDRESSES
from stack.errors import UsageError
from stack.link.prefix import kernel_address, stack_address

EXAMPLES = """\
examples:
  tunstack doctor
  sudo tunstack doctor                 what root would find
"""
CAP_NET_ADMIN = 12

TOOLS = {
    "curl": "curl",
    "nghttp": "nghttp2-client",
    "openssl": "openssl",
    "ping": "iputils-ping",
    "ip": "iproute2",
    "tshark": "tshark",
}
"""Programs that the guides and tests use, and the package of each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `mend` is empty when nothing is wrong."""

    subject: str
    text: str
    mend: str = ""

    def line(self) -> str:
        """The finding as one line."""
        if not self.mend:
            return f"ok     {self.subject}: {self.text}"
        return f"wrong  {self.subject}: {self.text}; mend it: {self.mend}"


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="check what the stack needs from this machine",
        description="Checks what the stack needs from this machine. Each line is ok, or says "
        "what is wrong\nand the command that mends it; the status is 1 when one is wrong.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(handler=doctor)


def doctor(_: argparse.Namespace) -> int:
    """Carries the subcommand out; returns 1 when something is wrong."""
    status = 0
    for finding in examine():
        print(finding.line(), flush=True)
        if finding.mend:
            status = 1
    return status


def examine() -> Iterator[Finding]:
    """Makes all checks, one after the other."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _extension,
        _device_node,
        _capability,
        _user_namespaces,
        _private_network,
        _forwarding,
        _clashes,
    )
    for check in checks:
        try:
            yield check()
        except ImportError as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), str(error), _REINSTALL)
    yield from (_tool(name, package) for name, package in TOOLS.items())


_REINSTALL = "pip install --force-reinstall tunstack (in a checkout: scripts/setup-env)"


# What other processes do for the checks below; a process that entered a namespace cannot leave.
_ENTER = [
    sys.executable,
    "-c",
    "from stack.link.namespace import enter_user_namespace as enter; enter()",
]
_LOOK = [
    sys.executable,
    "-c",
    "import sys; sys.exit(open('/proc/sys/net/ipv4/ip_forward').read().strip() != '1')",
]


def _python() -> Finding:
    return Finding("Python", sys.version.split()[0])


def _extension() -> Finding:
    native = importlib.import_module("stack._native")
    return Finding("compiled extension", Path(str(native.__file__)).name)


def _device_node() -> Finding:
    from stack.link.tun import TUN_DEVICE

    subject = "device node"
    if not Path(TUN_DEVICE).exists():
        return Finding(subject, f"there is no {TUN_DEVICE}", "sudo modprobe tun")
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return Finding(subject, f"{TUN_DEVICE} is closed to you", f"sudo chmod 0666 {TUN_DEVICE}")
    except OSError as error:
        return Finding(subject, f"{TUN_DEVICE}: {error.strerror}", "sudo modprobe tun")
    return Finding(subject, f"{TUN_DEVICE} opens")


def _capability() -> Finding:
    if has_net_admin():
        return Finding("CAP_NET_ADMIN", "held: `run`, `serve` and `fetch` work here")
    return Finding("CAP_NET_ADMIN", "not held: `run` needs none, `serve` wants sudo")


def has_net_admin() -> bool:
    """Whether this process may make network devices (in its own user namespace)."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return False


def _user_namespaces() -> Finding:
    from stack.link.namespace import user_namespaces_mend

    if subprocess.run(_ENTER, capture_output=True, check=False).returncode == 0:
        return Finding("user namespaces", "allowed: `run` needs no root")
    if has_net_admin():
        return Finding("user namespaces", "forbidden, and not needed by root")
    return Finding("user namespaces", "forbidden", user_namespaces_mend())


def _private_network() -> Finding:
    """Does what `run` does, with a command that only looks whether forwarding is on."""
    from stack.link.namespace import prepare_command
    from stack.link.tun import TunLink

    subject = "private network with a TUN device"
    theirs = [kernel_address(stack_address(text)) for text in DEFAULT_ADDRESSES]
    try:
        prepared = prepare_command(_LOOK, os.environ, theirs)
    except UsageError as error:
        what, _, mend = str(error).partition(": ")
        return Finding(subject, what, mend)
    link = TunLink(prepared.tun)
    try:
        offload = "checksum and segmentation offload" if link.offload else "plain packets only"
        prepared.go()
        forwards = prepared.wait() == 0
    finally:
        link.close()
        prepared.close()
    routing = (
        "" if forwards else ", no forwarding (`fetch` inside `run` needs a writable /proc/sys)"
    )
    return Finding(subject, f"works, {offload}{routing}")


def _forwarding() -> Finding:
    on = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip() == "1"
    reach = "other machines can be routed to it" if on else "only this machine's programs reach it"
    return Finding("forwarding policy", f"{'on' if on else 'off'}: with `serve`, {reach}")


def _clashes() -> Finding:
    from stack.link.configure import clashes

    found = clashes(stack_address(text) for text in DEFAULT_ADDRESSES)
    if not found:
        return Finding("default addresses", f"{' and '.join(DEFAULT_ADDRESSES)} are free")
    return Finding(
        "default addresses",
        f"`serve` would meet {', '.join(found)}",
        "sudo tunstack serve --address 198.51.100.2/24 --address 2001:db8:2::2/64",
    )


def _tool(name: str, package: str) -> Finding:
    found = shutil.which(name)
    if found:
        return Finding(name, found)
    return Finding(name, "not installed", f"sudo apt-get install {package}")
