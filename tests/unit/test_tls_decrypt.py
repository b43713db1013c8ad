"""TLS records are opened with the keys that RFC 8446 and RFC 5246 derive from logged secrets."""

import ssl
from struct import pack

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from stack.observe.dissect.application import Application
from stack.observe.dissect.layer import CLIENT, SERVER
from stack.observe.dissect.tls import WAITING_MAX, Tls
from stack.observe.dissect.tls_secrets import (
    CIPHER_SUITES,
    Protection13,
    SecretStore,
    hkdf_expand_label,
    prf,
)
from stack.wire import segment
from tests.support.conversations import TlsConversation

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REQUEST = b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"


class Reader:
    """Feeds the segments of a conversation to the dissector; remembers what each was named."""

    def __init__(self, conversation: TlsConversation) -> None:
        self.secrets = SecretStore()
        self.tls = Tls(self.secrets, Application())
        self.parts = []
        for _, data in conversation:
            tcp = segment.parse(data).tcp
            side = CLIENT if tcp.sport == conversation.client.port else SERVER
            if tcp.text:
                self.parts.append((side, tcp.text))
        self.named = []

    def learn(self, key_log: str) -> None:
        for line in key_log.splitlines():
            self.secrets.add(line)

    def read(self) -> list[str]:
        for number, (side, text) in enumerate(self.parts):
            self.tls.packet = number
            self.named.append(self.tls.feed(side, text))
        return self.names()

    def names(self) -> list[str]:
        return [name for named in self.named if named for name in named.items]


def converse(tmp_path, *, exchanges: int = 1, **options) -> TlsConversation:
    conversation = TlsConversation(tmp_path, alpn="http/1.1", **options)
    conversation.handshake()
    for _ in range(exchanges):
        conversation.write(conversation.client, REQUEST)
        conversation.write(conversation.server, RESPONSE)
    return conversation


@pytest.mark.rfc("7301", "3.1")
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("late", [False, True])
def test_what_is_offered_and_chosen_by_alpn_is_told(tmp_path, version, late):
    conversation = converse(tmp_path, version=version)
    reader = Reader(conversation)
    if not late:
        reader.learn(conversation.key_log)
    reader.read()
    reader.learn(conversation.key_log)
    list(reader.tls.retry())
    assert [note for named in reader.named if named for note in named.notes] == [
        "offers to speak http/1.1 (ALPN, RFC 7301 §3.1)",
        "chooses to speak http/1.1 (ALPN, RFC 7301 §3.1)",
    ]


def test_nothing_is_told_of_alpn_where_nobody_uses_it():
    hello = b"\x03\x03" + bytes(32) + b"\0\0\x02\x13\x01\x01\0" + b"\0\0"
    record = b"\x16\x03\x01" + pack("!HBBH", len(hello) + 4, 1, 0, len(hello)) + hello
    named = Tls(SecretStore(), Application()).feed(CLIENT, record)
    assert (named.items, named.notes) == (["Client Hello"], [])


@pytest.mark.rfc("8446", "§7.1")
def test_a_label_is_expanded_as_an_independent_implementation_does():
    for digest, algorithm in (("sha256", hashes.SHA256()), ("sha384", hashes.SHA384())):
        secret = bytes(range(algorithm.digest_size))
        for length in (12, 16, 32, 48, 100):
            info = pack("!HB", length, 9) + b"tls13 key" + b"\0"
            expected = HKDFExpand(algorithm, length, info).derive(secret)
            assert hkdf_expand_label(secret, "key", length, digest) == expected


@pytest.mark.rfc("8446", "§7.3")
def test_keys_are_those_of_the_traces_in_rfc_8448():
    secret = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    assert hkdf_expand_label(secret, "key", 16, "sha256").hex() == (
        "3fce516009c21727d0f2e4e86ee403bc"
    )
    assert hkdf_expand_label(secret, "iv", 12, "sha256").hex() == "5d313eb2671276ee13000b30"


