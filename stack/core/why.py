"""Why a packet was sent, and what was made of one that came in.

Each member carries one line that a person can read and the source it follows. The
trace prints them under the packet and the capture keeps them as packet comments.
"""

from enum import Enum

from stack._native import lib


class Reason(Enum):
    """An enum whose members are a sentence and where it comes from."""

    # There is one of each: their names, by which enums hash, need not be looked at.
    __hash__ = object.__hash__

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source

    def explain(self, detail: str = "") -> str:
        """The sentence with its source, and `detail` behind it."""
        line = f"{self.text} ({self.source})" if self.source else self.text
        return f"{line}; {detail}" if detail else line


class Why(Reason):
    """The reason for a packet that this host sends."""

    ACTIVE_OPEN = "connect: SYN opens the connection", "RFC 9293 §3.10.1"
    SYN_ACCEPTED = "SYN accepted on a listening port", "RFC 9293 §3.10.7.2"
    SYN_COOKIE = "SYN answered by a cookie: the SYN queue is full", "RFC 4987 §3.6"
    SIMULTANEOUS_OPEN = "SYN met our own SYN: simultaneous open", "RFC 9293 §3.5"
    HANDSHAKE_DONE = "SYN-ACK accepted: acknowledges it", "RFC 9293 §3.10.7.3"
    SCALED_WINDOW = (
        "window update: the SYN could only carry an unscaled window",
        "RFC 7323 §2.2",
    )
    DATA = "new data that the window and cwnd allow", "RFC 9293 §3.10.2"
    DATA_PUSHED = "last of the data that the application has written", "RFC 9293 §3.9.1.2"
    URGENT = "tells at once that there is urgent data", "RFC 9293 §3.8.5"
    USER_TIMEOUT = "advertises another user timeout", "RFC 5482 §3.2"
    LIMITED_TRANSMIT = "new data on a duplicate ACK: limited transmit", "RFC 3042 §2"
    FIN = "application closed its side: FIN behind the last data", "RFC 9293 §3.6"
    DELAYED_ACK = "delayed ACK timer ran out", "RFC 9293 §3.8.6.3"
    SECOND_SEGMENT = "more than one full-sized segment: acknowledged at once", "RFC 5681 §4.2"
    QUICK_ACK = "acknowledged at once: the peer is in slow start", "RFC 5681 §4.2"
    AFTER_LOSS = "acknowledged at once: something was lost a moment ago", "RFC 5681 §4.2"
    PUSHED_ACK = "acknowledged at once: the application read what a PSH ended", "RFC 1122 §4.2.3.2"
    OUT_OF_ORDER = "out-of-order segment: duplicate ACK shows the gap", "RFC 5681 §4.2"
    GAP_FILLED = "segment filled a gap: acknowledged at once", "RFC 5681 §4.2"
    DUPLICATE = "duplicate segment: acknowledged again", "RFC 9293 §3.10.7.4"
    OUT_OF_WINDOW = "segment outside the receive window", "RFC 9293 §3.10.7.4"
    CONGESTION_MARKS = "several congestion marks: reported at once", "RFC 9768 §3.2.2.5.1"
    FIN_RECEIVED = "FIN received: acknowledged at once", "RFC 9293 §3.10.7.4"
    WINDOW_UPDATE = "window update: the application made room", "RFC 9293 §3.8.6.2.2"
    WINDOW_PROBED = "answer to a window probe", "RFC 9293 §3.8.6.1"
    FAST_RETRANSMIT = "fast retransmit: SACK or duplicate ACKs show a loss", "RFC 5681 §3.2"
    RACK_LOST = (
        "retransmission: later data was delivered, the reordering window is over",
        "RFC 8985 §6.2",
    )
    PARTIAL_ACK = "partial ACK: retransmits the next hole", "RFC 6582 §3.2"
    MTU_PROBE = "new data in a segment that tries a larger path MTU", "RFC 4821 §7"
    PATH_MTU = "retransmission in segments that fit the path", "RFC 1191 §6.4; RFC 8201 §5.4"
    RTO = "retransmission timeout", "RFC 6298 §5.4"
    LOSS_PROBE = "tail loss probe", "RFC 8985 §7.3"
    ZERO_WINDOW_PROBE = "zero-window probe", "RFC 9293 §3.8.6.1"
    KEEPALIVE = "keep-alive probe", "RFC 9293 §3.8.4"
    CHALLENGE_ACK = "challenge ACK", "RFC 5961 §3.2"
    OLD_TIMESTAMP = "ACK for a segment with an old timestamp", "RFC 7323 §5.3"
    UNACCEPTABLE_ACK = "ACK for something not yet sent", "RFC 9293 §3.10.7.4"
    SYN_RETRANSMITTED = "SYN retransmitted: no answer in time", "RFC 6298 §5.7"
    SYN_ACK_REPEATED = "SYN-ACK repeated: the SYN came again", "RFC 9293 §3.10.7.4"
    TIME_WAIT_ACK = "FIN came again in TIME-WAIT", "RFC 9293 §3.10.7.4"
    NO_CONNECTION = "reset: no such connection", "RFC 9293 §3.10.7.1"
    ABORT = "reset: the application aborted", "RFC 9293 §3.10.5"
    UNREAD_DATA = "reset: closed with data unread", "RFC 9293 §3.6.1"
    DATA_AFTER_CLOSE = "reset: data for an application that has closed", "RFC 9293 §3.6.1"
    BAD_SYN_ACK = "reset: the ACK is not for our SYN", "RFC 9293 §3.10.7.3"
    LISTENER_CLOSED = "reset: the listener went away", "RFC 9293 §3.10.4"
    ECN_CONFLICT = "reset: SYNs that ask for different kinds of ECN", "RFC 9768 §3.1.5"
    ECHO_REPLY = "echo reply", "RFC 792; RFC 4443 §4.2"
    ECHO_REQUEST = "echo request", "RFC 792; RFC 4443 §4.1"
    UNREACHABLE = "destination unreachable", "RFC 1122 §3.2.2.1; RFC 4443 §3.1"
    PARAMETER_PROBLEM = "parameter problem", "RFC 1122 §3.2.2.5; RFC 4443 §3.4"
    REASSEMBLY_TIMEOUT = "time exceeded: fragments missing", "RFC 792; RFC 4443 §3.3"
    HOP_LIMIT = "time exceeded: no hops left", "RFC 1812 §5.3.1; RFC 4443 §3.3"
    TOO_BIG = "packet too big for the next link", "RFC 1191 §4; RFC 4443 §3.2"
    DATAGRAM = "datagram that the application sent", "RFC 768"


