"""Frames that break a rule of RFC 9113 or RFC 7541, one by one, and what the server says to each."""

import asyncio

import pytest

from tests.support.raw_http2 import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    PADDED,
    PRIORITY,
    PROTOCOL_ERROR,
    SETTINGS,
    STREAM_CLOSED,
    WITH_PRIORITY,
    Raw,
    fields,
    frame,
    headers,
    reset,
    settings,
    talk,
    window_update,
)

TOP = (1 << 31) - 1


async def patient(scope, receive, send):
    """Answers once it is let go, or never."""
    await asyncio.sleep(1000)


def field(name: str, value: str):
    """A request with one more field."""
    return lambda raw: headers(raw, 1, fields("/", "GET", (name, value)))


def section(*some: tuple[str, str]):
    """A request of these fields alone."""
    return lambda raw: headers(raw, 1, list(some))


def without(name: str):
    return section(*(item for item in fields() if item[0] != name))


def instead(name: str, value: str):
    return section(*((key, value if key == name else old) for key, old in fields()))


METHOD, SCHEME, AUTHORITY, PATH = fields()


def octets(*parts: bytes):
    return lambda raw: b"".join(parts)


def behind(request, *parts: bytes):
    """These frames behind a request on stream 1."""
    return lambda raw: request(raw) + b"".join(parts)


def whole(raw: Raw) -> bytes:
    return raw.request(1)


def begun(raw: Raw) -> bytes:
    return raw.request(1, end=False, method="PUT")


def unfinished(raw: Raw) -> bytes:
    return headers(raw, 1, fields(), END_STREAM)


def trailers(*some: tuple[str, str]):
    return lambda raw: begun(raw) + headers(raw, 1, list(some))


def second_headers(raw: Raw) -> bytes:
    return begun(raw) + headers(raw, 1, [("a", "b")], END_HEADERS)


def lower_stream(raw: Raw) -> bytes:
    return raw.request(5) + raw.request(3)


def raised_twice(raw: Raw) -> bytes:
    return begun(raw) + window_update(1, TOP - 65_535) + settings(s4=65_536)


def huffman(*code: int):
    """A field whose value is this Huffman code."""
    text = bytes((0x40, 1, ord("a"), 0x80 | len(code), *code))
    return lambda raw: frame(HEADERS, END_HEADERS | END_STREAM, 1, raw.block(fields()) + text)


def long_string(raw: Raw) -> bytes:
    literal = b"\x40\x01a\x7f\xff\xff\xff\x7f" + b"x" * 100
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, raw.block(fields()) + literal)