@pytest.mark.rfc("5246", "§5")
def test_the_prf_gives_a_prefix_of_the_same_bytes_at_any_length():
    whole = prf(b"secret", b"label", b"seed", 100, "sha256")
    assert len(set(whole)) > 50
    for length in (0, 1, 31, 32, 33, 99):
        assert prf(b"secret", b"label", b"seed", length, "sha256") == whole[:length]


@pytest.mark.rfc("8446", "§7.3")
def test_tls_1_3_is_read_with_its_secrets(tmp_path):
    conversation = converse(tmp_path)
    reader = Reader(conversation)
    reader.learn(conversation.key_log)
    assert reader.read() == [
        "Client Hello (SNI=localhost)",
        "Server Hello",
        "Change Cipher Spec",
        "Encrypted Extensions",
        "Certificate",
        "Certificate Verify",
        "Finished",
        "Change Cipher Spec",
        "Finished",
        "New Session Ticket",
        "New Session Ticket",
        "GET /secret HTTP/1.1",
        "HTTP/1.1 200 OK  (text/plain)",
    ]


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_tls_1_3_is_read_with_the_other_suites_of_rfc_8446(suite):
    number = {"TLS_AES_128_GCM_SHA256": 0x1301, "TLS_CHACHA20_POLY1305_SHA256": 0x1303}[suite]
    suite = CIPHER_SUITES[number]
    secret = bytes(range(32))

    def derive(label: bytes, length: int) -> bytes:
        info = pack("!HB", length, 6 + len(label)) + b"tls13 " + label + b"\0"
        return HKDFExpand(hashes.SHA256(), length, info).derive(secret)

    key, iv = derive(b"key", suite.key_length), derive(b"iv", 12)
    protection = Protection13(suite, secret)
    for sequence in range(3):
        inner = b"text\x17" + bytes(sequence)  # padded, RFC 8446 §5.4
        header = b"\x17\x03\x03" + pack("!H", len(inner) + 16)
        nonce = (int.from_bytes(iv, "big") ^ sequence).to_bytes(12, "big")
        sealed = suite.aead(key).encrypt(nonce, inner, header)
        assert protection.open(header, sealed) == (0x17, b"text")


@pytest.mark.rfc("8446", "§7.2")
def test_a_key_update_leads_to_the_next_traffic_secret():
    suite, secret = CIPHER_SUITES[0x1301], bytes(32)
    info = pack("!HB", 32, 17) + b"tls13 traffic upd" + b"\0"
    following = HKDFExpand(hashes.SHA256(), 32, info).derive(secret)
    key = hkdf_expand_label(following, "key", 16, "sha256")
    iv = hkdf_expand_label(following, "iv", 12, "sha256")
    header = b"\x17\x03\x03\x00\x14"
    sealed = AESGCM(key).encrypt(iv, b"abc\x17", header)
    protection = Protection13(suite, secret)
    assert protection.open(header, sealed) is None
    protection.update()
    assert protection.open(header, sealed) == (0x17, b"abc")


@pytest.mark.parametrize(
    "suite",
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
)
@pytest.mark.rfc("5246", "§6.3")
def test_tls_1_2_is_read_with_its_master_secret(tmp_path, suite):
    conversation = converse(tmp_path, version=TLS_1_2, ciphers=suite, exchanges=2)
    reader = Reader(conversation)
    reader.learn(conversation.key_log)
    assert reader.read() == [
        "Client Hello (SNI=localhost)",
        "Server Hello",
        "Certificate",
        "Server Key Exchange",
        "Server Hello Done",
        "Client Key Exchange",
        "Change Cipher Spec",
        "Finished",
        "New Session Ticket",
        "Change Cipher Spec",
        "Finished",
        *["GET /secret HTTP/1.1", "HTTP/1.1 200 OK  (text/plain)"] * 2,
    ]


