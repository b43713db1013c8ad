"""What RFC 9113 asks of a client and of TLS: `tunstack fetch` before scripted servers."""

import asyncio
import contextlib
import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from hpack import Decoder, Encoder

from stack.http.certificate import Certificate, make_certificate
from stack.http.fetch import FetchError
from stack.http.httpcore_backend import Watch
from stack.http.server import HttpServer
from stack.http.tls import client_context, server_context
from tests.support import fetching
from tests.support.http_world import LoopHost, respond, run
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAGIC,
    NO_ERROR,
    PUSH_PROMISE,
    SETTINGS,
    frame,
    frames,
    reset,
    settings,
)


def answered(*answer: bytes, url: str = "http", **options):
    """What the client makes of these frames behind its request, and what it sent."""
    sent = bytearray()

    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            writer.write(settings() + frame(SETTINGS, ACK, 0))
            while not any(f.kind == HEADERS for f in _whole(sent)):
                sent.extend(await reader.read(65_536) or b"")
            writer.write(b"".join(answer))
            while data := await asyncio.wait_for(reader.read(65_536), 0.3):
                sent.extend(data)
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await fetching.get(
                LoopHost(),
                f"{url}://127.0.0.1:{port}/path?query",
                http_version="2-prior-knowledge",
                timeout=5,
                **options,
            )
        except OSError as error:
            return error
        finally:
            server.close()
            await server.wait_closed()

    return run(main), list(_whole(sent))


def _whole(sent: bytes):
    """The frames that are here whole, behind the magic octets."""
    data = bytes(sent)[len(MAGIC) :]
    end = 0
    while end + 9 <= len(data):
        after = end + 9 + int.from_bytes(data[end : end + 3], "big")
        if after > len(data):
            break
        end = after
    return frames(data[:end])


def head(*more: tuple[str, str], status: str = "200", flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, 1, Encoder().encode([(":status", status), *more]))


BODY = frame(DATA, END_STREAM, 1, b"body")


@pytest.mark.rfc("9113", "3.4-1", "3.4-3", "6.5-1", "8.3.1-2", "8.3.1-3", "8.2-1", "8.4.1-4")
@pytest.mark.rfc("9113", "5.1.1-1", "8.3.1-9", "8.2.2-1")
def test_a_request_is_as_it_should_be():
    answer, sent = answered(head(), BODY, headers=(("X-Mixed", "a"), ("Connection", "close")))
    assert answer.body == b"body"
    assert (sent[0].kind, sent[0].flags) == (SETTINGS, 0)
    (request,) = [f for f in sent if f.kind == HEADERS]
    assert request.stream == 1
    found = Decoder().decode(request.payload)
    names = [name for name, _ in found]
    assert found[:4] == [
        (":method", "GET"),
        (":authority", dict(found)[":authority"]),
        (":scheme", "http"),
        (":path", "/path?query"),
    ]
    assert dict(found)[":authority"].startswith("127.0.0.1:")
    assert len(names) == len(set(names))
    assert not {"host", "connection"} & set(names)
    assert all(name == name.lower() for name in names)
    assert not [f for f in sent if f.kind == PUSH_PROMISE]
    assert any(f.kind == SETTINGS and f.flags == ACK for f in sent)


