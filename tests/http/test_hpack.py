"""HPACK (RFC 7541): libnghttp2, which we use, and the hpack library read each other's blocks."""

import random

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import HeadersFrame, RstStreamFrame, SettingsFrame
from ngh2 import RequestReceived

from stack.http.engine import Engine
from stack.http.frames import PREFACE
from stack.http.limits import Limits

LISTS = 10_000  # each way
PSEUDO = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
NAMES = [b"accept", b"cookie", b"user-agent", b"x-%d", b"authorization", b"etag", b"x-long-name-%d"]
SIZES = (0, 64, 100, 1000, 4096)
LIMITS = Limits(header_bytes=1 << 20, streams=1 << 20)


def header_list(chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Fields that are new, that come again, that are empty, long, or all bytes that may be."""
    fields = []
    for _ in range(chance.randrange(12)):
        name = chance.choice(NAMES)
        if b"%d" in name:
            name %= chance.randrange(40)
        kind = chance.randrange(4)
        if kind == 0:
            value = b"value-%d" % chance.randrange(20)
        elif kind == 1:
            value = b""
        elif kind == 2:
            visible = [*range(0x21, 0x7F), *range(0x80, 0x100)]
            value = bytes(chance.choices(visible, k=chance.randrange(1, 30)))
        else:
            value = (
                bytes([chance.choice(b"abc123")])
                * chance.randrange(1, 3) ** 9
                * chance.randrange(1, 10)
            )
        fields.append((name, value))
    return fields


def blocks(data: bytes):
    """(stream, header block) of each HEADERS frame with its CONTINUATIONs."""
    at, block = 0, b""
    while at < len(data):
        length, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
        if kind in {1, 9}:
            block += data[at + 9 : at + 9 + length]
            if flags & 4:
                yield int.from_bytes(data[at + 5 : at + 9], "big"), block
                block = b""
        at += 9 + length


def talking():
    """An engine whose peer has exchanged settings with it."""
    engine = Engine(LIMITS)
    engine.open()
    engine.output()
    acknowledged = SettingsFrame(0, flags=["ACK"]).serialize()
    engine.take(PREFACE + SettingsFrame(0).serialize() + acknowledged)
    engine.output()
    return engine


@pytest.mark.rfc("7541", "4.2")
@pytest.mark.rfc("7541", "6.3")
def test_what_we_write_another_decoder_reads_through_changes_of_table_size():
    chance = random.Random(7541)
    server, asked = talking(), Encoder().encode(PSEUDO)
    decoder = Decoder(max_header_list_size=1 << 20)
    for number in range(LISTS):
        if chance.random() < 0.02:
            for size in chance.choices(SIZES, k=chance.randrange(1, 3)):
                server.take(SettingsFrame(0, settings={1: size}).serialize())
                decoder.max_allowed_table_size = size
        stream = 2 * number + 1
        request = HeadersFrame(stream, asked, flags=["END_STREAM", "END_HEADERS"])
        server.take(request.serialize())
        server.output()
        headers = [(b":status", b"200"), *header_list(chance)]
        server.send_response(stream, headers, end_stream=True)
        ((stream, block),) = blocks(server.output())
        found = decoder.decode(block, raw=True)
        assert [(bytes(name), bytes(value)) for name, value in found] == headers


@pytest.mark.rfc("7541", "4.2")
@pytest.mark.rfc("7541", "5.2")
def test_what_another_encoder_writes_we_read_through_changes_of_table_size():
    chance = random.Random(9113)
    server = talking()
    encoder = Encoder()
    for number in range(LISTS):
        if chance.random() < 0.02:
            # Each size once: told the same twice, the library forgets to say it.
            for size in chance.sample(SIZES, k=chance.randrange(1, 3)):
                encoder.header_table_size = size
        headers = PSEUDO + header_list(chance)
        block = encoder.encode(headers, huffman=chance.random() < 0.7)
        stream = 2 * number + 1
        cut = 16_384
        frames = HeadersFrame(stream, block[:cut], flags=["END_STREAM"])
        data = frames.serialize()
        rest = [block[at : at + cut] for at in range(cut, len(block), cut)]
        data = bytes((*data[:4], data[4] | (0 if rest else 4), *data[5:]))
        for index, part in enumerate(rest):
            flags = 4 if index == len(rest) - 1 else 0
            head = len(part).to_bytes(3, "big") + bytes((9, flags)) + stream.to_bytes(4, "big")
            data += head + part
        events = server.take(data + RstStreamFrame(stream, error_code=8).serialize())
        (request,) = [event for event in events if isinstance(event, RequestReceived)]
        assert [tuple(item) for item in request.headers] == headers
        server.output()
