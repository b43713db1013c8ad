"""The class `socket` of the drop-in: socket.socket, on a host of ours."""

import errno
import os
import socket as standard
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from stack.sockets.dropin.descriptor import placeholder
from stack.sockets.dropin.engine import Engine, Handle, handle_of, new_engine, sweep
from stack.sockets.names import error_of

if TYPE_CHECKING:
    from stack.sockets.dropin.place import Place

KernelSocket = standard.socket
"""The class of the standard library, whatever stands in its place meanwhile."""

_INTERNET = (standard.AF_INET, standard.AF_INET6)
_KINDS = (standard.SOCK_STREAM, standard.SOCK_DGRAM)
_FLAGS = standard.SOCK_NONBLOCK | standard.SOCK_CLOEXEC


class Socket(KernelSocket):
    """A socket as `import socket` has it.

    It lives on the host of its place, or in the kernel: that is settled when it is made, or
    where both have a part, by the first address that it gets. What is in the kernel behaves as
    ever. On the host the descriptor only tells when to call; the bytes go through the methods.
    """

    place: ClassVar["Place | None"] = None
    """Where sockets of this class live; None: where the caller's thread has its own."""

    _handle: Handle | None = None
    _undecided: "Place | None" = None

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the standard library's name
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        self._given: list[tuple[int, int, Any]] = []
        if fileno is not None:
            self._open_descriptor(family, type, proto, fileno)
            return
        family = standard.AF_INET if family == -1 else family
        type = standard.SOCK_STREAM if type == -1 else type  # noqa: A001
        place = self._where()
        if place is None or family not in _INTERNET:
            super().__init__(family, type, proto)
        elif place.shared:
            self._open_undecided(place, family, type, proto)
        else:
            engine = new_engine(place.host, family, type, max(proto, 0))
            self._open_on(engine, type, proto)

    def _where(self) -> "Place | None":
        from stack.sockets.dropin.place import current_place

        return self.place or current_place()

    def _open_descriptor(self, family: int, kind: int, proto: int, fileno: int) -> None:
        handle = handle_of(fileno) if isinstance(fileno, int) and fileno >= 0 else None
        if handle is not None:
            family = handle.engine.family if family == -1 else family
            kind = handle.engine.type if kind == -1 else kind
            proto = handle.engine.proto if proto == -1 else proto
        super().__init__(family, kind, proto, fileno)
        if handle is not None:
            handle.open(fileno)
            self._handle = handle

    def _open_undecided(self, place: "Place", family: int, kind: int, proto: int) -> None:
        try:
            super().__init__(family, kind, proto)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            # The kernel is without IPv6, but the host is not.
            self._open_on(new_engine(place.host, family, kind, max(proto, 0)), kind, proto)
            return
        if kind & ~_FLAGS in _KINDS:
            self._undecided = place

    def _open_on(self, engine: Engine, kind: int, proto: int) -> None:
        super().__init__(engine.family, kind, max(proto, 0), placeholder())
        self._handle = Handle(engine)
        sweep()

    # Where it lives.

    @property
    def on_host(self) -> bool:
        """Whether it lives on a host of ours, and not in the kernel."""
        return self._handle is not None

    def _decide_bind(self, address: Any) -> None:
        place = self._undecided
        if place is not None and place.takes_name(address, self.family):
            self._move_to(place)

    def _decide_peer(self, address: Any) -> None:
        place = self._undecided
        if place is not None and place.reaches(address, self.family):
            self._move_to(place)

    def _decide_listen(self) -> None:
        if self._undecided is not None and not super().getsockname()[1]:
            self._move_to(self._undecided)

    def _move_to(self, place: "Place") -> None:
        """Leaves the kernel for the host, with all that was set before."""
        engine = new_engine(place.host, self.family, self.type, self.proto)
        for level, name, value in self._given:
            try:
                engine.setsockopt(level, name, value)
            except OSError as error:
                # What does nothing on a host of ours shall not keep a program from running.
                if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
                    raise
        self._handle = Handle(engine)
        self._undecided = None
        # The number may be known to a selector already: it shows the new state from now on.
        self._handle.show_on(super().fileno(), blocking=self.gettimeout() is None)

    def _do(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Calls a method of what is behind: of the kernel's socket, or of the engine."""
        handle = self._handle
        if handle is None:
            return getattr(super(), name)(*arguments, **options)
        engine = handle.engine
        engine.settimeout(self.gettimeout())
        try:
            return getattr(engine, name)(*arguments, **options)
        except OSError as error:
            # Frames below hold views of the caller's buffer, which must be free to be resized
            # while the error is handled, as asyncio does with what it had to write.
            raise error.with_traceback(None) from None
        finally:
            handle.called()

    # Descriptors.

    def fileno(self) -> int:
        """A descriptor that is readable when the socket is, and writable when it is.

        No bytes go through it; -1 after close.
        """
        number = super().fileno()
        if self._handle is not None and number >= 0:
            self._handle.show_on(number, blocking=self.gettimeout() is None)
        return number

    def detach(self) -> int:
        if self._handle is None:
            return super().detach()
        number = self.fileno()
        self._handle.detach(number)
        self._handle = None
        return super().detach()

    def _real_close(self, _ss: Any = KernelSocket) -> None:
        handle, self._handle = self._handle, None
        self._undecided = None
        if handle is None:
            super()._real_close()  # type: ignore[misc]
            return
        try:
            super()._real_close()  # type: ignore[misc]
        finally:
            if handle.release():
                handle.close()

    def __del__(self) -> None:
        handle = self._handle
        super().__del__()  # type: ignore[misc]
        if handle is not None:
            # The lock of the host must not be waited for in here: anyone may hold it.
            self._handle = None
            handle.host.driver.later(lambda: handle.close() if handle.release() else None)

    # Names.

    def bind(self, address: Any, /) -> None:
        self._decide_bind(address)
        self._do("bind", address)

    def getsockname(self) -> Any:
        return self._do("getsockname")

    def getpeername(self) -> Any:
        return self._do("getpeername")

    # Connections.

    def connect(self, address: Any, /) -> None:
        self._decide_peer(address)
        self._do("connect", address)

    def connect_ex(self, address: Any, /) -> int:
        self._decide_peer(address)
        return cast(int, self._do("connect_ex", address))

    def listen(self, *backlog: int) -> None:
        self._decide_listen()
        self._do("listen", *backlog)

    def accept(self) -> tuple["Socket", Any]:
        """A socket for the next connection, and its peer's name."""
        if self._handle is None:
            return cast(tuple["Socket", Any], super().accept())
        engine, name = self._do("accept")
        accepted = self._accepted_class()._around(engine, self.proto)
        return accepted, name

    def _accepted_class(self) -> "type[Socket]":
        where = self._where()
        return where.socket_class if where else Socket

    @classmethod
    def _around(cls, engine: Engine, proto: int) -> "Socket":
        made = cls.__new__(cls)
        made._given = []
        made._open_on(engine, engine.type, proto)
        return made

    def shutdown(self, how: int, /) -> None:
        self._do("shutdown", how)

    # Bytes.

    def send(self, *arguments: Any) -> int:
        return cast(int, self._do("send", *arguments))

    def sendall(self, *arguments: Any) -> None:
        self._do("sendall", *arguments)

    def sendto(self, *arguments: Any) -> int:
        if self._undecided is not None and len(arguments) in (2, 3):
            self._decide_peer(arguments[-1])
        return cast(int, self._do("sendto", *arguments))

    def sendmsg(self, *arguments: Any) -> int:
        if self._undecided is not None and len(arguments) == 4:
            self._decide_peer(arguments[-1])
        return cast(int, self._do("sendmsg", *arguments))

    def sendmsg_afalg(self, *arguments: Any, **options: Any) -> int:
        if self._handle is not None:
            raise error_of(errno.EOPNOTSUPP)
        return super().sendmsg_afalg(*arguments, **options)

    def recv(self, *arguments: Any) -> bytes:
        return cast(bytes, self._do("recv", *arguments))

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        return cast(int, self._do("recv_into", *arguments, **options))

    def recvfrom(self, *arguments: Any) -> tuple[bytes, Any]:
        return cast(tuple[bytes, Any], self._do("recvfrom", *arguments))

    def recvfrom_into(self, *arguments: Any, **options: Any) -> tuple[int, Any]:
        return cast(tuple[int, Any], self._do("recvfrom_into", *arguments, **options))

    def recvmsg(self, *arguments: Any) -> Any:
        return self._do("recvmsg", *arguments)

    def recvmsg_into(self, buffers: Iterable[Any], *arguments: Any) -> Any:
        return self._do("recvmsg_into", buffers, *arguments)

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Sends a regular file; everything else is left to the way by `send`."""
        if self._handle is None:
            return cast(int, super()._sendfile_use_sendfile(file, offset, count))  # type: ignore[misc]
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        try:
            size = os.fstat(file.fileno()).st_size
        except (AttributeError, OSError) as error:
            _give_up_on_sendfile(error)
        if self.gettimeout() == 0:
            raise ValueError("non-blocking sockets are not supported")
        return self._send_file(file, offset, min(count or size, max(size - offset, 0)))

    def _send_file(self, file: Any, offset: int, count: int) -> int:
        sent = 0
        try:
            while sent < count:
                data = os.pread(file.fileno(), min(count - sent, _BLOCK), offset + sent)
                if not data:
                    break
                view = memoryview(data)
                while view:
                    taken = self.send(view)
                    sent += taken
                    view = view[taken:]
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)
        return sent

    # Options.

    def getsockopt(self, *arguments: Any) -> Any:
        return self._do("getsockopt", *arguments)

    def setsockopt(self, level: int, optname: int, value: Any, *length: int) -> None:
        if self._handle is None:
            super().setsockopt(level, optname, value, *length)
            if self._undecided is not None:
                self._given.append((level, optname, value))
            return
        if value is None or length:
            # A null pointer of some length means something to a few options of the kernel only.
            raise (
                error_of(errno.EFAULT)
                if value is None and length
                else TypeError("socket option should be an integer or a bytes-like object")
            )
        self._do("setsockopt", level, optname, value)


_BLOCK = 1 << 18  # bytes of a file that are read at once


def _give_up_on_sendfile(error: Exception) -> NoReturn:
    raise standard._GiveupOnSendfile(error)  # type: ignore[attr-defined]


def close(number: int, /) -> None:
    """As socket.close: closes a descriptor, and the socket that it was the last one of."""
    handle = handle_of(number) if isinstance(number, int) and number >= 0 else None
    _kernels_close(number)
    if handle is not None and handle.release():
        handle.close()


_kernels_close = standard.close
