"""The drop-in for `socket`: descriptors that tell, TLS, event loops, several hosts."""

import asyncio
import http.server
import os
import select
import selectors
import socket as standard
import ssl
import subprocess
import sys
import threading
import urllib.request
import warnings
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from stack.core.host import Host
from stack.link.virtual import VirtualLink
from stack.sockets import dropin
from stack.sockets.blocking import BlockingHost
from stack.sockets.dropin.sock import KernelSocket, Socket
from tests.support.conversations import self_signed

SERVER, CLIENT = "192.0.2.2", "192.0.2.1"


@pytest.fixture(scope="module")
def host():
    with dropin.open_host(None, f"{SERVER}/24", "2001:db8::2/64") as made:
        yield made


@pytest.fixture
def sockets(host):
    """A module like `socket` for one host that talks to itself."""
    return dropin.module(host)


@pytest.fixture
def pair(sockets):
    with ExitStack() as stack:
        listener = stack.enter_context(sockets.create_server((SERVER, 0)))
        client = stack.enter_context(sockets.create_connection(listener.getsockname()))
        accepted, _ = listener.accept()
        yield client, stack.enter_context(accepted)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """(server's, client's) contexts of TLS."""
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return server, client


@contextmanager
def thread(work):
    """Does `work` beside; its end is waited for, and what it raised comes out."""
    failures = []

    def run():
        try:
            work()
        except BaseException as error:
            failures.append(error)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield
    finally:
        running.join(20)
        assert not running.is_alive()
    if failures:
        raise failures[0]


def readiness(sock, wait=0.0):
    """(readable, writable) as select tells."""
    readable, writable, _ = select.select([sock], [sock], [], wait)
    return bool(readable), bool(writable)


# ---- the module ----------------------------------------------------------------------------


def test_the_module_has_what_socket_has(sockets):
    missing = set(dir(standard)) - set(dir(sockets)) - {"__all__", "__file__", "__cached__"}
    assert {name for name in missing if not name.startswith("__")} == set()
    assert sockets.AF_INET6 is standard.AF_INET6
    assert issubclass(sockets.socket, standard.socket)
    assert sockets.socket is not standard.socket


def test_use_makes_the_package_itself_such_a_module(host):
    dropin.use(host)
    with dropin.create_server((SERVER, 0)) as listener:
        assert isinstance(listener, dropin.socket)
        assert listener.on_host
    assert dropin.SOCK_STREAM is standard.SOCK_STREAM


def test_what_is_no_internet_socket_is_the_kernels(sockets):
    one, other = sockets.socketpair()
    with one, other:
        assert one.family is standard.AF_UNIX
        assert not one.on_host
        one.sendall(b"x")
        assert other.recv(1) == b"x"


def test_a_server_for_both_versions(sockets):
    assert sockets.has_dualstack_ipv6()
    with sockets.create_server(("", 0), family=sockets.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        for address in (SERVER, "2001:db8::2"):
            with sockets.create_connection((address, port), timeout=5):
                accepted, name = listener.accept()
                accepted.close()
                assert name[0].endswith(address)


def test_two_servers_share_a_port_when_both_say_so(sockets):
    with sockets.create_server((SERVER, 0), reuse_port=True) as one:
        name = one.getsockname()
        with sockets.create_server(name, reuse_port=True) as other:
            found = set()
            for _ in range(32):
                with sockets.create_connection(name, timeout=5):
                    ready, _, _ = select.select([one, other], [], [], 5)
                    accepted, _ = ready[0].accept()
                    accepted.close()
                    found.add(ready[0])
            assert found == {one, other}
        with pytest.raises(OSError, match="in use"):
            sockets.create_server(name)


# ---- descriptors ---------------------------------------------------------------------------


def test_a_descriptor_is_readable_while_there_is_something_to_read(pair):
    client, server = pair
    assert readiness(server) == (False, True)
    client.sendall(b"ab")
    assert readiness(server, 1) == (True, True)
    server.recv(1)
    assert readiness(server) == (True, True)
    server.recv(1)
    assert readiness(server) == (False, True)
    client.close()
    assert select.select([server], [], [], 1)[0]
    assert server.recv(1) == b""


def test_a_descriptor_is_writable_while_there_is_room(pair):
    client, server = pair
    client.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            client.send(bytes(1 << 20))
    assert readiness(client) == (False, False)
    server.settimeout(5)
    while not readiness(client)[1]:
        server.recv(1 << 20)
    assert client.send(b"x") == 1


def test_a_listener_is_readable_when_someone_waits(sockets):
    with sockets.create_server((SERVER, 0)) as listener:
        assert readiness(listener) == (False, False)
        with sockets.create_connection(listener.getsockname()):
            assert readiness(listener, 1) == (True, False)
            listener.accept()[0].close()
            assert readiness(listener) == (False, False)


def test_a_datagram_makes_readable(sockets):
    with sockets.socket(type=sockets.SOCK_DGRAM) as one, sockets.socket(type=2) as other:
        one.bind((SERVER, 0))
        assert readiness(one) == (False, True)
        other.sendto(b"x", one.getsockname())
        assert readiness(one, 1) == (True, True)
        assert one.recvfrom(9)[0] == b"x"
        assert readiness(one) == (False, True)


@pytest.mark.parametrize("kind", ["SelectSelector", "PollSelector", "EpollSelector"])
def test_selectors_wake_for_what_comes_while_they_wait(pair, kind):
    client, server = pair
    with getattr(selectors, kind)() as selector:
        selector.register(server, selectors.EVENT_READ)
        timer = threading.Timer(0.05, client.sendall, (b"x",))
        timer.start()
        assert selector.select(5)
        timer.join()


def test_connecting_ends_with_writable(sockets):
    with sockets.create_server((SERVER, 0)) as listener, sockets.socket() as client:
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        assert readiness(client, 1) == (False, True)
        assert client.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR) == 0


