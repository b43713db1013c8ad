"""TCP Fast Open, the client's side (RFC 7413 §4.1.3, §4.2.1)."""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.tcp.fast_open import FastOpen
from stack.core.tcp.handshake import DEFAULT_MSS, HEADERS
from stack.wire.address import raw
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Packet, Path
    from stack.core.tcp.connection import Buffer, Connection

_OPTIONS_MAX = 40  # bytes, which every SYN leaves room for
# A path that drops Fast Open is left alone for an hour, then for two, …
_PAUSE = 3600_000_000  # µs
_PAUSES_MAX = 6  # doublings


class _Server:
    """What is known of one server: its cookie (none yet: empty), its MSS in bytes, until
    when (µs) its path is not to be trusted with Fast Open, and how often that failed.
    """

    __slots__ = ("cookie", "failures", "mss", "pause_until")

    def __init__(self) -> None:
        self.cookie = b""
        self.mss = 0
        self.pause_until = 0
        self.failures = 0


class CookieCache:
    """Cookies by server address and our own; the `limit` that were used last are kept."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._servers: dict[bytes, _Server] = {}

    def __len__(self) -> int:
        return len(self._servers)

    def get(self, path: "Path") -> _Server | None:
        """What is known of the server at the far end of `path`."""
        key = raw(path.dst) + raw(path.src)
        server = self._servers.pop(key, None)
        if server is not None:
            self._servers[key] = server
        return server

    def of(self, path: "Path") -> _Server:
        """Like `get`, with an entry made where there is none."""
        server = self.get(path)
        if server is None:
            server = self._servers[raw(path.dst) + raw(path.src)] = _Server()
        while len(self._servers) > self._limit:
            del self._servers[next(iter(self._servers))]
        return server


def prepare(connection: "Connection", now: int) -> None:
    """The application wants Fast Open: the SYN brings the server's cookie, or asks for one."""
    server = connection.host.fast_open_cache.get(connection.path)
    if server is None or now >= server.pause_until:
        connection.fast_open = FastOpen(b"" if server is None else server.cookie)


def has_cookie(connection: "Connection") -> bool:
    """Whether data may leave with the SYN."""
    return connection.fast_open is not None and bool(connection.fast_open.cookie)


def load(connection: "Connection", data: "Buffer", now: int) -> int:
    """Queues bytes as `Connection.send` does, before the SYN has left, and has it carry what
    fits when we have a cookie; returns how many were taken.
    """
    taken = connection.send(data, now)
    if connection.fast_open is not None and has_cookie(connection):
        tcb = connection.tcb
        connection.fast_open.text = text = min(tcb.snd.length, _room(connection))
        tcb.snd_nxt = (tcb.iss + 1 + text) & MASK
    return taken


def _room(connection: "Connection") -> int:
    """Bytes of data that a SYN may carry: what the server takes and the path lets through."""
    version = connection.version
    server = connection.host.fast_open_cache.of(connection.path)
    path_mtu = connection.host.path_mtu.mtu_to(connection.remote_packed)
    mss = min(server.mss or DEFAULT_MSS[version], path_mtu - HEADERS[version])
    room: int = mss - _OPTIONS_MAX - connection.path.options_length
    return max(room, 0)


def give_up(connection: "Connection") -> None:
    """No answer in time: the SYN is repeated without option and data, which the path may
    drop (RFC 7413 §4.1.3).
    """
    state = connection.fast_open
    if state is not None:
        state.cookie = None
        state.text = 0


def answered(connection: "Connection", seg: "Packet", now: int) -> None:
    """The SYN-ACK came, and our SYN is acknowledged: what the server took of the data is
    done, the rest leaves anew; notes what to know for the next time.
    """
    tcb = connection.tcb
    state = connection.fast_open
    assert state is not None
    sent = (tcb.snd_nxt - tcb.snd_una) & MASK
    taken = (seg.ack - tcb.snd_una) & MASK
    lib.ring_consume(connection.snd, taken)
    tcb.bytes_acked += taken
    tcb.snd_una = tcb.snd_nxt = seg.ack
    state.accepted = taken > 0
    if sent:
        connection.host.counters.count(
            "TCPFastOpenActive" if state.accepted else "TCPFastOpenActiveFail"
        )
    _remember(connection, seg, state, now)


def _remember(connection: "Connection", seg: "Packet", state: FastOpen, now: int) -> None:
    cache = connection.host.fast_open_cache
    if state.cookie is None and not state.accepted:
        # Only the plain SYN got through.
        server = cache.of(connection.path)
        server.pause_until = now + (_PAUSE << min(server.failures, _PAUSES_MAX))
        server.failures += 1
        connection.host.counters.count("TCPFastOpenBlackhole")
    elif seg.options & lib.OPTION_FAST_OPEN and seg.fast_open_length:
        server = cache.of(connection.path)
        server.cookie = bytes(seg.fast_open)[: seg.fast_open_length]
        server.mss = connection.tcb.peer_mss
        server.failures = 0


def withdraw(connection: "Connection") -> None:
    """Two SYNs met: the data waits until the handshake is over, as usual."""
    if connection.fast_open is not None:
        connection.tcb.snd_nxt = (connection.tcb.iss + 1) & MASK
        connection.fast_open = None