_KNOWN_TO_C = {
    Why.SECOND_SEGMENT: lib.WHY_SECOND_SEGMENT,
    Why.QUICK_ACK: lib.WHY_QUICK_ACK,
    Why.WINDOW_UPDATE: lib.WHY_WINDOW_UPDATE,
    Why.DELAYED_ACK: lib.WHY_DELAYED_ACK,
    Why.DATA: lib.WHY_DATA,
    Why.DATA_PUSHED: lib.WHY_DATA_PUSHED,
    Why.FIN_RECEIVED: lib.WHY_FIN_RECEIVED,
    Why.FIN: lib.WHY_FIN,
    Why.SYN_ACCEPTED: lib.WHY_SYN_ACCEPTED,
}
_OTHERS = (why for why in Why if why not in _KNOWN_TO_C)
NUMBERS = _KNOWN_TO_C | {why: number for number, why in enumerate(_OTHERS, lib.WHY_OTHER)}
"""A number above 0 for each reason, as the TCB and packets have it."""
REASONS = {number: why for why, number in NUMBERS.items()}


class Verdict(Reason):
    """What this host made of a packet that arrived."""

    IN_ORDER = "in order", "RFC 9293 §3.10.7.4"
    ACKNOWLEDGEMENT = "acknowledgement", "RFC 9293 §3.10.7.4"
    DUPLICATE_ACK = "duplicate acknowledgement", "RFC 5681 §2"
    OUT_OF_ORDER = "out of order, kept for reassembly", "RFC 9293 §3.10.7.4"
    DUPLICATE = "duplicate: all of it was received before", "RFC 9293 §3.10.7.4"
    OUT_OF_WINDOW = "outside the receive window", "RFC 9293 §3.10.7.4"
    OLD_TIMESTAMP = "timestamp older than the last: discarded", "RFC 7323 §5.3"
    NO_TIMESTAMP = "timestamp missing though negotiated: discarded", "RFC 7323 §3.2"
    OLD_ACK = "acknowledges what was acknowledged long ago", "RFC 5961 §5.2"
    FUTURE_ACK = "acknowledges what was not sent", "RFC 9293 §3.10.7.4"
    NO_ACK = "ACK flag missing: discarded", "RFC 9293 §3.10.7.4"
    SYN_RECEIVED = "SYN for a listening port", "RFC 9293 §3.10.7.2"
    SYN_ACK_RECEIVED = "SYN-ACK for our SYN", "RFC 9293 §3.10.7.3"
    SIMULTANEOUS_SYN = "SYN met our own SYN", "RFC 9293 §3.10.7.3"
    HANDSHAKE_COMPLETE = "third step of the handshake", "RFC 9293 §3.10.7.4"
    FIN_RECEIVED = "FIN: the peer has no more data", "RFC 9293 §3.10.7.4"
    RESET = "reset by the peer", "RFC 9293 §3.10.7.4"
    RESET_CHALLENGED = "reset in the window but not at its left edge", "RFC 5961 §3.2"
    SYN_CHALLENGED = "SYN on a synchronised connection", "RFC 5961 §4.2"
    BAD_SYN_ACK = "ACK not for our SYN", "RFC 9293 §3.10.7.3"
    IGNORED = "nothing to do", "RFC 9293 §3.10.7"
    NO_CONNECTION = "no such connection", "RFC 9293 §3.10.7.1"
    QUEUE_FULL = "listen queue is full: SYN dropped", "RFC 4987 §3.2"
    DATA_AFTER_CLOSE = "data for an application that has closed", "RFC 9293 §3.6.1"
    WINDOW_PROBE = "probe of a closed window", "RFC 9293 §3.8.6.1"
    KEEPALIVE = "keep-alive probe", "RFC 9293 §3.8.4"
    MALFORMED = "malformed packet: dropped", "RFC 1122 §3.2.1"
    BAD_CHECKSUM = "bad checksum: dropped", "RFC 9293 §3.1"
    NOT_OURS = "not for an address of ours: dropped", "RFC 1122 §3.2.1.3"
    BAD_SOURCE = "source address that cannot be answered: dropped", "RFC 1122 §3.2.1.3"
    SOURCE_ROUTED = "came by a source route: dropped", "RFC 7126 §4.3"
    FRAGMENT = "fragment kept for reassembly", "RFC 791 §3.2"
    REASSEMBLED = "last missing fragment", "RFC 815 §3"
    ECHO_REQUEST = "echo request", "RFC 792; RFC 4443 §4.1"
    ECHO_REPLY = "echo reply", "RFC 792; RFC 4443 §4.2"
    ICMP_ERROR = "ICMP error for a flow of ours", "RFC 5927 §4"
    ICMP_IGNORED = "ICMP message that changes nothing", "RFC 1122 §3.2.2"
    NO_PORT = "no listener on this port", "RFC 1122 §4.1.3.1"
    NO_PROTOCOL = "protocol not supported", "RFC 1122 §3.2.2.1"
    DATAGRAM = "datagram for an open port", "RFC 768"
    NO_ROOM = "receive buffer is full: dropped", "RFC 1122 §4.1.1"
