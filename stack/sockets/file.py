"""File objects on a socket, as socket.makefile gives them."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.sockets.base import SocketBase

Buffered = io.BufferedReader | io.BufferedWriter | io.BufferedRWPair
FileObject = io.RawIOBase | Buffered | io.TextIOWrapper


class SocketFile(io.RawIOBase):
    """The raw bytes of a socket as a file; `mode` has an "r", a "w" or both."""

    def __init__(self, owner: "SocketBase", mode: str) -> None:
        super().__init__()
        self._socket: SocketBase | None = owner
        self._mode = mode
        self._timed_out = False

    @property
    def mode(self) -> str:
        """As of any file: "rb", "wb" or "rwb"."""
        return "".join(letter for letter in "rw" if letter in self._mode) + "b"

    def readable(self) -> bool:
        return not self.closed and "r" in self._mode

    def writable(self) -> bool:
        return not self.closed and "w" in self._mode

    def readinto(self, buffer: Any) -> int | None:
        """Bytes put into `buffer`; None when the socket does not wait and has none."""
        if self._timed_out:
            # Part of a line may be lost with the buffer above: nothing sound can follow.
            raise OSError("cannot read from timed out object")
        try:
            return self._open_socket().recv_into(buffer)
        except TimeoutError:
            self._timed_out = True
            raise
        except BlockingIOError:
            return None

    def write(self, data: Any) -> int | None:
        """Bytes taken; None when the socket does not wait and has no room."""
        try:
            return self._open_socket().send(data)
        except BlockingIOError:
            return None

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if self._socket is not None:
            self._socket.file_closed()
            self._socket = None

    def wrapped(
        self,
        mode: str,
        buffering: int | None,
        encoding: str | None,
        errors: str | None,
        newline: str | None,
    ) -> FileObject:
        """With the buffer and the text layer that `mode` asks for."""
        if buffering == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return self
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        buffered: Any = self._buffered(size)
        if "b" in mode:
            return buffered  # type: ignore[no-any-return] # one class or another, by the mode
        text = io.TextIOWrapper(buffered, encoding, errors, newline)
        text.mode = mode  # type: ignore[misc] # as the standard library sets it
        return text

    def _buffered(self, size: int) -> Buffered:
        if "w" not in self._mode:
            return io.BufferedReader(self, size)
        if "r" not in self._mode:
            return io.BufferedWriter(self, size)
        return io.BufferedRWPair(self, self, size)

    def _open_socket(self) -> "SocketBase":
        if self._socket is None:
            raise ValueError("I/O operation on closed socket")
        return self._socket
