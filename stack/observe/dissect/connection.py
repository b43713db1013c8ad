"""The two byte streams of a TCP connection, put together from segments and dissected."""

from stack.observe.dissect.application import Application
from stack.observe.dissect.layer import CLIENT, SERVER, Named, Side
from stack.observe.dissect.tls import Tls
from stack.observe.dissect.tls_secrets import SecretStore
from stack.observe.streams import Place
from stack.wire.segment import FIN, RST, SYN, Tcp

# Bytes and segments kept that came before what precedes them.
EARLY_MAX = 1 << 20
EARLY_SEGMENTS_MAX = 2048


class _Stream:
    """One direction's bytes in order; numbers are relative to the sender's SYN."""

    __slots__ = ("_early", "_early_bytes", "end", "lost", "next")

    def __init__(self) -> None:
        self.next: int | None = None  # number of the next byte in order
        self.lost = False  # bytes are missing that will not come
        self.end: int | None = None  # number of its FIN
        self._early: dict[int, bytes] = {}
        self._early_bytes = 0

    def take(self, seq: int, text: bytes) -> bytes:
        """The bytes that are now in order, with what came early."""
        if self.next is None:
            self.next = seq
        if seq > self.next:
            self._keep(seq, text)
            return b""
        ready = [text[self.next - seq :]]
        self.next += len(ready[0])
        while self._early and (start := min(self._early)) <= self.next:
            early = self._early.pop(start)
            self._early_bytes -= len(early)
            ready.append(early[self.next - start :])
            self.next += len(ready[-1])
        return b"".join(ready)

    def _keep(self, seq: int, text: bytes) -> None:
        kept = self._early.get(seq, b"")
        if len(text) <= len(kept):
            return
        self._early[seq] = text
        self._early_bytes += len(text) - len(kept)
        if self._early_bytes > EARLY_MAX or len(self._early) > EARLY_SEGMENTS_MAX:
            self.give_up()

    def give_up(self) -> None:
        self.lost = True
        self._early.clear()

    def acknowledged(self, ack: int) -> None:
        """The receiver has everything before `ack`: what is missing here was not captured."""
        if self._early and self.next is not None and ack > self.next:
            self.give_up()


class ConnectionDissector:
    """Names what the segments of one connection complete."""

    def __init__(self, secrets: SecretStore) -> None:
        self._streams = _Stream(), _Stream()
        self._application = Application(secrets)
        self._over = False

    @property
    def tls(self) -> Tls | None:
        return self._application.tls

    @property
    def waiting(self) -> bool:
        """Whether something it said waits for a TLS secret."""
        return self.tls is not None and self.tls.waiting

    def segment(self, place: Place, tcp: Tcp, number: int) -> Named | None:
        """Takes a segment, which is packet `number`. None: there is nothing to say of it."""
        side: Side = CLIENT if place.from_client else SERVER
        stream = self._streams[side]
        self._streams[1 - side].acknowledged(place.ack)
        start = place.seq + bool(tcp.flags & SYN)
        if stream.next is None and tcp.flags & SYN:
            stream.next = start
        if place.length > len(tcp.text):
            stream.give_up()
        if self._over or stream.lost or tcp.flags & RST:
            return None
        ready = stream.take(start, tcp.text) if tcp.text else b""
        named = self._feed(side, ready, number) if ready else None
        if tcp.flags & FIN:
            stream.end = place.seq + tcp.length - 1
        if stream.end is not None and stream.next in (None, stream.end):
            stream.end = None
            named = self._application.finish(side) or named
        return named

    def _feed(self, side: Side, data: bytes, number: int) -> Named | None:
        if self.tls is not None:
            self.tls.packet = number
        named = self._application.feed(side, data)
        self._over = named is None
        return named
