"""libnghttp2's session as the server uses it, through ngh2 (RFC 9113, RFC 7541).

The session frames, compresses and judges what the peer sends. Which stream sends next, how
much a peer may take and when the connection ends is decided by who uses it.
"""

import contextlib
from base64 import urlsafe_b64decode
from collections.abc import Iterable

from ngh2 import (
    Configuration,
    Connection,
    DenialOfServiceError,
    ErrorCode,
    Event,
    NeverIndexedHeader,
    NGH2Error,
    Role,
    Setting,
    pack_settings_payload,
)

from stack.http.limits import Limits
from stack.http.message import Headers

MAX_STREAM_ID = (1 << 31) - 1
HEADER = 9  # bytes of a frame in front of its payload
GOAWAY = 7

# The connection's own measures hold; the library's, which end it without a word to us, stand
# far behind them.
UNLIMITED = (1 << 62, 1 << 62)
OUTBOUND_ACKS = 1 << 24

# Whoever can choose part of a message could find these out from how well it compresses
# (RFC 7541 §7.1.3).
CREDENTIALS = frozenset(
    (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"www-authenticate")
)


class Broken(Exception):
    """The peer broke the rules so that nothing can be said to it but GOAWAY with `code`."""

    def __init__(self, code: ErrorCode, reason: str, counter: str) -> None:
        super().__init__(reason)
        self.code = code
        self.counter = counter


class Engine(Connection):
    """The HTTP/2 state of one connection."""

    def __init__(self, limits: Limits, *, extended_connect: bool = False) -> None:
        super().__init__(
            Role.SERVER,
            Configuration(
                auto_window_update=False,
                max_outbound_ack=OUTBOUND_ACKS,
                max_continuations=limits.continuations,
                stream_reset_rate_limit=UNLIMITED,
                max_inbound_header_list_size=limits.header_bytes,
            ),
        )
        self._limits = limits
        self._extended_connect = extended_connect
        self._preface = b""
        self._last_words = b""
        self._last_request = 0

    def _settings(self) -> dict[int, int]:
        limits = self._limits
        settings: dict[int, int] = {
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
            Setting.MAX_FRAME_SIZE: limits.frame_size,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_bytes,
        }
        if not limits.rfc7540_priorities:
            settings[Setting.NO_RFC7540_PRIORITIES] = 1
        if self._extended_connect:
            settings[Setting.ENABLE_CONNECT_PROTOCOL] = 1
        return settings

    def open(self, upgrade: bytes | None = None, *, head: bool = False) -> None:
        """Queues our preface: SETTINGS and the connection's window.

        With `upgrade` (HTTP2-Settings, base64) it also opens stream 1, for a request
        that may be a HEAD. Raises Broken when those settings hold a value that none may have.
        """
        if upgrade is None:
            self.initiate_connection(self._settings())
        else:
            payload = urlsafe_b64decode(upgrade)
            self.initiate_upgrade(payload, local_settings=self._settings(), head_request=head)
            self._last_request = 1
        self._opened()

    def _opened(self) -> None:
        self.open_window(self._limits.connection_window)
        self.events()
        self._preface = self._announce_streams(super().data_to_send())

    def _announce_streams(self, preface: bytes) -> bytes:
        """SETTINGS_MAX_CONCURRENT_STREAMS is written into our first frame here: what the
        library announces it enforces by ending the connection, and RFC 9113 §5.1.2 asks for
        no more than REFUSED_STREAM.
        """
        end = HEADER + int.from_bytes(preface[:3], "big")
        entry = pack_settings_payload({Setting.MAX_CONCURRENT_STREAMS: self._limits.streams})
        length = (end - HEADER + len(entry)).to_bytes(3, "big")
        return length + preface[3:end] + entry + preface[end:]

    def take(self, data: bytes) -> list[Event]:
        """The events in `data`. Raises Broken when nothing can follow but our last words."""
        try:
            self.receive_data(data)
        except DenialOfServiceError as error:
            # The header list is larger than announced (RFC 9113 §10.5.1), or cut into more
            # CONTINUATION frames than any honest one.
            if "CONTINUATION" in str(error):
                broken = Broken(ErrorCode.PROTOCOL_ERROR, str(error), "http2_continuation_floods")
            else:
                broken = Broken(ErrorCode.ENHANCE_YOUR_CALM, str(error), "http2_large_headers")
            raise self._with_last_words(broken) from None
        except NGH2Error as error:
            broken = Broken(ErrorCode.PROTOCOL_ERROR, str(error), "http2_breaches")
            raise self._with_last_words(broken) from None
        return self.events()

    def _with_last_words(self, broken: Broken) -> Broken:
        """The library has dropped its session: the GOAWAY is ours to write (RFC 9113 §6.8)."""
        payload = self._last_request.to_bytes(4, "big") + broken.code.to_bytes(4, "big")
        self._last_words = bytes((0, 0, len(payload), GOAWAY, 0, 0, 0, 0, 0)) + payload
        return broken

    def note_request(self, stream_id: int) -> None:
        """A request was taken, which our GOAWAY will say."""
        self._last_request = stream_id

    @property
    def last_request(self) -> int:
        """The highest stream that the peer opened and we looked at."""
        return self._last_request

    def output(self) -> bytes:
        """What may be sent now, each byte once."""
        if self._preface:
            preface, self._preface = self._preface, b""
            return preface + self.output()
        if self._last_words:
            words, self._last_words = self._last_words, b""
            return words
        try:
            return self.data_to_send()
        except NGH2Error:
            return b""

    def end(self, code: ErrorCode) -> None:
        """Queues the GOAWAY that ends the connection."""
        if not self._last_words:
            try:
                self.terminate_connection(code, last_stream_id=self._last_request)
            except NGH2Error:
                return

    def open_window(self, size: int, stream_id: int = 0) -> None:
        """Announces a window for bodies: a larger one at once, a smaller one as data arrives.

        Nothing happens for a stream that the peer has reset meanwhile.
        """
        with contextlib.suppress(NGH2Error):
            self.set_local_window_size(size, stream_id=stream_id)

    def window(self, stream_id: int) -> int:
        """How many bytes of body the peer takes now on this stream."""
        try:
            return min(self.remote_window_size, self.stream_remote_window_size(stream_id))
        except NGH2Error:
            return 0


def protected(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The fields, those that are credentials marked as never to be indexed."""
    return [NeverIndexedHeader(*item) if item[0] in CREDENTIALS else item for item in headers]
