"""A TUN device as a link: batches of packets with the virtio-net header in front.

With the header the device carries super-segments and leaves checksums to whoever needs
them; without it (older kernels) everything works in plain packets.
"""

import errno
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytun

from stack._native import ffi, lib
from stack.errors import UsageError
from stack.link.base import Link, LinkLost
from stack.wire.batch import Inbound, Outbound

if TYPE_CHECKING:
    from stack._native import FlowTable

TUN_DEVICE = "/dev/net/tun"
VNET_HEADER = 10
"""Bytes of struct virtio_net_hdr."""

_TUNGETIFF = 0x800454D2
_TUNSETOFFLOAD = 0x400454D0
_TUN_F_CSUM = 0x01
_TUN_F_TSO4 = 0x02
_TUN_F_TSO6 = 0x04
_OFFLOAD = _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6
_IFREQ = struct.Struct("16sH22x")
_IFNAMSIZ = 16
_SETTABLE = pytun.IFF_TUN | pytun.IFF_NO_PI | pytun.IFF_VNET_HDR


def open_tun(name: str = "") -> int:
    """Makes a TUN device that lives as long as its descriptor, which is returned.

    Asks for the virtio header and does without it where the kernel has none. An empty
    name lets the kernel choose. Raises UsageError when the device cannot be had.
    """
    return _open(name, 0)


def open_queues(name: str, count: int) -> list[int]:
    """Makes a TUN device with so many queues; returns a descriptor of each, in their order.

    The queues keep their numbers as long as none is closed: the kernel gives the number of
    one that is closed to the last one. Raises UsageError when the device cannot be had, also
    when there is one of the name: its owner's packets would come out of our queues.
    """
    first = _open(name, pytun.IFF_MULTI_QUEUE | pytun.IFF_TUN_EXCL)
    queues = [first]
    made, flags = _name_and_flags(first)
    try:
        while len(queues) < count:
            queues.append(_make(made, (flags & _SETTABLE) | pytun.IFF_MULTI_QUEUE))
    except OSError as error:
        for queue in queues:
            os.close(queue)
        raise _explain(error, made) from error
    return queues


def _open(name: str, flags: int) -> int:
    if len(name.encode()) >= _IFNAMSIZ or "/" in name:
        raise UsageError(f"{name!r} is no device name: at most 15 bytes, no slash")
    plain = pytun.IFF_TUN | pytun.IFF_NO_PI | flags
    try:
        return _make(name, plain | pytun.IFF_VNET_HDR)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise _explain(error, name) from error
    try:
        return _make(name, plain)
    except OSError as error:
        raise _explain(error, name) from error


def _name_and_flags(descriptor: int) -> tuple[str, int]:
    answer = fcntl.ioctl(descriptor, _TUNGETIFF, _IFREQ.pack(b"", 0))
    name, flags = _IFREQ.unpack(answer)
    return name.rstrip(b"\0").decode(), flags


def _make(name: str, flags: int) -> int:
    device = pytun.TunTapDevice(name=name, flags=flags)
    try:
        # A descriptor of our own: a device object closes its descriptor when it is collected.
        descriptor = fcntl.fcntl(device.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        device.close()
    return descriptor


def _explain(error: OSError, name: str) -> UsageError:
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return UsageError(f"there is no {TUN_DEVICE}: sudo modprobe tun")
        case errno.EACCES:
            return UsageError(f"{TUN_DEVICE} may not be opened: sudo chmod 0666 {TUN_DEVICE}")
        case errno.EPERM:
            return UsageError(
                "making a TUN device needs CAP_NET_ADMIN: use sudo, or go inside `tunstack run`"
            )
        case errno.EBUSY:
            return UsageError(f"the device {name} is in use: choose another with --tun NAME")
        case errno.EINVAL if _exists(name):  # with other flags, as a device with queues has them
            return UsageError(f"the device {name} is in use: choose another with --tun NAME")
    return UsageError(f"cannot make a TUN device: {os.strerror(error.errno or 0)}")


def _exists(name: str) -> bool:
    with suppress(OSError):
        socket.if_nametoindex(name)
        return True
    return False


def _raise_if_deleted(result: int) -> None:
    if result == -errno.EBADFD:
        raise LinkLost(errno.EBADFD, "the TUN device was deleted")


class TunLink(Link):
    """The descriptor of a TUN device; owns it. `mtu` is in bytes.

    `receive` and `transmit` raise LinkLost when the device was deleted; any other failure
    concerns single packets, which are lost and counted.
    """

    def __init__(self, descriptor: int, mtu: int = 1500) -> None:
        self.mtu = mtu
        self.dropped = 0
        """Packets that the device did not take."""
        self.name, flags = _name_and_flags(descriptor)
        self._descriptor = descriptor
        self._vnet = VNET_HEADER if flags & pytun.IFF_VNET_HDR else 0
        self._inbound = Inbound()
        self._flows: FlowTable = ffi.NULL
        self.offload = False
        os.set_blocking(descriptor, False)
        self.set_offload(True)

    def fileno(self) -> int:
        return self._descriptor

    def receive(self, now: int) -> Inbound:
        batch = self._inbound
        result = lib.tun_receive(self._descriptor, batch.raw, self._vnet, self._flows)
        if result < 0:
            batch.raw.count = 0
            _raise_if_deleted(result)
        return batch

    def transmit(self, out: Outbound, now: int) -> None:
        sent, count = 0, out.count
        while sent < count:
            first = ffi.addressof(out.raw, sent)
            taken = lib.tun_transmit(self._descriptor, first, count - sent, self._vnet)
            if taken <= 0:
                _raise_if_deleted(taken)
                self.dropped += 1
                taken = 1
            sent += taken

    def set_offload(self, on: bool) -> None:
        if not self._vnet:
            return
        try:
            fcntl.ioctl(self._descriptor, _TUNSETOFFLOAD, _OFFLOAD if on else 0)
        except OSError:
            on = False  # the kernel then sends plain packets, which is always right
        self.offload = on

    def land(self, flows: "FlowTable | None") -> None:
        self._flows = ffi.NULL if flows is None else flows

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
