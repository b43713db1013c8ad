"""Two hosts on one wire in virtual time, with asyncio on both."""

import asyncio
import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stack.core.config import HostConfig
from stack.sim import Network, Wire
from stack.sockets.aio import AsyncHost

T = TypeVar("T")

CLIENT = "192.0.2.1"
SERVER = "192.0.2.2"
CLIENT6 = "2001:db8::1"
SERVER6 = "2001:db8::2"


@dataclass
class TwoHosts:
    """`client` and `server` for asyncio, and the network they are on."""

    net: Network
    wire: Wire
    client: AsyncHost
    server: AsyncHost


def make(seed: int = 1, config: HostConfig | None = None, **faults: Any) -> tuple[Network, Wire]:
    """A network of "client" and "server"."""
    net = Network(seed)
    client = net.host("client", f"{CLIENT}/24", f"{CLIENT6}/64", config=config)
    server = net.host("server", f"{SERVER}/24", f"{SERVER6}/64", config=config)
    return net, net.link(client, server, **faults)


def run(
    main: Callable[[TwoHosts], Awaitable[T]],
    *,
    seed: int = 1,
    config: HostConfig | None = None,
    limit: float = 3600,
    **faults: Any,
) -> T:
    """Runs `main` on two hosts, for at most `limit` virtual seconds."""
    net, wire = make(seed, config, **{"delay": 5_000, **faults})

    async def inside() -> T:
        hosts = TwoHosts(
            net, wire, net.sockets(net.hosts["client"]), net.sockets(net.hosts["server"])
        )
        try:
            return await asyncio.wait_for(main(hosts), limit)
        finally:
            await hosts.client.aclose()
            await hosts.server.aclose()

    with asyncio.Runner(loop_factory=net.loop) as runner:
        return runner.run(inside())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends everything back, then closes."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@cache
def tls_contexts(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's) contexts around one self-signed certificate, at most `version`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("server.test"), x509.IPAddress(ipaddress.ip_address(SERVER))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    client = ssl.create_default_context(cadata=pem.decode())
    client.maximum_version = version
    return _server_context(pem, key), client


def _server_context(pem: bytes, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context
