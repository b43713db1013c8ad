"""Header fields and request targets: what HTTP/1.1 and HTTP/2 have in common (RFC 9110)."""

import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

SERVER = b"tunstack"

# Fields about one hop's framing are the server's to write (RFC 9110 §7.6.1); the ones of
# the second set have no place in HTTP/2 at all (RFC 9113 §8.2.2).
FRAMING = frozenset((b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"))
HTTP1_ONLY = FRAMING | {b"connection"}

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class BadRequest(Exception):
    """A request that is answered with an error status by the server itself."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def reason_phrase(status: int) -> bytes:
    """The reason phrase of HTTP/1.1's status line, empty when the status is not registered."""
    return _REASONS.get(status, b"")


def response_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """An application's header fields in lower case, checked, without those of framing.

    Raises ValueError for a name that is no token, or for CR, LF or NUL in a value: either
    would let whoever controls it write a response of his own (RFC 9110 §5.5).
    """
    return [item for item in map(checked_field, raw) if item[0] not in FRAMING]


def checked_field(item: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A header field with its name in lower case; raises ValueError as `response_headers`."""
    name, value = bytes(item[0]).lower(), bytes(item[1]).strip(b" \t")
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header field name")
    if _FORBIDDEN.search(value):
        raise ValueError(f"the value of header field {name.decode()!r} has CR, LF or NUL in it")
    return name, value


def is_token(text: bytes) -> bool:
    """Whether `text` can be a method or a field name (RFC 9110 §5.6.2)."""
    return _TOKEN.fullmatch(text.lower()) is not None


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The declared length in bytes; None when there is none. Raises ValueError."""
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit():
                raise ValueError(f"content-length {value!r} is not a number")
            return int(value)
    return None


def field(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of the field `name` (lower case)."""
    return next((value for key, value in headers if key == name), None)


def tokens(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    """The members of a comma-separated field, in lower case, from all its lines."""
    values = b",".join(value for key, value in headers if key == name)
    return {token.strip().lower() for token in values.split(b",")} - {b""}


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """A request target as (path with query, authority that it names or None), RFC 9112 §3.2.

    Raises BadRequest.
    """
    if method == b"CONNECT":
        raise BadRequest(501, "CONNECT is not supported: this server is no proxy")
    if target.startswith(b"/"):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(400, "the request target must begin with '/'")
    authority, path = match.groups()
    return path if path.startswith(b"/") else b"/" + path, authority


def check_host(value: bytes) -> None:
    """Raises BadRequest when `value` cannot be a host (RFC 9112 §3.2)."""
    if not _HOST.fullmatch(value):
        raise BadRequest(400, "the Host header field is not a host name or address")


class DateCache:
    """The Date header field, made once a second (RFC 9110 §6.6.1)."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def at(self, now: float) -> bytes:
        """The value for `now`, in seconds since 1970."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._line = formatdate(second, usegmt=True).encode()
        return self._line
