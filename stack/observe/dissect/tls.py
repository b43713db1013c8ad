"""TLS records by what they carry, decrypted where the secrets are known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from stack.observe.dissect.layer import CLIENT, SERVER, Layer, Named, Side, printable
from stack.observe.dissect.tls_messages import (
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    FINISHED,
    HANDSHAKE_NAMES,
    KEY_UPDATE,
    SERVER_HELLO,
    TLS_1_2,
    TLS_1_3,
    VERSION_NAMES,
    ServerHello,
    alert_name,
    chosen_protocols,
    client_hello,
    server_hello,
)
from stack.observe.dissect.tls_secrets import (
    CIPHER_SUITES,
    CLIENT_RANDOM,
    Protection12,
    Protection13,
    SecretStore,
)

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23
HEARTBEAT = 24

RECORD_MAX = 16384 + 2048  # RFC 5246 §6.2.3; TLS 1.3 allows less
HANDSHAKE_MAX = 1 << 18
WAITING_MAX = 256 << 10  # bytes kept until their secret comes

_OPAQUE_NAMES = {
    ALERT: "Encrypted Alert",
    HANDSHAKE: "Encrypted Handshake Message",
    APPLICATION_DATA: "Application Data",
    HEARTBEAT: "Encrypted Heartbeat",
}

# The secrets that a side's records are under, one after the other.
_LABELS = (
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"),
)

SEGMENT = "[TLS segment of a reassembled PDU]"


@dataclass(frozen=True, slots=True)
class _Record:
    """A whole record, and the number of the packet that completed it."""

    header: bytes
    fragment: bytes
    packet: int

    @property
    def kind(self) -> int:
        return self.header[0]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record whose secret is missing, and where it is named."""

    record: _Record
    named: Named
    index: int


@dataclass(slots=True)
class _Direction:
    buffer: bytearray = field(default_factory=bytearray)
    handshake: bytearray = field(default_factory=bytearray)
    encrypted: bool = False  # TLS 1.2: a Change Cipher Spec went by
    epoch: int = 0  # TLS 1.3: index into _LABELS
    protection: Protection12 | Protection13 | None = None
    waiting: list[_Waiting] = field(default_factory=list)
    waiting_bytes: int = 0
    given_up: bool = False

    def wait(self, waiting: _Waiting) -> None:
        """Keeps a record, or gives all of them up when they are too many."""
        self.waiting.append(waiting)
        self.waiting_bytes += len(waiting.record.fragment)
        if self.waiting_bytes > WAITING_MAX:
            self.given_up = True
            self.forget(len(self.waiting))

    def forget(self, count: int) -> None:
        """Lets go of the first records that wait."""
        self.waiting_bytes -= sum(len(each.record.fragment) for each in self.waiting[:count])
        del self.waiting[:count]


class _SecretMissing(Exception):
    """The secret of a record is not known yet."""


