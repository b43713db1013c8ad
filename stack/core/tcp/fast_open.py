"""TCP Fast Open, the server's side (RFC 7413 §4.1.2, §4.2.2).

A client that has proved before, by a cookie, that it owns its address may send data with
its SYN; the application gets that and may answer before the handshake is over.
"""

from hashlib import blake2s
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ready import Ready
from stack.core.tcp import window
from stack.core.tcp.states import State
from stack.wire.address import raw
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Emit, Packet, Path
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.listener import Listener

COOKIE_LENGTH = 8
ROTATION = 3600_000_000  # µs, for which cookies are made under one key
# A request that failed keeps its place for so long, or who can send resets could have us
# start work without bound (RFC 7413 §5.1).
FAILED_FOR = 60_000_000  # µs


class FastOpen:
    """What Fast Open is to one connection.

    `cookie` goes into the option of our SYN or SYN-ACK: None is no option, no bytes ask for
    a cookie. `text` is how many bytes our SYN carries. `early`: the application has the
    connection though the handshake is not over. `accepted`: data in a SYN was taken.
    """

    __slots__ = ("accepted", "cookie", "early", "text")

    def __init__(self, cookie: bytes | None = None) -> None:
        self.cookie = cookie
        self.text = 0
        self.early = False
        self.accepted = False

    def offer(self, emit: "Emit") -> None:
        """Adds the option to our SYN or SYN-ACK."""
        if self.cookie is None:
            return
        emit.options |= lib.OPTION_FAST_OPEN
        emit.fast_open_length = len(self.cookie)
        ffi.memmove(emit.fast_open, self.cookie, len(self.cookie))


class Cookies:
    """Makes and checks the cookies of a host; the key changes every ROTATION."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, path: "Path", now: int) -> bytes:
        """The cookie for the client at the far end of `path`."""
        return self._of_period(path, now // ROTATION)

    def _of_period(self, path: "Path", period: int) -> bytes:
        key = blake2s(period.to_bytes(8, "big"), key=self._key, person=b"fo key").digest()
        addresses = raw(path.src) + raw(path.dst)
        return blake2s(addresses, key=key, digest_size=COOKIE_LENGTH).digest()

    def check(self, path: "Path", cookie: bytes, now: int) -> bool:
        """Whether the cookie was made for this client under the key of now or before."""
        period = now // ROTATION
        return any(cookie == self._of_period(path, p) for p in (period, period - 1) if p >= 0)


def answer(listener: "Listener", connection: "Connection", syn: "Packet", now: int) -> None:
    """A SYN with the option came; `connection` is in SYN-RECEIVED for it."""
    host = listener.host
    counters = host.counters
    given = bytes(syn.fast_open)[: syn.fast_open_length]
    current = host.fast_open_cookies.make(connection.path, now)
    state = connection.fast_open = FastOpen(None if given == current else current)
    if not given:
        counters.count("TCPFastOpenCookieReqd")
    elif not host.fast_open_cookies.check(connection.path, given, now):
        counters.count("TCPFastOpenPassiveFail")
    elif not listener.fast_open_room(now):
        counters.count("TCPFastOpenListenOverflow")
    else:
        counters.count("TCPFastOpenPassive")
        state.early = True
        # The SYN has its own retransmission; what is counted from here is data.
        connection.tcb.snd_una = connection.tcb.snd_nxt
        _take_text(connection, syn)
        listener.opened_early(connection)


def _take_text(connection: "Connection", syn: "Packet") -> None:
    """The SYN's data goes to the application; the SYN-ACK acknowledges it."""
    tcb = connection.tcb
    fits = min(syn.text_length, window.in_syn(tcb))
    taken = lib.ring_write(connection.rcv, syn.text, fits)
    tcb.rcv_nxt = (tcb.rcv_nxt + taken) & MASK
    tcb.bytes_received += taken
    if taken and connection.fast_open is not None:
        connection.fast_open.accepted = True
        connection.tell(Ready.READABLE)


def may_send(connection: "Connection") -> bool:
    """Whether data may leave in SYN-RECEIVED already (RFC 7413 §4.2.2)."""
    state = connection.fast_open
    return state is not None and state.early and connection.tcb.state == State.SYN_RECEIVED
