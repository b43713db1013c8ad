"""asyncio's own TLS on top of our transports."""

import asyncio
import ssl

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from tests.support.two_hosts import SERVER, echo, run, tls_contexts

PORT = 443


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_megabyte_there_and_back(version):
    ours, theirs = tls_contexts(version)
    text = bytes(i % 253 for i in range(1 << 20))

    async def main(hosts):
        await hosts.server.start_server(echo, None, PORT, ssl=ours)
        reader, writer = await hosts.client.open_connection(
            SERVER, PORT, ssl=theirs, server_hostname="server.test"
        )
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        assert writer.get_extra_info("peername") == (SERVER, PORT)
        assert writer.get_extra_info("connection").remote == (SERVER, PORT)

        async def send():
            for at in range(0, len(text), 100_000):
                writer.write(text[at : at + 100_000])
                await writer.drain()

        _, received = await asyncio.gather(send(), reader.readexactly(len(text)))
        assert received == text
        writer.close()
        await writer.wait_closed()

    run(main, loss=0.01)


def test_the_name_defaults_to_the_address_that_was_given():
    ours, theirs = tls_contexts()

    async def main(hosts):
        await hosts.server.start_server(echo, None, PORT, ssl=ours)
        _, writer = await hosts.client.open_connection(SERVER, PORT, ssl=theirs)
        assert writer.get_extra_info("ssl_object").server_hostname == SERVER
        writer.close()
        await writer.wait_closed()

    run(main)


def test_a_certificate_that_nobody_signed_is_refused():
    ours, _ = tls_contexts()

    async def main(hosts):
        await hosts.server.start_server(echo, None, PORT, ssl=ours)
        with pytest.raises(ssl.SSLCertVerificationError):
            await hosts.client.open_connection(SERVER, PORT, ssl=True)
        await asyncio.sleep(60)
        assert not hosts.client.host.connections

    run(main)


def test_a_handshake_that_never_ends_times_out():
    _, theirs = tls_contexts()

    async def main(hosts):
        async def silent(reader, writer):
            await reader.read()
            await asyncio.sleep(100)
            writer.close()

        await hosts.server.start_server(silent, None, PORT)
        before = hosts.net.now
        with pytest.raises(ConnectionAbortedError, match="longer than 7 seconds"):
            await hosts.client.open_connection(SERVER, PORT, ssl=theirs, ssl_handshake_timeout=7)
        assert 7_000_000 <= hosts.net.now - before < 8_000_000
        await asyncio.sleep(200)

    run(main)


def test_a_connection_can_turn_to_tls_in_the_middle():
    ours, theirs = tls_contexts()

    async def main(hosts):
        async def serve(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go ahead\n")
            await writer.drain()
            await writer.start_tls(ours)
            writer.write(b"secret " + await reader.readline())
            writer.close()

        await hosts.server.start_server(serve, None, 7)
        reader, writer = await hosts.client.open_connection(SERVER, 7)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        await writer.start_tls(theirs, server_hostname="server.test")
        writer.write(b"hello\n")
        assert await reader.readline() == b"secret hello\n"
        writer.close()
        await writer.wait_closed()

    run(main)


def test_tls_waits_for_a_slow_reader():
    ours, theirs = tls_contexts()
    config = HostConfig(tcp=TcpConfig(send_buffer=32 << 10, receive_buffer=32 << 10))

    async def main(hosts):
        accepted = asyncio.get_running_loop().create_future()
        await hosts.server.start_server(
            lambda *both: accepted.set_result(both), None, PORT, ssl=ours
        )
        _, writer = await hosts.client.open_connection(SERVER, PORT, ssl=theirs)
        reader, their_writer = await accepted
        progress = 0

        async def send():
            nonlocal progress
            for _ in range(100):
                writer.write(bytes(20_000))
                await writer.drain()
                progress += 1
            writer.close()

        sending = asyncio.create_task(send())
        await asyncio.sleep(300)
        assert progress < 70
        assert len(await reader.readexactly(2_000_000)) == 2_000_000
        await sending
        their_writer.close()

    run(main, config=config)
