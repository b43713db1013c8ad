"""The server on loopback, judged by curl, nghttp, h2load, openssl and httpx."""

import asyncio
import hashlib
import re
import ssl

import httpx
import pytest

from stack.http.demo import PATHS, content
from stack.http.limits import Limits
from tests.support.http_world import curl, run, serving, tool

SIZE = 50 << 20
PLAIN = ["--http1.1"], ["--http2"], ["--http2-prior-knowledge"]
SECURE = ["-k", "--http1.1"], ["-k", "--http2"], ["-k", "--http2", "--tls-max", "1.2"]
WAYS = [("http", options) for options in PLAIN] + [("https", options) for options in SECURE]
every_way = pytest.mark.parametrize(
    ("scheme", "options"), WAYS, ids=lambda value: "".join(value).replace("--", "-")
)


def url(served, scheme: str, path: str = "/") -> str:
    return getattr(served, scheme) + path


@pytest.fixture(scope="module")
def upload(tmp_path_factory):
    """A file of 50 MiB and its SHA-256."""
    path = tmp_path_factory.mktemp("upload") / "data"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in content(12_345, 12_345 + SIZE):
            file.write(block)
            digest.update(block)
    return path, digest.hexdigest()


@every_way
def test_curl_gets_the_page(scheme, options):
    async def main():
        async with serving() as served:
            result = await curl("-v", *options, url(served, scheme))
            assert result.status == 0, result.err
            assert result.text.startswith("Hello from tunstack!")
            version = "HTTP/1.1" if "--http1.1" in options else "HTTP/2"
            assert f"protocol    {version}" in result.text
            assert ("HTTP/1.1 101" in result.err) == (options == ["--http2"])
            if scheme == "https":
                tls = "1.2" if "1.2" in options else "1.3"
                assert f"over TLS {tls}" in result.text

    run(main)


@every_way
def test_50_megabytes_down_arrive_byte_for_byte(scheme, options, tmp_path):
    expected = hashlib.sha256()
    for block in content(0, SIZE):
        expected.update(block)

    async def main():
        async with serving() as served:
            path = tmp_path / "out"
            result = await curl(*options, "-o", str(path), url(served, scheme, "/bytes/50M"))
            assert result.status == 0, result.err
            assert hashlib.sha256(path.read_bytes()).hexdigest() == expected.hexdigest()

    run(main)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@every_way
def test_50_megabytes_up_arrive_byte_for_byte(scheme, options, chunked, upload):
    path, digest = upload
    framing = ["-H", "Transfer-Encoding: chunked"] if chunked else []

    async def main():
        async with serving() as served:
            target = url(served, scheme, "/sha256")
            result = await curl(*options, *framing, "-T", str(path), target)
            assert result.status == 0, result.err
            assert result.text.strip() == digest

    run(main)


@every_way
def test_a_body_goes_both_ways_at_once(scheme, options, upload, tmp_path):
    path, digest = upload

    async def main():
        async with serving() as served:
            out = tmp_path / "out"
            result = await curl(
                *options, "-T", str(path), "-o", str(out), url(served, scheme, "/echo")
            )
            assert result.status == 0, result.err
            assert hashlib.sha256(out.read_bytes()).hexdigest() == digest

    run(main)


@pytest.mark.rfc("7540", "3.2")
@pytest.mark.parametrize("size", [1, 5_000, 100_000, 2_000_000])
def test_curl_upgrades_a_request_with_a_body(size):
    """Longer bodies than the server keeps for an upgrade are answered in HTTP/1.1."""

    async def main():
        async with serving(limits=Limits(upgrade_body=1_000_000)) as served:
            result = await curl(
                "-v", "--http2", "--data-binary", "@-", url(served, "http", "/echo"),
                stdin=b"y" * size,
            )  # fmt: skip
            assert result.status == 0, result.err
            assert result.out == b"y" * size
            assert ("HTTP/1.1 101" in result.err) == (size <= 1_000_000)

    run(main)


@every_way
def test_head_ranges_and_errors(scheme, options):
    async def main():
        async with serving() as served:
            target = url(served, scheme, "/bytes/1000")
            head = await curl(*options, "-I", target)
            assert head.status == 0, head.err
            assert re.search(r"(?i)^content-length: 1000\r$", head.text, re.MULTILINE)
            part = await curl(*options, "-r", "10-19", target)
            assert part.out == next(content(10, 20))
            missing = await curl(*options, "-w", "%{http_code}", url(served, scheme, "/nothing"))
            assert missing.status == 0
            assert missing.text.endswith("404")

    run(main)


# curl before 8.0 cannot use a connection with prior knowledge twice, with any server.
@pytest.mark.parametrize(("scheme", "options"), [way for way in WAYS if way[1] != PLAIN[2]])
def test_a_connection_is_used_again(scheme, options):
    async def main():
        async with serving() as served:
            result = await curl(*options, *[url(served, scheme, "/")] * 5)
            assert result.status == 0, result.err
            assert result.text.count("connection  1\n") == 5

    run(main)


def test_a_killed_curl_cancels_the_application():
    ended = asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0.02)
        finally:
            ended.set()

    async def main():
        async with serving(app) as served:
            for scheme, options in WAYS:
                ended.clear()
                result = await curl(*options, "-m", "0.4", url(served, scheme))
                assert result.status == 28, result.err
                await asyncio.wait_for(ended.wait(), 3)

    run(main)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nghttp_sees_nothing_wrong(scheme):
    async def main():
        async with serving() as served:
            pages = [url(served, scheme, path) for path in ("/", "/bytes/3M", "/stream?count=2")]
            result = await tool("nghttp", "-nv", *pages)
            assert result.status == 0, result.err
            assert result.text.count(":status: 200") == 3
            for wrong in ("PROTOCOL_ERROR", "RST_STREAM", "[ERROR]"):
                assert wrong not in result.text

    run(main)


