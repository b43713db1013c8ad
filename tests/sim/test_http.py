"""HTTP, unmodified, between two hosts of ours in virtual time."""

import asyncio
import hashlib

import pytest

from stack.http.demo import app
from stack.http.server import HttpServer
from tests.support.fetching import get as fetch
from tests.support.two_hosts import SERVER, SERVER6, run

EVERY_FAULT = {
    "delay": 5_000,
    "rate": 100_000_000,
    "loss": 0.02,
    "reorder": 0.02,
    "duplicate": 0.01,
    "corrupt": 0.005,
}
VERSIONS = ["1.1", "2-prior-knowledge"]


def conversation(main, *, seed=1, **faults):
    """Runs `main` beside a server, and returns every packet."""
    packets = []

    async def inside(hosts):
        hosts.wire.tap(lambda *packet: packets.append(packet))
        loop = asyncio.get_running_loop()
        server = HttpServer(hosts.server, app, clock=loop.time)
        await server.start()
        await main(hosts.client)
        await server.close()

    run(inside, seed=seed, **faults)
    return packets


@pytest.mark.parametrize("address", [SERVER, f"[{SERVER6}]"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_arrives(scheme, version, address):
    if scheme == "https" and version == "2-prior-knowledge":
        version = "auto"

    async def main(client):
        response = await fetch(client, f"{scheme}://{address}/", http_version=version, verify=False)
        assert response.status == 200
        assert b"HTTP/" in response.body

    conversation(main)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_megabyte_each_way_over_a_bad_wire(version):
    text = bytes(i % 251 for i in range(1 << 20))

    async def main(client):
        response = await fetch(client, f"http://{SERVER}/bytes/1M", http_version=version)
        assert len(response.body) == 1 << 20
        response = await fetch(
            client, f"http://{SERVER}/sha256", method="POST", body=text, http_version=version
        )
        assert hashlib.sha256(text).hexdigest().encode() in response.body

    conversation(main, **EVERY_FAULT)


def test_one_seed_gives_the_same_bytes_twice():
    async def main(client):
        requests = (
            fetch(client, f"http://{SERVER}/bytes/100000", http_version=version)
            for version in VERSIONS * 3
        )
        for response in await asyncio.gather(*requests):
            assert len(response.body) == 100_000

    first = conversation(main, seed=3, **EVERY_FAULT)
    assert len(first) > 500
    assert first == conversation(main, seed=3, **EVERY_FAULT)


def test_a_slow_answer_takes_virtual_time_only():
    async def main(client):
        loop = asyncio.get_running_loop()
        before = loop.time()
        await fetch(client, f"http://{SERVER}/slow?seconds=50", http_version="1.1")
        assert 50 < loop.time() - before < 51

    conversation(main)
