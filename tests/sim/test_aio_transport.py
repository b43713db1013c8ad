"""What asyncio promises of a transport, held by ours."""

import asyncio
import errno
import io
import socket

import pytest

from stack.core.config import HostConfig
from stack.core.events import PacketSent
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.states import State
from stack.wire import segment
from tests.support.two_hosts import CLIENT, CLIENT6, SERVER, SERVER6, run

SMALL = HostConfig(tcp=TcpConfig(send_buffer=32 << 10, receive_buffer=32 << 10))


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.calls = []
        self.data = bytearray()
        self.made = loop.create_future()
        self.ended = loop.create_future()
        self.eof = loop.create_future()
        self.keep_open = False

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")
        self.made.set_result(transport)

    def data_received(self, data):
        assert data
        self.data += data
        self.calls.append(len(data))

    def eof_received(self):
        self.calls.append("eof")
        self.eof.set_result(None)
        return self.keep_open

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.ended.set_result(exc)


async def pair(hosts, make=Recorder, address=SERVER):
    """(client's protocol, server's protocol) of one new connection."""
    accepted = []

    def factory():
        accepted.append(make())
        return accepted[-1]

    server = await hosts.server.create_server(factory, None, 7)
    _, protocol = await hosts.client.create_connection(make, address, 7)
    while not accepted:
        await asyncio.sleep(0.01)
    await accepted[0].made
    server.close()
    return protocol, accepted[0]


def test_the_calls_come_in_asyncios_order():
    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.write(b"ping")
        await asyncio.sleep(1)
        assert server.calls == ["made", 4]
        client.transport.close()
        assert await client.ended is None
        assert await server.ended is None
        assert server.calls == ["made", 4, "eof", "lost"]
        assert client.calls == ["made", "lost"]

    run(main)


