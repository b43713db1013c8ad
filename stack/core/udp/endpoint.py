"""One UDP socket as the core knows it: a port, perhaps a peer, and what waits in between."""

import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from stack.core.events import ApplicationCalled
from stack.core.ip.addresses import is_ipv4
from stack.core.ready import Ready
from stack.core.system_error import system_error
from stack.core.udp import output
from stack.core.udp.datagram import Datagram, Origin, Route, SendError, address_text, read_address
from stack.core.udp.settings import IpSettings

if TYPE_CHECKING:
    from stack.core.host import Host

Buffer = bytes | bytearray | memoryview


class UdpEndpoint:
    """Sends and receives datagrams; made by `Host.open_udp`, or by `Host.unbound_udp`.

    `version` says what it takes: 4, 6, or 0 for both. Before anything is sent or received
    it needs a port: `bind` gives it one, or else the first call that sends or connects.
    While it is connected it hears only its peer, and of errors about what it sent.

    `owner` is told READABLE when something arrived, WRITABLE when there is room to send
    again, ERROR when `take_error` has something to tell. An error that is pending comes out
    of the next call to send or receive, once.
    """

    def __init__(self, host: "Host", version: int, number: int) -> None:
        self.host = host
        self.number = number
        self.version = version
        self.owner: Any = None
        self.ipv4 = IpSettings(host.config.ttl)
        self.ipv6 = IpSettings(host.config.ttl)
        self.broadcast = False
        self.reuse_address = False
        self.reuse_port = False
        self.send_buffer = host.config.udp.send_buffer
        self.receive_buffer = host.config.udp.receive_buffer
        self.closed = False
        self.error = 0
        self.port = 0
        self.address: bytes | None = None
        """What it is bound to, None for all addresses."""
        self.peer: Route | None = None
        """The way to its peer while it is connected."""
        self._received: deque[Datagram] = deque()
        self._errors: deque[SendError] = deque()
        self._held = 0
        self._unsent = 0
        self._starved = False  # someone was told that there is no room to send

    # Names.

    @property
    def local(self) -> tuple[str, int]:
        """Our address and port: the unspecified address and 0 while there are none."""
        if self.peer is not None:
            return address_text(self.peer.source, self.peer.version), self.port
        if self.address is not None:
            return address_text(self.address, self.version), self.port
        return ("0.0.0.0" if self.version == 4 else "::"), self.port

    @property
    def remote(self) -> tuple[str, int] | None:
        """The peer's address and port while connected."""
        return (self.peer.address, self.peer.port) if self.peer else None

    def settings(self, version: int) -> IpSettings:
        """The settings for datagrams of one IP version."""
        return self.ipv4 if version == 4 else self.ipv6

    def bind(self, address: str | None, port: int) -> None:
        """Takes a port of the host, any free one for 0, on one address or on all (None, or
        "0.0.0.0" and "::" for those of a version).

        A group or a broadcast address may be given, too: then only what is sent there is
        heard. Raises OSError EINVAL, EADDRNOTAVAIL, EADDRINUSE, EAFNOSUPPORT.
        """
        self._check_open()
        if self.port:
            raise system_error(errno.EINVAL)
        self.host.udp.bind(self, address, port)
        self._note("bind", f"to {self.local[0]} port {self.port}", self.host.now)

    def connect(self, address: str, port: int, now: int) -> None:
        """Chooses one peer, in place of any before. Nothing is sent.

        Raises OSError ENETUNREACH, EAFNOSUPPORT, EACCES, EAGAIN.
        """
        self._check_open()
        route = self._route(address, port)
        self._take_port()
        self.host.udp.disconnect(self)
        self.peer = route
        self.host.udp.connect(self)
        self._note("connect", f"to {address} port {port}", now)

    def disconnect(self, now: int) -> None:
        """Goes back to hearing everyone."""
        self._check_open()
        self.host.udp.disconnect(self)
        self.peer = None
        self._note("disconnect", "", now)

    def close(self, now: int) -> None:
        """Gives the port back; what was sent still leaves, what was not read is dropped."""
        if self.closed:
            return
        self._note("close", "", now)
        self.closed = True
        self.host.udp.release(self)
        self._received.clear()
        self._errors.clear()
        self._held = self.error = 0

    # Sending.

    @property
    def send_space(self) -> int:
        """Bytes that may wait to be sent before `send_to` refuses more."""
        return max(self.send_buffer - self._unsent, 0)

    def send(self, data: Buffer, now: int, *, settings: IpSettings | None = None) -> int:
        """Sends one datagram to the peer, as `send_to` does. Raises OSError EDESTADDRREQ too."""
        self._check_open()
        if self.peer is None:
            raise system_error(errno.EDESTADDRREQ)
        return self._send(data, self.peer, settings, now)

    def send_to(
        self,
        data: Buffer,
        address: str,
        port: int,
        now: int,
        *,
        source: str | None = None,
        settings: IpSettings | None = None,
    ) -> int:
        """Sends one datagram; returns its length in bytes. `source`, an address of ours, and
        `settings` are for this one only.

        Raises OSError: EMSGSIZE, EACCES (broadcast without leave), ENETUNREACH, EINVAL,
        EAFNOSUPPORT, EAGAIN (no room now, or no free port), or what is pending.
        """
        self._check_open()
        if not 0 < port < 65536:
            raise system_error(errno.EINVAL)
        return self._send(data, self._route(address, port, source), settings, now)

    def _send(self, data: Buffer, route: Route, settings: IpSettings | None, now: int) -> int:
        self._take_port()
        self._raise_pending()
        if not self.send_space:
            self._starved = True
            raise system_error(errno.EAGAIN)
        self._unsent += output.send(self, data, route, settings or self.settings(route.version))
        if self.host.observed:
            self._note("send", f"{len(data)} bytes to {route.address} port {route.port}", now)
        return len(data)

    def sent(self, length: int) -> None:
        """So many bytes of packets have left the host."""
        self._unsent -= length
        if self._starved and self._unsent <= self.send_buffer // 2:
            self._starved = False
            self.tell(Ready.WRITABLE)

    def _route(self, address: str, port: int, source: str | None = None) -> Route:
        version, destination = read_address(address)
        if self.version not in (0, version):
            # What Linux says: an IPv6 socket has no route to IPv4, an IPv4 one does not know IPv6.
            raise system_error(errno.ENETUNREACH if version == 4 else errno.EAFNOSUPPORT)
        local = self.host.local
        if local.is_broadcast(destination):
            if not self.broadcast:
                raise system_error(errno.EACCES)
        elif not (local.is_valid_destination(destination) or local.is_multicast(destination)):
            raise system_error(errno.ENETUNREACH)
        return Route(version, self._source_to(destination, source), destination, port)

    def _source_to(self, destination: bytes, wanted: str | None) -> bytes:
        local = self.host.local
        if wanted is not None:
            _, source = read_address(wanted)
            if not local.owns(source) or is_ipv4(source) != is_ipv4(destination):
                raise system_error(errno.ENETUNREACH)
            return source
        if self.address is not None and local.owns(self.address):
            return self.address
        if self.peer is not None and is_ipv4(self.peer.source) == is_ipv4(destination):
            return self.peer.source  # where answers are heard
        chosen = local.source_for(destination)
        if chosen is None:
            self.host.counters.count("IpOutNoRoutes")
            raise system_error(errno.ENETUNREACH)
        return chosen

    def _take_port(self) -> None:
        if not self.port:
            try:
                self.host.udp.bind(self, None, 0)
            except OSError:
                raise system_error(errno.EAGAIN) from None

    # Receiving.

    @property
    def readable(self) -> bool:
        """Whether `receive` would return or raise something."""
        return bool(self._received or self.error or self.closed)

    def receive(self, now: int) -> tuple[bytes, str, int] | None:
        """The next datagram as (data, sender's address, sender's port), None when there is none.

        Raises OSError with what is pending, such as ECONNREFUSED.
        """
        datagram = self.take(now)
        if datagram is None:
            return None
        return datagram.data, datagram.address, datagram.port

    def take(self, now: int) -> Datagram | None:
        """Like `receive`, with all that is known of the datagram."""
        self._check_open()
        self._raise_pending()
        if not self._received:
            return None
        datagram = self._received.popleft()
        self._held -= datagram.cost
        if self.host.observed:
            self._note("receive", f"{len(datagram.data)} bytes", now)
        return datagram

    def peek(self) -> Datagram | None:
        """Like `take`, and leaves the datagram for the next call."""
        self._check_open()
        self._raise_pending()
        return self._received[0] if self._received else None

    def deliver(self, datagram: Datagram) -> bool:
        """Takes in a datagram that arrived; returns whether there was room.

        As on Linux the buffer may be overrun by the last one, so that any size can arrive.
        """
        if self._held >= self.receive_buffer:
            return False
        self._received.append(datagram)
        self._held += datagram.cost
        self.tell(Ready.READABLE)
        return True

    # Errors.

    def take_error(self) -> int:
        """The errno that is pending, 0 for none; it is told only once."""
        number, self.error = self.error, 0
        return number

    @property
    def reported(self) -> bool:
        """Whether `take_send_error` has one."""
        return bool(self._errors)

    def take_send_error(self) -> SendError | None:
        """The next error about a datagram of ours, where the settings ask for reports."""
        self._check_open()
        if not self._errors:
            return None
        error = self._errors.popleft()
        self._held -= error.cost
        self.error = self._errors[0].number if self._errors else 0
        return error

    def fail(self, number: int) -> None:
        """An errno for the next call."""
        self.error = number
        self.tell(Ready.ERROR)

    def report(self, error: SendError) -> None:
        """Keeps an error with all that is known of it, if there is room."""
        if self._held < self.receive_buffer:
            self._errors.append(error)
            self._held += error.cost

    def too_long(self, data: Buffer, route: Route, mtu: int) -> OSError:
        """What to raise for a datagram that does not fit into `mtu` bytes."""
        number = errno.EMSGSIZE
        if self.settings(route.version).report_errors:
            quoted = bytes(data)
            self.report(SendError(number, Origin.LOCAL, 0, 0, mtu, None, route, quoted))
        return system_error(number)

    def tell(self, ready: Ready) -> None:
        """Notes a condition for the application."""
        self.host.tell(self, ready)

    def _raise_pending(self) -> None:
        if self.error:
            raise system_error(self.take_error())

    def _check_open(self) -> None:
        if self.closed:
            raise system_error(self.error or errno.EBADF)

    def _note(self, call: str, detail: str, now: int) -> None:
        """Publishes an application's call, for those who watch."""
        if self.host.observed:
            self.host.publish(ApplicationCalled(now, self.number, call, detail))
