"""The TCP option of accurate ECN: how many bytes came with each codepoint (RFC 9768 §3.2.3).

The ACE field counts marked packets in three bits; the option counts bytes in 24, which do
not wrap unseen when acknowledgements get lost. It comes in two orders, and its tail may be
left out where there is no room:

        AccECN0: E0B, CEB, E1B        AccECN1: E1B, CEB, E0B
"""

from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.why import Why

if TYPE_CHECKING:
    from stack._native import Emit, Packet
    from stack.core.tcp.connection import Connection

_ECT_1, _ECT_0, _CE = 1, 2, 3
_ORDERS = (_ECT_0, _CE, _ECT_1), (_ECT_1, _CE, _ECT_0)
_FIRST = [0, 1, 1, 0]  # §3.2.1: a zero shows that a middlebox cleared the fields
_MASK = 0xFF_FFFF
_OPTIONS_MAX = 40  # bytes
_WHOLE = 12  # bytes of three counters with their padding; two take 8
_TWO = 8
_BEACONS = 3  # whole options in a round trip, at least (§3.2.3.3)


class AccEcnOption:
    """The option on one connection; counters are in bytes, indexed by codepoint.

    `received` is what came in (r.e0b, r.e1b, r.ceb), `delivered` what the peer says of ours
    (s.e0b, …). `sends` ends when a path seems to drop segments for the option, `ignored`
    begins when one has cleared its fields.
    """

    __slots__ = (
        "_due",
        "_last",
        "_seen",
        "_sent_at",
        "_told",
        "delivered",
        "ignored",
        "received",
        "sends",
    )

    def __init__(self) -> None:
        self.received = list(_FIRST)
        self.delivered = list(_FIRST)
        self.sends = True
        self.ignored = False
        self._seen = False
        self._due = True  # in the handshake (§3.2.3.2.1)
        self._last: int | None = None  # codepoint that the data before this came with
        self._told = list(_FIRST)  # what the last option said
        self._sent_at = 0

    # What the peer sends.

    def on_data(self, connection: "Connection", codepoint: int, length: int) -> None:
        """`length` bytes of text came in packets with this codepoint. Where another counter
        moves than before, the sender hears of it at once (§3.2.3.3).
        """
        if not codepoint:
            return
        self.received[codepoint] += length
        changed = self._last not in (None, codepoint)
        self._last = codepoint
        if changed and self._may_send(connection):
            self._due = True
            connection.acks.now(connection, Why.CONGESTION_MARKS)

    def arrives(self, seg: "Packet") -> int:
        """The peer's counters came; returns how many more marked bytes they tell of."""
        order = _ORDERS[seg.accecn_order]
        fields = [(order[n], seg.accecn[n]) for n in range(seg.accecn_count)]
        if not self._seen:
            self._seen = True
            # §3.2.3.2.3: no counter of unmarked bytes begins with zero.
            self.ignored = any(codepoint != _CE and not value for codepoint, value in fields)
        if self.ignored:
            return 0
        marked = self.delivered[_CE]
        for codepoint, value in fields:
            more = (value - self.delivered[codepoint]) & _MASK
            if more <= _MASK // 2:  # else it is older than what we know
                self.delivered[codepoint] += more
        return self.delivered[_CE] - marked

    # What we send.

    def _may_send(self, connection: "Connection") -> bool:
        return self.sends and connection.config.accecn_option

    def offer(self, connection: "Connection", emit: "Emit") -> None:
        """Adds the option to our SYN-ACK; a repeated one is without it, since the path may
        drop it (§3.2.3.2.2).
        """
        if self._may_send(connection):
            self._fill(emit, 0, 3)

    def ride(self, connection: "Connection", emit: "Emit", length: int, now: int) -> None:
        """Adds the option to a segment with `length` bytes of text, where there is something
        to tell and room beside what goes before it: timestamps and SACK (§3.2.3.3).
        """
        if not self._may_send(connection) or emit.flags & (lib.FLAG_RST | lib.FLAG_SYN):
            return
        first = length > 0 and connection.tcb.bytes_sent == 0  # §3.2.3.2.1
        if not (self._due or first or self._has_news(connection, length, now)):
            return
        order = int(self._moved(_ECT_1) and not self._moved(_ECT_0))
        room = _room(connection, emit, length)
        if room >= _WHOLE:
            self._fill(emit, order, 3)
            self._sent_at = now
        elif room >= _TWO and not self._moved(_ORDERS[order][2]):
            self._fill(emit, order, 2)
        else:
            return
        self._told = list(self.received)
        self._due = False

    def needs_ack(self, connection: "Connection", unsent: int, now: int) -> bool:
        """Whether an ACK that is due should go before the `unsent` bytes: full segments have
        no room for what is to be told.
        """
        if unsent <= connection.tcb.snd_mss - _WHOLE or not self._may_send(connection):
            return False
        return self._has_news(connection, unsent, now)

    def _has_news(self, connection: "Connection", length: int, now: int) -> bool:
        """A bare ACK tells whatever is new, text three times a round trip."""
        if self.received == self._told:
            return False
        return length == 0 or self._due or self._beacon_due(connection, now)

    def _beacon_due(self, connection: "Connection", now: int) -> bool:
        return now - self._sent_at >= connection.tcb.srtt // _BEACONS

    def _moved(self, codepoint: int) -> bool:
        return self.received[codepoint] != self._told[codepoint]

    def _fill(self, emit: "Emit", order: int, count: int) -> None:
        emit.options |= lib.OPTION_ACCECN
        emit.accecn_order = order
        emit.accecn_count = count
        for n, codepoint in enumerate(_ORDERS[order]):
            emit.accecn[n] = self.received[codepoint] & _MASK

    def on_timeout(self, connection: "Connection") -> None:
        """The first data, with the option beside it, brought no answer: perhaps the path
        drops segments that have it (§3.2.3.2.2).
        """
        if connection.tcb.bytes_acked == 0:
            self.sends = False


def _room(connection: "Connection", emit: "Emit", length: int) -> int:
    """Bytes that are left for the option, in the header and in a segment of full size."""
    used = 4 + 8 * emit.sack_count if emit.options & lib.OPTION_SACK else 0
    if emit.options & lib.OPTION_USER_TIMEOUT:
        used += 4
    stamps = 12 if emit.options & lib.OPTION_TIMESTAMPS else 0
    header = _OPTIONS_MAX - stamps - used
    # The segment size that was agreed upon has timestamps deducted already (RFC 6691 §2).
    return min(header, connection.tcb.snd_mss - length - used) if length else header
