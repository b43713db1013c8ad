"""TLS on our transports, by asyncio's own protocol for it."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """One side of TLS; `context` None asks for the default one. Timeouts are in seconds."""

    context: ssl.SSLContext | None
    server_side: bool
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None

    def wrap(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
    ) -> SSLProtocol:
        """Puts TLS in front of `protocol`; `waiter` is resolved when the handshake is over."""
        return SSLProtocol(
            loop,
            protocol,
            self.context,  # type: ignore[arg-type] # None is its own default
            waiter,  # type: ignore[arg-type]
            self.server_side,
            self.server_hostname,
            ssl_handshake_timeout=self.handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=self.shutdown_timeout,
        )


def server_tls(
    context: ssl.SSLContext | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> TlsSettings | None:
    """TLS for a server; None without a context. Raises TypeError or ValueError as asyncio does."""
    if context is None:
        _refuse_timeouts(handshake_timeout, shutdown_timeout)
        return None
    if not isinstance(context, ssl.SSLContext):
        raise TypeError("ssl argument must be an SSLContext or None")
    return TlsSettings(context, True, None, handshake_timeout, shutdown_timeout)


def client_tls(
    context: ssl.SSLContext | bool | None,
    host: str | None,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> TlsSettings | None:
    """TLS for a client; None without a context. The name to check is `host` unless given."""
    if not context:
        if server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        _refuse_timeouts(handshake_timeout, shutdown_timeout)
        return None
    if not isinstance(context, bool | ssl.SSLContext):
        raise TypeError("ssl argument must be an SSLContext, a bool or None")
    if server_hostname is None:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    chosen = None if isinstance(context, bool) else context
    return TlsSettings(chosen, False, server_hostname, handshake_timeout, shutdown_timeout)


def _refuse_timeouts(handshake: float | None, shutdown: float | None) -> None:
    if handshake is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")