@pytest.mark.rfc("9113", "6.5.2-2", "6.6-7")
def test_who_wants_no_push_takes_a_promise_for_an_error():
    promise = (2).to_bytes(4, "big") + Encoder().encode(
        [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
    )
    answer, sent = answered(frame(PUSH_PROMISE, END_HEADERS, 1, promise), head(), BODY)
    assert isinstance(answer, FetchError)
    ours = next(f for f in sent if f.kind == SETTINGS)
    assert b"\x00\x02\x00\x00\x00\x00" in ours.payload


@pytest.mark.rfc("9113", "6.5.2-5")
def test_a_server_that_allows_push_is_in_error():
    answer, _ = answered(settings(s2=1), head(), BODY)
    assert isinstance(answer, FetchError)


@pytest.mark.rfc("9113", "8.1-4")
def test_a_response_counts_though_the_request_was_stopped_behind_it():
    answer, _ = answered(head(), BODY, reset(1, NO_ERROR))
    assert answer.body == b"body"


@pytest.mark.rfc("9113", "8.1.1-3")
@pytest.mark.parametrize(
    "wrong",
    [
        [head(("Upper", "x")), BODY],
        [head(("connection", "close")), BODY],
        [head(("transfer-encoding", "chunked")), BODY],
        [head(("a b", "x")), BODY],
        [head(("a", "b\r\nc: d")), BODY],
        [head(("a", " b")), BODY],
        [head(("content-length", "5")), BODY],
        [head(("content-length", "3")), BODY],
    ],
)
def test_a_malformed_response_is_none(wrong):
    answer, _ = answered(*wrong)
    assert isinstance(answer, FetchError), answer


# ---- TLS


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"):
    """Both ends, shaken hands."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends


def only(version: ssl.TLSVersion, *authorities: Certificate) -> ssl.SSLContext:
    client = client_context(authorities=b"".join(each.chain for each in authorities))
    client.maximum_version = client.minimum_version = version
    return client


@pytest.mark.rfc("9113", "3.2-1")
def test_h2c_is_no_name_in_alpn():
    certificate = make_certificate(["localhost"])
    client = only(ssl.TLSVersion.TLSv1_3, certificate)
    client.set_alpn_protocols(["h2c"])
    ours, theirs = handshake(server_context(certificate), client)
    assert ours.selected_alpn_protocol() is None
    server = server_context(certificate, alpn=("h2c",))
    ours, theirs = handshake(server, client_context(authorities=certificate.chain))
    assert theirs.selected_alpn_protocol() is None


def rsa_certificate() -> Certificate:
    key = rsa.generate_private_key(65_537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Certificate(chain=chain, key=private)


@pytest.mark.rfc("9113", "9.2.2-1", "9.2.2-2", "9.2.1-4")
def test_the_suite_that_everybody_must_have_serves_http_2():
    certificate = rsa_certificate()
    client = only(ssl.TLSVersion.TLSv1_2, certificate)
    client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    client.set_ecdh_curve("prime256v1")
    _, theirs = handshake(server_context(certificate), client)
    assert theirs.cipher()[0] == "ECDHE-RSA-AES128-GCM-SHA256"
    assert theirs.selected_alpn_protocol() == "h2"

    async def main():
        server = HttpServer(LoopHost(), respond(b"x"), certificate=certificate)
        await server.start([], [0], ["127.0.0.1"])
        try:
            port = server.listeners[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client, server_hostname="localhost"
            )
            writer.write(MAGIC + settings())
            first = await reader.readexactly(9)
            assert (first[3], first[4]) == (SETTINGS, 0)
            writer.transport.abort()
        finally:
            await server.close(0)

    run(main)


@pytest.mark.rfc("9113", "9.2.3-1", "9.2.3-2")
def test_nobody_asks_for_certificates_behind_the_handshake():
    certificate = make_certificate(["localhost"])
    server, client = server_context(certificate), only(ssl.TLSVersion.TLSv1_3, certificate)
    assert not server.post_handshake_auth
    assert not client.post_handshake_auth
    _, theirs = handshake(server, client)
    # Who is not offered it cannot even ask.
    with pytest.raises(ssl.SSLError):
        theirs.verify_client_post_handshake()


@pytest.mark.rfc("9113", "9.1.1-1", "9.2-2", "9.2-3", "3.2-2")
def test_each_name_gets_a_connection_that_its_certificate_holds_for():
    first, second = make_certificate(["a.example"]), make_certificate(["b.example"])
    connections = []

    class Seen(Watch):
        def __init__(self):
            self.secured_ = None
            self.began = {}
            connections.append(self)

        def secured(self, connection):
            self.secured_ = connection

        def sent(self, data):
            self.began.setdefault("sent", data)

        def received(self, data):
            self.began.setdefault("received", data)

    async def main():
        server = HttpServer(LoopHost(), respond(b"x"), certificate=[first, second])
        await server.start([], [0], ["127.0.0.1"])
        port = server.listeners[0].sockets[0].getsockname()[1]
        options = {
            "places": {(f"{name}.example", port): "127.0.0.1" for name in "ab"},
            "watch": Seen,
        }
        try:
            for name, certificate in (("a", first), ("b", second)):
                answer = await fetching.get(
                    LoopHost(),
                    f"https://{name}.example:{port}/",
                    authorities=certificate.chain,
                    **options,
                )
                assert answer.http_version == "2"
        finally:
            await server.close(0)

    run(main)
    shown = [seen.secured_.getpeercert(binary_form=True) for seen in connections]
    assert shown == [ssl.PEM_cert_to_DER_cert(each.chain.decode()) for each in (first, second)]
    for seen in connections:
        assert seen.began["sent"].startswith(MAGIC)
        assert seen.began["received"][3] == SETTINGS
