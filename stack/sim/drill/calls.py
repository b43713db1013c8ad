"""The system calls that make, connect, read, write and close sockets."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Generator

from stack.sim.drill import pattern
from stack.sim.drill import values as constants
from stack.sim.drill.errors import Mismatch
from stack.sim.drill.kernel import Handler, Kernel, Running, argument, at_once, flags_of, until
from stack.sim.drill.script import Array, Call, Expression, Number, Struct, Text
from stack.sim.drill.sockets import FAMILIES, Descriptor
from stack.sim.drill.values import address, number, number_or_none, spelled
from stack.sockets.names import error_of
from stack.sockets.udp_socket import UdpSocket

SECOND = 1_000_000


# ---- sockets and connections ----------------------------------------------------------


def _socket(kernel: Kernel, call: Call) -> Running:
    family = number_or_none(argument(call, 0))
    kind = number(argument(call, 1), "the type of the socket")
    protocol = number(argument(call, 2), "the protocol")
    made = kernel.sockets.socket(
        FAMILIES[kernel.settings.sockets] if family is None else family, kind, protocol
    )
    return at_once(kernel.add(made, call, waits=not kind & socket.SOCK_NONBLOCK))


def _bind(kernel: Kernel, call: Call) -> Running:
    settings = kernel.settings
    own = settings.local if settings.sockets == settings.version else "::"
    name = address(argument(call, 1), (own, settings.bind_port))
    made = kernel.descriptor(call).socket
    made.bind(name)
    kernel.bound_port = made.getsockname()[1]
    return at_once(0)


def _listen(kernel: Kernel, call: Call) -> Running:
    kernel.descriptor(call).socket.listen(number(argument(call, 1), "the backlog"))
    return at_once(0)


def _accept(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    made, name = yield from until(descriptor.waits, descriptor.socket.accept)
    given = argument(call, 1)
    if isinstance(given, Struct):
        check_name(call, given, name)
    waits = not flags_of(call, 3) & socket.SOCK_NONBLOCK
    fd = kernel.add(made, call, waits=waits)
    kernel.connected.append(kernel.descriptors[fd])
    return fd


def check_name(call: Call, given: Struct, name: tuple[object, ...]) -> None:
    """Compares a sockaddr of the script with a name. Raises Mismatch."""
    wanted = address(given, (str(name[0]), int(str(name[1]))))
    if wanted != name[:2]:
        raise Mismatch(
            f"{call.name} gave {name[0]} port {name[1]}, not {wanted[0]} port {wanted[1]}"
        )


def _connect(kernel: Kernel, call: Call) -> Running:
    settings = kernel.settings
    descriptor = kernel.descriptor(call)
    remote = settings.remote
    if settings.sockets != settings.version:
        remote = f"::ffff:{remote}"
    name = address(argument(call, 1), (remote, settings.connect_port))
    result = descriptor.socket.connect_ex(name)
    if result in (0, errno.EINPROGRESS):
        kernel.connected.append(descriptor)
    while descriptor.tcp and descriptor.waits and result in (errno.EINPROGRESS, errno.EALREADY):
        yield None
        result = descriptor.socket.connect_ex(name)
    if result:
        raise error_of(result)
    return 0


def _shutdown(kernel: Kernel, call: Call) -> Running:
    kernel.descriptor(call).socket.shutdown(number(argument(call, 1), "how to shut down"))
    return at_once(0)


def _close(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    fd = number(argument(call, 0), "the file descriptor")
    connection = descriptor.connection
    if descriptor.linger and descriptor.waits and connection and not connection.available:
        connection.shutdown(kernel.now())
        patience = kernel.now() + descriptor.linger * SECOND
        while not descriptor.is_delivered() and kernel.now() < patience:
            yield patience
        # The waiting is over: what is left is to let go of the connection.
        descriptor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
    del kernel.descriptors[fd]
    descriptor.socket.close()
    return 0


def _name_of(ours: bool) -> Handler:
    def handler(kernel: Kernel, call: Call) -> Running:
        made = kernel.descriptor(call).socket
        name = made.getsockname() if ours else made.getpeername()
        given = argument(call, 1)
        if isinstance(given, Struct):
            check_name(call, given, name)
        return at_once(0)

    return handler


# ---- reading and writing ----------------------------------------------------------------


def _reading(size_at: Callable[[Call], int], flags_at: int | None) -> Handler:
    """A call that reads: where its arguments have the size and the flags."""

    def handler(kernel: Kernel, call: Call) -> Running:
        descriptor = kernel.descriptor(call)
        flags = 0 if flags_at is None else flags_of(call, flags_at)
        return _receive(kernel, descriptor, call, size_at(call), flags)

    return handler


def _receive(kernel: Kernel, descriptor: Descriptor, call: Call, size: int, flags: int) -> Running:
    waits = descriptor.waits and not flags & socket.MSG_DONTWAIT
    data = yield from until(waits, lambda: descriptor.socket.recv(size, flags))
    if waits and flags & socket.MSG_WAITALL:
        data = yield from _fill(descriptor, data, size, flags)
    given = argument(call, 1)
    if isinstance(given, Text):
        _check_text(call, given, data)
    elif kernel.patterned and not flags & socket.MSG_OOB:
        _check_pattern(descriptor.read if descriptor.tcp else 0, data)
    if not flags & (socket.MSG_PEEK | socket.MSG_OOB):
        descriptor.read += len(data)
    return len(data)


def _fill(
    descriptor: Descriptor, data: bytes, size: int, flags: int
) -> Generator[int | None, None, bytes]:
    """Waits for the rest of `size` bytes, or the end of the stream."""
    while 0 < len(data) < size:
        try:
            more = descriptor.socket.recv(size - len(data), flags)
        except BlockingIOError:
            yield None
            continue
        data += more
        if not more:
            break
    return data


def _check_text(call: Call, given: Text, data: bytes) -> None:
    wanted = given.value.encode("latin-1", "replace")
    if not (data.startswith(wanted) if given.open_ended else data == wanted):
        raise Mismatch(f"{call.name} gave {data!r}, not {wanted!r}")


def _check_pattern(offset: int, data: bytes) -> None:
    wanted = pattern.text(offset, len(data))
    if data != wanted:
        at = next(i for i, (a, b) in enumerate(zip(data, wanted, strict=True)) if a != b)
        raise Mismatch(
            f"the stream is broken: byte {offset + at} is not what was sent as this byte"
        )


def _writing(size_at: Callable[[Call], int], flags_at: int | None) -> Handler:
    """A call that writes: where its arguments have the size and the flags."""

    def handler(kernel: Kernel, call: Call) -> Running:
        descriptor = kernel.descriptor(call)
        flags = 0 if flags_at is None else flags_of(call, flags_at)
        data = _text_to_write(kernel, descriptor, argument(call, 1), size_at(call))
        return _send(descriptor, data, flags)

    return handler


def _sendto(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    made = descriptor.socket
    data = _text_to_write(kernel, descriptor, argument(call, 1), _size(2)(call))
    flags = flags_of(call, 3)
    settings = kernel.settings
    name = address(argument(call, 4), (settings.remote, settings.connect_port))
    waits = descriptor.waits and not flags & socket.MSG_DONTWAIT
    if isinstance(made, UdpSocket):
        return until(waits, lambda: made.sendto(data, flags, name))
    if flags & constants.MSG_FASTOPEN:
        kernel.connected.append(descriptor)
        return _send_with_syn(descriptor, data, flags, name)
    return _send(descriptor, data, flags)


def _send_with_syn(
    descriptor: Descriptor, data: bytes, flags: int, name: tuple[str, int]
) -> Running:
    """Connects with data in the SYN (RFC 7413); a call that waits sends the rest behind it."""
    made = descriptor.socket
    sent = 0
    try:
        sent = made.sendto(data, flags, name)
    except BlockingIOError:
        if not descriptor.waits:
            raise
    descriptor.written += sent
    if sent < len(data) and descriptor.waits:
        sent += yield from _send(descriptor, data[sent:], flags & ~constants.MSG_FASTOPEN)
    return sent


def _recvfrom(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    flags = flags_of(call, 3)
    given = argument(call, 4)
    if not isinstance(given, Struct):
        return _receive(kernel, descriptor, call, _size(2)(call), flags)
    return _receive_named(descriptor, call, given, flags)


def _receive_named(descriptor: Descriptor, call: Call, given: Struct, flags: int) -> Running:
    made = descriptor.socket
    if not isinstance(made, UdpSocket):
        raise Mismatch("recvfrom tells no address on a stream: write `...` for it")
    size = _size(2)(call)
    waits = descriptor.waits and not flags & socket.MSG_DONTWAIT
    data, name = yield from until(waits, lambda: made.recvfrom(size, flags))
    check_name(call, given, name or ())
    return len(data)


def _text_to_write(kernel: Kernel, descriptor: Descriptor, given: Expression, size: int) -> bytes:
    if isinstance(given, Text):
        kernel.patterned = False
        return given.value.encode("latin-1", "replace")[:size].ljust(size, b"\0")
    return pattern.text(descriptor.written if descriptor.tcp else 0, size)


def _send(descriptor: Descriptor, data: bytes, flags: int) -> Running:
    """Waits until all is taken, where calls wait; returns how much was."""
    waits = descriptor.waits and not flags & socket.MSG_DONTWAIT
    view, sent = memoryview(data), 0
    while True:
        try:
            taken = descriptor.socket.send(view[sent:], flags)
        except BlockingIOError:
            if not waits:
                raise
            taken = 0
        except OSError:
            if sent:
                return sent
            raise
        sent += taken
        descriptor.written += taken
        if sent == len(data) or not waits:
            return sent
        yield None


def _size(index: int) -> Callable[[Call], int]:
    return lambda call: number(argument(call, index), "the size")


def _vector_size(call: Call) -> int:
    """The bytes of an array of iovec: `[{..., 1000}, {..., 500}]`."""
    return _sum_of_vectors(argument(call, 1))


def _message_size(call: Call) -> int:
    """The bytes of a msghdr: `{msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}`."""
    given = argument(call, 1)
    vectors = given.get("msg_iov") if isinstance(given, Struct) else None
    if vectors is None:
        raise Mismatch(f"{call.name}: write a msghdr with msg_iov, not {spelled(given)}")
    return _sum_of_vectors(vectors)


def _sum_of_vectors(given: Expression) -> int:
    total = 0
    for item in given.items if isinstance(given, Array) else ():
        size = item.fields[1][1] if isinstance(item, Struct) and len(item.fields) == 2 else None
        if not isinstance(size, Number):
            raise Mismatch(f"{spelled(item)}: write a buffer as {{..., SIZE}}")
        total += size.value
    return total


# ---- descriptors ------------------------------------------------------------------------


def _fcntl(kernel: Kernel, call: Call) -> Running:
    descriptor = kernel.descriptor(call)
    command = number(argument(call, 1), "the command")
    if command == fcntl.F_GETFL:
        flags = os.O_RDWR if descriptor.waits else os.O_RDWR | os.O_NONBLOCK
        return at_once(flags)
    if command == fcntl.F_SETFL:
        descriptor.waits = not number(argument(call, 2), "the flags") & os.O_NONBLOCK
    elif command not in (fcntl.F_SETFD, fcntl.F_GETFD):
        raise error_of(errno.EINVAL)
    return at_once(0)


HANDLERS: dict[str, Handler] = {
    "socket": _socket,
    "bind": _bind,
    "listen": _listen,
    "accept": _accept,
    "accept4": _accept,
    "connect": _connect,
    "shutdown": _shutdown,
    "close": _close,
    "getsockname": _name_of(ours=True),
    "getpeername": _name_of(ours=False),
    "read": _reading(_size(2), None),
    "readv": _reading(_vector_size, None),
    "recv": _reading(_size(2), 3),
    "recvfrom": _recvfrom,
    "recvmsg": _reading(_message_size, 2),
    "write": _writing(_size(2), None),
    "writev": _writing(_vector_size, None),
    "send": _writing(_size(2), 3),
    "sendto": _sendto,
    "sendmsg": _writing(_message_size, 2),
    "fcntl": _fcntl,
}
