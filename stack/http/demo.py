"""The ASGI application that answers when nobody brings one of his own."""

import asyncio
import base64
import hashlib
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from stack.http.asgi import Message, Receive, Scope, Send
from stack.http.message import Headers, content_length, field

# What /bytes serves: byte i is PATTERN[i % len(PATTERN)], with PATTERN the first 65,521 bytes
# of SHAKE-128 of "tunstack". The length is prime, so that bytes which got lost, doubled or
# swapped in pieces of any common size are never hidden by the repetition.
PATTERN = hashlib.shake_128(b"tunstack").digest(65_521)
BLOCK = 262_144
_SOURCE = PATTERN * (BLOCK // len(PATTERN) + 2)

_SIZE = re.compile(r"(\d{1,15})([kMGT]?)")
_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")

LONGEST_WAIT = 3600.0
MOST_CHUNKS = 100_000

PATHS = """\
/                            who you are, who we are, and how we speak
/bytes/N                     N bytes (1000, 64k, 200M, 1G: powers of 1024), with Range
/echo                        the body of your request
/sha256                      the SHA-256 of the body of your request
/slow?seconds=S              an answer after S seconds
/stream?count=N&interval=S   N lines, one every S seconds
/around                      what stands around a response: a hint, a page pushed ahead, a trailer
"""

TEXT = (b"content-type", b"text/plain; charset=utf-8")


class BadParameter(Exception):
    """What a client asked for cannot be; the message is one line that says what could."""


def content(start: int, stop: int) -> Iterator[bytes]:
    """The bytes start to stop (not included) of what /bytes serves, in blocks."""
    while start < stop:
        offset = start % len(PATTERN)
        size = min(BLOCK, stop - start)
        yield _SOURCE[offset : offset + size]
        start += size


def parse_size(text: str) -> int:
    """A number of bytes: digits and perhaps k, M, G or T for powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadParameter(f"{text!r} is no number of bytes; write 1000, 64k, 200M or 1G")
    return int(match[1]) * _UNITS[match[2]]


def parse_range(value: bytes, size: int) -> tuple[int, int] | None:
    """A Range field as (start, stop), None when it is to be ignored (RFC 9110 §14.2).

    Start is not below `size` when the range cannot be satisfied. Several ranges are ignored,
    as a server may.
    """
    match = _RANGE.fullmatch(value.replace(b" ", b""))
    if match is None or match[0] == b"bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3: http and lifespan."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    route = _route(scope["path"])
    if route is None:
        text = f"404 Not Found: there is no {scope['path']!r} here, but there are\n\n{PATHS}"
        await _text(send, 404, text)
        return
    methods, answer = route
    if scope["method"] not in methods:
        allow = ", ".join(methods)
        text = f"405 Method Not Allowed: {scope['path']} takes {allow}\n"
        await _text(send, 405, text, (b"allow", allow.encode()))
        return
    try:
        await answer(scope, receive, send)
    except BadParameter as error:
        await _text(send, 400, f"400 Bad Request: {error}\n")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


# ---- the pages


async def _greeting(scope: Scope, _receive: Receive, send: Send) -> None:
    """Who speaks with whom, over what."""
    info: dict[str, Any] = scope["extensions"].get("tunstack", {})
    client, server = scope["client"] or ("unknown", 0), scope["server"] or ("unknown", 0)
    text = (
        "Hello from tunstack!\n"
        "\n"
        f"protocol    {protocol_name(scope['http_version'], info)}\n"
        f"your side   {client[0]} port {client[1]}\n"
        f"this side   {server[0]} port {server[1]}\n"
        f"connection  {info.get('connection', 'unknown')}\n"
        "\n"
        "What there is:\n"
        f"{PATHS}"
    )
    await _text(send, 200, text)


def protocol_name(http_version: str, info: dict[str, Any]) -> str:
    """For people: `HTTP/2 over TLS 1.3 (…)`, `HTTP/2 without TLS (h2c by upgrade)`, …"""
    name = f"HTTP/{http_version}"
    if info.get("tls"):
        version = info["tls"].replace("TLSv", "TLS ")
        alpn = f"ALPN {info['alpn']}" if info["alpn"] else "no ALPN"
        return f"{name} over {version} ({alpn}, {info['cipher']})"
    if info.get("h2c"):
        return f"{name} without TLS (h2c by {info['h2c']})"
    return name


async def _bytes(scope: Scope, _receive: Receive, send: Send) -> None:
    size = parse_size(scope["path"].removeprefix("/bytes/"))
    wanted = field(scope["headers"], b"range")
    # With another validator the whole is due (RFC 9110 §13.1.5).
    if scope["method"] != "GET" or field(scope["headers"], b"if-range") not in {None, _tag(size)}:
        wanted = None
    part = parse_range(wanted, size) if wanted is not None else None
    if part is None:
        await _send_bytes(scope, send, 200, 0, size, [(b"etag", _tag(size))])
        return
    start, stop = part
    if start >= size:
        text = f"416 Range Not Satisfiable: there are {size} bytes\n"
        await _text(send, 416, text, (b"content-range", b"bytes */%d" % size))
        return
    place = (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size))
    await _send_bytes(scope, send, 206, start, stop, [place, (b"etag", _tag(size))])


def _tag(size: int) -> bytes:
    """What so many bytes are never changes."""
    return b'"tunstack-%d"' % size


async def _send_bytes(
    scope: Scope, send: Send, status: int, start: int, stop: int, extra: Headers
) -> None:
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % (stop - start)),
        (b"accept-ranges", b"bytes"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if scope["method"] != "HEAD":
        for block in content(start, stop):
            await _part(send, block)
    await _part(send, b"", more=False)


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends each part of the body back as soon as it is here."""
    kind = field(scope["headers"], b"content-type") or b"application/octet-stream"
    headers = [(b"content-type", kind)]
    length = content_length(scope["headers"])
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await _part(send, message["body"], more=more)


async def _sha256(_scope: Scope, receive: Receive, send: Send) -> None:
    digest = hashlib.sha256()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message["body"])
        more = message["more_body"]
    await _text(send, 200, digest.hexdigest() + "\n")


