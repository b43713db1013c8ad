"""The secrets of TLS sessions and the keys that follow from them.

TLS 1.3: RFC 8446 §7.1 to §7.3. TLS 1.2: RFC 5246 §5 and §6.3 with the AEAD ciphers of RFC 5288
and RFC 7905. Secrets come as lines of a key log file (RFC 9850).
"""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from struct import pack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SECRETS_MAX = 16_384
SECRET_LENGTH_MAX = 64

CLIENT_RANDOM = "CLIENT_RANDOM"  # labels the master secret of TLS 1.2 and before


class SecretStore:
    """Secrets by label and client random; the oldest go when they are many."""

    def __init__(self) -> None:
        self._secrets: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()

    def add(self, line: str) -> bytes | None:
        """Takes a line of a key log. Returns its client random; None for any other line."""
        words = line.split()
        if len(words) != 3 or words[0].startswith("#"):
            return None
        try:
            random, secret = bytes.fromhex(words[1]), bytes.fromhex(words[2])
        except ValueError:
            return None
        if len(random) != 32 or not 0 < len(secret) <= SECRET_LENGTH_MAX:
            return None
        self._secrets[words[0], random] = secret
        if len(self._secrets) > SECRETS_MAX:
            self._secrets.popitem(last=False)
        return random

    def get(self, label: str, random: bytes) -> bytes | None:
        """The secret under this label for the session with this client random."""
        return self._secrets.get((label, random))


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """What a cipher suite says of records: AEAD, key length in bytes, hash."""

    aead: type[AESGCM] | type[ChaCha20Poly1305]
    key_length: int
    digest: str

    @property
    def digest_length(self) -> int:
        return 48 if self.digest == "sha384" else 32


_AES_128 = CipherSuite(AESGCM, 16, "sha256")
_AES_256 = CipherSuite(AESGCM, 32, "sha384")
_CHACHA20 = CipherSuite(ChaCha20Poly1305, 32, "sha256")

# The IANA numbers of the suites whose records can be opened; key exchange makes no difference.
CIPHER_SUITES = {
    0x1301: _AES_128,
    0x1302: _AES_256,
    0x1303: _CHACHA20,
    **dict.fromkeys((0x009C, 0x009E, 0xC02B, 0xC02F), _AES_128),
    **dict.fromkeys((0x009D, 0x009F, 0xC02C, 0xC030), _AES_256),
    **dict.fromkeys((0xCCA8, 0xCCA9, 0xCCAA), _CHACHA20),
}

# ---- TLS 1.3 -----------------------------------------------------------------------


def hkdf_expand_label(secret: bytes, label: str, length: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1, RFC 5869 §2.3)."""
    name = b"tls13 " + label.encode()
    info = pack("!HB", length, len(name)) + name + b"\0"
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(secret, block + info + bytes((counter,)), digest)
        output += block
        counter += 1
    return output[:length]


class Protection13:
    """Opens the records that one side protects with a traffic secret (RFC 8446 §5.2)."""

    def __init__(self, suite: CipherSuite, secret: bytes) -> None:
        self._suite = suite
        self._rekey(secret)

    def _rekey(self, secret: bytes) -> None:
        suite = self._suite
        self._secret = secret
        self._iv = hkdf_expand_label(secret, "iv", 12, suite.digest)
        self._aead = suite.aead(hkdf_expand_label(secret, "key", suite.key_length, suite.digest))
        self._sequence = 0

    def update(self) -> None:
        """Goes on to the next generation of keys (RFC 8446 §7.2)."""
        length = self._suite.digest_length
        self._rekey(hkdf_expand_label(self._secret, "traffic upd", length, self._suite.digest))

    def open(self, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """The content type and text of the next record; None when it does not authenticate."""
        nonce = _xor_sequence(self._iv, self._sequence)
        try:
            inner = self._aead.decrypt(nonce, fragment, header)
        except InvalidTag:
            return None
        self._sequence += 1
        inner = inner.rstrip(b"\0")  # padding; the last other byte is the type (§5.4)
        return (inner[-1], inner[:-1]) if inner else None


def _xor_sequence(iv: bytes, sequence: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ sequence).to_bytes(len(iv), "big")


# ---- TLS 1.2 -----------------------------------------------------------------------


def prf(secret: bytes, label: bytes, seed: bytes, length: int, digest: str) -> bytes:
    """The pseudorandom function of TLS 1.2, P_hash (RFC 5246 §5)."""
    output, chained = b"", label + seed
    while len(output) < length:
        chained = hmac.digest(secret, chained, digest)
        output += hmac.digest(secret, chained + label + seed, digest)
    return output[:length]


class Protection12:
    """Opens the records of one side under the keys that the master secret gives.

    `randoms` are the server's and then the client's, as key expansion takes them (§6.3).
    """

    def __init__(self, suite: CipherSuite, master: bytes, randoms: bytes, side: int) -> None:
        key_length = suite.key_length
        self._explicit = suite.aead is AESGCM  # a part of the nonce is in the record (RFC 5288 §3)
        iv_length = 4 if self._explicit else 12
        block = prf(master, b"key expansion", randoms, 2 * (key_length + iv_length), suite.digest)
        iv_at = 2 * key_length + side * iv_length
        self._aead = suite.aead(block[side * key_length :][:key_length])
        self._iv = block[iv_at : iv_at + iv_length]
        self._sequence = 0

    def open(self, header: bytes, fragment: bytes) -> tuple[int, bytes] | None:
        """The content type and text of the next record; None when it does not authenticate."""
        if self._explicit:
            nonce, sealed = self._iv + fragment[:8], fragment[8:]
        else:
            nonce, sealed = _xor_sequence(self._iv, self._sequence), fragment  # RFC 7905 §2
        if len(nonce) != 12 or len(sealed) < 16:
            return None
        length = pack("!H", len(sealed) - 16)
        try:
            text = self._aead.decrypt(
                nonce, sealed, pack("!Q", self._sequence) + header[:3] + length
            )
        except InvalidTag:
            return None
        self._sequence += 1
        return header[0], text
