"""Server and client on two hosts of ours, on one wire, in virtual time."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from stack.http.certificate import make_certificate
from stack.http.demo import app, content
from stack.http.fetch import Request, download, open_client
from stack.http.limits import Limits
from stack.http.partial import Partial
from stack.http.server import HttpServer
from tests.support.fetching import get as fetch
from tests.support.two_hosts import SERVER, SERVER6, TwoHosts, run

EVERY_FAULT = {"loss": 0.02, "reorder": 0.02, "duplicate": 0.01, "corrupt": 0.005}
VERSIONS = [
    ("http", "1.1"),
    ("http", "2-prior-knowledge"),
    ("https", "1.1"),
    ("https", "auto"),
]
every_version = pytest.mark.parametrize(("scheme", "version"), VERSIONS)


@dataclass
class Site:
    """Two hosts, the server on one of them, and how to fetch from the other."""

    hosts: TwoHosts
    server: HttpServer
    fetch: Any


def served(main, **options):
    """Runs `main(site)` beside the demo on ports 80 and 443 of the server."""
    certificate = make_certificate([SERVER, SERVER6])

    async def inside(hosts):
        server = HttpServer(
            hosts.server,
            app,
            certificate=certificate,
            clock=asyncio.get_running_loop().time,
            limits=Limits(upgrade_body=1 << 20),
        )
        await server.start()

        async def fetch_(url, **how):
            return await fetch(hosts.client, url, authorities=certificate.chain, **how)

        try:
            return await main(Site(hosts, server, fetch_))
        finally:
            await server.close(1)

    return run(inside, **options)


@every_version
@pytest.mark.parametrize("address", [SERVER, f"[{SERVER6}]"])
def test_the_page_comes_over_our_own_tcp(scheme, version, address):
    async def main(site):
        response = await site.fetch(f"{scheme}://{address}/", http_version=version)
        assert response.status == 200
        assert b"Hello from tunstack!" in response.body
        assert response.http_version == {"1.1": "1.1"}.get(version, "2")

    served(main)


@every_version
@pytest.mark.parametrize("faults", [{}, EVERY_FAULT], ids=["clean", "every fault"])
def test_a_megabyte_each_way_arrives_whatever_the_wire_does(scheme, version, faults):
    body = b"".join(content(77, 77 + (1 << 20)))

    async def main(site):
        base = f"{scheme}://{SERVER}"
        down = await site.fetch(f"{base}/bytes/1M", http_version=version)
        assert down.body == b"".join(content(0, 1 << 20))
        how = {"method": "POST", "http_version": version, "body": body}
        up = await site.fetch(f"{base}/sha256", **how)
        assert up.body.decode().strip() == hashlib.sha256(body).hexdigest()

    served(main, **faults)


def test_forty_connections_at_once():
    async def main(site):
        pages = [
            site.fetch(f"http://{SERVER}/bytes/{n}", http_version=VERSIONS[n % 2][1])
            for n in range(40)
        ]
        for n, page in enumerate(await asyncio.gather(*pages)):
            assert page.body == b"".join(content(0, n))

    served(main, loss=0.02)


def test_one_seed_gives_the_same_bytes_twice():
    def once(seed):
        sent = []

        async def main(site):
            for host in (site.hosts.client, site.hosts.server):
                host.host.observe(lambda event: sent.append(repr(event)))
            for version in ("1.1", "2-prior-knowledge"):
                await site.fetch(f"http://{SERVER}/bytes/200k", http_version=version)
                await site.fetch(f"http://{SERVER}/stream?count=3", http_version=version)

        served(main, seed=seed, **EVERY_FAULT)
        return sent

    first = once(7)
    assert len(first) > 500
    assert once(7) == first
    assert once(8) != first


def test_peers_that_say_nothing_do_not_hold_up_the_end():
    async def main(site):
        loop = asyncio.get_running_loop()
        streams = [await site.hosts.client.open_connection(SERVER, port) for port in (80, 443)]
        await asyncio.sleep(1)
        began = loop.time()
        await site.server.close(5)
        assert loop.time() < began + 2
        for _, writer in streams:
            writer.transport.abort()

    served(main)


def test_a_client_that_goes_cancels_the_application():
    async def main(site):
        loop = asyncio.get_running_loop()
        for version in ("1.1", "2-prior-knowledge"):
            task = asyncio.ensure_future(
                site.fetch(f"http://{SERVER}/slow?seconds=3000", http_version=version)
            )
            await asyncio.sleep(1)
            began = loop.time()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while site.server.service.running.tasks:
                await asyncio.sleep(0.1)
                assert loop.time() < began + 10

    served(main)


@pytest.mark.parametrize("version", ["1.1", "2-prior-knowledge"])
def test_a_download_over_a_wire_that_goes_dead_is_gone_on_with(version, tmp_path):
    file = Partial(tmp_path / "file")
    request = Request(f"http://{SERVER}/bytes/3M")
    whole = b"".join(content(0, 3 << 20))

    async def main(site):
        loop = asyncio.get_running_loop()
        began = loop.time()
        dead = site.hosts.wire.drop(lambda packet: loop.time() > began + 0.6)
        async with open_client(site.hosts.client, version=version, timeout=5) as client:
            with pytest.raises(TimeoutError):
                await download(client, request, file)
        kept = file.kept
        assert 0 < kept < len(whole)
        dead.remove()
        async with open_client(site.hosts.client, version=version, timeout=5) as client:
            response = await download(client, request, file, resume=True)
        assert response.status_code == 206
        assert int(response.headers["content-length"]) == len(whole) - kept
        assert file.path.read_bytes() == whole

    served(main, rate=20_000_000)