class Tls:
    """Names records and handshake messages, and what decrypted records carry.

    `packet` is the number of the packet being fed, set by the caller: a record whose secret
    comes later is named then, by `retry`.
    """

    def __init__(self, secrets: SecretStore, inner: Layer) -> None:
        self.packet = 0
        self.random = b""  # the client's, which secrets go by
        self._secrets = secrets
        self._inner = inner
        self._inner_over = False
        self._version = 0
        self._hello: ServerHello | None = None
        self._directions = _Direction(), _Direction()

    @property
    def waiting(self) -> bool:
        """Whether records wait for their secret."""
        return any(direction.waiting for direction in self._directions)

    def feed(self, side: Side, data: bytes) -> Named | None:
        buffer = self._directions[side].buffer
        buffer += data
        named = Named("")
        while record := self._next_record(buffer):
            self._take(side, record, named)
        self._settle(named)
        if len(buffer) >= 5 and not _plausible(buffer):
            buffer.clear()
            return named if named.items else None
        named.open = bool(buffer)
        return named

    def finish(self, side: Side) -> Named | None:
        return self._inner.finish(side)

    def retry(self) -> Iterator[tuple[int, Named]]:
        """Opens the records that waited, as far as secrets allow: packet number and names.

        The names are also put in where the record was named when it came.
        """
        for side in (CLIENT, SERVER):
            direction = self._directions[side]
            at = 0
            while at < len(direction.waiting):
                waiting, named = direction.waiting[at], Named("")
                try:
                    self._open_and_name(side, waiting.record, named)
                except _SecretMissing:
                    if not self._may_skip(direction):
                        break
                    at += 1
                    continue
                direction.forget(at + 1)
                at = 0
                waiting.named.protocol = named.protocol or waiting.named.protocol
                self._settle(named)
                waiting.named.items[waiting.index] = ", ".join(named.items)
                waiting.named.notes += named.notes
                yield waiting.record.packet, named

    def _settle(self, named: Named) -> None:
        """Says at least that records brought a part of something larger."""
        if named.open and not named.items:
            named.items.append(SEGMENT)
        named.protocol = named.protocol or VERSION_NAMES.get(self._version, "TLS")
        named.open, named.head = False, ""

    def _next_record(self, buffer: bytearray) -> _Record | None:
        if len(buffer) < 5 or not _plausible(buffer):
            return None
        end = 5 + int.from_bytes(buffer[3:5], "big")
        if len(buffer) < end:
            return None
        record = _Record(bytes(buffer[:5]), bytes(buffer[5:end]), self.packet)
        del buffer[:end]
        return record

    def _take(self, side: Side, record: _Record, named: Named) -> None:
        direction = self._directions[side]
        if record.kind == CHANGE_CIPHER_SPEC:
            named.items.append("Change Cipher Spec")
            if self._version <= TLS_1_2:
                direction.encrypted, direction.protection = True, None
        elif record.kind == APPLICATION_DATA or direction.encrypted:
            self._take_encrypted(side, record, named)
        else:
            self._take_content(side, record.kind, record.fragment, named)

    def _take_encrypted(self, side: Side, record: _Record, named: Named) -> None:
        """Opens a record, or lets it wait: behind one that waits, others must too."""
        direction = self._directions[side]
        if not direction.waiting or self._may_skip(direction):
            try:
                self._open_and_name(side, record, named)
            except _SecretMissing:
                pass
            else:
                direction.forget(len(direction.waiting))
                return
        named.items.append(_OPAQUE_NAMES[record.kind])
        direction.wait(_Waiting(record, named, len(named.items) - 1))

    def _may_skip(self, direction: _Direction) -> bool:
        """Whether a later record may be readable though the secret of an earlier one is unknown.

        A key log may hold the application secrets alone; then the handshake goes by unread.
        """
        return self._version == TLS_1_3 and direction.epoch == 0

    def _open_and_name(self, side: Side, record: _Record, named: Named) -> None:
        opened = self._open(side, record)
        if opened is None:
            named.items.append(_OPAQUE_NAMES[record.kind])
        else:
            self._take_content(side, *opened, named)

    # ---- decryption ------------------------------------------------------------------

    def _open(self, side: Side, record: _Record) -> tuple[int, bytes] | None:
        """The content type and text of a record; None when it will never be known.

        _SecretMissing: it may become known.
        """
        direction, hello = self._directions[side], self._hello
        if hello is None or direction.given_up or hello.cipher_suite not in CIPHER_SUITES:
            return None
        if direction.protection is not None:
            return direction.protection.open(record.header, record.fragment)
        if hello.version == TLS_1_3:
            return self._open_first_13(side, hello, record)
        if hello.version == TLS_1_2:
            return self._open_first_12(side, hello, record)
        return None

    def _open_first_13(
        self, side: Side, hello: ServerHello, record: _Record
    ) -> tuple[int, bytes] | None:
        """Finds the secret that opens the first record of an epoch."""
        direction = self._directions[side]
        known = False
        for epoch in range(direction.epoch, len(_LABELS[side])):
            secret = self._secrets.get(_LABELS[side][epoch], self.random)
            if secret is None:
                continue
            known = known or epoch == direction.epoch
            protection = Protection13(CIPHER_SUITES[hello.cipher_suite], secret)
            if opened := protection.open(record.header, record.fragment):
                direction.protection, direction.epoch = protection, epoch
                return opened
        if not known:
            raise _SecretMissing
        return None

    def _open_first_12(
        self, side: Side, hello: ServerHello, record: _Record
    ) -> tuple[int, bytes] | None:
        master = self._secrets.get(CLIENT_RANDOM, self.random)
        if master is None:
            raise _SecretMissing
        suite, randoms = CIPHER_SUITES[hello.cipher_suite], hello.random + self.random
        protection = Protection12(suite, master, randoms, side)
        self._directions[side].protection = protection
        return protection.open(record.header, record.fragment)

    # ---- content -----------------------------------------------------------------------

    def _take_content(self, side: Side, kind: int, text: bytes, named: Named) -> None:
        if kind == HANDSHAKE:
            self._take_handshake(side, text, named)
        elif kind == ALERT:
            named.items.append(alert_name(text))
        elif kind == APPLICATION_DATA:
            self._take_application_data(side, text, named)
        else:
            named.items.append("Heartbeat" if kind == HEARTBEAT else f"Content type {kind}")

    def _take_application_data(self, side: Side, text: bytes, named: Named) -> None:
        inner = None if self._inner_over else self._inner.feed(side, text)
        if inner is None or (not inner.items and not inner.open):
            self._inner_over = inner is None
            named.items.append("Application Data")
            return
        named.absorb(inner)

    def _take_handshake(self, side: Side, text: bytes, named: Named) -> None:
        """Names the messages that are complete; one may span records (RFC 8446 §5.1)."""
        buffer = self._directions[side].handshake
        buffer += text
        while len(buffer) >= 4:
            end = 4 + int.from_bytes(buffer[1:4], "big")
            if end > HANDSHAKE_MAX:
                buffer.clear()
                named.items.append("Handshake message that is too long")
            if len(buffer) < end:
                break
            kind, body = buffer[0], bytes(buffer[4:end])
            del buffer[:end]
            named.items.append(self._handshake_message(side, kind, body, named.notes))

    def _handshake_message(self, side: Side, kind: int, body: bytes, notes: list[str]) -> str:
        """The name of a message; what it settles is taken in."""
        direction = self._directions[side]
        name = HANDSHAKE_NAMES.get(kind, f"Handshake type {kind}")
        if kind == CLIENT_HELLO:
            hello = client_hello(body)
            self.random, self._version = hello.random, hello.version
            if hello.server_name:
                name += f" (SNI={printable(hello.server_name)})"
            _note_protocols("offers to speak", hello.protocols, notes)
        elif kind == SERVER_HELLO:
            answer = server_hello(body)
            self._version = answer.version
            if answer.retry:
                return "Hello Retry Request"
            self._hello = answer
            _note_protocols("chooses to speak", answer.protocols, notes)
        elif kind == ENCRYPTED_EXTENSIONS:
            _note_protocols("chooses to speak", chosen_protocols(body), notes)
        elif kind == FINISHED and self._version == TLS_1_3:
            direction.epoch, direction.protection = 1, None
        elif kind == KEY_UPDATE and isinstance(direction.protection, Protection13):
            direction.protection.update()
        return name


def _note_protocols(what: str, protocols: tuple[bytes, ...], notes: list[str]) -> None:
    if protocols:
        names = ", ".join(printable(name) for name in protocols)
        notes.append(f"{what} {names} (ALPN, RFC 7301 §3.1)")


def _plausible(buffer: bytearray) -> bool:
    """Whether a record may begin so."""
    kind, major, length = buffer[0], buffer[1], int.from_bytes(buffer[3:5], "big")
    return CHANGE_CIPHER_SPEC <= kind <= HEARTBEAT and major == 3 and length <= RECORD_MAX
