"""One request and its response, between a connection and the application."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Any

from stack.http.asgi import ClientGone, Message, Scope
from stack.http.message import (
    Headers,
    checked_field,
    content_length,
    field,
    reason_phrase,
    response_headers,
)
from stack.http.service import AccessRecord
from stack.http.session import Session

logger = logging.getLogger(__name__)

EXTENSIONS: dict[str, Any] = {"http.response.trailers": {}, "http.response.early_hint": {}}
"""What ASGI applications are offered in HTTP/1.1 and HTTP/2 alike."""


class Exchange(ABC):
    """A request and its response, between a connection and the application.

    The connection feeds the request's body in and is asked to write the response; which
    message is allowed when is checked here, once for both versions of HTTP.
    """

    def __init__(self, session: Session, scope: Scope) -> None:
        self.session = session
        self.running = session.service.running
        self.scope = scope
        self.began = session.loop.time()
        self.status = 0
        self.sent = 0  # bytes of body handed to the connection
        self.complete = False  # the application has given the whole response
        self.gone = False  # the peer has closed, or reset the stream
        self.waiting = 0  # flow-controlled bytes of body that the application has not taken
        self.trailing = False  # the application will send trailers behind the body
        self._head: tuple[int, Headers] | None = None
        self._trailers: Headers = []
        self._body_given = False  # trailers are all that is missing
        self._request_trailers: Headers = []
        self._begun = False
        self.failed = False  # the application ended with an error
        self._method: str = scope.get("method", "GET")
        self._bodiless = self._method == "HEAD"
        self._left: int | None = None  # of the declared content-length
        self._chunks: list[bytes] = []
        self._body_ended = False
        self._body_taken = False
        self.heard = self.began  # when the body last moved, or was first wanted
        self._receiving = 0  # calls of `receive` that wait
        self._sending = False  # `send` waits
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cancellation: asyncio.TimerHandle | None = None

    # ---- what a version of HTTP supplies

    @abstractmethod
    def _write_head(self, status: int, headers: Headers, body: bytes, *, end: bool) -> None:
        """Sends the header section and the first part of the body; `end`: there is no more."""

    @abstractmethod
    def _write_body(self, body: bytes, *, end: bool) -> None:
        """Sends more of the body."""

    @abstractmethod
    def _write_trailers(self, headers: Headers) -> None:
        """Ends the response with trailer fields (RFC 9110 §6.5)."""

    @abstractmethod
    def _write_informational(self, status: int, headers: Headers) -> None:
        """Sends a response of the 100 class ahead of the final one."""

    @abstractmethod
    def _push(self, path: bytes, headers: Headers) -> None:
        """Answers a request that the peer has not made, when it takes such answers."""

    @abstractmethod
    def _crowded(self) -> bool:
        """Whether the application must wait before it sends more."""

    @abstractmethod
    async def _drain(self) -> None:
        """Waits until more of the body may come."""

    @abstractmethod
    def _cut(self) -> None:
        """Ends a response that cannot be completed so that the peer notices."""

    @abstractmethod
    def _body_consumed(self, size: int) -> None:
        """The application took `size` flow-controlled bytes of the request's body."""

    @abstractmethod
    def _body_wanted(self) -> None:
        """The application waits for the request's body."""

    # ---- for the connection

    def start(self) -> None:
        """Runs the application."""
        self.session.service.counters["http_requests"] += 1
        self._task = self.running.spawn(self._run())

    def feed(self, data: bytes, size: int) -> None:
        """More of the request's body, which counts as `size` bytes in flow control."""
        if data:
            self._chunks.append(data)
        self.heard = self.session.loop.time()
        self.waiting += size
        self._changed.set()

    def feed_end(self, trailers: Headers | None = None) -> None:
        """The request's body is whole; `trailers` came behind it."""
        self._body_ended = True
        if trailers:
            self._request_trailers = trailers
        self._changed.set()

    @property
    def body_ended(self) -> bool:
        """Whether the request has arrived whole."""
        return self._body_ended

    @property
    def starving(self) -> bool:
        """Whether the application waits for a body of which nothing came for too long."""
        return (
            self._receiving > 0
            and not self._body_ended
            and not self.complete
            and self.session.loop.time() - self.heard >= self.session.limits.body_timeout
        )

    @property
    def begun(self) -> bool:
        """Whether some of the response was sent."""
        return self._begun

    def disconnect(self) -> None:
        """The peer will not see (the rest of) the response.

        An application that waits in `receive` or `send` learns it there and gets time to
        end by itself; another one is cancelled. One that has given its whole response may
        go on with what it has left to do.
        """
        if self.gone:
            return
        self.gone = True
        listening = self._listens()
        self._changed.set()
        if self.complete or self._task is None or self._task.done():
            return
        if listening:
            grace = self.session.limits.disconnect_grace
            self._cancellation = self.session.loop.call_later(grace, self._task.cancel)
        else:
            self._task.cancel()

    def _listens(self) -> bool:
        """Whether the application learns by itself that the peer is gone."""
        return self._receiving > 0 or self._sending

    # ---- for the application

    async def receive(self) -> Message:
        """The next part of the body, or `http.disconnect` once there is nothing to answer."""
        self._receiving += 1
        try:
            while True:
                if self.gone or self.complete:
                    return {"type": "http.disconnect"}
                if self._chunks or (self._body_ended and not self._body_taken):
                    return self._take_body()
                if not self._body_ended:
                    if self._receiving == 1:
                        self.heard = self.session.loop.time()
                    self._body_wanted()
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._receiving -= 1

    def _take_body(self) -> Message:
        chunks, self._chunks = self._chunks, []
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        size, self.waiting = self.waiting, 0
        self._body_taken = self._body_ended
        if size:
            self._body_consumed(size)
        message: Message = {
            "type": "http.request",
            "body": body,
            "more_body": not self._body_ended,
        }
        if self._body_ended and self._request_trailers:
            message["trailers"] = self._request_trailers
        return message

    async def send(self, message: Message) -> None:
        """Takes `http.response.start`, then `http.response.body` until one without more.

        Raises ClientGone when the peer is gone, and RuntimeError or ValueError for a message
        that is wrong or comes at the wrong time.
        """
        if self.gone:
            raise ClientGone("the client is gone")
        kind = message["type"]
        if kind == "http.response.start":
            self._on_start(message)
        elif kind == "http.response.body":
            self._on_body(message)
            if not self.complete and self._crowded():
                await self._wait_for_room()
        elif kind in self.scope["extensions"]:
            self._on_extension(kind, message)
        else:
            raise RuntimeError(f"unexpected message {kind!r}")

    def _on_extension(self, kind: str, message: Message) -> None:
        if kind == "http.response.trailers":
            self._on_trailers(message)
        elif kind == "http.response.early_hint":
            if self._begun:
                raise RuntimeError("early hints come before the response")
            links = [checked_field((b"link", link)) for link in message.get("links", ())]
            self._write_informational(103, links)
        elif kind == "http.response.push":
            fields = response_headers(message.get("headers", ()))
            self._push(message["path"].encode(), fields)
        else:
            raise RuntimeError(f"unexpected message {kind!r}")

    def _on_trailers(self, message: Message) -> None:
        """Trailers may come in several messages, behind the whole body."""
        if not self.trailing:
            raise RuntimeError("http.response.start did not announce trailers")
        if self.complete or not self._body_given:
            raise RuntimeError("trailers come once, behind the body")
        self._trailers += response_headers(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self._finish_if(True)
            self._write_trailers(self._trailers)
            self._log()

    async def _wait_for_room(self) -> None:
        self._sending = True
        try:
            await self._drain()
        finally:
            self._sending = False
        if self.gone:
            raise ClientGone("the client is gone")

    def _on_start(self, message: Message) -> None:
        if self._head is not None:
            raise RuntimeError("the response has started already")
        status = message["status"]
        if not 200 <= status <= 999:
            raise RuntimeError(f"{status} is not the status of a final response")
        headers = response_headers(message.get("headers", ()))
        if status in {204, 304}:
            self._bodiless = True
        if status == 204:
            # RFC 9110 §8.6: no Content-Length in a 204.
            headers = [item for item in headers if item[0] != b"content-length"]
        self._left = None if self._bodiless else content_length(headers)
        self._head = status, headers
        self.trailing = bool(message.get("trailers", False))

    def _on_body(self, message: Message) -> None:
        if self._head is None:
            raise RuntimeError("http.response.body before http.response.start")
        if self.complete or self._body_given:
            raise RuntimeError("the response is complete already")
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = bytes(body)
        end = not message.get("more_body", False)
        if end and self.trailing:
            self._hold_to_length(len(body))
            self._body_given = True
            end = False
        if not self._begun:
            self._begin(body, end=end)
            return
        if self._bodiless:
            body = b""
        self._count(body, end=end)
        self._finish_if(end)
        if body or end:
            self._write_body(body, end=end)
        if end:
            self._log()

    def _begin(self, body: bytes, *, end: bool) -> None:
        assert self._head is not None
        status, headers = self._head
        if self._bodiless:
            declared = content_length(headers)
            if end and body and declared is None and status not in {204, 304}:
                # What a GET would have got (RFC 9110 §9.3.2).
                headers.append((b"content-length", b"%d" % len(body)))
            body = b""
        elif end and self._left is None:
            self._left = len(body)
            headers.append((b"content-length", b"%d" % len(body)))
        self._count(body, end=end)
        self.session.service.add_own_headers(headers)
        self._begun = True
        self.status = status
        self._finish_if(end)
        self._write_head(status, headers, body, end=end)
        if end:
            self._log()

    def _count(self, body: bytes, *, end: bool) -> None:
        """Holds the body to its declared length: peers take it by that (RFC 9112 §6.3)."""
        if self._left is not None:
            if len(body) > self._left:
                raise RuntimeError("the body is longer than the response's content-length")
            if end:
                self._hold_to_length(len(body))
            self._left -= len(body)
        self.sent += len(body)

    def _hold_to_length(self, size: int) -> None:
        if self._left is not None and size < self._left:
            raise RuntimeError("the body is shorter than the response's content-length")

    def _finish_if(self, end: bool) -> None:
        if end:
            self.complete = True
            self._changed.set()

    async def _run(self) -> None:
        try:
            await self.running.app(self.scope, self.receive, self.send)
        except (Exception, SystemExit) as error:
            self.failed = True
            if not self.gone:
                logger.exception("error in the application at %s", self._name())
            elif not isinstance(error, ClientGone):
                logger.debug("error in the application after the client was gone", exc_info=True)
        else:
            if not (self.complete or self.gone):
                logger.error("the application did not complete its response at %s", self._name())
        finally:
            if self._cancellation is not None:
                self._cancellation.cancel()
            self._end()

    def _end(self) -> None:
        """The application is done; what it left undone becomes an error for the peer."""
        if self.complete:
            return
        if self.gone:
            self._log()
        elif self._begun:
            self._cut()
            self._log()
        else:
            self.answer(500, "the application failed")

    def answer(self, status: int, text: str) -> None:
        """Responds with an error of the server's own: one line of text."""
        body = b"%d %s: %s\n" % (status, reason_phrase(status), text.encode())
        self._head = status, [(b"content-type", b"text/plain; charset=utf-8")]
        self._bodiless = self._method == "HEAD"
        self._left = None
        self.trailing = False
        self._begin(body, end=True)

    def _name(self) -> str:
        return f"{self._method} {self.scope['path']}"

    def _log(self) -> None:
        if self.session.service.access_log is not None:
            scope = self.scope
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            self.session.service.log(
                AccessRecord(
                    connection=self.session.number,
                    client=self.session.client,
                    http_version=scope["http_version"],
                    method=self._method,
                    target=scope["raw_path"].decode("latin-1") + query,
                    status=self.status,
                    sent=self.sent,
                    duration=self.session.loop.time() - self.began,
                    complete=self.complete and not self.gone,
                    referer=_text(scope, b"referer"),
                    agent=_text(scope, b"user-agent"),
                )
            )


def _text(scope: Scope, name: bytes) -> str:
    return (field(scope["headers"], name) or b"").decode("latin-1")