P, F, S, W, C = (
    PROTOCOL_ERROR,
    FRAME_SIZE_ERROR,
    STREAM_CLOSED,
    FLOW_CONTROL_ERROR,
    COMPRESSION_ERROR,
)
BREACHES = {
    # name: (requirements, what is sent, code)
    "unknown frame in a block": (["5.5-3"], behind(unfinished, frame(0xFA, 0, 0)), P),
    "headers in a block": (["8.1-1", "6.2-2"], behind(unfinished, frame(HEADERS, 4, 3)), P),
    "continuation of another": (["6.2-2"], behind(unfinished, frame(CONTINUATION, 4, 3)), P),
    "data behind a continuation": (
        ["6.10-1"],
        behind(unfinished, frame(CONTINUATION, 0, 1), frame(DATA, 0, 1)),
        P,
    ),
    "continuation on 0": (["6.10-2"], octets(frame(CONTINUATION, END_HEADERS, 0)), P),
    "continuation behind a whole block": (
        ["6.10-3"],
        behind(whole, frame(CONTINUATION, END_HEADERS, 1)),
        P,
    ),
    "padding fills headers": (
        ["6.2-4"],
        octets(frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05abcde")),
        P,
    ),
    "padding fills data": (["6.1-4"], behind(begun, frame(DATA, PADDED, 1, b"\x04abc")), P),
    "priority on 0": (["6.3-1"], octets(frame(PRIORITY, 0, 0, bytes(5))), P),
    "priority of 4": (["6.3-2"], octets(frame(PRIORITY, 0, 1, bytes(4))), F),
    "headers too short for their priority": (
        ["4.2-2", "4.2-3"],
        octets(frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, bytes(3))),
        F,
    ),
    "settings too short": (["4.2-3", "6.5-5"], octets(frame(SETTINGS, 0, 0, bytes(5))), F),
    "goaway too short": (["4.2-2", "4.2-3"], octets(frame(GOAWAY, 0, 0, bytes(7))), F),
    "window update on idle": (["5.1-1"], octets(window_update(1, 1)), P),
    "reset on idle": (["6.4-4", "5.1-1"], octets(reset(1)), P),
    "headers on a stream of ours": (["5.1-2"], lambda raw: raw.request(2), P),
    "a stream below an earlier one": (["5.1.1-2"], lower_stream, P),
    "data behind the end": (["5.1-7", "6.1-3"], behind(whole, frame(DATA, 0, 1, b"x")), S),
    "headers behind the end": (["5.1-7"], lambda raw: whole(raw) + raw.request(1), S),
    "increment 0 on a stream": (["6.9-2"], behind(whole, window_update(1, 0)), P),
    "increment 0 on the connection": (["6.9-3"], octets(window_update(0, 0)), P),
    "window of a stream": (["6.9.1-2"], behind(whole, window_update(1, TOP)), W),
    "window of the connection": (["6.9-3", "6.9.1-2"], octets(window_update(0, TOP)), W),
    "window by settings": (["6.9.2-3"], raised_twice, W),
    "small frame size": (["6.5.2-7"], octets(settings(s5=16_383)), P),
    "large frame size": (["6.5.2-7"], octets(settings(s5=1 << 24)), P),
    "pseudo-header in trailers": (["8.1-2", "8.3-2"], trailers((":path", "/")), P),
    "headers that do not end": (["8.1-3"], second_headers, P),
    "body too short": (
        ["8.1.1-2"],
        lambda raw: (
            headers(raw, 1, fields("/", "PUT", ("content-length", "3")), END_HEADERS)
            + frame(DATA, END_STREAM, 1, b"ab")
        ),
        P,
    ),
    **{
        f"name with {octet:#x}": (["8.2.1-1", "8.2.1-5"], field(f"a{chr(octet)}b", "c"), P)
        for octet in (0, 0x1F, 0x20, ord("A"), ord("Z"), 0x7F)
    },
    "colon in a name": (["8.2.1-2"], field("a:b", "c"), P),
    "NUL in a value": (["8.2.1-3"], field("a", "b\0c"), P),
    "CR in a value": (["8.2.1-3"], field("a", "b\rc"), P),
    "LF in a value": (["8.2.1-3"], field("a", "b\nc"), P),
    "space before a value": (["8.2.1-4"], field("a", " b"), P),
    "tab behind a value": (["8.2.1-4"], field("a", "b\t"), P),
    **{
        f"field {name}": (["8.2.2-2"], field(name, value), P)
        for name, value in (
            ("connection", "close"),
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        )
    },
    "te": (["8.2.2-3"], field("te", "trailers, gzip"), P),
    "undefined pseudo-header": (["8.3-3"], section((":foo", "x"), *fields()), P),
    "status in a request": (["8.3-2"], section((":status", "200"), *fields()), P),
    "pseudo-header behind a field": (
        ["8.3-4"],
        section(METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH),
        P,
    ),
    "path twice": (["8.3-5", "8.3.1-9"], section(*fields(), PATH), P),
    "no method": (["8.3.1-9"], without(":method"), P),
    "no scheme": (["8.3.1-9"], without(":scheme"), P),
    "empty path": (["8.3.1-8"], instead(":path", ""), P),
    "connect with a path": (["8.5-1"], instead(":method", "CONNECT"), P),
    "a connect without authority": (["8.5-1"], section((":method", "CONNECT")), P),
    "user name": (["8.3.1-7"], instead(":authority", "me@x"), P),
}
HPACK_BREACHES = {
    "padding of 8 bits": (["5.2-1"], huffman(0x1F, 0xFF), C),
    "padding with zeros": (["5.2-2"], huffman(0x18), C),
    "end of string": (["5.2-3"], huffman(0xFF, 0xFF, 0xFF, 0xFF), C),
    "endless string": (["7.4-2"], long_string, C),
    "endless integer": (
        ["5.1-1", "7.4-1"],
        octets(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 12)),
        C,
    ),
}


def cases(rfc, breaches):
    for name, (requirements, sent, code) in breaches.items():
        yield pytest.param(sent, code, id=name, marks=pytest.mark.rfc(rfc, *requirements))


@pytest.mark.parametrize(
    ("sent", "code"), [*cases("9113", BREACHES), *cases("7541", HPACK_BREACHES)]
)
@pytest.mark.rfc("9113", "5.4-1", "5.4.1-1")
def test_who_breaks_a_rule_is_told_which_and_left(sent, code):
    async def test(raw):
        await raw.send(sent(raw))
        assert raw.goaway == code
        assert raw.wire.eof or raw.wire.closed

    talk(patient, test)
