"""What a peer may take of the server, and how long it may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes; the defaults suit a server on a fast network."""

    header_timeout: float = 20.0
    """From a request's first byte (or the connection's begin) to the end of its header section."""
    idle_timeout: float = 75.0
    """How long a connection may stay open between requests."""
    half_close_timeout: float = 5.0
    """How long a response may stand still whose peer has closed its side of the connection."""
    body_timeout: float = 60.0
    """How long an application waits for more of a request's body."""
    stall_timeout: float = 60.0
    """How long a response may wait for a peer that takes nothing of it."""
    linger_timeout: float = 2.0
    """How long we read on after our last byte, so that no reset destroys it (RFC 9112 §9.6)."""
    disconnect_grace: float = 1.0
    """What an application gets after `http.disconnect` before its task is cancelled."""

    header_bytes: int = 65_536
    """A request's header section: target, names and values."""
    body_buffer: int = 262_144
    """HTTP/1.1: body bytes waiting for the application before we stop reading."""
    pipeline_bytes: int = 65_536
    """HTTP/1.1: bytes of requests that wait for an earlier response before we stop reading."""
    discard_bytes: int = 262_144
    """HTTP/1.1: bytes of a body nobody read that we drop to keep the connection."""
    upgrade_body: int = 262_144
    """A request with `Upgrade: h2c` and a longer body is answered in HTTP/1.1."""

    websocket_message: int = 16 << 20
    """WebSocket: the longest message that is collected for the application."""

    streams: int = 128
    """HTTP/2: requests that one connection may have open at a time."""
    stream_window: int = 256 << 10
    """HTTP/2: receive window of a new stream."""
    largest_window: int = 32 << 20
    """HTTP/2: what a stream's window may grow to while its application keeps up."""
    connection_window: int = 1 << 20
    """HTTP/2: receive window of a new connection, beside what waits for applications."""
    receive_memory: int = 64 << 20
    """HTTP/2: the sum up to which the windows of a connection's streams may grow."""
    frame_size: int = 65_536
    """HTTP/2: the longest frame that we accept."""
    stream_buffer: int = 262_144
    """HTTP/2: response bytes queued on a stream before the application has to wait."""
    control_frames: int = 100_000
    """HTTP/2: frames of one kind in a period that ask for nothing: SETTINGS counts twenty."""
    control_period: float = 10.0
    """HTTP/2: the period of `control_frames`."""
    control_bytes: int = 262_144
    """HTTP/2: unread answers to control frames before we stop reading more of them."""
    rfc7540_priorities: bool = True
    """HTTP/2: whether the dependency tree of RFC 7540 counts for clients that speak of it."""
    pushes: int = 32
    """HTTP/2: responses that one connection may have pushed at a time."""
    continuations: int = 32
    """HTTP/2: CONTINUATION frames that one header section may come in."""
    refusals: int = 500
    """HTTP/2: requests reset or refused, above those answered, before we end the connection."""

    write_buffer: int = 524_288
    """Bytes in the transport before the applications have to wait."""
