"""http and https URLs (RFC 3986, RFC 9110 §4.2)."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from stack.errors import UsageError

PORTS = {"http": 80, "https": 443}
# What may stand in a path or query, with '%' so that what is encoded stays as it is.
_SAFE = "%/:=&?~+!$,;'@()*[]|"


@dataclass(frozen=True, slots=True)
class Url:
    """A URL taken apart: `authority` is what Host and :authority say, `path` has the query."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def secure(self) -> bool:
        """Whether it means TLS."""
        return self.scheme == "https"

    @property
    def numeric(self) -> bool:
        """Whether the host is an address, not a name."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True


def parse_url(text: str) -> Url:
    """Takes a URL apart; without a scheme it is http, as with curl. Raises UsageError."""
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is no URL: {error}") from None
    if parts.scheme not in PORTS:
        raise UsageError(f"{parts.scheme}:// is not supported; use http:// or https://")
    if not parts.hostname:
        raise UsageError(f"{text!r} names no host; write http://ADDRESS/ or http://[ADDRESS]/")
    if parts.username is not None:
        raise UsageError("a user name in the URL is not supported; send a header field instead")
    if any(character <= " " for character in parts.netloc):
        raise UsageError(f"{text!r} is no URL: the host has a space or control character in it")
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    host = parts.hostname
    authority = f"[{host}]" if ":" in host else host
    default = PORTS[parts.scheme]
    if port is not None and port != default:
        authority += f":{port}"
    return Url(parts.scheme, host, default if port is None else port, authority, path)
