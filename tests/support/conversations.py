"""Conversations written as packets without any network: TCP by hand, TLS through memory."""

import datetime
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stack.wire import segment
from stack.wire.segment import ACK, FIN, PSH, SYN, Option

MSS = 1448


class Side:
    """One end of a conversation: where it is, and what it has sent."""

    def __init__(self, address: str, port: int, isn: int, tsval: int) -> None:
        self.address = address
        self.port = port
        self.seq = isn
        self.tsval = tsval
        self.window = 502
        self.sent: Callable[[bytes], None] | None = None


class Conversation:
    """Packets of one TCP connection, client and server in step, a millisecond apart."""

    def __init__(
        self,
        client: str = "192.0.2.1",
        server: str = "192.0.2.2",
        sport: int = 40312,
        dport: int = 80,
    ) -> None:
        self.client = Side(client, sport, 0xFFFF_FF00, 1000)
        self.server = Side(server, dport, 7_000_000, 900_000)
        self.now = 1_700_000_000_000_000
        self.packets: list[tuple[int, bytes]] = []

    def other(self, side: Side) -> Side:
        return self.server if side is self.client else self.client

    def build(self, side: Side, flags: int, text: bytes = b"", **fields: object) -> bytes:
        other = self.other(side)
        values: dict = {
            "seq": side.seq,
            "ack": other.seq if flags & ACK else 0,
            "flags": flags,
            "window": side.window,
            "options": [
                Option(segment.NOP),
                Option(segment.NOP),
                segment.timestamps(side.tsval, other.tsval if flags & ACK else 0),
            ],
            "text": text,
            "dont_fragment": True,
        }
        values.update(fields)
        return segment.build_tcp(side.address, other.address, side.port, other.port, **values)

    def emit(self, side: Side, flags: int, text: bytes = b"", **fields: object) -> bytes:
        """Sends one segment and counts its sequence numbers."""
        side.tsval += 1
        packet = self.build(side, flags, text, **fields)
        self.now += 1000
        self.packets.append((self.now, packet))
        side.seq = (side.seq + len(text) + bool(flags & SYN) + bool(flags & FIN)) % (1 << 32)
        return packet

    def handshake(self) -> None:
        for side, flags in ((self.client, SYN), (self.server, SYN | ACK)):
            other = self.other(side)
            options = [
                segment.mss(1460),
                segment.sack_permitted(),
                segment.timestamps(side.tsval + 1, other.tsval if flags & ACK else 0),
                Option(segment.NOP),
                segment.window_scale(7),
            ]
            self.emit(side, flags, window=64240, options=options)
        self.emit(self.client, ACK)

    def send(self, side: Side, text: bytes, mss: int = MSS) -> None:
        """Sends text in segments, which the other side acknowledges at once."""
        for at in range(0, len(text), mss):
            part = text[at : at + mss]
            last = at + mss >= len(text)
            self.emit(side, ACK | PSH if last else ACK, part)
        self.emit(self.other(side), ACK)

    def close(self) -> None:
        self.emit(self.client, FIN | ACK)
        self.emit(self.server, FIN | ACK)
        self.emit(self.client, ACK)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.packets)


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ip_address("192.0.2.2"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "cert.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


class TlsEnd:
    """A TLS engine over memory."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server,
            server_hostname=None if server else "localhost",
        )

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes:
        try:
            return self.tls.read(1 << 20)
        except ssl.SSLWantReadError:
            return b""


class TlsConversation(Conversation):
    """A TLS connection; `key_log` holds its secrets."""

    def __init__(
        self,
        directory: Path,
        *,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        ciphers: str = "",
        alpn: str = "h2",
        **where: str,
    ) -> None:
        super().__init__(dport=443, **where)
        self.key_log_file = directory / "keys.log"
        self.key_log_file.write_text("")
        client = ssl.create_default_context()
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*self_signed(directory))
        for context in (client, server):
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols([alpn])
            if ciphers:
                context.set_ciphers(ciphers)
        client.keylog_filename = str(self.key_log_file)
        self.ends = {
            self.client: TlsEnd(client, server=False),
            self.server: TlsEnd(server, server=True),
        }

    @property
    def key_log(self) -> str:
        return self.key_log_file.read_text()

    def pass_on(self, side: Side) -> bool:
        """Sends what the side's engine wrote, into the other's engine."""
        data = self.ends[side].outgoing.read()
        if data:
            self.ends[self.other(side)].incoming.write(data)
            self.send(side, data)
        return bool(data)

    def handshake(self) -> None:
        super().handshake()
        done = {self.client: False, self.server: False}
        while not all(done.values()):
            for side in (self.client, self.server):
                done[side] = self.ends[side].handshake()
                self.pass_on(side)

    def write(self, side: Side, *parts: bytes) -> None:
        """Encrypts each part as a record of its own and sends them together."""
        for part in parts:
            self.ends[side].tls.write(part)
        self.pass_on(side)
        self.ends[self.other(side)].read()
