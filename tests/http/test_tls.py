"""TLS contexts, the key log, and the certificate."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stack.errors import UsageError
from stack.http.certificate import kept_certificate, make_certificate
from stack.http.tls import client_context, server_context
from tests.support.http_world import run, serving, tool

NAMES = ["localhost", "192.0.2.2", "2001:db8::2"]


class Handshake:
    """A client and a server on memory; `step` lets one of them go on."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.to_client = to_client
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name)

    def step(self, side: ssl.SSLObject) -> bool:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def finish(self) -> None:
        for _ in range(4):
            self.step(self.client)
            self.step(self.server)
        assert self.step(self.client)


def test_both_versions_of_tls_and_alpn():
    certificate = make_certificate(NAMES)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = client_context(authorities=certificate.chain)
        client.maximum_version = version
        handshake = Handshake(server_context(certificate), client, "192.0.2.2")
        handshake.finish()
        assert handshake.client.version() == version.name.replace("_", ".")
        assert handshake.client.selected_alpn_protocol() == "h2"


@pytest.mark.rfc("9113", "9.2-1")
def test_tls_1_1_is_refused():
    certificate = make_certificate(NAMES)
    client = client_context(authorities=certificate.chain)
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    handshake = Handshake(server_context(certificate), client, "localhost")
    with pytest.raises(ssl.SSLError):
        handshake.finish()


@pytest.mark.rfc("9113", "9.2.2")
def test_tls_1_2_has_only_ephemeral_keys_and_authenticated_encryption():
    names = [cipher["name"] for cipher in server_context(make_certificate(NAMES)).get_ciphers()]
    assert names
    for name in names:
        assert name.startswith(("ECDHE-", "TLS_")), name
        assert "GCM" in name or "POLY1305" in name, name


@pytest.mark.rfc("9113", "9.2.1-1", "9.2.1-2", "10.6-2")
def test_neither_compression_nor_renegotiation():
    options = server_context(make_certificate(NAMES)).options
    assert options & ssl.OP_NO_COMPRESSION
    assert options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_secrets_are_logged_before_the_records_that_need_them_can_leave(version):
    certificate = make_certificate(NAMES)
    lines: list[str] = []
    client_lines: list[str] = []
    server = server_context(certificate, keylog=lines.append)
    server.maximum_version = version
    client = client_context(authorities=certificate.chain, keylog=client_lines.append)
    handshake = Handshake(server, client, "localhost")
    handshake.step(handshake.client)
    handshake.step(handshake.server)
    labels = {line.split()[0] for line in lines}
    if version is ssl.TLSVersion.TLSv1_3:
        # The server's first flight is encrypted already, and waits in the BIO.
        assert handshake.to_client.pending
        assert {
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_TRAFFIC_SECRET_0",
        } <= labels
    handshake.finish()
    assert sorted(lines) == sorted(client_lines)
    assert all(len(line.split()) == 3 for line in lines)
    expected = "CLIENT_RANDOM" if version is ssl.TLSVersion.TLSv1_2 else "CLIENT_TRAFFIC_SECRET_0"
    assert expected in {line.split()[0] for line in lines}


def test_each_handshake_is_logged_once():
    certificate = make_certificate(NAMES)
    lines: list[str] = []
    server = server_context(certificate, keylog=lines.append)
    for count in range(1, 4):
        Handshake(server, client_context(authorities=certificate.chain), "localhost").finish()
        assert len(lines) == len(set(lines))
        assert len({line.split()[1] for line in lines}) == count


def test_a_context_gives_its_descriptor_back():
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    context = server_context(make_certificate(NAMES), keylog=print)
    assert len(list(descriptors.iterdir())) > before
    del context
    assert len(list(descriptors.iterdir())) == before


def test_the_certificate_holds_for_names_and_addresses_only_those_given():
    certificate = make_certificate(NAMES)
    assert certificate.covers(NAMES)
    assert certificate.covers(["192.0.2.2"])
    assert not certificate.covers(["192.0.2.3"])
    parsed = certificate.parsed
    assert parsed.issuer == parsed.subject
    constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca


def test_a_kept_certificate_is_found_again_and_private(tmp_path):
    folder = tmp_path / "a" / "b"
    first = kept_certificate(folder, NAMES)
    assert kept_certificate(folder, NAMES[:2]) == first
    for name in ("certificate.pem", "key.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    other = kept_certificate(folder, ["192.0.2.99"])
    assert other != first
    assert kept_certificate(folder, ["192.0.2.99"]) == other
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == other.parsed.public_key()


def test_a_certificate_that_is_broken_is_made_anew(tmp_path):
    kept_certificate(tmp_path, NAMES)
    (tmp_path / "certificate.pem").write_text("nonsense")
    assert kept_certificate(tmp_path, NAMES).covers(NAMES)


def test_a_directory_that_cannot_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"certificate in .*file/keys"):
        kept_certificate(tmp_path / "file" / "keys", NAMES)


def test_openssl_agrees_with_the_handshake_and_sees_the_certificate_hold(tmp_path):
    async def main():
        async with serving() as served:
            path = tmp_path / "certificate.pem"
            path.write_bytes(served.certificate.chain)
            for version, alpn in (("-tls1_2", "http/1.1"), ("-tls1_3", "h2")):
                result = await tool(
                    "openssl", "s_client", version, "-alpn", f"{alpn},nonsense", "-CAfile",
                    str(path), "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect",
                    f"127.0.0.1:{served.https_port}", stdin=b"",
                )  # fmt: skip
                assert f"ALPN protocol: {alpn}" in result.text
                assert "Verify return code: 0 (ok)" in result.text

    run(main)
