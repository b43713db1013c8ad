"""`Upgrade: h2c`: how a cleartext connection goes from HTTP/1.1 to HTTP/2 (RFC 7540 §3.2).

RFC 9113 no longer describes it, but clients still ask for it.
"""

import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass

from stack.http.message import BadRequest, Headers, tokens

_TOKEN68 = re.compile(rb"[A-Za-z0-9\-_]*={0,2}")
_SETTING_BYTES = 6


@dataclass(frozen=True, slots=True)
class UpgradedRequest:
    """The HTTP/1.1 request that becomes stream 1; `settings` is HTTP2-Settings, padded base64."""

    settings: bytes
    method: bytes
    path: bytes
    headers: Headers
    body: bytes


def wanted_settings(headers: Headers) -> bytes | None:
    """The HTTP2-Settings of a request that asks for h2c, None when it does not.

    A request without exactly one HTTP2-Settings field must not be upgraded (RFC 7540 §3.2.1);
    one whose settings cannot be decoded raises BadRequest.
    """
    values = [value for name, value in headers if name == b"http2-settings"]
    if len(values) != 1 or b"h2c" not in tokens(headers, b"upgrade"):
        return None
    if not {b"upgrade", b"http2-settings"} <= tokens(headers, b"connection"):
        return None
    value = values[0]
    if not _TOKEN68.fullmatch(value):
        raise BadRequest(400, "HTTP2-Settings is not base64url")
    value = value.rstrip(b"=")
    if len(value) % 4 == 1:
        raise BadRequest(400, "HTTP2-Settings is not base64url")
    padded = value + b"=" * (-len(value) % 4)
    if len(urlsafe_b64decode(padded)) % _SETTING_BYTES:
        raise BadRequest(400, "HTTP2-Settings is not the payload of a SETTINGS frame")
    return padded


def without_upgrade(headers: Headers) -> Headers:
    """The fields of the request without those that were about its HTTP/1.1 connection."""
    dropped = {b"connection", b"upgrade", b"http2-settings", b"transfer-encoding"}
    dropped |= tokens(headers, b"connection")
    return [item for item in headers if item[0] not in dropped]
