"""Finds out from its first bytes what an application protocol is, and hands over to it."""

import re

from stack.observe.dissect.http1 import Http1
from stack.observe.dissect.http2 import MAGIC, Http2
from stack.observe.dissect.layer import CLIENT, SERVER, Layer, Named, Side
from stack.observe.dissect.tls import Tls
from stack.observe.dissect.tls_messages import CLIENT_HELLO, SERVER_HELLO
from stack.observe.dissect.tls_secrets import SecretStore

_METHODS = (
    rb"GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|"  # RFC 9110 §9.3, RFC 5789
    rb"PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|SEARCH|QUERY"
)
_REQUEST = re.compile(rb"(?:" + _METHODS + rb") \S")
_REQUEST_BEGUN = tuple(method + b" " for method in _METHODS.split(b"|"))
_TLS_RECORD = re.compile(rb"[\x15\x16]\x03[\x00-\x04]", re.DOTALL)
# A SETTINGS frame of stream 0, whose payload is short: what a server may send first.
_SETTINGS = re.compile(rb"\x00[\x00-\x01].\x04[\x00\x01]\x00{4}", re.DOTALL)


class Application:
    """A layer that is not known yet; TLS is only looked for when `secrets` are given."""

    def __init__(self, secrets: SecretStore | None = None) -> None:
        self._secrets = secrets
        self._begun = [b"", b""]
        self._swapped = False
        self._layer: Layer | None = None
        self._unknown = False

    @property
    def tls(self) -> Tls | None:
        return self._layer if isinstance(self._layer, Tls) else None

    def feed(self, side: Side, data: bytes) -> Named | None:
        if self._layer is not None:
            return self._layer.feed(side ^ self._swapped, data)
        if self._unknown:
            return None
        self._begun[side] += data
        begun, before = self._begun[side], self._begun[1 - side]
        self._layer = self._recognise(begun)
        if self._layer is None:
            self._unknown = not _may_become(begun, tls=self._secrets is not None)
            return None if self._unknown else Named("TCP", open=True)
        # Without the SYN, who is the client shows in what is said.
        self._swapped = _sender(begun) == 1 - side
        if before:
            self._layer.feed((1 - side) ^ self._swapped, before)
        return self._layer.feed(side ^ self._swapped, begun)

    def finish(self, side: Side) -> Named | None:
        return self._layer.finish(side ^ self._swapped) if self._layer is not None else None

    def _recognise(self, begun: bytes) -> Layer | None:
        if self._secrets is not None and _TLS_RECORD.match(begun):
            return Tls(self._secrets, Application())
        if begun.startswith(MAGIC[:16]) or _SETTINGS.match(begun):
            return Http2()
        if _REQUEST.match(begun) or begun.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
            return Http1()
        return None


def _sender(begun: bytes) -> Side | None:
    """Which side begins like this, where that is certain."""
    if _REQUEST.match(begun) or begun.startswith(MAGIC[:16]):
        return CLIENT
    if begun.startswith(b"HTTP/1."):
        return SERVER
    if _TLS_RECORD.match(begun):
        return {CLIENT_HELLO: CLIENT, SERVER_HELLO: SERVER}.get(begun[5] if len(begun) > 5 else 0)
    return None


def _may_become(begun: bytes, *, tls: bool) -> bool:
    """Whether more bytes could make it a protocol that is known here."""
    known = (*_REQUEST_BEGUN, MAGIC[:16], b"HTTP/1.1 ", b"HTTP/1.0 ")
    if any(start.startswith(begun) for start in known):
        return True
    if tls and len(begun) < 3 and begun[0] in (0x15, 0x16):
        return True
    return len(begun) < 9 and begun[0] == 0
