"""HTTP servers for tests: on loopback with real clients, and on a transport that is a list."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import h11

from stack.http.certificate import Certificate, make_certificate
from stack.http.demo import app as demo_app
from stack.http.limits import Limits
from stack.http.server import HttpProtocol, HttpServer
from stack.run.virtual import VirtualLoop

T = TypeVar("T")

# What the server says in its Date field.
EPOCH = 784_111_777.0
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"

PACKAGES = {
    "curl": "curl",
    "nghttp": "nghttp2-client",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
}


class LoopHost:
    """The running loop as a host; `opened` has what it connected."""

    async def create_server(self, factory, address, port, *, ssl=None):
        return await asyncio.get_running_loop().create_server(factory, address, port, ssl=ssl)

    async def create_connection(self, factory, address, port, *, ssl=None, server_hostname=None):
        return await asyncio.get_running_loop().create_connection(
            factory, address, port, ssl=ssl, server_hostname=server_hostname
        )

    async def open_connection(self, address, port, *, local_addr=None):
        return await asyncio.open_connection(address, port, local_addr=local_addr)


@dataclass
class Served:
    """A server on 127.0.0.1, and how to reach it."""

    server: HttpServer
    http_port: int
    https_port: int
    certificate: Certificate
    host: LoopHost = field(default_factory=LoopHost)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.https_port}"


@asynccontextmanager
async def serving(app: Any = demo_app, **options: Any) -> AsyncIterator[Served]:
    """Serves `app` on two free ports of 127.0.0.1."""
    certificate = make_certificate(["localhost", "127.0.0.1", "::1"])
    server = HttpServer(LoopHost(), app, certificate=certificate, **options)
    await server.start([0], [0], ["127.0.0.1"])
    ports = [listener.sockets[0].getsockname()[1] for listener in server.listeners]
    try:
        yield Served(server, ports[0], ports[1], certificate)
    finally:
        await server.close(1.0)


def run(main: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """Runs a coroutine in real time; no task may be left over."""

    async def inside() -> T:
        result = await asyncio.wait_for(main(), seconds)
        await _settle()
        return result

    with asyncio.Runner() as runner:
        return runner.run(inside())


def run_virtual(main: Callable[[], Awaitable[T]]) -> T:
    """Runs a coroutine in virtual time; no task may be left over."""

    async def inside() -> T:
        result = await main()
        await _settle()
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(inside())


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left over: {left}"


@dataclass
class Result:
    """What a command did."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")


async def tool(*argv: str, stdin: bytes | None = None, seconds: float = 40) -> Result:
    """Runs a command beside the server; one that is not installed is a failure."""
    if shutil.which(argv[0]) is None:
        raise AssertionError(f"{argv[0]} is missing: apt-get install {PACKAGES[argv[0]]}")
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), seconds)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Result(process.returncode, out, err.decode("utf-8", "replace"))


async def curl(*argv: str, **options: Any) -> Result:
    """curl, quiet but for errors, its configuration left aside."""
    return await tool("curl", "-q", "-sS", "--noproxy", "*", "-m", "30", *argv, **options)


class FakeTransport(asyncio.Transport):
    """Keeps what is written; `block` makes it as full as a peer that does not read."""

    def __init__(self, *, tls: ssl.SSLObject | None = None) -> None:
        super().__init__({"peername": ("192.0.2.1", 40_000), "sockname": ("192.0.2.2", 80)})
        self.out = bytearray()
        self.protocol: Any = None
        self.reading = True
        self.closed = False
        self.aborted = False
        self.eof = False
        self.unsent = 0
        self.blocked = False
        self.high = 65_536
        self._paused = False

    def connect(self, protocol: asyncio.Protocol) -> "FakeTransport":
        self.protocol = protocol
        protocol.connection_made(self)
        return self

    def feed(self, data: bytes) -> None:
        """Bytes arrive, if anybody reads."""
        assert self.reading, "data for a protocol that paused reading"
        self.protocol.data_received(data)

    def feed_eof(self) -> None:
        if not self.protocol.eof_received():
            self.close()

    def take(self) -> bytes:
        """What was written since the last call."""
        data, self.out = bytes(self.out), bytearray()
        return data

    def block(self) -> None:
        self.blocked = True

    def unblock(self) -> None:
        self.blocked = False
        self.unsent = 0
        if self._paused:
            self._paused = False
            self.protocol.resume_writing()

    # What protocols call.

    def write(self, data) -> None:
        assert not self.eof
        if self.closed:
            return
        self.out += data
        if self.blocked:
            self.unsent += len(data)
            if self.unsent > self.high and not self._paused:
                self._paused = True
                self.protocol.pause_writing()

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            if self.closed:
                return
            self.closed = True
            asyncio.get_running_loop().call_soon(
                self.protocol.connection_lost, ConnectionResetError()
            )


class _NoHost:
    """Connections come from tests only."""


class Wired:
    """A server whose connections are FakeTransports."""

    def __init__(self, app: Any, limits: Limits | None = None, **options: Any) -> None:
        self.records: list[Any] = []
        self.server = HttpServer(
            _NoHost(),  # type: ignore[arg-type]
            app,
            limits=limits,
            clock=lambda: EPOCH,
            access_log=self.records.append,
            **options,
        )

    def connect(self, *, secure: bool = False) -> FakeTransport:
        return FakeTransport().connect(HttpProtocol(self.server, secure=secure))

    async def __aenter__(self) -> "Wired":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close(0)


async def settle(turns: int = 12) -> None:
    """Lets everything that is ready happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


def respond(body: bytes = b"", status: int = 200, headers: Any = ()) -> Any:
    """An application that always gives this response, and does not read."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


async def read_body(receive) -> bytes:
    """The whole body of a request."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def path_app(scope, receive, send):
    """Answers with the path, the method and the body."""
    body = await read_body(receive)
    text = scope["method"].encode() + b" " + scope["path"].encode() + b" " + body
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def responses(data: bytes, *methods: bytes) -> list[tuple[h11.Response, bytes]]:
    """What a client that sent these requests makes of `data`: all final responses."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    found = []
    for method in methods or (b"GET",):
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        head, body = None, b""
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), event
        found.append((head, body))
        if client.our_state is h11.DONE:
            client.start_next_cycle()
    assert client.trailing_data[0] == b"", "more than the responses was sent"
    return found


def header(response: h11.Response, name: bytes) -> bytes | None:
    return dict(response.headers).get(name)


def raw_exchange(app, data: bytes, *, limits: Limits | None = None) -> tuple[bytes, bool]:
    """The bytes that answer `data`, and whether the server then closed its side."""

    async def main():
        async with Wired(app, limits) as wired:
            wire = wired.connect()
            wire.feed(data)
            await settle(30)
            return wire.take(), wire.closed or wire.eof

    return run_virtual(main)


def exchange(app, data: bytes, *methods: bytes, limits: Limits | None = None):
    """The responses to `data`, and whether the server then closed its side."""
    out, closed = raw_exchange(app, data, limits=limits)
    return responses(out, *methods), closed