def test_no_byte_is_lost_on_the_descriptor_itself(pair):
    client, _ = pair
    for write in (
        lambda: os.write(client.fileno(), b"lost?"),
        lambda: os.sendfile(client.fileno(), os.open(__file__, os.O_RDONLY), 0, 10),
    ):
        with pytest.raises(BrokenPipeError):
            write()


def test_a_detached_descriptor_makes_a_socket_again(pair, sockets):
    client, server = pair
    number = client.detach()
    assert client.fileno() == -1
    client.close()
    with sockets.socket(fileno=number) as again:
        assert (again.family, again.type) == (standard.AF_INET, standard.SOCK_STREAM)
        again.sendall(b"still here")
        assert server.recv(20) == b"still here"
    assert server.recv(1) == b""


def test_a_detached_descriptor_that_is_closed_ends_the_connection(pair, sockets):
    client, server = pair
    os.close(client.detach())
    sockets.socket().close()  # the next socket finds out
    assert server.recv(1) == b""


def test_duplicates_share_the_connection_and_have_timeouts_of_their_own(pair, sockets):
    client, server = pair
    twin = client.dup()
    third = sockets.fromfd(client.fileno(), sockets.AF_INET, sockets.SOCK_STREAM)
    client.settimeout(0.01)
    assert (twin.gettimeout(), third.gettimeout()) == (None, None)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.close()
    third.close()
    server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.recv(1)
    twin.close()
    assert server.recv(1) == b""


def test_a_socket_that_is_forgotten_is_closed_with_a_warning(sockets):
    with sockets.create_server((SERVER, 0)) as listener:
        forgotten = [sockets.create_connection(listener.getsockname())]
        accepted, _ = listener.accept()
        with accepted:
            with pytest.warns(ResourceWarning, match="unclosed"):
                forgotten.clear()
            assert accepted.recv(1) == b""


def test_no_descriptor_is_left(pair, sockets):
    def opened():
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = opened()
    with sockets.create_server((SERVER, 0)) as listener:
        client = sockets.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        for one in (listener, client, accepted):
            one.fileno()
        assert opened() == before + 9
        client.close()
        accepted.close()
    assert opened() == before


# ---- TLS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_over_blocking_sockets(pair, contexts, version):
    client, server = pair
    contexts[0].maximum_version = contexts[0].minimum_version = ssl.TLSVersion[version]

    def serve():
        with contexts[0].wrap_socket(server, server_side=True) as tls:
            received = bytearray()
            while len(received) < 1 << 20:
                received += tls.recv(1 << 16)
            tls.sendall(received)
            tls.unwrap().close()

    with thread(serve):
        client.settimeout(10)
        with contexts[1].wrap_socket(client) as tls:
            assert isinstance(tls, ssl.SSLSocket)
            assert tls.version() == version.replace("_", ".")
            assert tls.getpeername()[0] == SERVER
            assert tls.context is contexts[1]
            tls.sendall(bytes(1 << 20))
            with tls.makefile("rb") as file:
                assert file.read(1 << 20) == bytes(1 << 20)
            tls.unwrap().close()


def test_tls_without_waiting_says_what_it_waits_for(pair, contexts):
    client, server = pair
    for one in pair:
        one.setblocking(False)
    client = contexts[1].wrap_socket(client, do_handshake_on_connect=False)
    server = contexts[0].wrap_socket(server, server_side=True, do_handshake_on_connect=False)
    with client, server:
        left = [client, server]
        while left:
            for one in tuple(left):
                try:
                    one.do_handshake()
                    left.remove(one)
                except ssl.SSLWantReadError:
                    select.select([one], [], [], 0.05)
        with pytest.raises(ssl.SSLWantReadError):
            server.recv(1)
        block, total = bytes(1 << 16), 1 << 16
        with suppress(ssl.SSLWantWriteError):
            while True:
                total += client.send(block)
        received, refused = 0, True
        while received < total:
            with suppress(ssl.SSLWantReadError):
                received += len(server.recv(1 << 16))
            if refused:  # OpenSSL has the block already: asking again sends it, but not twice
                with suppress(ssl.SSLWantWriteError):
                    refused = client.send(block) != len(block)
        with pytest.raises(ssl.SSLWantReadError):
            server.recv(1)


