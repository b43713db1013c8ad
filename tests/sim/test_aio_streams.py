"""asyncio's streams on two hosts of ours, in virtual time."""

import asyncio
import errno
import socket

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from tests.support.two_hosts import CLIENT, SERVER, SERVER6, echo, run

EVERY_FAULT = {"loss": 0.02, "reorder": 0.02, "duplicate": 0.01, "corrupt": 0.005}


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_what_is_written_comes_back(address):
    async def main(hosts):
        await hosts.server.start_server(echo, None, 7)
        reader, writer = await hosts.client.open_connection(address, 7)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(main)


@pytest.mark.parametrize("faults", [{}, {"rate": 50_000_000}, EVERY_FAULT], ids=str)
def test_megabytes_arrive_whole_whatever_the_wire_does(faults):
    text = bytes(i * 7919 % 251 for i in range(1 << 20)) * 2

    async def main(hosts):
        await hosts.server.start_server(echo, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)

        async def send():
            for at in range(0, len(text), 50_000):
                writer.write(text[at : at + 50_000])
                await writer.drain()
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read())
        assert received == text
        writer.close()

    run(main, **faults)


def test_ten_thousand_small_writes_become_few_segments():
    async def main(hosts):
        await hosts.server.start_server(echo, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        connection = writer.get_extra_info("connection")
        before = connection.info()["segs_out"]
        for number in range(10_000):
            writer.write(b"%04d" % number)
        received = await reader.readexactly(40_000)
        assert received == b"".join(b"%04d" % number for number in range(10_000))
        assert connection.info()["segs_out"] - before < 100
        writer.close()

    run(main)


def test_two_hundred_connections_at_once():
    async def one(hosts, number):
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        text = b"%d" % number * 1000
        writer.write(text)
        writer.write_eof()
        assert await reader.read() == text
        writer.close()
        await writer.wait_closed()

    async def main(hosts):
        await hosts.server.start_server(echo, None, 7, backlog=200)
        await asyncio.gather(*(one(hosts, number) for number in range(200)))

    run(main)


def test_one_direction_stays_open_after_the_other_is_closed():
    async def answer_at_the_end(reader, writer):
        question = await reader.read()
        await asyncio.sleep(60)
        writer.write(b"answer to " + question)
        writer.close()

    async def main(hosts):
        await hosts.server.start_server(answer_at_the_end, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == b"answer to question"
        writer.close()

    run(main)


def test_a_slow_reader_stops_a_fast_writer():
    config = HostConfig(tcp=TcpConfig(send_buffer=64 << 10, receive_buffer=64 << 10))
    total = 2 << 20

    async def main(hosts):
        accepted = asyncio.get_running_loop().create_future()
        await hosts.server.start_server(lambda *pair: accepted.set_result(pair), None, 7)
        _, writer = await hosts.client.open_connection(SERVER, 7)
        reader, _ = await accepted
        progress = 0

        async def send():
            nonlocal progress
            for _ in range(total // 16384):
                writer.write(bytes(16384))
                await writer.drain()
                progress += 16384
            writer.close()

        sending = asyncio.create_task(send())
        await asyncio.sleep(300)
        # Two rings, the reader's limit, and what the transport may hold.
        assert progress < 600_000
        received = 0
        while data := await reader.read(65536):
            received += len(data)
        await sending
        assert received == total

    run(main, config=config)


def test_aborting_resets_the_peer():
    async def main(hosts):
        failed = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            try:
                await reader.read()
            except OSError as error:
                failed.set_result(error)
            writer.close()

        await hosts.server.start_server(serve, None, 7)
        _, writer = await hosts.client.open_connection(SERVER, 7)
        writer.transport.abort()
        assert isinstance(await failed, ConnectionResetError)

    run(main)


def test_nobody_listens():
    async def main(hosts):
        with pytest.raises(ConnectionRefusedError) as caught:
            await hosts.client.open_connection(SERVER, 7)
        assert caught.value.errno == errno.ECONNREFUSED

    run(main)


@pytest.mark.rfc("9293", "MUST-23")
def test_a_connect_that_nobody_answers_times_out_after_three_minutes():
    async def main(hosts):
        began = hosts.net.now
        with pytest.raises(TimeoutError) as caught:
            await hosts.client.open_connection(SERVER, 7)
        assert caught.value.errno == errno.ETIMEDOUT
        assert hosts.net.now - began >= 180_000_000

    run(main, loss=1.0)


def test_a_cancelled_connect_leaves_nothing_behind():
    async def main(hosts):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await hosts.client.open_connection(SERVER, 7)
        assert not hosts.client.host.connections

    run(main, loss=1.0)


def test_cancelling_a_reader_leaves_the_connection_usable():
    async def main(hosts):
        await hosts.server.start_server(echo, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.read(10)
        writer.write(b"still here")
        assert await reader.read(100) == b"still here"
        writer.close()

    run(main)


def test_the_local_address_and_port_can_be_chosen():
    async def main(hosts):
        peers = []
        await hosts.server.start_server(
            lambda _, writer: peers.append(writer.get_extra_info("peername")) or writer.close(),
            None,
            7,
        )
        reader, writer = await hosts.client.open_connection(SERVER, 7, local_addr=(CLIENT, 45_678))
        assert await reader.read() == b""
        assert peers == [(CLIENT, 45_678)]
        assert writer.get_extra_info("sockname") == (CLIENT, 45_678)
        writer.close()
        with pytest.raises(OSError) as caught:
            await hosts.client.open_connection(SERVER, 7, local_addr=("192.0.2.77", 0))
        assert caught.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(OSError, match="no matching local address"):
            await hosts.client.open_connection(SERVER, 7, local_addr=("2001:db8::1", 0))

    run(main)


def test_bad_addresses_raise_what_asyncio_raises():
    async def main(hosts):
        connect = hosts.client.open_connection
        with pytest.raises(socket.gaierror):
            await connect("no such name", 80)
        with pytest.raises(socket.gaierror):
            await connect(SERVER, 80, family=socket.AF_INET6)
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            await connect(SERVER, 70_000)
        with pytest.raises(ValueError, match="host and port was not specified"):
            await connect()
        with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
            await connect(SERVER, 80, server_hostname="x")
        with pytest.raises(OSError) as caught:
            await connect("203.0.113.255", 80, family=socket.AF_INET, local_addr=("192.0.2.9", 0))
        assert caught.value.errno == errno.EADDRNOTAVAIL
        listen = hosts.server.start_server
        with pytest.raises(OSError, match="error while attempting to bind") as caught:
            await listen(echo, "192.0.2.99", 80)
        assert caught.value.errno == errno.EADDRNOTAVAIL
        await listen(echo, SERVER, 80)
        with pytest.raises(OSError) as caught:
            await listen(echo, SERVER, 80)
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(TypeError, match="ssl argument"):
            await listen(echo, None, 81, ssl=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout"):
            await listen(echo, None, 81, ssl_handshake_timeout=1)

    run(main)


def test_closing_the_host_lets_what_was_closed_before_arrive():
    async def main(hosts):
        received = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            received.set_result(await reader.read())
            writer.close()

        await hosts.server.start_server(serve, None, 7)
        _, writer = await hosts.client.open_connection(SERVER, 7)
        writer.write(bytes(300_000))
        writer.close()
        await hosts.client.aclose()
        assert await received == bytes(300_000)

    run(main, rate=10_000_000)
