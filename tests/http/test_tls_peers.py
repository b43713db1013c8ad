"""TLS beyond the handshake: names, sessions, and clients that show who they are."""

import ssl
from dataclasses import dataclass

import pytest

from stack.cli.main import main
from stack.http.certificate import make_certificate
from stack.http.server import HttpServer
from stack.http.tls import client_context, server_context
from tests.support.http_world import LoopHost, run

A = make_certificate(["a.example", "localhost"])
B = make_certificate(["b.example", "*.c.example"])


@dataclass
class Pair:
    """A client and a server of TLS on memory, shaken hands."""

    client: ssl.SSLObject
    server: ssl.SSLObject


def shake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str,
    session: ssl.SSLSession | None = None,
) -> Pair:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    pair = Pair(
        client.wrap_bio(to_client, to_server, server_hostname=name, session=session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for side in (pair.client, pair.server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    pair.server.write(b"hello")
    assert pair.client.read() == b"hello"  # with it came the ticket
    return pair


@pytest.mark.rfc("6066", "3")
@pytest.mark.parametrize(
    ("name", "certificate"),
    [("a.example", A), ("b.example", B), ("B.EXAMPLE", B), ("x.c.example", B)],
)
def test_the_name_that_a_client_asks_for_decides_the_certificate(name, certificate):
    context = server_context(A, B)
    pair = shake(context, client_context(authorities=certificate.chain), name)
    shown = pair.client.getpeercert(binary_form=True)
    assert shown == ssl.PEM_cert_to_DER_cert(certificate.chain.decode())
    assert pair.client.selected_alpn_protocol() == "h2"


def test_an_unknown_name_gets_the_first_certificate():
    pair = shake(server_context(A, B), client_context(verify=False), "elsewhere.example")
    shown = pair.client.getpeercert(binary_form=True)
    assert shown == ssl.PEM_cert_to_DER_cert(A.chain.decode())


def test_the_secrets_of_every_name_are_logged():
    lines: list[str] = []
    context = server_context(A, B, keylog=lines.append)
    shake(context, client_context(verify=False), "b.example")
    assert {line.split()[0] for line in lines} >= {"CLIENT_TRAFFIC_SECRET_0"}


@pytest.mark.rfc("8446", "2.2")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("certificates", [(A,), (A, B)])
def test_a_session_is_resumed(version, certificates):
    server = server_context(*certificates)
    client = client_context(authorities=A.chain)
    client.maximum_version = version
    first = shake(server, client, "a.example")
    assert not first.client.session_reused
    second = shake(server, client, "a.example", first.client.session)
    assert second.client.session_reused


def test_a_client_without_the_certificate_asked_for_gets_nothing_and_one_with_it_is_named():
    scopes = []
    known = make_certificate(["client.example"], client=True)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def test():
        import asyncio

        server = HttpServer(LoopHost(), app, certificate=A, client_authorities=known.chain)
        await server.start([], [0], ["127.0.0.1"])
        port = server.listeners[0].sockets[0].getsockname()[1]
        try:
            for certificate in (None, known):
                context = client_context(authorities=A.chain, alpn=("http/1.1",))
                if certificate is not None:
                    from stack.http.tls import _load

                    _load(context, certificate)
                try:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", port, ssl=context, server_hostname="localhost"
                    )
                    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    answer = await reader.read()
                except (OSError, ssl.SSLError):
                    answer = b""
                else:
                    writer.close()
                assert answer.startswith(b"HTTP/1.1 200") == (certificate is not None)
        finally:
            await server.close(1)

    run(test)
    (scope,) = scopes
    tls = scope["extensions"]["tls"]
    assert tls["client_cert_name"] == "CN=tunstack"
    assert tls["client_cert_chain"] == [known.chain.decode()]
    assert tls["tls_version"] == 0x0304
    assert tls["server_cert"] == A.chain.decode()
    assert tls["cipher_suite"] in {0x1301, 0x1302, 0x1303}


def test_the_command_shows_keeps_and_renews_the_certificate(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(["cert"]) == 0
    shown = capsys.readouterr().out
    assert "192.0.2.2" in shown
    file = tmp_path / "tunstack" / "certificate.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tunstack" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert main(["cert"]) == 0
    assert capsys.readouterr().out == shown
    assert main(["cert", "--path"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert main(["cert", "--renew"]) == 0
    assert capsys.readouterr().out != shown


def test_a_state_directory_that_cannot_be_used_is_one_clear_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert main(["cert"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
