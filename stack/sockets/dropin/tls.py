"""TLS over drop-in sockets: what `SSLContext.wrap_socket` makes of them.

The standard library's SSLSocket has OpenSSL read and write the descriptor, on which a socket
of ours carries nothing. So here OpenSSL works on memory, and the bytes go through the
socket's own methods; everything else of ssl.SSLSocket stays as it is.
"""

import _ssl
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stack.sockets.dropin.engine import handle_of
from stack.sockets.dropin.sock import Socket

_INCOMPLETE = "The operation did not complete "
_READ = 1 << 16  # bytes of the connection at once


class TlsSocket(ssl.SSLSocket, Socket):  # type: ignore[misc] # they differ in names of types
    """An SSLSocket; where it lives in the kernel, quite the standard library's."""


class Conversation:
    """Does what the object of OpenSSL behind an SSLSocket does, on a socket of ours.

    Reading and writing may happen in two threads at once: only OpenSSL itself is locked, not
    the waiting.
    """

    def __init__(self, sock: Socket, context: ssl.SSLContext, /, **options: Any) -> None:
        own = self.__dict__
        own["_socket"] = sock
        own["_incoming"] = ssl.MemoryBIO()
        own["_outgoing"] = ssl.MemoryBIO()
        own["_unsent"] = b""
        own["_taken"] = None
        own["_openssl"] = threading.RLock()
        own["_sending"] = threading.RLock()
        own["_object"] = _ssl._SSLContext._wrap_bio(  # type: ignore[attr-defined]
            context, self._incoming, self._outgoing, **options
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._object, name, value)

    def do_handshake(self) -> None:
        """Shakes hands, as long as the socket's timeout allows."""
        self._run("handshake", self._object.do_handshake)

    def read(self, *arguments: Any) -> Any:
        """Up to so many bytes, or as many into a buffer."""
        return self._run("read", self._object.read, *arguments)

    def write(self, data: Any) -> int:
        """Encrypts and sends. A socket that does not wait may ask for the same data again."""
        own = self.__dict__
        if own["_taken"] is None:
            self._send("write")  # what is left of before; nothing is encrypted without room
            own["_taken"] = self._run("write", self._object.write, data, flush=False)
        self._send("write")
        taken: int = own["_taken"]
        own["_taken"] = None
        return taken

    def shutdown(self) -> Socket:
        """Says goodbye and waits for the peer's; returns the socket, plain again."""
        self._run("shutdown", self._object.shutdown)
        owner: Socket = self._socket
        return owner

    def verify_client_post_handshake(self) -> None:
        """Asks the client for a certificate."""
        with self._openssl:
            self._object.verify_client_post_handshake()
        self._send("write")

    def _run(self, what: str, call: Callable[..., Any], *arguments: Any, flush: bool = True) -> Any:
        while True:
            try:
                with self._openssl:
                    result = call(*arguments)
            except ssl.SSLWantReadError:
                self._send(what)
                self._receive(what)
                continue
            except ssl.SSLError:
                self._send_alert()
                raise
            if flush:
                self._send(what)
            return result

    def _receive(self, what: str) -> None:
        with _told_as(what, ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, _INCOMPLETE + "(read)")):
            data = Socket.recv(self._socket, _READ)
        with self._openssl:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _send(self, what: str) -> None:
        """Sends what OpenSSL has ready, in order, whichever thread made it."""
        own = self.__dict__
        wait = ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, _INCOMPLETE + "(write)")
        with self._sending:
            while own["_unsent"] or self._outgoing.pending:
                if not own["_unsent"]:
                    with self._openssl:
                        own["_unsent"] = self._outgoing.read()
                with _told_as(what, wait):
                    sent = Socket.send(self._socket, own["_unsent"])
                own["_unsent"] = own["_unsent"][sent:]

    def _send_alert(self) -> None:
        """The peer shall hear why; whether it does makes no difference to the error here."""
        try:
            self._send("write")
        except OSError:
            return


@contextmanager
def _told_as(what: str, wait: ssl.SSLError) -> Iterator[None]:
    """Raises what OpenSSL's own sockets raise where one of ours would wait, or did too long."""
    try:
        yield
    except BlockingIOError:
        raise wait from None
    except TimeoutError:
        raise TimeoutError(f"The {what} operation timed out") from None


_plain_class = ssl.SSLContext.sslsocket_class
_plain_wrap = ssl.SSLContext._wrap_socket  # type: ignore[attr-defined]


class _Chooser(ssl.SSLSocket):
    """Makes of each socket what fits it: of kernel sockets what was made before."""

    @classmethod
    def _create(cls, sock: Any, *arguments: Any, **options: Any) -> Any:
        # The descriptor tells of what only behaves like a socket, too, and passes calls on.
        ours = isinstance(sock, Socket) or handle_of(sock.fileno()) is not None
        made = TlsSocket if ours else _plain_class
        return made._create(sock, *arguments, **options)  # type: ignore[attr-defined]


def _wrap_socket(
    context: ssl.SSLContext,
    sock: Any,
    server_side: bool,
    server_hostname: Any = None,
    *,
    owner: Any = None,
    session: Any = None,
) -> Any:
    if isinstance(sock, Socket) and sock.on_host:
        return Conversation(
            sock,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            owner=owner,
            session=session,
        )
    return _plain_wrap(context, sock, server_side, server_hostname, owner=owner, session=session)


def teach_ssl() -> None:
    """Has `SSLContext.wrap_socket` know sockets of ours; nothing changes for others."""
    ssl.SSLContext.sslsocket_class = _Chooser
    ssl.SSLContext._wrap_socket = _wrap_socket  # type: ignore[attr-defined]