def test_nghttp_upgrades():
    async def main():
        async with serving() as served:
            result = await tool("nghttp", "-nvu", url(served, "http", "/"))
            assert result.status == 0, result.err
            assert "HTTP Upgrade success" in result.text
            assert ":status: 200" in result.text

    run(main)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_h2load_has_no_failure(scheme):
    async def main():
        async with serving() as served:
            load = ["h2load", "-n", "2000", "-c", "10", "-m", "20"]
            result = await tool(*load, url(served, scheme, "/"))
            assert "2000 succeeded, 0 failed, 0 errored" in result.text, result.text
            big = await tool("h2load", "-n40", "-c4", "-m10", url(served, scheme, "/bytes/1M"))
            assert "40 succeeded, 0 failed, 0 errored" in big.text, big.text

    run(main)


def test_h2load_posts_and_speaks_http_1(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(bytes(100_000))

    async def main():
        async with serving() as served:
            post = await tool(
                "h2load", "-n400", "-c4", "-m10", "-d", str(path), url(served, "http", "/sha256")
            )
            assert "400 succeeded, 0 failed, 0 errored" in post.text, post.text
            old = await tool("h2load", "--h1", "-n1000", "-c10", url(served, "http"))
            assert "1000 succeeded, 0 failed, 0 errored" in old.text, old.text

    run(main)


def test_h2load_counts_on_many_connections():
    async def main():
        async with serving() as served:
            result = await tool("h2load", "-n400", "-c200", "-m2", url(served, "http"))
            assert "400 succeeded, 0 failed, 0 errored" in result.text, result.text

    run(main)


def test_openssl_talks_to_it():
    goaway = b"\x00\x00\x08\x07\x00" + bytes(12)
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04" + bytes(5) + goaway
    get = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    async def main():
        async with serving() as served:
            address = f"127.0.0.1:{served.https_port}"
            client = ["openssl", "s_client", "-quiet", "-connect", address, "-alpn"]
            old = await tool(*client, "http/1.1", stdin=get)
            assert old.out.startswith(b"HTTP/1.1 200 OK\r\n")
            assert old.text.endswith(PATHS)
            new = await tool(*client, "h2", stdin=hello)
            assert new.out[3:5] == b"\x04\x00"  # SETTINGS, whatever its length

    run(main)


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_httpx_with_many_requests_at_once(scheme, http2):
    async def main():
        async with serving() as served:
            context = ssl.create_default_context(cadata=served.certificate.chain.decode())
            client = httpx.AsyncClient(
                http1=not (http2 and scheme == "http"),
                http2=http2,
                verify=context,
                trust_env=False,
                timeout=20,
            )
            async with client:
                pages = [client.get(url(served, scheme, f"/bytes/{n}")) for n in range(0, 9000, 90)]
                for n, page in zip(range(0, 9000, 90), await asyncio.gather(*pages), strict=True):
                    assert page.content == b"".join(content(0, n))
                    assert page.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
                body = bytes(3_000_000)
                echo = await client.post(url(served, scheme, "/echo"), content=body)
                assert echo.content == body

    run(main)


def test_httpx_streams_both_ways():
    async def parts():
        for number in range(50):
            yield b"part %d\n" % number

    async def main():
        async with serving() as served, httpx.AsyncClient(trust_env=False) as client:
            request = client.stream("POST", url(served, "http", "/echo"), content=parts())
            async with request as response:
                body = b"".join([part async for part in response.aiter_raw()])
            assert body == b"".join([part async for part in parts()])

    run(main)


def test_many_downloads_that_nobody_reads_take_little_memory():
    """Of a gigabyte each: none may be made further than the buffers go."""
    made = 0

    async def app(scope, receive, send):
        nonlocal made
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        for _ in range(16_384):
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
            made += 65_536

    async def main():
        async with serving(app) as served:
            writers = []
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", served.http_port, limit=1024)
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                writers.append(writer)
            await asyncio.sleep(0.5)
            buffered = sum(
                connection.transport.get_write_buffer_size()
                for connection in served.server.connections
            )
            assert 0 < buffered < 20 * 800_000
            before = made
            await asyncio.sleep(0.2)
            assert made == before
            for writer in writers:
                writer.transport.abort()

    run(main)


def test_peers_that_say_nothing_do_not_hold_up_the_end():
    async def main():
        async with serving() as served:
            ports = (served.http_port, served.https_port)
            streams = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
            await asyncio.sleep(0.1)
            await asyncio.wait_for(served.server.close(3), 2)
            for _, writer in streams:
                writer.transport.abort()

    run(main)


@every_way
def test_closing_the_server_lets_curl_finish(scheme, options):
    async def main():
        async with serving() as served:
            getting = asyncio.ensure_future(
                curl(*options, url(served, scheme, "/stream?count=4&interval=0.2"))
            )
            while not served.server.service.running.tasks:
                await asyncio.sleep(0.01)
            await served.server.close(5)
            result = await getting
            assert result.status == 0, result.err
            assert result.text.endswith("line 4 of 4\n")

    run(main)
