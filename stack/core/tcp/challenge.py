"""Answers to segments that cannot be taken, and how many of them may leave (RFC 5961 §7).

A limit that all connections share tells an attacker off the path what his guesses brought
about: he counts how many challenge ACKs are left for a connection of his own
(CVE-2016-5696). So the limit that does the work is each connection's own, as Linux's
tcp_invalid_ratelimit is. That of the host only bounds the sum, and what it allows is drawn
anew each second from a wide range: one more or less cannot be told.
"""

from hashlib import blake2s
from typing import TYPE_CHECKING

from stack._native import lib
from stack.core.why import Verdict, Why

if TYPE_CHECKING:
    from stack._native import Packet
    from stack.core.tcp.connection import Connection

PERIOD = 1_000_000  # µs, of the host's limit
PAUSE = 500_000  # µs, between two such answers of one connection


class ChallengeLimit:
    """About `limit` challenge ACKs a second for a whole host: in each second some number from
    half of it to one and a half, which `key` makes unpredictable.
    """

    __slots__ = ("_key", "_left", "_limit", "_period")

    def __init__(self, limit: int, key: bytes) -> None:
        self._limit = limit
        self._key = key
        self._period: int | None = None
        self._left = 0

    def allow(self, now: int) -> bool:
        """Whether one more may leave now (µs); counts it if so."""
        period = now // PERIOD
        if period != self._period:
            self._period = period
            self._left = self._drawn(period)
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def _drawn(self, period: int) -> int:
        digest = blake2s(period.to_bytes(8, "big"), key=self._key, person=b"chal-ack").digest()
        return (self._limit + 1) // 2 + int.from_bytes(digest[:8], "big") % (self._limit + 1)


def challenge(
    connection: "Connection", verdict: Verdict, now: int, why: Why = Why.CHALLENGE_ACK
) -> Verdict:
    """An ACK that a genuine peer answers with a proper RST (RFC 5961 §3.2, §4.2, §5.2)."""
    host = connection.host
    if _too_soon(connection, now) or not host.challenges.allow(now):
        host.counters.count("TCPACKSkippedChallenge")
        return verdict
    host.counters.count("TCPChallengeACK")
    connection.out_of_step_at = now
    connection.acks.now(connection, why)
    return verdict


def out_of_step(connection: "Connection", seg: "Packet", why: Why, now: int) -> None:
    """Answers a segment that cannot be processed with where we stand.

    Two hosts that disagree about that would answer each other's answers for ever; so what
    carries nothing is answered no more often than a challenge is due.
    """
    if seg.text_length == 0 and not seg.flags & (lib.FLAG_SYN | lib.FLAG_FIN):
        if _too_soon(connection, now):
            return
        connection.out_of_step_at = now
    connection.acks.now(connection, why)


def _too_soon(connection: "Connection", now: int) -> bool:
    """Whether such an answer left a moment ago: the peer has heard where we stand."""
    return now - connection.out_of_step_at < PAUSE
