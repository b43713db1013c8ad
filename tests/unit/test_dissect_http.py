"""HTTP messages and frames are named when they are complete, whatever the bytes."""

import random
from struct import pack

import hpack
import pytest

from stack.observe.dissect.application import Application
from stack.observe.dissect.http1 import Http1
from stack.observe.dissect.http2 import FRAME_MAX, HEADER_BLOCK_MAX, MAGIC, Http2
from stack.observe.dissect.layer import CLIENT, SERVER, TEXT_MAX, Named, printable
from stack.observe.dissect.tls_secrets import SecretStore

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"a;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\n\r\n"


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return pack("!I", len(payload))[1:] + bytes((kind, flags)) + pack("!I", stream) + payload


def names(layer, *parts: tuple[int, bytes]) -> list[str]:
    return [
        name for side, data in parts if (named := layer.feed(side, data)) for name in named.items
    ]


def bytewise(side: int, data: bytes) -> list[tuple[int, bytes]]:
    return [(side, data[at : at + 1]) for at in range(len(data))]


# ---- HTTP/1.1 ----------------------------------------------------------------------------

MESSAGES = {
    "GET /a%20b?c=d HTTP/1.1": (CLIENT, b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\n\r\n"),
    "POST /echo HTTP/1.1  (text/plain)": (
        CLIENT,
        b"POST /echo HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
    ),
    "HTTP/1.1 200 OK  (text/html)": (
        SERVER,
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=x\r\nContent-Length: 1\r\n\r\n.",
    ),
    "HTTP/1.1 200 OK  (a/b)": (
        SERVER,
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    ),
    "HTTP/1.1 304 Not Modified": (
        SERVER,
        b"HTTP/1.1 304 Not Modified\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\n",
    ),
    "HTTP/1.1 200": (SERVER, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.rfc("9112", "§6.3")
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_named_when_its_last_byte_has_come(name):
    side, data = MESSAGES[name]
    assert names(Http1(), (side, data)) == [name]
    layer = Http1()
    *before, last = bytewise(side, data)
    assert names(layer, *before) == []
    assert names(layer, last) == [name]
    assert names(layer, (side, data)) == [name]


def test_the_first_line_is_told_before_the_body_is_complete():
    named = Http1().feed(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    assert named == Named("HTTP", [], open=True, head="HTTP/1.1 200 OK  ")


@pytest.mark.rfc("9112", "§9.3.2")
def test_pipelined_messages_are_named_one_by_one():
    assert names(Http1(), (CLIENT, REQUEST * 3)) == ["GET / HTTP/1.1"] * 3


@pytest.mark.rfc("9110", "§9.3.2")
def test_the_answer_to_head_has_no_body_whatever_its_length_says():
    layer = Http1()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\n"
    names(layer, (CLIENT, b"HEAD / HTTP/1.1\r\n\r\n" + REQUEST))
    assert names(layer, (SERVER, answer)) == ["HTTP/1.1 200 OK"]
    assert names(layer, (SERVER, answer + b"123456789")) == ["HTTP/1.1 200 OK  (a/b)"]


def test_a_body_without_length_ends_with_the_connection():
    layer = Http1()
    assert names(layer, (SERVER, b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nx")) == []
    assert layer.finish(SERVER).items == ["HTTP/1.0 200 OK  (a/b)"]
    assert layer.finish(CLIENT) is None


@pytest.mark.rfc("9113", "§3.2")
def test_an_upgrade_hands_over_to_http2_in_both_directions():
    layer = Http1()
    named = [
        layer.feed(CLIENT, REQUEST),
        layer.feed(SERVER, SWITCHING % b"h2c" + frame(4)),
        layer.feed(CLIENT, MAGIC + frame(4)),
    ]
    assert [each.items for each in named] == [
        ["GET / HTTP/1.1"],
        ["HTTP/1.1 101 Switching Protocols", "SETTINGS[0]"],
        ["Magic", "SETTINGS[0]"],
    ]
    assert [each.protocol for each in named] == ["HTTP", "HTTP2", "HTTP2"]


def test_what_follows_another_upgrade_or_a_tunnel_is_not_looked_at():
    websocket, tunnel = Http1(), Http1()
    names(websocket, (CLIENT, REQUEST))
    assert names(websocket, (SERVER, SWITCHING % b"websocket")) == [
        "HTTP/1.1 101 Switching Protocols"
    ]
    assert websocket.feed(SERVER, b"\x81\x05hello") is None
    names(tunnel, (CLIENT, b"CONNECT a:443 HTTP/1.1\r\n\r\n"))
    assert names(tunnel, (SERVER, b"HTTP/1.1 200 OK\r\n\r\n")) == ["HTTP/1.1 200 OK"]
    assert tunnel.feed(CLIENT, b"\x16\x03\x01") is None


@pytest.mark.parametrize(
    ("side", "data"),
    [
        (CLIENT, b"not http at all\r\n"),
        (CLIENT, b"G" * 70_000),
        (CLIENT, b"GET / HTTP/1.1\r\n" + b"x" * 70_000),
        (SERVER, b"HTTP/2 200 OK\r\n\r\n"),
        (SERVER, b"HTTP/1.1 " + b"2" * 70_000),
        (SERVER, b"\x00\x01"),
    ],
)
def test_what_is_not_http_is_given_up(side, data):
    layer = Http1()
    assert not names(layer, (side, data))
    assert layer.feed(side, b"x") is None


# ---- HTTP/2 ------------------------------------------------------------------------------

FRAME_NAMES = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
]


@pytest.mark.rfc("9113", "§6")
def test_all_frame_types_have_their_names():
    data = b"".join(frame(kind, bytes(8), stream=kind) for kind in range(10))
    assert names(Http2(), (SERVER, data)) == [f"{name}[{n}]" for n, name in enumerate(FRAME_NAMES)]
    assert names(Http2(), (SERVER, frame(16) + frame(77))) == [
        "PRIORITY_UPDATE[0]",
        "UNKNOWN(77)[0]",
    ]


def test_frames_are_named_when_their_last_byte_has_come():
    encoder = hpack.Encoder()
    request = encoder.encode([(":method", "GET"), (":path", "/"), (":scheme", "http")])
    data = MAGIC + frame(4, bytes(6)) + frame(1, request, flags=5, stream=1)
    data += frame(0, b"x" * 100, stream=3)
    expected = ["Magic", "SETTINGS[0]", "HEADERS[1]: GET /", "DATA[3]"]
    assert names(Http2(), (CLIENT, data)) == expected
    assert names(Http2(), *bytewise(CLIENT, data)) == expected


@pytest.mark.rfc("9113", "§6.2")
def test_padding_and_priority_are_no_part_of_the_header_block():
    block = hpack.Encoder().encode([(":status", "404")])
    padded = bytes((3,)) + bytes(5) + block + bytes(3)
    data = frame(1, padded, flags=0x08 | 0x20 | 0x04, stream=1)
    assert names(Http2(), (SERVER, data)) == ["HEADERS[1]: 404 Not Found"]


@pytest.mark.rfc("9113", "§6.10")
def test_a_header_block_in_continuations_is_described_once_it_is_whole():
    block = hpack.Encoder().encode([(":method", "GET"), (":path", "/far")])
    begun = frame(1, block[:2], flags=1, stream=1)
    ended = frame(9, block[2:], flags=4, stream=1)
    assert names(Http2(), (CLIENT, begun + ended)) == ["HEADERS[1]: GET /far", "CONTINUATION[1]"]
    assert names(Http2(), (CLIENT, begun), (CLIENT, ended)) == [
        "HEADERS[1]",
        "CONTINUATION[1]: GET /far",
    ]


def test_a_content_type_is_told_where_a_body_ends():
    block = hpack.Encoder().encode([(":status", "200"), ("content-type", "text/plain; a=b")])
    layer = Http2()
    assert names(layer, (SERVER, frame(1, block, flags=4, stream=1))) == ["HEADERS[1]: 200 OK"]
    assert names(layer, (SERVER, frame(0, b"x", stream=1))) == ["DATA[1]"]
    assert names(layer, (SERVER, frame(0, b"", flags=1, stream=1))) == ["DATA[1] (text/plain)"]
    assert names(layer, (SERVER, frame(0, b"x", flags=1, stream=1))) == ["DATA[1]"]


def test_after_a_broken_header_block_frames_are_still_named():
    layer = Http2()
    good = hpack.Encoder().encode([(":status", "200")])
    assert names(layer, (SERVER, frame(1, b"\xff" * 20, flags=4, stream=1))) == ["HEADERS[1]"]
    assert names(layer, (SERVER, frame(1, good, flags=4, stream=3))) == ["HEADERS[3]"]


def test_bodies_are_not_kept_and_what_is_kept_is_bounded():
    layer = Http2()
    layer.feed(SERVER, frame(0, bytes((1 << 24) - 1), stream=1)[: 9 + (1 << 23)])
    assert not layer._directions[SERVER].buffer
    huge = pack("!I", FRAME_MAX + 99)[1:] + b"\x04\0\0\0\0\0"
    assert Http2().feed(SERVER, huge + bytes(FRAME_MAX + 10)) is None
    layer = Http2()
    names(layer, (SERVER, frame(1, b"", stream=1)))
    part = frame(9, bytes(16_384), stream=1)
    for _ in range(HEADER_BLOCK_MAX // 16_384 + 2):
        names(layer, (SERVER, part))
    assert layer._directions[SERVER].block is None


def test_text_from_the_network_is_made_safe_to_print():
    block = hpack.Encoder().encode([(":method", "GET"), (":path", "/\x1b[2J\n" + "x" * 999)])
    (name,) = names(Http2(), (CLIENT, frame(1, block, flags=4, stream=1)))
    assert name.isprintable()
    assert name.startswith("HEADERS[1]: GET /\\x1b[2J\\n")
    assert len(name) < TEXT_MAX + 20
    assert printable(b"\xff\r") == "\\xff\\r"
    assert printable("grün ↳") == "grün ↳"


# ---- which protocol it is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "data", "protocol"),
    [
        (CLIENT, REQUEST, "HTTP"),
        (CLIENT, b"QUERY /x HTTP/1.1\r\n\r\n", "HTTP"),
        (SERVER, b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP"),
        (CLIENT, MAGIC + frame(4), "HTTP2"),
        (SERVER, frame(4, bytes(36)), "HTTP2"),
        (CLIENT, b"\x15\x03\x01\x00\x02\x02\x28", "TLS"),
    ],
)
def test_a_protocol_is_known_by_its_first_bytes(side, data, protocol):
    for part in ([(side, data)], bytewise(side, data)):
        application = Application(SecretStore())
        named = [application.feed(*piece) for piece in part]
        assert all(each is not None for each in named)
        assert named[-1].protocol == protocol
        assert named[-1].items


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"\x00\x00\x06\x07\0\0\0\0\0", b"\xff"])
def test_an_unknown_protocol_is_left_alone(data):
    application = Application(SecretStore())
    assert application.feed(SERVER, data) is None
    assert application.feed(SERVER, REQUEST) is None


def test_who_is_the_client_shows_in_what_is_said_when_the_syn_is_missing():
    application = Application(SecretStore())
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert names(application, (CLIENT, head), (SERVER, REQUEST)) == [
        "HTTP/1.1 200 OK",
        "GET / HTTP/1.1",
    ]


def test_no_bytes_make_a_dissector_raise():
    source = random.Random(5)
    block = hpack.Encoder().encode([(":status", "200")])
    seeds = [
        REQUEST,
        *(data for _, data in MESSAGES.values()),
        SWITCHING % b"h2c" + frame(4),
        MAGIC + frame(4, bytes(6)) + frame(1, block, flags=4, stream=1) + frame(0, b"x" * 9),
        b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26\x03\x03" + bytes(36),
        b"\x16\x03\x03\x00\x2c\x02\x00\x00\x28\x03\x03" + bytes(38) + b"\x17\x03\x03\x00\x02xx",
    ]
    for _ in range(3_000):
        application = Application(SecretStore())
        for _ in range(source.randrange(1, 6)):
            data = bytearray(source.choice(seeds))
            for _ in range(source.randrange(4)):
                data[source.randrange(len(data))] = source.randrange(256)
            application.feed(source.randrange(2), bytes(data))
        application.finish(SERVER)
