"""Options of TCP through asyncio's faces: `server.sockets` and `get_extra_info("socket")`."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import pytest

from tests.support.two_hosts import SERVER, run

TCP, IP, SOCKET = socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.SOL_SOCKET


@asynccontextmanager
async def connected(hosts, prepare=lambda server: None):
    """(client's writer, server's reader, server's writer) of one connection."""
    accepted = asyncio.get_running_loop().create_future()

    async def handle(reader, writer):
        if not accepted.done():
            accepted.set_result((reader, writer))

    server = await hosts.server.start_server(handle, None, 7)
    prepare(server)
    _, ours = await hosts.client.open_connection(SERVER, 7)
    reader, theirs = await accepted
    try:
        yield ours, reader, theirs
    finally:
        ours.close()
        theirs.close()


def option(writer, level, name, size=0):
    return writer.get_extra_info("socket").getsockopt(level, name, size)


def test_what_is_set_on_the_server_holds_for_its_connections():
    def prepare(server):
        (view,) = server.sockets
        view.setsockopt(IP, socket.IP_TOS, 0xB8)
        view.setsockopt(TCP, socket.TCP_KEEPIDLE, 33)
        view.setsockopt(SOCKET, socket.SO_KEEPALIVE, 1)
        view.setsockopt(SOCKET, socket.SO_OOBINLINE, 1)
        view.setsockopt(TCP, socket.TCP_CONGESTION, b"reno")

    async def main(hosts):
        async with connected(hosts, prepare) as (ours, _, theirs):
            assert option(theirs, IP, socket.IP_TOS) == 0xB8
            assert option(theirs, TCP, socket.TCP_KEEPIDLE) == 33
            assert option(theirs, SOCKET, socket.SO_KEEPALIVE) == 1
            assert option(theirs, SOCKET, socket.SO_OOBINLINE) == 1
            assert option(theirs, TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
            assert option(ours, IP, socket.IP_TOS) == 0

    run(main)


def test_nagle_is_off_and_urgent_data_apart_as_with_asyncios_own_transports():
    async def main(hosts):
        async with connected(hosts) as (ours, _, theirs):
            for writer in (ours, theirs):
                assert option(writer, TCP, socket.TCP_NODELAY) == 1
                assert option(writer, SOCKET, socket.SO_OOBINLINE) == 0

    run(main)


def test_the_info_of_a_transport_is_that_of_its_connection():
    async def main(hosts):
        async with connected(hosts) as (ours, reader, _):
            ours.write(bytes(10_000))
            await reader.readexactly(10_000)
            await asyncio.sleep(1)
            info = option(ours, TCP, socket.TCP_INFO, 248)
            (rtt,) = struct.unpack_from("=I", info, 68)
            assert 10_000 <= rtt < 11_000
            assert struct.unpack_from("=Q", info, 200) == (10_000,)

    run(main)


def test_a_linger_of_zero_makes_close_a_reset():
    async def main(hosts):
        async with connected(hosts) as (ours, reader, _):
            linger = struct.pack("ii", 1, 0)
            ours.get_extra_info("socket").setsockopt(SOCKET, socket.SO_LINGER, linger)
            ours.write(b"lost")
            ours.close()
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(main)


def test_fast_open_can_be_switched_on_while_a_server_listens():
    async def main(hosts):
        def prepare(server):
            (view,) = server.sockets
            view.setsockopt(TCP, socket.TCP_FASTOPEN, 5)
            assert view.getsockopt(TCP, socket.TCP_FASTOPEN) == 5

        async with connected(hosts, prepare):
            driver = hosts.client.driver
            for _ in range(2):
                connection = driver.host.connect(SERVER, 7, driver.now(), fast_open_data=b"hi")
                driver.wake()
                await asyncio.sleep(1)
                connection.abort(driver.now())
        assert hosts.server.host.counters["TCPFastOpenPassive"] == 1

    run(main)
