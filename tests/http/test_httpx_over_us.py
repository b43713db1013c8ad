"""httpx as a client over our stack, asynchronous and blocking."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import httpcore
import httpx
import pytest

from stack.http.certificate import make_certificate
from stack.http.demo import app, content
from stack.http.httpcore_backend import AsyncTransport, Transport
from stack.http.server import HttpServer
from stack.http.tls import client_context
from stack.sockets.aio import AsyncHost
from stack.sockets.blocking import BlockingHost
from tests.support.packet_link import PacketLink, hosts
from tests.support.two_hosts import SERVER, SERVER6, run

CERTIFICATE = make_certificate([SERVER, SERVER6])
VERSIONS = [("http", "HTTP/1.1"), ("https", "HTTP/1.1"), ("https", "HTTP/2")]
every_version = pytest.mark.parametrize(("scheme", "version"), VERSIONS)


def options(version):
    alpn = ("h2", "http/1.1") if version == "HTTP/2" else ("http/1.1",)
    context = client_context(authorities=CERTIFICATE.chain, alpn=alpn)
    return {"http2": version == "HTTP/2", "verify": context}


def with_client(test, version="HTTP/1.1"):
    """Runs `test(client)` beside the demo on the other of two hosts, in virtual time."""

    async def main(both):
        server = HttpServer(both.server, app, certificate=CERTIFICATE)
        await server.start()
        try:
            transport = AsyncTransport(both.client, **options(version))
            async with httpx.AsyncClient(transport=transport, timeout=30) as client:
                return await test(client)
        finally:
            await server.close(1)

    return run(main)


@every_version
@pytest.mark.parametrize("host", [SERVER, f"[{SERVER6}]"])
def test_pages_come_over_both_versions_of_ip_and_http(scheme, version, host):
    async def test(client):
        for _ in range(3):
            answer = await client.get(f"{scheme}://{host}/bytes/200000")
            assert answer.http_version == version
            assert answer.content == b"".join(content(0, 200_000))

    with_client(test, version)


def test_many_requests_share_a_connection_of_http2():
    async def test(client):
        urls = [f"https://{SERVER}/bytes/{number}" for number in range(1000, 1050)]
        answers = await asyncio.gather(*map(client.get, urls))
        assert [len(answer.content) for answer in answers] == list(range(1000, 1050))
        assert len(client._transport._pool.connections) == 1

    with_client(test, "HTTP/2")


@every_version
def test_bodies_go_up(scheme, version):
    async def test(client):
        sent = bytes(range(256)) * 2000
        answer = await client.post(f"{scheme}://{SERVER}/echo", content=sent)
        assert answer.content == sent

    with_client(test, version)


def test_what_goes_wrong_has_httpxs_names():
    async def test(client):
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{SERVER}:81/")
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://{SERVER}/slow?seconds=50", timeout=1)
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("http://192.0.2.77/", timeout=1)

    with_client(test)


@contextmanager
def blocking_client(version):
    """An `httpx.Client` on a host with a thread, the server on another one."""
    (ours, theirs), (near, far) = hosts(), PacketLink.pair()
    ready, done = threading.Event(), []

    async def serve():
        done.append((asyncio.get_running_loop(), asyncio.Event()))
        async with AsyncHost(theirs, far) as host:
            server = HttpServer(host, app, certificate=CERTIFICATE)
            await server.start()
            ready.set()
            await done[0][1].wait()
            await server.close(1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        with (
            BlockingHost(ours, near) as host,
            httpx.Client(transport=Transport(host, **options(version)), timeout=20) as client,
        ):
            yield client
    finally:
        loop, event = done[0]
        loop.call_soon_threadsafe(event.set)
        thread.join(10)


@every_version
def test_a_blocking_client_works_as_well(scheme, version):
    with blocking_client(version) as client:
        for _ in range(3):
            answer = client.get(f"{scheme}://{SERVER}/bytes/200000")
            assert answer.http_version == version
            assert answer.content == b"".join(content(0, 200_000))
        sent = bytes(range(256)) * 2000
        assert client.post(f"{scheme}://{SERVER}/echo", content=sent).content == sent
        assert len(client._transport._pool.connections) == 1


def test_a_blocking_client_goes_by_names(monkeypatch):
    found = socket.getaddrinfo

    def resolve(host, port, **options):
        return found({"server.test": SERVER}.get(host, host), port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with blocking_client("HTTP/1.1") as client:
        assert client.get("http://server.test/bytes/5").content == b"".join(content(0, 5))


def test_a_blocking_client_times_out():
    with blocking_client("HTTP/1.1") as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"http://{SERVER}/slow?seconds=5", timeout=0.2)
        with pytest.raises(httpx.ConnectError):
            client.get(f"http://{SERVER}:81/")


def test_the_backend_says_who_is_connected():
    async def test(client):
        pool = client._transport._pool
        async with pool.stream("GET", f"https://{SERVER}/") as answer:
            stream = answer.extensions["network_stream"]
            assert stream.get_extra_info("server_addr")[:2] == (SERVER, 443)
            assert stream.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert isinstance(stream, httpcore.AsyncNetworkStream)

    with_client(test)
