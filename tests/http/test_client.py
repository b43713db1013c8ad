"""The client: against our server on loopback, and against servers that do wrong."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from stack.errors import UsageError
from stack.http.client import FetchError, fetch
from stack.http.demo import content
from stack.http.limits import Limits
from stack.http.url import parse_url
from tests.support.http_world import LoopHost, respond, run, serving

VERSIONS = [
    ("http", "auto", "1.1"),
    ("http", "1.1", "1.1"),
    ("http", "2", "2"),
    ("http", "2-prior-knowledge", "2"),
    ("https", "auto", "2"),
    ("https", "1.1", "1.1"),
    ("https", "2", "2"),
    ("https", "2-prior-knowledge", "2"),
]
every_version = pytest.mark.parametrize(("scheme", "version", "spoken"), VERSIONS)


def get(path, scheme="http", app=None, limits=None, **options):
    """The response of our server to one fetch."""

    async def main():
        async with serving(*([app] if app else []), limits=limits) as served:
            target = getattr(served, scheme) + path
            authorities = served.certificate.chain
            return await fetch(served.host, target, authorities=authorities, **options)

    return run(main)


@every_version
def test_the_page_comes_in_the_version_asked_for(scheme, version, spoken):
    response = get("/", scheme, http_version=version)
    assert response.status == 200
    assert response.http_version == spoken
    assert b"protocol    HTTP/" + spoken.encode() in response.body
    assert (b"server", b"tunstack") in response.headers


@every_version
def test_megabytes_go_both_ways(scheme, version, spoken):
    body = b"".join(content(0, 5_000_000))
    options = {"http_version": version, "method": "POST", "body": body}
    response = get("/echo", scheme, limits=Limits(upgrade_body=10_000_000), **options)
    assert response.http_version == spoken
    assert response.body == body


@every_version
def test_the_body_can_be_taken_in_parts(scheme, version, spoken):
    heads, parts = [], []
    response = get(
        "/bytes/3M", scheme, http_version=version, on_head=heads.append, on_data=parts.append
    )
    assert b"".join(parts) == b"".join(content(0, 3 << 20))
    assert response.body == b""
    assert heads == [response]


@every_version
def test_head_has_no_body(scheme, version, spoken):
    response = get("/bytes/1000", scheme, http_version=version, method="HEAD")
    assert dict(response.headers)[b"content-length"] == b"1000"
    assert response.body == b""


def test_chunks_and_errors_are_responses_too():
    assert get("/stream?count=3&interval=0.01").body == b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    assert get("/nothing").status == 404
    response = get("/nothing", http_version="2-prior-knowledge", headers=[(b"X-Y", b"z")])
    assert response.status == 404


@every_version
def test_who_watches_sees_connection_request_and_answer(scheme, version, spoken):
    lines = []
    get("/echo", scheme, http_version=version, verbose=lines.append)
    text = "\n".join(lines)
    assert lines[0].startswith("* Connected to 127.0.0.1 port ")
    assert ("* TLSv1.3, " in text) == (scheme == "https")
    assert any(line.startswith("> GET /echo HTTP/") for line in lines)
    assert f"< HTTP/{spoken} 200" in text
    assert ("< HTTP/1.1 101 Switching Protocols" in text) == ((scheme, version) == ("http", "2"))
    assert "< content-type: application/octet-stream" in lines


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_asked():
    async def main():
        async with serving() as served:
            with pytest.raises(FetchError, match=r"cannot be verified: .*self.signed"):
                await fetch(served.host, served.https)
            response = await fetch(served.host, served.https, verify=False)
            assert response.status == 200
            name = f"https://localhost:{served.https_port}/"
            authorities = served.certificate.chain
            with pytest.raises(UsageError, match="is a name"):
                await fetch(served.host, name, authorities=authorities)
            options = {"authorities": authorities, "address": "127.0.0.1"}
            assert (await fetch(served.host, name, **options)).status == 200
            other = f"https://other:{served.https_port}/"
            with pytest.raises(FetchError, match="cannot be verified"):
                await fetch(served.host, other, **options)

    run(main)


def test_secrets_reach_the_callback():
    lines = []
    get("/", "https", keylog=lines.append)
    assert any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines)


def test_an_error_of_the_callers_callback_is_the_callers():
    def broken(part):
        raise BrokenPipeError("nobody reads")

    for version in ("1.1", "2-prior-knowledge"):
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            get("/bytes/1M", http_version=version, on_data=broken)


def test_a_response_before_the_end_of_the_body_is_taken():
    for version in ("1.1", "2-prior-knowledge"):
        options = {"method": "PUT", "body": bytes(20_000_000), "http_version": version}
        response = get("/", app=respond(b"too long", 413), **options)
        assert (response.status, response.body) == (413, b"too long")


def test_a_response_that_breaks_off_is_an_error():
    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise SystemError

    for version, message in (
        ("1.1", "ended before the response was complete"),
        ("2-prior-knowledge", r"reset the stream \(INTERNAL_ERROR\)"),
    ):
        with pytest.raises(FetchError, match=message):
            get("/", app=app, http_version=version)


@asynccontextmanager
async def scripted(answer: bytes, *, context=None):
    """A server that answers whatever it gets with these bytes, then closes."""

    async def serve(reader, writer):
        await reader.read(65_536)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        await server.wait_closed()


GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("answer", "version", "message"),
    [
        (b"", "1.1", "ended before"),
        (b"nonsense\r\n\r\n", "1.1", "is no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "1.1", "ended before"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "2-prior-knowledge", "is no HTTP/2"),
        (SETTINGS + GOAWAY + bytes(4) + b"\x00\x00\x00\x0b", "2-prior-knowledge", "ENHANCE"),
        (SETTINGS + GOAWAY + bytes(8), "2-prior-knowledge", "GOAWAY"),
        (SETTINGS, "2-prior-knowledge", "ended before"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\nxxxxxxxxxx",
            "2",
            "is no HTTP/2",
        ),
    ],
)
def test_servers_that_do_wrong_are_one_clear_line(answer, version, message):
    async def main():
        async with scripted(answer) as place:
            with pytest.raises(FetchError, match=message) as caught:
                await fetch(LoopHost(), place, http_version=version)
            assert "\n" not in str(caught.value)

    run(main)


def test_a_body_without_length_ends_with_the_connection():
    async def main():
        async with scripted(b"HTTP/1.0 200 OK\r\n\r\nall of it") as place:
            assert (await fetch(LoopHost(), place)).body == b"all of it"

    run(main)


def test_a_server_without_upgrade_answers_in_http_1():
    async def main():
        async with scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as place:
            response = await fetch(LoopHost(), place, http_version="2")
            assert (response.http_version, response.body) == ("1.1", b"ok")

    run(main)


def test_http_2_is_not_put_on_a_server_that_did_not_choose_it(tmp_path):
    async def main():
        async with serving() as served:
            path = tmp_path / "both.pem"
            path.write_bytes(served.certificate.key + served.certificate.chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        async with scripted(b"", context=context) as place:
            with pytest.raises(FetchError, match="does not speak HTTP/2"):
                await fetch(LoopHost(), f"https://{place}", verify=False, http_version="2")

    run(main)


def test_a_refused_connection_is_an_oserror():
    async def main():
        async with scripted(b"") as place:
            pass
        with pytest.raises(ConnectionRefusedError):
            await fetch(LoopHost(), place)

    run(main)


def test_cancelling_ends_the_connection():
    async def main():
        async with serving(limits=Limits(half_close_timeout=0.3)) as served:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetch(served.host, served.http + "/slow?seconds=60"), 0.3)
            while served.server.connections:
                await asyncio.sleep(0.01)

    run(main)


def test_a_request_that_cannot_be_is_one_clear_line():
    for version in ("1.1", "2-prior-knowledge"):
        for options in (
            {"headers": [(b"a b", b"c")]},
            {"headers": [(b"a", b"b\r\nc: d")]},
            {"method": "GET /"},
        ):
            with pytest.raises(UsageError):
                get("/", http_version=version, **options)


# ---- URLs


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://192.0.2.2", ("http", "192.0.2.2", 80, "192.0.2.2", "/")),
        ("192.0.2.2:8080/a", ("http", "192.0.2.2", 8080, "192.0.2.2:8080", "/a")),
        (
            "https://[2001:db8::2]:443/a?b=c#d",
            ("https", "2001:db8::2", 443, "[2001:db8::2]", "/a?b=c"),
        ),
        (
            "HTTPS://EXAMPLE:8443/ä b%20",
            ("https", "example", 8443, "example:8443", "/%C3%A4%20b%20"),
        ),
        ("http://192.0.2.2?q=1 2", ("http", "192.0.2.2", 80, "192.0.2.2", "/?q=1%202")),
    ],
)
def test_urls_are_taken_apart(text, parts):
    url = parse_url(text)
    assert (url.scheme, url.host, url.port, url.authority, url.path) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://192.0.2.2/", "ftp:// is not supported"),
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("http://192.0.2.2:port/", "is no URL"),
        ("http://192.0.2.2:99999/", "is no URL"),
        ("http://[2001:db8::2/", "is no URL"),
        ("http://me@192.0.2.2/", "user name"),
        ("http://a b/", "space or control"),
        ("", "names no host"),
    ],
)
def test_what_is_no_url_is_one_clear_line(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_url(text)
    assert "\n" not in str(caught.value)


def test_an_unknown_version_is_one_clear_line():
    with pytest.raises(UsageError, match="no version of HTTP"):
        get("/", http_version="3")
