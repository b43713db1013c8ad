"""A private network namespace with a TUN device in it, and a command that runs there.

The process forks. The child enters a new network namespace (as a plain user with a user
namespace around it, in which it is root), makes and configures the device, passes its
descriptor to the parent, waits for the word and becomes the command. The device and the
namespaces live only as long as the descriptors and the processes in them do.
"""

import ctypes
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from stack.errors import UsageError
from stack.link.configure import configure_loopback, configure_tun, enable_forwarding
from stack.link.prefix import Interface
from stack.link.tun import open_queues, open_tun

DEVICE_NAME = "tun0"

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_MESSAGE_MAX = 4096
_READY = b"ready"
_GO = b"go"


@dataclass(slots=True)
class NamespacedCommand:
    """A command that waits in its namespace for `go`.

    `queues` are the descriptors of the device, one for each of its queues. `namespace` keeps
    the network namespace alive after the command has ended, so that its last packets are seen.
    """

    pid: int
    queues: list[int]
    namespace: int
    _control: socket.socket

    @property
    def tun(self) -> int:
        """The descriptor of a device with one queue."""
        return self.queues[0]

    def go(self) -> None:
        """Lets the command begin."""
        with suppress(BrokenPipeError):  # it was killed meanwhile: its status says so
            self._control.sendall(_GO)
        self._control.close()

    def send_signal(self, number: int) -> None:
        """Passes a signal on to the command."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def listens(self) -> bool:
        """Whether anything in the namespace takes connections or datagrams by now."""
        for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
            with suppress(OSError):
                lines = Path(f"/proc/{self.pid}/net/{name}").read_text("ascii").splitlines()
                if any(line.split()[3] == state for line in lines[1:]):
                    return True
        return False

    def wait(self) -> int:
        """Waits for the command; returns its exit status, 128 + signal when it was killed."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Gives the namespace back; the device belongs to whoever took `queues`."""
        self._control.close()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


def prepare_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    addresses: Sequence[Interface],
    mtu: int = 1500,
    queues: int = 1,
) -> NamespacedCommand:
    """Makes the namespace with its device and a process in it that waits to run `command`.

    `addresses` are the kernel's own; the device has so many `queues`. Call it before there are
    threads: it forks. Raises UsageError that names the mend when namespaces or devices are
    forbidden here.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _child(theirs, command, environment, addresses, mtu, queues)
    theirs.close()
    try:
        message, descriptors, _, _ = socket.recv_fds(
            ours, _MESSAGE_MAX, queues + 1, socket.MSG_CMSG_CLOEXEC
        )
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
        raise
    if message != _READY:
        ours.close()
        os.waitpid(pid, 0)
        raise UsageError(message.decode() or "the process in the new namespace died")
    namespace, *tuns = descriptors
    return NamespacedCommand(pid, tuns, namespace, ours)


def user_namespaces_mend() -> str:
    """The command that allows user namespaces here, by the switch that forbids them."""
    switches = (
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_user_namespaces", "0", "10000"),
    )
    for name, forbidding, allowing in switches:
        with suppress(OSError):
            if Path("/proc/sys", name).read_text(encoding="ascii").strip() == forbidding:
                return f"sudo sysctl -w {name.replace('/', '.')}={allowing}"
    return "run with sudo, or start the container with --privileged"


def enter_namespace() -> None:
    """Moves this process to a new network namespace, as a plain user to a user namespace too.

    Raises UsageError when neither is allowed.
    """
    try:
        _unshare(_CLONE_NEWNET)
    except OSError:
        enter_user_namespace()


def enter_user_namespace() -> None:
    """Moves this process to new user and network namespaces, in which it is root.

    Raises UsageError where that is forbidden.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        # A plain user may map only itself, and groups only once setgroups is given up.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as error:
        raise UsageError(
            f"namespaces are forbidden here ({error.strerror}): {user_namespaces_mend()}"
        ) from error


def _child(
    control: socket.socket,
    command: Sequence[str],
    environment: Mapping[str, str],
    addresses: Sequence[Interface],
    mtu: int,
    queues: int,
) -> NoReturn:
    """What happens on the far side of the fork; never returns to the caller's code."""
    status = 1
    try:
        _set_up(control, addresses, mtu, queues)
        if control.recv(len(_GO)) == _GO:
            status = _become(command, environment)
    except UsageError as error:
        control.sendall(str(error).encode()[:_MESSAGE_MAX])
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException as error:  # the parent reports it
        control.sendall(f"cannot set the namespace up: {error}".encode()[:_MESSAGE_MAX])
    finally:
        os._exit(status)


def _set_up(control: socket.socket, addresses: Sequence[Interface], mtu: int, queues: int) -> None:
    enter_namespace()
    # Only now: a change of capabilities, as a user namespace brings, would undo it.
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    tuns = [open_tun(DEVICE_NAME)] if queues == 1 else open_queues(DEVICE_NAME, queues)
    configure_loopback()
    configure_tun(DEVICE_NAME, addresses, mtu)
    enable_forwarding()
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    socket.send_fds(control, [_READY], [namespace, *tuns])
    for descriptor in (namespace, *tuns):
        os.close(descriptor)


def _become(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Executes the command; comes back only on failure, with a shell's status for it."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and that is inherited
    try:
        os.execvpe(command[0], list(command), dict(environment))
    except FileNotFoundError:
        problem, status = "command not found", 127
    except OSError as error:
        problem, status = error.strerror or str(error), 126
    os.write(2, f"tunstack: {command[0]}: {problem}\n".encode())
    return status


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unshare(flags: int) -> None:
    if _libc().unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")
