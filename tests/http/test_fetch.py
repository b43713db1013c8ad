"""The client that `tunstack fetch` is: against our server, and against servers that do wrong."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from stack.errors import UsageError
from stack.http.demo import content
from stack.http.fetch import FetchError
from stack.http.limits import Limits
from stack.http.url import parse_url
from tests.support import fetching
from tests.support.http_world import LoopHost, respond, run, serving

VERSIONS = [
    ("http", "auto", "1.1"),
    ("http", "1.1", "1.1"),
    ("http", "2-prior-knowledge", "2"),
    ("https", "auto", "2"),
    ("https", "1.1", "1.1"),
    ("https", "2-prior-knowledge", "2"),
]
every_version = pytest.mark.parametrize(("scheme", "version", "spoken"), VERSIONS)


def get(path, scheme="http", app=None, limits=None, **options):
    """The response of our server to one fetch."""

    async def main():
        async with serving(*([app] if app else []), limits=limits) as served:
            target = getattr(served, scheme) + path
            authorities = served.certificate.chain
            return await fetching.get(served.host, target, authorities=authorities, **options)

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
    body = b"".join(content(0, 2_000_000))
    response = get("/echo", scheme, http_version=version, method="POST", body=body)
    assert response.http_version == spoken
    assert response.body == body


@every_version
def test_head_has_no_body(scheme, version, spoken):
    response = get("/bytes/1000", scheme, http_version=version, method="HEAD")
    assert dict(response.headers)[b"content-length"] == b"1000"
    assert response.body == b""


def test_chunks_and_errors_are_responses_too():
    assert get("/stream?count=3&interval=0.01").body == b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    assert get("/nothing").status == 404
    response = get("/nothing", http_version="2-prior-knowledge", headers=(("X-Y", "z"),))
    assert response.status == 404


def test_the_head_is_told_before_the_body():
    heads = []
    response = get("/bytes/1000", on_head=lambda head: heads.append(head.num_bytes_downloaded))
    assert heads == [0]
    assert len(response.body) == 1000


def test_usual_fields_can_be_left_out_and_no_compression_is_asked_for():
    asked = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            asked.append(dict(scope["headers"]))
        await respond(b"ok")(scope, receive, send)

    get("/", app=app)
    get("/", app=app, headers=(("user-agent", None), ("Accept", "text/*")))
    assert asked[0][b"user-agent"] == b"tunstack"
    assert b"accept-encoding" not in asked[0]
    assert b"user-agent" not in asked[1]
    assert asked[1][b"accept"] == b"text/*"


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_asked():
    async def main():
        async with serving() as served:
            with pytest.raises(FetchError, match=r"cannot be verified: .*self.signed"):
                await fetching.get(served.host, served.https)
            assert (await fetching.get(served.host, served.https, verify=False)).status == 200
            options = {
                "authorities": served.certificate.chain,
                "places": {(name, served.https_port): "127.0.0.1" for name in ("localhost", "o")},
            }
            name = f"https://localhost:{served.https_port}/"
            assert (await fetching.get(served.host, name, **options)).status == 200
            with pytest.raises(FetchError, match="cannot be verified"):
                await fetching.get(served.host, f"https://o:{served.https_port}/", **options)

    run(main)


def test_secrets_reach_the_callback():
    lines = []
    get("/", "https", keylog=lines.append)
    assert any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines)


def test_an_error_of_the_one_who_takes_the_body_is_his():
    class Broken:
        def write(self, data):
            raise BrokenPipeError("nobody reads")

    for version in ("1.1", "2-prior-knowledge"):
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            get("/bytes/1M", http_version=version, sink=Broken())


def test_a_response_before_the_end_of_the_body_is_taken():
    options = {"method": "PUT", "body": bytes(20_000_000), "http_version": "1.1"}
    response = get("/", app=respond(b"too long", 413), **options)
    assert (response.status, response.body) == (413, b"too long")
    options["http_version"] = "2-prior-knowledge"
    with pytest.raises(FetchError, match="stopped the request before its body was whole"):
        get("/", app=respond(b"too long", 413), **options)


def test_a_response_that_breaks_off_is_an_error():
    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise SystemError

    for version, message in (
        ("1.1", "closed connection"),
        ("2-prior-knowledge", r"reset the stream \(INTERNAL_ERROR\)"),
    ):
        with pytest.raises(FetchError, match=message):
            get("/", app=app, http_version=version)


# ---- redirections


def redirecting(location, status=302, hops=1):
    """An application whose /0 redirects to /1, and so on; the last one says how it was asked."""

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        number = int(scope["path"].removeprefix("/"))
        if number >= hops:
            await respond(scope["method"].encode())(scope, receive, send)
        else:
            to = location % (number + 1)
            await respond(b"", status, [(b"location", to.encode())])(scope, receive, send)

    return app


@every_version
def test_redirections_are_followed_up_to_a_number(scheme, version, spoken):
    options = {"http_version": version}
    assert get("/0", scheme, app=redirecting("/%d", hops=5), **options).body == b"GET"
    with pytest.raises(FetchError, match="more than 3 redirections"):
        get("/0", scheme, app=redirecting("/%d", hops=5), redirects=3, **options)
    shown = get("/0", scheme, app=redirecting("/%d"), redirects=0, **options)
    assert shown.status == 302


@pytest.mark.parametrize(("status", "method"), [(302, b"GET"), (303, b"GET"), (307, b"POST")])
@pytest.mark.rfc("9110", "15.4")
def test_a_redirected_post_becomes_what_its_status_says(status, method):
    app = redirecting("/%d", status)
    assert get("/0", app=app, method="POST", body=b"x").body == method


def test_a_redirection_to_another_protocol_is_an_error():
    with pytest.raises(FetchError, match="ftp"):
        get("/0", app=redirecting("ftp://192.0.2.2/%d"))


# ---- servers that do wrong


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
        (b"", "1.1", "disconnected"),
        (b"nonsense\r\n\r\n", "1.1", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "1.1", "closed connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "2-prior-knowledge", "isconnected"),
        (
            SETTINGS + b"\x00\x00\x08\x06\x00\x00\x00\x00\x03" + bytes(8),
            "2-prior-knowledge",
            "is no HTTP/2",
        ),
        (SETTINGS + GOAWAY + bytes(4) + b"\x00\x00\x00\x0b", "2-prior-knowledge", "ENHANCE"),
        (SETTINGS, "2-prior-knowledge", "onnect"),
    ],
)
def test_servers_that_do_wrong_are_one_clear_line(answer, version, message):
    async def main():
        async with scripted(answer) as place:
            with pytest.raises(OSError, match=message) as caught:
                await fetching.get(LoopHost(), place, http_version=version)
            assert "\n" not in str(caught.value)

    run(main)


def test_a_body_without_length_ends_with_the_connection():
    async def main():
        async with scripted(b"HTTP/1.0 200 OK\r\n\r\nall of it") as place:
            assert (await fetching.get(LoopHost(), place)).body == b"all of it"

    run(main)


def test_http_2_is_not_put_on_a_server_that_did_not_choose_it(tmp_path):
    async def main():
        async with serving() as served:
            path = tmp_path / "both.pem"
            path.write_bytes(served.certificate.key + served.certificate.chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        async with scripted(answer, context=context) as place:
            response = await fetching.get(LoopHost(), f"https://{place}", verify=False)
            assert (response.http_version, response.body) == ("1.1", b"ok")

    run(main)


def test_a_refused_connection_is_an_oserror():
    async def main():
        async with scripted(b"") as place:
            pass
        with pytest.raises(ConnectionRefusedError):
            await fetching.get(LoopHost(), place)

    run(main)


def test_a_server_that_says_nothing_is_given_up_after_the_timeout():
    with pytest.raises(TimeoutError):
        get("/slow?seconds=60", timeout=0.2, limits=Limits(half_close_timeout=0.1))


def test_cancelling_ends_the_connection():
    async def main():
        async with serving(limits=Limits(half_close_timeout=0.3)) as served:
            url = served.http + "/slow?seconds=60"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetching.get(served.host, url), 0.3)
            while served.server.connections:
                await asyncio.sleep(0.01)

    run(main)


def test_a_request_that_cannot_be_is_one_clear_line():
    for version in ("1.1", "2-prior-knowledge"):
        for options in (
            {"headers": (("a b", "c"),)},
            {"headers": (("a", "b\r\nc: d"),)},
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