def test_a_suite_that_cannot_be_opened_is_named_as_it_is(tmp_path):
    conversation = converse(tmp_path, version=TLS_1_2, ciphers="ECDHE-ECDSA-AES128-SHA")
    reader = Reader(conversation)
    reader.learn(conversation.key_log)
    assert reader.read()[-4:] == [
        "Change Cipher Spec",
        "Encrypted Handshake Message",
        "Application Data",
        "Application Data",
    ]
    assert not reader.tls.waiting


def test_secrets_of_another_session_open_nothing(tmp_path):
    conversation = converse(tmp_path)
    reader = Reader(conversation)
    wrong = [
        " ".join((label, random, "00" * (len(secret) // 2)))
        for label, random, secret in map(str.split, conversation.key_log.splitlines()[1:])
    ]
    reader.learn("\n".join(wrong))
    assert reader.read()[-2:] == ["Application Data", "Application Data"]


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_secrets_that_come_late_are_used_for_what_waited(tmp_path, version):
    conversation = converse(tmp_path, version=version)
    known = Reader(conversation)
    known.learn(conversation.key_log)
    late = Reader(conversation)
    before = late.read()
    assert "GET /secret HTTP/1.1" not in before
    assert late.tls.waiting
    late.learn(conversation.key_log)
    told = {packet: named.items for packet, named in late.tls.retry()}
    assert ["GET /secret HTTP/1.1"] in told.values()
    assert not late.tls.waiting
    whole = ", ".join(known.read())
    assert ", ".join(late.names()) == whole


def test_each_secret_helps_as_it_comes(tmp_path):
    conversation = converse(tmp_path)
    reader = Reader(conversation)
    reader.read()
    helped = []
    for line in conversation.key_log.splitlines():
        reader.learn(line)
        helped += [name for _, named in reader.tls.retry() for name in named.items]
    assert sorted(set(helped)) == [
        "Certificate",
        "Certificate Verify",
        "Encrypted Extensions",
        "Finished",
        "GET /secret HTTP/1.1",
        "HTTP/1.1 200 OK  (text/plain)",
        "New Session Ticket",
    ]


@pytest.mark.parametrize("late", [False, True])
def test_application_secrets_alone_are_enough_for_application_data(tmp_path, late):
    conversation = converse(tmp_path)
    lines = [line for line in conversation.key_log.splitlines() if "_TRAFFIC_SECRET_0" in line]
    reader = Reader(conversation)
    if not late:
        reader.learn("\n".join(lines))
    reader.read()
    if late:
        reader.learn("\n".join(lines))
        list(reader.tls.retry())
    assert reader.names()[-2:] == ["GET /secret HTTP/1.1", "HTTP/1.1 200 OK  (text/plain)"]
    assert not reader.tls.waiting


def test_what_waits_for_secrets_is_bounded(tmp_path):
    conversation = TlsConversation(tmp_path, alpn="http/1.1")
    conversation.handshake()
    for _ in range(2 * WAITING_MAX // 16_000):
        conversation.write(conversation.client, bytes(16_000))
    reader = Reader(conversation)
    reader.read()
    reader.learn(conversation.key_log)
    assert sum(1 for side, _ in reader.parts if side == CLIENT) > 10
    assert not any("GET" in name for name in reader.names())
    assert len(list(reader.tls.retry())) < 20


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# comment",
        "CLIENT_RANDOM 00 11",
        f"CLIENT_RANDOM {'00' * 32}",
        f"CLIENT_RANDOM {'00' * 32} zz",
        f"CLIENT_RANDOM {'00' * 32} {'00' * 65}",
        f"CLIENT_RANDOM {'00' * 32} 00 00",
    ],
)
def test_lines_that_are_no_secrets_are_passed_over(line):
    assert SecretStore().add(line) is None


def test_the_number_of_secrets_kept_is_bounded(monkeypatch):
    monkeypatch.setattr("stack.observe.dissect.tls_secrets.SECRETS_MAX", 3)
    store = SecretStore()
    for number in range(5):
        assert store.add(f"L {number:064x} {number:02x}") == number.to_bytes(32)
    assert store.get("L", (0).to_bytes(32)) is None
    assert store.get("L", (4).to_bytes(32)) == b"\x04"