@pytest.mark.rfc("9293", "MUST-58")
def test_an_answer_to_what_came_with_the_handshake_carries_its_acknowledgement():
    """The application is told in time: no bare ACK goes ahead of what it says."""

    class Greeter(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"ping")

    class Echo(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(data)

    async def main(hosts):
        from_server = []
        hosts.server.host.observe(
            lambda event: from_server.append(event) if isinstance(event, PacketSent) else None
        )
        await hosts.server.create_server(Echo, None, 7)
        _, client = await hosts.client.create_connection(Greeter, SERVER, 7)
        await asyncio.sleep(0.02)
        assert client.data == b"ping"
        texts = [segment.parse(event.data).tcp.text for event in from_server]
        assert texts == [b"", b"ping"]

    run(main)


def test_many_segments_become_one_call():
    async def main(hosts):
        client, server = await pair(hosts)
        server.transport.pause_reading()
        client.transport.write(bytes(100_000))
        await asyncio.sleep(5)
        assert server.calls == ["made"]
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert server.calls == ["made", 100_000]

    run(main)


def test_pausing_closes_the_window_and_resuming_opens_it():
    async def main(hosts):
        client, server = await pair(hosts)
        transport = server.transport
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        client.transport.write(bytes(100_000))
        await asyncio.sleep(30)
        assert server.data == b""
        assert client.transport.get_extra_info("connection").tcb.snd_wnd == 0
        transport.resume_reading()
        await asyncio.sleep(30)
        assert len(server.data) == 100_000

    run(main, config=SMALL)


def test_writing_pauses_above_the_high_mark_and_resumes_at_the_low_one():
    async def main(hosts):
        client, server = await pair(hosts)
        server.transport.pause_reading()
        transport = client.transport
        transport.set_write_buffer_limits(high=10_000, low=1_000)
        assert transport.get_write_buffer_limits() == (1_000, 10_000)
        transport.write(bytes(32 << 10))
        assert transport.get_write_buffer_size() == 0, "the send ring takes these"
        transport.write(bytes(10_000))
        assert transport.get_write_buffer_size() == 10_000
        assert client.calls == ["made"]
        transport.write(b"x")
        transport.write(b"y")
        assert client.calls == ["made", "pause"]
        server.transport.resume_reading()
        await asyncio.sleep(10)
        assert client.calls == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        assert server.data == bytes(42_768) + b"xy"

    run(main, config=SMALL)


def test_limits_are_checked_as_asyncio_checks_them():
    async def main(hosts):
        client, _ = await pair(hosts)
        assert client.transport.get_write_buffer_limits() == (16_384, 65_536)
        with pytest.raises(ValueError, match="must be >= low"):
            client.transport.set_write_buffer_limits(high=1, low=2)

    run(main)


def test_what_waits_is_a_copy_where_its_owner_may_change_it():
    async def main(hosts):
        client, server = await pair(hosts)
        mutable = bytearray(b"a" * 100_000)
        client.transport.write(memoryview(mutable))
        client.transport.write(mutable)
        client.transport.write(b"-" * 1000)
        mutable[:] = b"b" * 100_000
        await asyncio.sleep(60)
        assert server.data == b"a" * 200_000 + b"-" * 1000

    run(main, config=SMALL)


def test_wide_memoryviews_count_in_bytes():
    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.write(memoryview(bytes(40_000)).cast("I"))
        await asyncio.sleep(30)
        assert len(server.data) == 40_000

    run(main, config=SMALL)


def test_writelines_writes_all_of_them_together():
    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three")])
        await asyncio.sleep(1)
        assert server.calls == ["made", 13]
        assert server.data == b"one two three"

    run(main)


def test_only_bytes_can_be_written():
    async def main(hosts):
        client, _ = await pair(hosts)
        with pytest.raises(TypeError, match="bytes-like"):
            client.transport.write("text")

    run(main)


def test_eof_goes_behind_what_waits():
    async def main(hosts):
        client, server = await pair(hosts)
        server.keep_open = True
        assert client.transport.can_write_eof()
        client.transport.write(bytes(150_000))
        client.transport.write_eof()
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            client.transport.write(b"more")
        await server.eof
        assert len(server.data) == 150_000
        server.transport.write(b"answer")
        await asyncio.sleep(1)
        assert client.data == b"answer"
        server.transport.close()
        assert await client.ended is None
        assert await server.ended is None

    run(main, config=SMALL)


def test_closing_sends_what_waits():
    async def main(hosts):
        client, server = await pair(hosts)
        client.transport.write(bytes(150_000))
        client.transport.close()
        assert client.transport.is_closing()
        client.transport.write(b"too late")
        assert await client.ended is None
        assert await server.ended is None
        assert len(server.data) == 150_000

    run(main, config=SMALL)


def test_eof_while_paused_is_told_after_what_came_before():
    async def main(hosts):
        client, server = await pair(hosts)
        server.transport.pause_reading()
        client.transport.write(b"last words")
        client.transport.close()
        await asyncio.sleep(10)
        assert server.calls == ["made"]
        server.transport.resume_reading()
        await server.ended
        assert server.calls == ["made", 10, "eof", "lost"]

    run(main)


def test_closing_with_unread_data_resets():
    async def main(hosts):
        client, server = await pair(hosts)
        server.transport.pause_reading()
        client.transport.write(b"never read")
        await asyncio.sleep(1)
        server.transport.close()
        assert isinstance(await client.ended, ConnectionResetError)

    run(main)


def test_a_reset_is_told_even_to_one_who_does_not_read():
    async def main(hosts):
        client, server = await pair(hosts)
        server.transport.pause_reading()
        client.transport.abort()
        error = await server.ended
        assert isinstance(error, ConnectionResetError)
        assert error.errno == errno.ECONNRESET
        assert await client.ended is None
        server.transport.write(b"ignored")
        server.transport.close()
        server.transport.abort()

    run(main)


@pytest.mark.rfc("9293", "MUST-20")
def test_a_peer_that_vanishes_is_a_timeout():
    async def main(hosts):
        client, server = await pair(hosts)
        hosts.server.driver.close()
        client.transport.write(b"is anybody there?")
        error = await client.ended
        assert isinstance(error, TimeoutError)
        assert error.errno == errno.ETIMEDOUT
        server.transport.abort()

    run(main)


def test_closing_the_host_ends_every_transport():
    async def main(hosts):
        client, server = await pair(hosts)
        await hosts.server.aclose()
        assert isinstance(await server.ended, ConnectionAbortedError)
        assert isinstance(await client.ended, ConnectionResetError)

    run(main)


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_extra_info_names_both_ends(address):
    async def main(hosts):
        client, server = await pair(hosts, address=address)
        ours = client.transport.get_extra_info("sockname")
        theirs = client.transport.get_extra_info("peername")
        if address == SERVER:
            assert (ours[0], theirs) == (CLIENT, (SERVER, 7))
        else:
            assert (ours[0], theirs) == (CLIENT6, (SERVER6, 7, 0, 0))
        assert server.transport.get_extra_info("peername") == ours
        assert server.transport.get_extra_info("sockname") == theirs
        connection = client.transport.get_extra_info("connection")
        assert connection.state == State.ESTABLISHED
        assert client.transport.get_extra_info("sslcontext") is None
        assert client.transport.get_extra_info("nothing", 5) == 5

    run(main)


def test_the_socket_of_a_transport_takes_options_and_cannot_disturb_it():
    async def main(hosts):
        client, _ = await pair(hosts)
        view = client.transport.get_extra_info("socket")
        connection = client.transport.get_extra_info("connection")
        assert view.family == socket.AF_INET
        assert view.type == socket.SOCK_STREAM
        assert view.getsockname() == client.transport.get_extra_info("sockname")
        assert view.getpeername() == (SERVER, 7)
        nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert view.getsockopt(*nodelay) == 1, "as asyncio's own transports have it"
        view.setsockopt(*nodelay, 0)
        assert view.getsockopt(*nodelay) == 0
        assert not connection.nodelay
        assert view.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        with pytest.raises(OSError) as caught:
            view.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        assert caught.value.errno == errno.ENOPROTOOPT
        assert view.fileno() == -1
        assert view.gettimeout() == 0
        with pytest.raises(ValueError, match="cannot be blocking"):
            view.setblocking(True)
        assert not hasattr(view, "close")

    run(main)


class Buffered(asyncio.BufferedProtocol):
    """Takes bytes into a small buffer of its own."""

    def __init__(self):
        self.buffer = bytearray(1000)
        self.data = bytearray()
        self.made = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(transport)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc):
        self.ended.set_result(exc)


