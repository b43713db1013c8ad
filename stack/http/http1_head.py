"""An HTTP/1.1 header section: what of it could be read in two ways is refused (RFC 9112 §11.2)."""

import re

import h11

from stack.http.message import BadRequest, Headers, check_host, field, split_target

_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\n[ \t]")


class Request:
    """A parsed and checked header section. Raises BadRequest."""

    def __init__(self, event: h11.Request, header_bytes: int) -> None:
        headers: Headers = list(event.headers)
        if len(event.target) + sum(len(n) + len(v) for n, v in headers) > header_bytes:
            raise BadRequest(431, f"the header section is longer than {header_bytes} bytes")
        if not event.http_version.startswith(b"1."):
            raise BadRequest(505, "only HTTP/1.1 is spoken here; HTTP/2 begins with its preface")
        self.version = "1.0" if event.http_version == b"1.0" else "1.1"
        self.method = event.method
        self._check_framing(headers)
        host = field(headers, b"host")
        if host is not None:
            check_host(host)
        self.path, authority = split_target(event.method, event.target)
        if authority is not None:
            # RFC 9112 §3.2.2: the target's authority wins over the Host field.
            headers = [(b"host", authority), *(item for item in headers if item[0] != b"host")]
        self.headers = headers

    def _check_framing(self, headers: Headers) -> None:
        """What two readers could frame differently is refused (RFC 9112 §6.1, §11.2)."""
        if field(headers, b"transfer-encoding") is not None:
            if self.version == "1.0":
                raise BadRequest(400, "HTTP/1.0 has no Transfer-Encoding")
            if field(headers, b"content-length") is not None:
                raise BadRequest(400, "both Transfer-Encoding and Content-Length are given")


class HeadLines:
    """Looks for line ends in a header section that readers take in different ways.

    RFC 9112 §2.2 and §5.2 leave it to the recipient whether a bare LF ends a line and whether
    a folded line is accepted; another one in front of us may have decided otherwise.
    """

    def __init__(self) -> None:
        self.ambiguous = False
        self._ended = False
        self._last = b""

    def feed(self, data: bytes) -> None:
        """More of the header section, perhaps with what stands behind it."""
        if self._ended or not data:
            return
        text = self._last + data
        end = text.find(b"\r\n\r\n")
        self._ended = end >= 0
        stop = end + 4 if self._ended else len(text)
        if _AMBIGUOUS.search(text, max(len(self._last) - 1, 0), stop):
            self.ambiguous = True
        # The end of a section, and of a line, may be cut anywhere.
        self._last = text[-3:]
