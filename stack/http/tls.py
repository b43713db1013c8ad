"""TLS contexts for server and client, and the key log that lets a capture be read.

Everything here is Python's `ssl`; what HTTP/2 asks of it is in RFC 9113 §9.2.
"""

import os
import ssl
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509

from stack.http.certificate import Certificate

ALPN = ("h2", "http/1.1")

# TLS 1.2 only with ephemeral keys and authenticated encryption: whatever else there is
# stands on the list of RFC 9113 Appendix A. TLS 1.3 has nothing that needs to be refused.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

KeyLogCallback = Callable[[str], None]


def server_context(
    certificate: Certificate,
    *others: Certificate,
    alpn: Sequence[str] = ALPN,
    keylog: KeyLogCallback | None = None,
    client_authorities: bytes | None = None,
) -> ssl.SSLContext:
    """A context for TLS 1.2 and 1.3; `keylog` gets each line of secrets as it arises.

    `others` are shown to clients that ask for a name of theirs (SNI, RFC 6066 §3). With
    `client_authorities` (PEM) clients have to show a certificate that one of them signed.
    Sessions are resumed by tickets, as OpenSSL does by itself.
    """
    contexts = [_one_context(item, alpn, client_authorities) for item in (certificate, *others)]
    context = contexts[0]
    if others:
        chosen: dict[str, ssl.SSLContext] = {}
        for made, item in zip(reversed(contexts), reversed((certificate, *others)), strict=True):
            chosen |= dict.fromkeys(item.names, made)
        context.sni_callback = _sni(chosen)
    if keylog is not None:
        log_keys(context, keylog, *contexts[1:])
    return context


def _one_context(
    certificate: Certificate, alpn: Sequence[str], client_authorities: bytes | None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, alpn)
    _load(context, certificate)
    _SHOWN[context] = certificate.chain.decode("ascii")
    if client_authorities is not None:
        context.load_verify_locations(cadata=client_authorities.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _sni(chosen: Mapping[str, ssl.SSLContext]) -> Callable[..., None]:
    """Picks the context by the name that the client asks for, also by a wildcard of it."""

    def pick(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            name = name.lower()
            found = chosen.get(name) or chosen.get("*." + name.partition(".")[2])
            if found is not None:
                connection.context = found

    return pick


def client_context(
    *,
    verify: bool = True,
    authorities: bytes | None = None,
    alpn: Sequence[str] = ALPN,
    keylog: KeyLogCallback | None = None,
) -> ssl.SSLContext:
    """A context that verifies against the system's authorities, or those given as PEM."""
    context = ssl.create_default_context(cadata=authorities.decode() if authorities else None)
    _harden(context, alpn)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if keylog is not None:
        log_keys(context, keylog)
    return context


def _harden(context: ssl.SSLContext, alpn: Sequence[str]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # RFC 9113 §9.2.1: neither compression nor renegotiation.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(alpn))


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """`load_cert_chain` wants a file: one in memory, so that the key never touches a disk."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(certificate.key + certificate.chain)
        context.load_cert_chain(_path(descriptor))
    finally:
        os.close(descriptor)


def log_keys(context: ssl.SSLContext, keylog: KeyLogCallback, *others: ssl.SSLContext) -> None:
    """Delivers the secrets of every handshake under `context` to `keylog`, a line a call.

    `others` are contexts that a handshake may change to.

    Python's `ssl` can only append secrets to a file, so the file is one in memory. It is read
    at the one place where the time is right: OpenSSL writes the lines during a step of the
    handshake, and only when that step has returned does asyncio fetch the records that the
    secrets protect. Reading behind each `do_handshake` thus hands the secrets over before
    the first packet that needs them can leave. `SSLContext.sslobject_class` exists for such
    a wrapper.
    """
    descriptor = os.memfd_create("keylog", os.MFD_CLOEXEC)
    try:
        for each in (context, *others):
            each.keylog_filename = _path(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(context, os.close, descriptor)

    def publish() -> None:
        text = os.pread(descriptor, 65_536, 0).decode("ascii", "replace")
        if not text:
            return
        # OpenSSL's side appends, so after this it goes on at the beginning.
        os.ftruncate(descriptor, 0)
        for line in text.splitlines():
            if line and not line.startswith("#"):
                keylog(line)

    class LoggingSSLObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            finally:
                publish()

    context.sslobject_class = LoggingSSLObject


def tls_extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """ASGI's `tls` extension (version 0.2): who is at the other end, and how it is protected."""
    cipher = connection.cipher()
    peer = connection.getpeercert(binary_form=True)
    parsed = x509.load_der_x509_certificate(peer) if peer else None
    return {
        "server_cert": _SHOWN.get(connection.context),
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(peer)] if peer else [],
        "client_cert_name": parsed.subject.rfc4514_string() if parsed else None,
        "client_cert_error": None,
        "tls_version": _TLS_VERSIONS.get(connection.version() or ""),
        "cipher_suite": _suites(connection.context).get(cipher[0]) if cipher else None,
    }


_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
# What the contexts of servers show, PEM.
_SHOWN: weakref.WeakKeyDictionary[ssl.SSLContext, str] = weakref.WeakKeyDictionary()
_SUITES: weakref.WeakKeyDictionary[ssl.SSLContext, dict[str, int]] = weakref.WeakKeyDictionary()


def _suites(context: ssl.SSLContext) -> dict[str, int]:
    """IANA's numbers of the cipher suites, by OpenSSL's names."""
    if context not in _SUITES:
        _SUITES[context] = {
            str(suite["name"]): int(suite["id"]) & 0xFFFF for suite in context.get_ciphers()
        }
    return _SUITES[context]


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
