"""What a server counts about its peers, and above all about those that abuse it."""

from collections import Counter

COUNTERS = {
    "http_connections": "connections accepted",
    "http_requests": "requests that reached the application",
    "http_pushes": "responses pushed ahead of their request (RFC 9113 §8.4)",
    "http_bad_requests": "HTTP/1.1 messages refused (RFC 9112 §2.2, §11)",
    "http_slow_requests": "requests given up because head or body came too slowly",
    "http_slow_readers": "connections aborted whose peer took nothing of a response",
    "http2_breaches": "HTTP/2 connections ended because the peer broke the protocol",
    "http2_refused": "streams refused beyond those announced (RFC 9113 §5.1.2)",
    "http2_rapid_resets": "connections ended for opening and resetting streams (CVE-2023-44487)",
    "http2_large_headers": "connections ended for a header list over the limit (RFC 9113 §10.5.1)",
    "http2_continuation_floods": "connections ended for a header section in too many pieces",
    "http2_settings_floods": "connections ended for SETTINGS without end",
    "http2_ping_floods": "connections ended for PING without end",
    "http2_reset_floods": "connections ended for RST_STREAM without end",
    "http2_priority_floods": "connections ended for PRIORITY and PRIORITY_UPDATE without end",
    "http2_window_floods": "connections ended for WINDOW_UPDATE without end",
    "http2_empty_floods": "connections ended for empty DATA without end",
    "http2_other_floods": "connections ended for unknown frames without end",
    "websocket_breaches": "WebSockets closed because the peer broke the protocol (RFC 6455 §7)",
    "http2_stalled_streams": "streams reset whose peer gave no window, or no body, for too long",
}
"""Every counter and its meaning."""


class HttpCounters(Counter[str]):
    """Counts by the names of `COUNTERS`."""

    def non_zero(self) -> dict[str, int]:
        """The counters that moved, in the order of `COUNTERS`."""
        return {name: self[name] for name in COUNTERS if self[name]}