def test_tls_gives_up_in_time_and_tells_of_a_broken_peer(pair, contexts):
    client, server = pair
    client.settimeout(0.05)
    with pytest.raises(TimeoutError, match="handshake operation timed out"):
        contexts[1].wrap_socket(client)
    server.close()


def test_tls_on_kernel_sockets_stays_as_it_was(contexts):
    one, other = standard.socketpair()
    with one, other:
        tls = contexts[1].wrap_socket(one, do_handshake_on_connect=False)
        with tls:
            assert type(tls) is ssl.SSLSocket


# ---- event loops ---------------------------------------------------------------------------


async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_asyncio_streams_and_upgrades_to_tls(sockets, contexts):
    async def main():
        listening = sockets.create_server((SERVER, 0))
        server = await asyncio.start_server(echo, sock=listening, ssl=contexts[0])
        sock = sockets.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, listening.getsockname())
        reader, writer = await asyncio.open_connection(sock=sock)
        await writer.start_tls(contexts[1])
        writer.write(bytes(300_000))
        assert await reader.readexactly(300_000) == bytes(300_000)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_asyncio_sends_files_and_hears_datagrams(sockets, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 4096)

    async def main():
        loop = asyncio.get_running_loop()
        with sockets.create_server((SERVER, 0)) as listener, sockets.socket() as sock:
            listener.setblocking(False)
            sock.setblocking(False)
            await loop.sock_connect(sock, listener.getsockname())
            accepted, _ = await loop.sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=accepted)
            with path.open("rb") as file:
                sent = asyncio.ensure_future(loop.sock_sendfile(sock, file))
                assert await reader.readexactly(1 << 20) == path.read_bytes()
                assert await sent == 1 << 20
            writer.close()
            await writer.wait_closed()

        class Hears(asyncio.DatagramProtocol):
            def __init__(self):
                self.heard = loop.create_future()

            def datagram_received(self, data, addr):
                self.heard.set_result(data)

        sock = sockets.socket(type=sockets.SOCK_DGRAM)
        sock.bind((SERVER, 0))
        transport, protocol = await loop.create_datagram_endpoint(Hears, sock=sock)
        transport.sendto(b"to myself", transport.get_extra_info("sockname"))
        assert await protocol.heard == b"to myself"
        transport.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_cancelled_wait_takes_nothing_away(sockets, pair):
    client, server = pair

    async def main():
        loop = asyncio.get_running_loop()
        server.setblocking(False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(server, 10), 0.02)
        client.sendall(b"kept")
        assert await loop.sock_recv(server, 10) == b"kept"

    asyncio.run(main())


def test_trio_and_anyio_run_on_the_installed_drop_in():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.event_loops"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout == "all well\n", done.stderr


# ---- in place of `import socket` -------------------------------------------------------------


def test_installed_it_takes_what_is_the_hosts_and_leaves_the_rest(host):
    with dropin.installed(host):
        assert standard.socket is Socket
        with standard.create_server((SERVER, 0)) as ours, standard.socket() as client:
            client.setsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY, 1)
            assert not client.on_host
            client.connect(ours.getsockname())
            assert ours.on_host
            assert client.on_host
            assert client.getsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY) == 1
        theirs = standard.create_server(("127.0.0.1", 0))
        with theirs, standard.create_connection(theirs.getsockname()) as client:
            accepted, _ = theirs.accept()
            accepted.close()
            assert not (theirs.on_host or client.on_host or accepted.on_host)
        with standard.create_server(("", 0)) as everywhere:
            assert everywhere.on_host
        assert standard.getaddrinfo(SERVER, 80)[0][4] == (SERVER, 80)
        assert standard.getfqdn(SERVER) == SERVER
    assert standard.socket is KernelSocket


def test_two_programs_on_two_hosts_of_one_process(tmp_path):
    """http.server and urllib, unmodified, each on a host of its own, over a virtual wire."""
    (tmp_path / "page").write_bytes(bytes(100_000))
    one, other = VirtualLink.pair()
    with ExitStack() as stack:
        server_host, client_host = (
            stack.enter_context(
                BlockingHost(Host([f"{address}/24"], random_bytes=os.urandom), link)
            )
            for address, link in ((SERVER, one), (CLIENT, other))
        )
        stack.enter_context(dropin.installed(server_host))

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(tmp_path))

            def log_message(self, *arguments):
                pass

        with dropin.on(server_host):
            server = http.server.ThreadingHTTPServer((SERVER, 80), Handler)
        with server, thread(server.serve_forever):
            try:
                with dropin.on(client_host):
                    url = f"http://{SERVER}/page"
                    with urllib.request.urlopen(url, timeout=10) as answer:
                        assert len(answer.read()) == 100_000
            finally:
                server.shutdown()
        assert server_host.host.counters.as_dict()["TcpPassiveOpens"] == 1
        assert client_host.host.counters.as_dict()["TcpInSegs"] > 10


def test_the_guides_example_runs():
    """The first block of Python in docs/sockets.md is a whole program."""
    guide = (Path(__file__).parents[2] / "docs" / "sockets.md").read_text("utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(guide.partition("```python\n")[2].partition("```")[0], {"__name__": "guide"})