async def _slow(scope: Scope, _receive: Receive, send: Send) -> None:
    seconds = _number(_parameters(scope, "seconds"), "seconds", 1.0, LONGEST_WAIT)
    await asyncio.sleep(seconds)
    await _text(send, 200, f"This took {seconds:g} seconds.\n")


async def _stream(scope: Scope, _receive: Receive, send: Send) -> None:
    parameters = _parameters(scope, "count", "interval")
    count = _number(parameters, "count", 10, MOST_CHUNKS)
    interval = _number(parameters, "interval", 0.5, LONGEST_WAIT)
    if count != int(count):
        raise BadParameter(f"count={parameters['count']} is no whole number")
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for number in range(1, int(count) + 1):
        if number > 1:
            await asyncio.sleep(interval)
        await _part(send, b"line %d of %d\n" % (number, count))
    await _part(send, b"", more=False)


async def _around(scope: Scope, _receive: Receive, send: Send) -> None:
    """As much of it as this connection can have: a push takes HTTP/2 and a willing client."""
    offered = scope["extensions"]
    if "http.response.early_hint" in offered:
        links = [b"</bytes/1000>; rel=preload; as=fetch"]
        await send({"type": "http.response.early_hint", "links": links})
    if "http.response.push" in offered:
        await send({"type": "http.response.push", "path": "/bytes/1000", "headers": []})
    body = b"A hint came before this, and its digest comes behind it.\n"
    trailers = "http.response.trailers" in offered
    headers = [TEXT, (b"trailer", b"content-digest")] if trailers else [TEXT]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    await send({**start, "trailers": trailers})
    await _part(send, body, more=False)
    if trailers:
        digest = b"sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()) + b":"  # RFC 9530
        await send({"type": "http.response.trailers", "headers": [(b"content-digest", digest)]})


# ---- what the pages have in common

READ = ("GET", "HEAD")
ANY = ("GET", "HEAD", "POST", "PUT", "PATCH")
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]
_ROUTES: dict[str, tuple[tuple[str, ...], Answer]] = {
    "/": (READ, _greeting),
    "/echo": (ANY, _echo),
    "/sha256": (("POST", "PUT"), _sha256),
    "/slow": (READ, _slow),
    "/stream": (READ, _stream),
    "/around": (READ, _around),
}


def _route(path: str) -> tuple[tuple[str, ...], Answer] | None:
    if path.startswith("/bytes/"):
        return READ, _bytes
    return _ROUTES.get(path)


def _parameters(scope: Scope, *known: str) -> dict[str, str]:
    query = scope["query_string"].decode("latin-1")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    for name in parameters:
        if name not in known:
            raise BadParameter(f"there is no parameter {name!r} here, only {' and '.join(known)}")
    return parameters


def _number(parameters: dict[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(parameters.get(name, default))
    except ValueError:
        raise BadParameter(f"{name}={parameters[name]!r} is no number") from None
    if not (math.isfinite(value) and 0 <= value <= most):
        raise BadParameter(f"{name}={parameters[name]} is not between 0 and {most:g}")
    return value


async def _part(send: Send, body: bytes, *, more: bool = True) -> None:
    message: Message = {"type": "http.response.body", "body": body, "more_body": more}
    await send(message)


async def _text(send: Send, status: int, text: str, *extra: tuple[bytes, bytes]) -> None:
    body = text.encode()
    headers = [TEXT, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _part(send, body, more=False)
