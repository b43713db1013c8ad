"""SYN cookies: a listener whose SYN queue is full answers without keeping anything
(RFC 4987 §3.6 and appendix A).

The initial sequence number says what must be known of the SYN when its ACK comes:

     31      27 26   24 23                                  0
    +----------+-------+-------------------------------------+
    |   tick   |  MSS  |  keyed hash of tick, MSS, addresses, |
    |          | index |  ports and the peer's number         |
    +----------+-------+-------------------------------------+

The other options survive in the low bits of our timestamp, which the peer echoes, if it
has timestamps; without them there is no window scale, no SACK and no ECN.
"""

from hashlib import blake2s
from typing import TYPE_CHECKING, NamedTuple

from stack._native import ffi, lib
from stack.core.tcp import window
from stack.core.tcp.arrive import segment_arrives
from stack.core.tcp.ecn import ACE, CWR, ECE, Ecn, Mode
from stack.core.tcp.handshake import DEFAULT_MSS, HEADERS
from stack.core.why import Verdict, Why
from stack.wire.address import raw
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Packet, Path
    from stack.core.host import Host
    from stack.core.tcp.listener import Listener

TICK = 64_000_000  # µs
_TICKS = 1 << 5  # how many a cookie can tell apart
LIFETIME = 2 * TICK  # a cookie of this tick or of the one before is good
_HASH = (1 << 24) - 1

# The peer's MSS is taken down to one of these: what narrow links, tunnels, and Ethernet with
# and without options lead to, and jumbo frames.
MSS_TABLE = (48, 536, 1220, 1300, 1400, 1440, 1460, 8940)

# The low bits of the timestamp: four of window scale, one of SACK, two of ECN.
_NO_SCALE = 15
_SACK_BIT = 1 << 4
_ECN_SHIFT = 5
_TIMESTAMP_BITS = (1 << 7) - 1

_ASKED = {Mode.OFF: 0, Mode.CLASSIC: ECE | CWR, Mode.ACCURATE: ACE}


