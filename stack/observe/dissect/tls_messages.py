"""TLS handshake messages and alerts by name, and what the hellos settle (RFC 8446, RFC 5246)."""

from dataclasses import dataclass

CLIENT_HELLO = 1
SERVER_HELLO = 2
ENCRYPTED_EXTENSIONS = 8
CLIENT_KEY_EXCHANGE = 16
FINISHED = 20
KEY_UPDATE = 24

TLS_1_0 = 0x0301
TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

VERSION_NAMES = {0x0300: "SSLv3", TLS_1_0: "TLSv1", 0x0302: "TLSv1.1", TLS_1_2: "TLSv1.2"}
VERSION_NAMES[TLS_1_3] = "TLSv1.3"

HANDSHAKE_NAMES = {
    0: "Hello Request",
    CLIENT_HELLO: "Client Hello",
    SERVER_HELLO: "Server Hello",
    4: "New Session Ticket",
    5: "End of Early Data",
    ENCRYPTED_EXTENSIONS: "Encrypted Extensions",
    11: "Certificate",
    12: "Server Key Exchange",
    13: "Certificate Request",
    14: "Server Hello Done",
    15: "Certificate Verify",
    CLIENT_KEY_EXCHANGE: "Client Key Exchange",
    FINISHED: "Finished",
    21: "Certificate URL",
    22: "Certificate Status",
    KEY_UPDATE: "Key Update",
    25: "Compressed Certificate",
}

ALERT_LEVELS = {1: "Warning", 2: "Fatal"}
ALERTS = {
    0: "Close Notify",
    10: "Unexpected Message",
    20: "Bad Record MAC",
    21: "Decryption Failed",
    22: "Record Overflow",
    30: "Decompression Failure",
    40: "Handshake Failure",
    42: "Bad Certificate",
    43: "Unsupported Certificate",
    44: "Certificate Revoked",
    45: "Certificate Expired",
    46: "Certificate Unknown",
    47: "Illegal Parameter",
    48: "Unknown CA",
    49: "Access Denied",
    50: "Decode Error",
    51: "Decrypt Error",
    70: "Protocol Version",
    71: "Insufficient Security",
    80: "Internal Error",
    86: "Inappropriate Fallback",
    90: "User Canceled",
    100: "No Renegotiation",
    109: "Missing Extension",
    110: "Unsupported Extension",
    112: "Unrecognized Name",
    113: "Bad Certificate Status Response",
    115: "Unknown PSK Identity",
    116: "Certificate Required",
    120: "No application Protocol",
}

SERVER_NAME = 0
ALPN = 16
SUPPORTED_VERSIONS = 43

# A Server Hello with this random is a Hello Retry Request (RFC 8446 §4.1.3).
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a Client Hello says: its random, the server's name, the highest version offered, and
    the protocols that it would speak above TLS.
    """

    random: bytes
    server_name: bytes
    version: int
    protocols: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What a Server Hello settles; the protocol above only up to TLS 1.2."""

    random: bytes
    version: int
    cipher_suite: int
    protocols: tuple[bytes, ...]

    @property
    def retry(self) -> bool:
        return self.random == RETRY_RANDOM


class _Cursor:
    """Reads along bytes; what runs past their end comes out short or empty, never raises."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Bytes behind a length of `size` bytes."""
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self._at < len(self._data)


def client_hello(body: bytes) -> ClientHello:
    """Reads a Client Hello (RFC 8446 §4.1.2) as far as it is there."""
    cursor = _Cursor(body)
    version, random = cursor.number(2), cursor.take(32)
    cursor.vector(1)  # session id
    cursor.vector(2)  # cipher suites
    cursor.vector(1)  # compression methods
    extensions = _extensions(cursor.vector(2))
    offered = _Cursor(extensions.get(SUPPORTED_VERSIONS, b"")).vector(1)
    for at in range(0, len(offered) - 1, 2):
        candidate = int.from_bytes(offered[at : at + 2], "big")
        if candidate in VERSION_NAMES:
            version = max(version, candidate)
    name = _server_name(extensions.get(SERVER_NAME, b""))
    return ClientHello(random, name, version, _protocols(extensions))


def server_hello(body: bytes) -> ServerHello:
    """Reads a Server Hello (RFC 8446 §4.1.3) as far as it is there."""
    cursor = _Cursor(body)
    version, random = cursor.number(2), cursor.take(32)
    cursor.vector(1)  # session id
    suite = cursor.number(2)
    cursor.take(1)  # compression method
    extensions = _extensions(cursor.vector(2))
    if SUPPORTED_VERSIONS in extensions:
        version = int.from_bytes(extensions[SUPPORTED_VERSIONS], "big")
    return ServerHello(random, version, suite, _protocols(extensions))


def chosen_protocols(body: bytes) -> tuple[bytes, ...]:
    """The protocol that Encrypted Extensions choose (RFC 8446 §4.3.1), if any."""
    return _protocols(_extensions(_Cursor(body).vector(2)))


def _extensions(data: bytes) -> dict[int, bytes]:
    cursor, found = _Cursor(data), dict[int, bytes]()
    while cursor.more:
        kind = cursor.number(2)
        found[kind] = cursor.vector(2)
    return found


def _protocols(extensions: dict[int, bytes]) -> tuple[bytes, ...]:
    """The names of an ALPN extension, in the sender's order (RFC 7301 §3.1)."""
    names, found = _Cursor(_Cursor(extensions.get(ALPN, b"")).vector(2)), list[bytes]()
    while names.more:
        found.append(names.vector(1))
    return tuple(found)


def _server_name(data: bytes) -> bytes:
    """The host name of a server_name extension (RFC 6066 §3)."""
    names = _Cursor(_Cursor(data).vector(2))
    while names.more:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name
    return b""


def alert_name(body: bytes) -> str:
    """An alert as `Alert (Level: Warning, Description: Close Notify)` (RFC 8446 §6)."""
    if len(body) != 2:
        return "Alert"
    level = ALERT_LEVELS.get(body[0], str(body[0]))
    return f"Alert (Level: {level}, Description: {ALERTS.get(body[1], str(body[1]))})"
