"""The demo application, asked directly."""

import hashlib

import pytest

from stack.http.asgi import http_scope
from stack.http.demo import PATTERN, app, content, parse_range, parse_size, protocol_name
from tests.support.http_world import run_virtual


def ask(target, *, method="GET", headers=(), body=(b"",), info=None, http_version="1.1"):
    """(status, headers, body) of one request."""
    parts = list(body)
    sent = []

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    scope = http_scope(
        http_version,
        method.encode(),
        target.encode(),
        list(headers),
        scheme="http",
        client=("192.0.2.1", 40_312),
        server=("192.0.2.2", 80),
        state={},
        info=info or {},
    )

    async def main():
        await app(scope, receive, send)

    run_virtual(main)
    start, *rest = sent
    assert not rest[-1].get("more_body")
    return start["status"], dict(start["headers"]), b"".join(m.get("body", b"") for m in rest)


def pattern(start, stop):
    return bytes(PATTERN[i % len(PATTERN)] for i in range(start, stop))


def test_the_greeting_names_protocol_peer_and_connection():
    info = {"connection": 7, "tls": None, "cipher": None, "alpn": None, "h2c": None}
    status, headers, body = ask("/", info=info)
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain")
    text = body.decode()
    for part in ("HTTP/1.1", "192.0.2.1 port 40312", "192.0.2.2 port 80", "connection  7"):
        assert part in text


@pytest.mark.parametrize(
    ("version", "info", "name"),
    [
        ("1.1", {}, "HTTP/1.1"),
        ("2", {"h2c": "upgrade"}, "HTTP/2 without TLS (h2c by upgrade)"),
        ("2", {"h2c": "prior knowledge"}, "HTTP/2 without TLS (h2c by prior knowledge)"),
        (
            "2",
            {"tls": "TLSv1.3", "alpn": "h2", "cipher": "TLS_X"},
            "HTTP/2 over TLS 1.3 (ALPN h2, TLS_X)",
        ),
        (
            "1.1",
            {"tls": "TLSv1.2", "alpn": None, "cipher": "Y"},
            "HTTP/1.1 over TLS 1.2 (no ALPN, Y)",
        ),
    ],
)
def test_protocols_have_names_for_people(version, info, name):
    assert protocol_name(version, info) == name


def test_bytes_are_the_documented_ones():
    assert hashlib.shake_128(b"tunstack").digest(len(PATTERN)) == PATTERN
    status, headers, body = ask("/bytes/200000")
    assert status == 200
    assert headers[b"content-length"] == b"200000"
    assert body == pattern(0, 200_000)
    assert b"".join(content(1_000_000, 1_600_000)) == pattern(1_000_000, 1_600_000)


def test_head_tells_the_size_and_makes_nothing():
    status, headers, body = ask("/bytes/1T", method="HEAD")
    assert (status, headers[b"content-length"], body) == (200, b"%d" % (1 << 40), b"")


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("17", 17), ("2k", 2048), ("3M", 3 << 20), ("1G", 1 << 30)]
)
def test_sizes_have_units(text, size):
    assert parse_size(text) == size


@pytest.mark.rfc("9110", "14.2")
@pytest.mark.parametrize(
    ("value", "part"),
    [
        (b"bytes=0-9", (0, 10)),
        (b"bytes=10-", (10, 100)),
        (b"bytes=-10", (90, 100)),
        (b"bytes=-1000", (0, 100)),
        (b"bytes=5-1000", (5, 100)),
        (b"bytes=100-", (100, 100)),
        (b"bytes=-0", (100, 100)),
        (b"bytes=9-5", None),
        (b"bytes=-", None),
        (b"bytes=0-1,5-6", None),
        (b"lines=0-1", None),
    ],
)
def test_ranges(value, part):
    assert parse_range(value, 100) == part


def test_a_range_is_that_part():
    status, headers, body = ask("/bytes/100", headers=[(b"range", b"bytes=20-29")])
    assert status == 206
    assert headers[b"content-range"] == b"bytes 20-29/100"
    assert body == pattern(20, 30)


def test_a_range_beyond_the_end_is_416():
    status, headers, _ = ask("/bytes/100", headers=[(b"range", b"bytes=100-")])
    assert status == 416
    assert headers[b"content-range"] == b"bytes */100"


@pytest.mark.rfc("9110", "13.1.5")
def test_a_range_of_another_file_brings_the_whole():
    _, headers, _ = ask("/bytes/100")
    for tag, status in ((b'"x"', 200), (headers[b"etag"], 206)):
        fields = [(b"range", b"bytes=20-29"), (b"if-range", tag)]
        assert ask("/bytes/100", headers=fields)[0] == status


def test_echo_and_sha256_take_bodies():
    parts = (b"abc", b"", b"def")
    kind = [(b"content-type", b"text/x"), (b"content-length", b"6")]
    status, headers, body = ask("/echo", method="POST", body=parts, headers=kind)
    assert (status, body) == (200, b"abcdef")
    assert headers[b"content-type"] == b"text/x"
    assert headers[b"content-length"] == b"6"
    _, _, body = ask("/sha256", method="POST", body=parts)
    assert body.decode() == hashlib.sha256(b"abcdef").hexdigest() + "\n"


def test_slow_and_stream_answer_in_virtual_no_time():
    assert ask("/slow?seconds=3000")[2] == b"This took 3000 seconds.\n"
    assert ask("/stream?count=3&interval=5")[2] == b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"


def test_unknown_paths_are_404_with_what_there_is():
    status, _, body = ask("/nothing")
    assert status == 404
    assert b"'/nothing'" in body
    for path in (b"/bytes/N", b"/echo", b"/slow", b"/stream"):
        assert path in body


def test_wrong_methods_are_405():
    status, headers, _ = ask("/", method="DELETE")
    assert status == 405
    assert headers[b"allow"] == b"GET, HEAD"


@pytest.mark.parametrize(
    "target",
    [
        "/bytes/",
        "/bytes/many",
        "/bytes/-1",
        "/bytes/1X",
        "/slow?seconds=soon",
        "/slow?seconds=-1",
        "/slow?seconds=nan",
        "/slow?seconds=1e9",
        "/slow?minutes=1",
        "/stream?count=1.5",
        "/stream?count=1000000",
        "/stream?interval=x",
    ],
)
def test_bad_parameters_are_one_clear_line(target):
    status, _, body = ask(target)
    assert status == 400
    assert body.startswith(b"400 Bad Request: ")
    assert body.count(b"\n") == 1
