"""Messages that two readers could frame differently are refused, and nothing behind them is read."""

import pytest

from stack.http.limits import Limits
from tests.support.http_world import path_app, raw_exchange

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(*fields: bytes, body: bytes = b"", host: bytes = b"Host: x\r\n") -> bytes:
    return b"POST /x HTTP/1.1\r\n" + host + b"".join(fields) + b"\r\n" + body


REFUSED = {
    # RFC 9112 §6.1, §6.3: one message, one length
    "length and chunks": ("6.3", post(b"Content-Length: 5\r\n", CHUNKED, body=b"0\r\n\r\n")),
    "chunks and length": ("6.3", post(CHUNKED, b"Content-Length: 5\r\n", body=b"0\r\n\r\n")),
    "two lengths": ("6.3", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", body=b"hello")),
    "two lengths in one": ("6.3", post(b"Content-Length: 5, 6\r\n", body=b"hello")),
    "length with sign": ("6.3", post(b"Content-Length: +5\r\n", body=b"hello")),
    "negative length": ("6.3", post(b"Content-Length: -1\r\n")),
    "hexadecimal length": ("6.3", post(b"Content-Length: 0x5\r\n", body=b"hello")),
    "length with underscore": ("6.3", post(b"Content-Length: 1_0\r\n", body=b"hello")),
    "length in other digits": ("6.3", post("Content-Length: ٥\r\n".encode(), body=b"hello")),
    "empty length": ("6.3", post(b"Content-Length: \r\n")),
    "identity": ("6.1", post(b"Transfer-Encoding: identity\r\n")),
    "not quite chunked": ("6.1", post(b"Transfer-Encoding: xchunked\r\n", body=b"0\r\n\r\n")),
    "chunked and more": ("6.1", post(b"Transfer-Encoding: chunked, gzip\r\n")),
    "chunked twice": ("6.1", post(b"Transfer-Encoding: chunked, chunked\r\n")),
    "chunked on two lines": ("6.1", post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "vertical tab": ("6.1", post(b"Transfer-Encoding: \x0bchunked\r\n", body=b"0\r\n\r\n")),
    "chunks in 1.0": (
        "6.1",
        b"POST /x HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    ),
    # RFC 9112 §5: field lines
    "space before colon": ("5.1", post(b"Content-Length : 5\r\n", body=b"hello")),
    "space before name": ("2.2", b"POST /x HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n"),
    "folded value": ("5.2", post(b"X: a\r\n b\r\n")),
    "folded length": ("5.2", post(b"X: a\r\n\tContent-Length: 5\r\n", body=b"hello")),
    "no colon": ("5", post(b"Nothing\r\n")),
    "no name": ("5", post(b": value\r\n")),
    "odd name": ("5", post(b"Content-Length\x00: 5\r\n", body=b"hello")),
    "bare CR in value": ("2.2", post(b"X: a\rContent-Length: 5\r\n", body=b"hello")),
    "bare CR ends a line": ("2.2", post(b"X: a\rY: b\r\n")),
    "bare LF ends a line": ("2.2", post(b"X: a\nContent-Length: 5\r\n", body=b"hello")),
    "bare LF ends the section": ("2.2", b"POST /x HTTP/1.1\r\nHost: x\n\n"),
    "NUL in value": ("5.5", post(b"X: a\x00b\r\n")),
    # RFC 9112 §3: the request line and Host
    "no host": ("3.2", post(host=b"")),
    "two hosts": ("3.2", post(b"Host: y\r\n")),
    "bad host": ("3.2", post(host=b"Host: a/b\r\n")),
    "two spaces": ("3", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "tab for space": ("3", b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space in target": ("3.2", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space behind the version": ("3", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    "version of two digits": ("2.3", b"GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    "no version": ("3", b"GET /\r\nHost: x\r\n\r\n"),
    "lower case": ("2.3", b"GET / http/1.1\r\nHost: x\r\n\r\n"),
}

BROKEN_CHUNKS = {
    "prefixed size": b"0x3\r\nabc\r\n0\r\n\r\n",
    "signed size": b"+3\r\nabc\r\n0\r\n\r\n",
    "negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "endless size": b"0" * 30 + b"3\r\nabc\r\n0\r\n\r\n",
    "huge size": b"f" * 21 + b"\r\nabc\r\n0\r\n\r\n",
    "data longer than said": b"3\r\nabcd\r\n0\r\n\r\n",
    "two bytes that are no line end": b"3\r\nabcXX0\r\n\r\n",
    "bare LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "bare LF behind the data": b"3\r\nabc\n0\r\n\r\n",
    "bare CR behind the size": b"3\rabc\r\n0\r\n\r\n",
    "bare LF in the extension": b"3;x\nabc\r\n0\r\n\r\n",
    "trailer without colon": b"0\r\nnothing\r\n\r\n",
}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(message, id=name, marks=pytest.mark.rfc("9112", section))
        for name, (section, message) in REFUSED.items()
    ],
)
def test_what_could_be_framed_in_two_ways_is_refused_and_ends_the_connection(message):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])
        await path_app(scope, receive, send)

    out, closed = raw_exchange(app, message + SMUGGLED)
    assert out.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 505 "))
    assert out.count(b"\r\nserver: ") == 1
    assert closed
    assert seen == []


@pytest.mark.rfc("9112", "7.1")
@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_chunks_that_are_none_end_the_connection(body):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await path_app(scope, receive, send)

    out, closed = raw_exchange(app, post(CHUNKED, body=body) + SMUGGLED)
    assert "/smuggled" not in seen
    assert b"200 OK" not in out
    assert closed


@pytest.mark.rfc("9112", "7.1.1")
@pytest.mark.parametrize(
    "body",
    [b"3\r\nabc\r\n0\r\n\r\n", b"003;ext=1\r\nabc\r\n0;x\r\nA: b\r\n\r\n", b"0\r\n\r\n"],
)
def test_chunks_as_they_should_be_are_a_body(body):
    out, closed = raw_exchange(path_app, post(CHUNKED, body=body) + SMUGGLED)
    assert out.count(b"HTTP/1.1 200 ") == 2
    assert not closed


@pytest.mark.rfc("9112", "7.1.2")
def test_trailers_change_nothing_about_the_message():
    trailers = b"0\r\nContent-Length: 99\r\nHost: y\r\n\r\n"
    out, _ = raw_exchange(path_app, post(CHUNKED, body=trailers) + SMUGGLED)
    assert out.count(b"HTTP/1.1 200 ") == 2


def test_a_header_section_without_end_is_refused_when_it_is_too_long():
    endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 20_000
    out, closed = raw_exchange(path_app, endless, limits=Limits(header_bytes=10_000))
    assert out.startswith(b"HTTP/1.1 431 ")
    assert closed