def test_a_buffered_protocol_gets_its_own_buffer_filled():
    text = bytes(i % 251 for i in range(123_456))

    async def main(hosts):
        client, server = await pair(hosts, Buffered)
        client.transport.write(text)
        client.transport.close()
        assert await server.ended is None
        assert server.data == text

    run(main)


def test_the_protocol_can_be_replaced_while_data_arrives():
    class Upgrading(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.next = Buffered()
            self.transport.set_protocol(self.next)
            assert self.transport.get_protocol() is self.next

    async def main(hosts):
        client, server = await pair(hosts, Upgrading)
        client.transport.write(b"old")
        await asyncio.sleep(1)
        client.transport.write(b"new")
        await asyncio.sleep(1)
        assert server.data == b"old"
        assert server.next.data == b"new"

    run(main)


@pytest.mark.parametrize("method", ["data_received", "eof_received", "connection_made"])
def test_a_protocol_that_fails_is_reported_and_loses_its_connection(method):
    def fail(self, *args):
        getattr(Recorder, method)(self, *args)
        raise ZeroDivisionError

    failing = type("Failing", (Recorder,), {method: fail})

    async def main(hosts):
        reports, made = [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        await hosts.server.create_server(lambda: made.append(failing()) or made[-1], None, 8)
        _, client = await hosts.client.create_connection(Recorder, SERVER, 8)
        client.transport.write(b"x")
        client.transport.write_eof()
        await client.ended
        assert isinstance(await made[0].ended, ZeroDivisionError)
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        assert len(reports) == 1

    run(main)


def test_one_failing_owner_does_not_stop_the_driver():
    async def main(hosts):
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

        def factory():
            raise ZeroDivisionError

        await hosts.server.create_server(factory, None, 9)
        client, server = await pair(hosts)
        _, refused = await hosts.client.create_connection(Recorder, SERVER, 9)
        assert isinstance(await refused.ended, ConnectionResetError)
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        client.transport.write(b"alive")
        await asyncio.sleep(1)
        assert server.data == b"alive"

    run(main)


def test_loop_sendfile_falls_back_to_writing():
    text = bytes(i % 249 for i in range(300_000))

    async def main(hosts):
        client, server = await pair(hosts)
        loop = asyncio.get_running_loop()
        await loop.sendfile(client.transport, io.BytesIO(text), offset=100)
        client.transport.close()
        await server.ended
        assert server.data == text[100:]

    run(main, config=SMALL)


def test_a_server_lives_as_asyncios_does():
    async def main(hosts):
        loop = asyncio.get_running_loop()
        recorders = []
        server = await hosts.server.create_server(
            lambda: recorders.append(Recorder()) or recorders[-1],
            [SERVER, SERVER6],
            7,
            start_serving=False,
        )
        assert server.get_loop() is loop
        assert not server.is_serving()
        assert [view.getsockname() for view in server.sockets] == [
            (SERVER, 7),
            (SERVER6, 7, 0, 0),
        ]
        await server.start_serving()
        assert server.is_serving()
        await hosts.client.create_connection(Recorder, SERVER6, 7)
        await asyncio.sleep(1)
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(1)
        assert not waiting.done(), "its last connection is still open"
        with pytest.raises(ConnectionRefusedError):
            await hosts.client.create_connection(Recorder, SERVER, 7)
        server.close_clients()
        await waiting
        with pytest.raises(RuntimeError, match="is closed"):
            await server.start_serving()

    run(main)


def test_serving_for_ever_ends_when_cancelled():
    async def main(hosts):
        async with await hosts.server.create_server(Recorder, None, 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert port
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(1)
            with pytest.raises(RuntimeError, match="already being awaited"):
                await server.serve_forever()
            _, client = await hosts.client.create_connection(Recorder, SERVER, port)
            client.transport.abort()
            await client.ended
            await asyncio.sleep(1)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not server.is_serving()

    run(main)
