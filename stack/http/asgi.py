"""ASGI 3: the types, the scope of a request, and the lifespan of an application.

Specification: ASGI 3.0, HTTP 2.4 ("send" raises OSError once the peer is gone), lifespan 2.0.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from stack.errors import UsageError
from stack.http.message import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class ClientGone(OSError):
    """What `send` raises to an application whose peer closed or reset."""


def http_scope(
    http_version: str,
    method: bytes,
    path: bytes,
    headers: Headers,
    *,
    scheme: str,
    client: tuple[str, int],
    server: tuple[str, int],
    state: dict[str, Any],
    info: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
) -> Scope:
    """The scope of a request; `path` as on the wire, with its query."""
    raw_path, _, query = path.partition(b"?")
    return {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": http_version,
        "method": method.decode("ascii", "replace"),
        "scheme": scheme,
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": client,
        "server": server,
        "state": state.copy(),
        "extensions": {"tunstack": info, **(extensions or {})},
    }


class Lifespan:
    """An application's start and end, for applications that want to know of them."""

    def __init__(self, app: Application, state: dict[str, Any]) -> None:
        self._app = app
        self._scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": state,
        }
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises UsageError when the application says that it cannot start."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        reply = await self._ask("lifespan.startup")
        if reply is not None and reply["type"] == "lifespan.startup.failed":
            await self._stop()
            reason = reply.get("message") or "it gave no reason"
            raise UsageError(f"the application failed to start: {reason}")

    async def shutdown(self) -> None:
        """Tells the application; what goes wrong in it then is logged only."""
        if self._task is None:
            return
        if not self._task.done():
            reply = await self._ask("lifespan.shutdown")
            if reply is not None and reply["type"] == "lifespan.shutdown.failed":
                logger.error("the application failed to stop: %s", reply.get("message", ""))
        await self._stop()

    async def _ask(self, kind: str) -> Message | None:
        self._inbox.put_nowait({"type": kind})
        return await self._outbox.get()

    async def _stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._inbox.get, self._outbox.put)
        except Exception:
            # Applications without lifespan raise for the unknown scope: they run without it.
            logger.debug("the application has no lifespan", exc_info=True)
        finally:
            self._outbox.put_nowait(None)