class SynCookies:
    """Makes and checks the cookies of a host under its `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, path: "Path", peer_iss: int, mss: int, now: int) -> int:
        """The initial sequence number that answers a SYN with this MSS (bytes)."""
        index = max(i for i, size in enumerate(MSS_TABLE) if size <= max(mss, MSS_TABLE[0]))
        return self._cookie(path, peer_iss, now // TICK, index)

    def _cookie(self, path: "Path", peer_iss: int, tick: int, index: int) -> int:
        numbers = ((tick, 8), (index, 1), (peer_iss, 4), (path.sport, 2), (path.dport, 2))
        message = b"".join(number.to_bytes(size, "big") for number, size in numbers)
        message += raw(path.src) + raw(path.dst)
        digest = blake2s(message, key=self._key, person=b"cookie", digest_size=4).digest()
        return tick % _TICKS << 27 | index << 24 | int.from_bytes(digest, "big") & _HASH

    def check(self, path: "Path", peer_iss: int, cookie: int, now: int) -> int | None:
        """The MSS in a cookie; None when we never made it, or too long ago."""
        age = (now // TICK - (cookie >> 27)) % _TICKS
        tick = now // TICK - age
        index = cookie >> 24 & 7
        if age > 1 or tick < 0 or self._cookie(path, peer_iss, tick, index) != cookie:
            return None
        return MSS_TABLE[index]


class Agreed(NamedTuple):
    """What a timestamp remembers of a SYN; `wscale` is None without the option."""

    wscale: int | None
    sack: bool
    ecn: Mode

    def into(self, clock: int) -> int:
        """The latest time not after `clock` (ms) whose low bits say this."""
        bits = _NO_SCALE if self.wscale is None else min(self.wscale, 14)
        bits |= _SACK_BIT * self.sack | self.ecn.value << _ECN_SHIFT
        before = clock & ~_TIMESTAMP_BITS | bits
        return before if before <= clock else before - _TIMESTAMP_BITS - 1

    @classmethod
    def of(cls, clock: int) -> "Agreed | None":
        """What `into` was given; None when it cannot have been that."""
        scale, ecn = clock & 15, clock >> _ECN_SHIFT & 3
        if ecn > Mode.ACCURATE.value:
            return None
        return cls(None if scale == _NO_SCALE else scale, bool(clock & _SACK_BIT), Mode(ecn))


def answer(listener: "Listener", seg: "Packet", now: int) -> Verdict:
    """Answers a SYN by a SYN-ACK with a cookie and forgets both."""
    host = listener.host
    host.counters.count("SyncookiesSent")
    listener.cookies_until = now + LIFETIME
    path = host.path_back(seg)
    offered = seg.mss if seg.options & lib.OPTION_MSS else DEFAULT_MSS[seg.version]
    e = host.emit
    e.seq = host.syn_cookies.make(path, seg.seq, offered, now)
    e.ack = (seg.seq + 1) & MASK
    e.flags = lib.FLAG_SYN | lib.FLAG_ACK
    config = host.config.tcp
    e.window = min(config.receive_buffer or config.first_receive_buffer, window.LARGEST_UNSCALED)
    e.urgent = 0
    e.sack_count = 0
    e.options = lib.OPTION_MSS
    e.mss = host.mtu - HEADERS[seg.version]
    if config.timestamps and seg.options & lib.OPTION_TIMESTAMPS:
        _offer(host, path, seg, now)
    host.reply_segment(path, Why.SYN_COOKIE)
    return Verdict.SYN_RECEIVED


def _offer(host: "Host", path: "Path", seg: "Packet", now: int) -> None:
    """The options that a timestamp keeps for us."""
    e = host.emit
    config = host.config.tcp
    ecn = Ecn(config.ecn)
    ecn.on_syn(seg)
    sack = config.sack and bool(seg.options & lib.OPTION_SACK_PERMITTED)
    scaled = config.window_scaling and seg.options & lib.OPTION_WSCALE
    agreed = Agreed(seg.wscale if scaled else None, sack, ecn.mode)
    if scaled:
        e.options |= lib.OPTION_WSCALE
        e.wscale = window.wanted_scale(config.largest_window)
    e.options |= lib.OPTION_TIMESTAMPS | lib.OPTION_SACK_PERMITTED * sack
    e.tsval = (agreed.into(now // 1000) + host.secrets.timestamp_offset(path)) & MASK
    e.tsecr = seg.tsval
    e.flags |= ecn.syn_ack_flags()


def returned(listener: "Listener", seg: "Packet", now: int) -> Verdict | None:
    """An ACK that belongs to no connection: opens one if a cookie of ours came back with
    it; None when none did.
    """
    if now > listener.cookies_until:
        return None
    host = listener.host
    path = host.path_back(seg)
    cookie = (seg.ack - 1) & MASK
    mss = host.syn_cookies.check(path, (seg.seq - 1) & MASK, cookie, now)
    syn = None if mss is None else _remembered(host, path, seg, mss)
    if syn is None:
        host.counters.count("SyncookiesFailed")
        return None
    host.counters.count("SyncookiesRecv")
    if listener.full:
        host.counters.count("ListenOverflows")
        return Verdict.QUEUE_FULL
    connection = listener.open(syn, now, iss=cookie)
    connection.tcb.unacked_since = 0  # nobody knows when the SYN-ACK left
    return segment_arrives(connection, seg, now)


def _remembered(host: "Host", path: "Path", seg: "Packet", mss: int) -> "Packet | None":
    """The SYN that a cookie stands for, as it must have been; None when the timestamp
    that came back is none of ours.
    """
    syn = ffi.new("struct packet *")
    ffi.memmove(syn, seg, ffi.sizeof("struct packet"))
    syn.seq = (seg.seq - 1) & MASK
    syn.flags = lib.FLAG_SYN
    syn.text_length = 0
    syn.options = lib.OPTION_MSS
    syn.mss = mss
    if not (host.config.tcp.timestamps and seg.options & lib.OPTION_TIMESTAMPS):
        return syn
    agreed = Agreed.of((seg.tsecr - host.secrets.timestamp_offset(path)) & MASK)
    if agreed is None:
        return None
    syn.options |= lib.OPTION_TIMESTAMPS | lib.OPTION_SACK_PERMITTED * agreed.sack
    if agreed.wscale is not None:
        syn.options |= lib.OPTION_WSCALE
        syn.wscale = agreed.wscale
    syn.flags |= _ASKED[agreed.ecn]
    return syn
