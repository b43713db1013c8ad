"""Our packet list says what Wireshark's says."""

import ssl

import h2.config
import h2.connection
import pytest

from stack.observe.streams import (
    ACKED_UNSEEN,
    DUPLICATE,
    FAST_RETRANSMISSION,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    OUT_OF_ORDER,
    PORTS_REUSED,
    PREVIOUS_MISSING,
    RETRANSMISSION,
    SPURIOUS_RETRANSMISSION,
    WINDOW_FULL,
    WINDOW_UPDATE,
    ZERO_WINDOW,
    ZERO_WINDOW_PROBE,
    ZERO_WINDOW_PROBE_ACK,
)
from stack.wire import segment
from stack.wire.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Option
from tests.support import tshark
from tests.support.conversations import Conversation, TlsConversation
from tests.support.packet_lists import disagreements, our_rows, write_capture

ENDS = [{}, {"client": "2001:db8::1", "server": "2001:db8::2"}]
REQUEST = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")]


def talk_http2(conversation: Conversation, send) -> None:
    """Every frame type of RFC 9113, in both directions, over segment boundaries."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))

    def flush(source, target, side) -> None:
        data = source.data_to_send()
        send(side, data)
        target.receive_data(data)

    def up() -> None:
        flush(client, server, conversation.client)

    def down() -> None:
        flush(server, client, conversation.server)

    client.initiate_connection()
    client.increment_flow_control_window(100_000)
    server.initiate_connection()
    up()
    down()
    client.send_headers(1, REQUEST, end_stream=True)
    up()
    server.send_headers(1, [(":status", "200"), ("content-type", "text/plain; charset=utf-8")])
    server.send_data(1, b"hello\n", end_stream=True)
    down()
    client.send_headers(3, [(":method", "POST"), (":path", "/echo"), *REQUEST[2:]])
    client.send_data(3, b"x" * 5000)
    client.send_data(3, b"", end_stream=True)
    up()
    server.send_headers(3, [(":status", "404")], end_stream=True)
    down()
    client.ping(b"12345678")
    client.send_headers(5, REQUEST, end_stream=True, priority_weight=10)
    client.prioritize(7, 5)
    client.reset_stream(5)
    up()
    many = [(f"x-{number}", f"{number}" * 1000) for number in range(1, 20)]
    client.send_headers(7, [*REQUEST, *many], end_stream=True)
    up()
    server.push_stream(7, 2, REQUEST)
    server.send_headers(7, [(":status", "200")])
    server.send_data(7, b"q")
    server.send_headers(7, [("trailer", "x")], end_stream=True)
    server.close_connection()
    down()


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http2_in_tls_is_named_alike(tmp_path, version, ends):
    conversation = TlsConversation(tmp_path, version=version, **ends)
    conversation.handshake()
    talk_http2(conversation, conversation.write)
    conversation.close()
    path = write_capture(tmp_path / "capture.pcapng", conversation, conversation.key_log)
    assert disagreements(path) == []
    ours = [name for row in our_rows(path) if row.protocol == "HTTP2" for name in frames(row.info)]
    assert ours == tshark.http2_frames(path)
    assert tshark.findings(path).all == []


def frames(info: str) -> list[str]:
    return [
        name.split(":")[0].split(" ")[0]
        for name in info.split(", ")
        if name.startswith("Magic") or "[" in name
    ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_whose_secrets_are_unknown_is_named_alike(tmp_path, version):
    conversation = TlsConversation(tmp_path, version=version)
    conversation.handshake()
    conversation.write(conversation.client, b"x" * 5000, b"y" * 100)
    conversation.write(conversation.server, b"z")
    conversation.close()
    assert disagreements(write_capture(tmp_path / "capture.pcapng", conversation)) == []


def test_http1_in_tls_is_named_alike(tmp_path):
    conversation = TlsConversation(tmp_path, alpn="http/1.1")
    conversation.handshake()
    conversation.write(conversation.client, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
    conversation.write(conversation.server, head + b"hello\n")
    conversation.close()
    path = write_capture(tmp_path / "capture.pcapng", conversation, conversation.key_log)
    assert disagreements(path) == []
    infos = [row.info for row in our_rows(path)]
    assert "GET /a HTTP/1.1" in infos
    assert "HTTP/1.1 200 OK  (text/plain)" in infos


def test_http2_by_prior_knowledge_is_named_alike(tmp_path):
    conversation = Conversation()
    conversation.handshake()
    talk_http2(conversation, conversation.send)
    conversation.close()
    path = write_capture(tmp_path / "capture.pcapng", conversation)
    # A header block that spans packets is described where it ends: only then can we know.
    different = disagreements(path)
    assert len(different) <= 2
    assert all("HEADERS[7]" in text or "CONTINUATION[7]" in text for text in different)


def test_an_upgrade_to_http2_is_named_alike(tmp_path):
    conversation = Conversation()
    conversation.handshake()
    client, server = conversation.client, conversation.server
    upgrade = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    settings = upgrade.initiate_upgrade_connection()
    conversation.send(
        client,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: " + settings + b"\r\n\r\n",
    )
    answer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    answer.initiate_upgrade_connection(settings)
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    conversation.send(server, switching + answer.data_to_send())
    conversation.send(client, upgrade.data_to_send())
    answer.send_headers(1, [(":status", "200"), ("content-type", "text/plain")])
    answer.send_data(1, b"hello", end_stream=True)
    conversation.send(server, answer.data_to_send())
    path = write_capture(tmp_path / "capture.pcapng", conversation)
    assert disagreements(path) == []
    infos = [row.info for row in our_rows(path)]
    assert "HTTP/1.1 101 Switching Protocols, SETTINGS[0]" in infos
    assert "HEADERS[1]: 200 OK, DATA[1] (text/plain)" in infos


HTTP_ANSWERS = {
    "with a length": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4000\r\n\r\n",
        b"x" * 4000,
    ],
    "in chunks": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n",
        b"2;ext=1\r\n!!\r\n0\r\nTrailer: x\r\n\r\n",
    ],
    "without a body": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "behind a 100": [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    ],
    "until the end": [b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"x" * 10],
}


@pytest.mark.parametrize("answer", HTTP_ANSWERS)
def test_http1_is_named_alike(tmp_path, answer):
    conversation = Conversation(dport=8080)
    conversation.handshake()
    conversation.send(conversation.client, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    for part in HTTP_ANSWERS[answer]:
        conversation.send(conversation.server, part)
    conversation.emit(conversation.server, FIN | ACK)
    assert disagreements(write_capture(tmp_path / "capture.pcapng", conversation)) == []


# ---- TCP ---------------------------------------------------------------------------------


def test_segments_with_unusual_flags_and_options_are_shown_alike(tmp_path):
    ends = "192.0.2.1", "192.0.2.2"
    segments = [
        {"flags": SYN | ECE | CWR, "options": [Option(34), segment.window_scale(15)]},
        {"flags": SYN | ECE | CWR, "options": [Option(34, b"cookie")]},
        {"flags": ACK | URG | PSH, "ack": 9, "urgent": 3, "text": b"hello"},
        {"flags": 0},
        {"flags": SYN, "options": [Option(28, b"\x80\x01")]},
        {"flags": RST | ACK, "ack": 7, "window": 0},
        {"flags": ACK, "ack": 5, "options": [segment.sack((8, 9), (20, 4_000_000_000))]},
    ]
    packets = [
        (number, segment.build_tcp(*ends, 1000 + number, 9, seq=5, **fields))
        for number, fields in enumerate(segments)
    ]
    assert disagreements(write_capture(tmp_path / "capture.pcapng", packets)) == []


def test_windows_are_unscaled_where_the_peer_did_not_offer_it(tmp_path):
    packets = []
    for sport, options in ((1, [segment.mss(1460)]), (2, [segment.window_scale(3)])):
        conversation = Conversation(sport=sport)
        conversation.emit(conversation.client, SYN, options=[segment.window_scale(7)])
        conversation.emit(conversation.server, SYN | ACK, options=options)
        conversation.emit(conversation.client, ACK, options=())
        conversation.emit(conversation.server, ACK, options=())
        packets += conversation.packets
    path = write_capture(tmp_path / "capture.pcapng", packets)
    assert disagreements(path) == []
    assert [row.info.split()[6] for row in our_rows(path)][2::4] == ["Win=502", "Win=64256"]


class Scene(Conversation):
    """A conversation in which things go wrong, told step by step."""

    def __init__(self) -> None:
        super().__init__(dport=9)
        self.handshake()
        self.start = self.client.seq

    def data(self, at: int, size: int = 100, *, after: int = 1000, **fields: object) -> "Scene":
        """The client sends `size` bytes from its byte `at`, so many µs later."""
        self.now += after - 1000
        self.client.seq = self.start + at & 0xFFFFFFFF
        self.emit(self.client, ACK, b"x" * size, **fields)
        return self

    def ack(self, at: int, window: int = 502, *, after: int = 1000, sack=None) -> "Scene":
        """The server acknowledges what stands before byte `at`."""
        self.now += after - 1000
        options = [Option(1), Option(1), segment.timestamps(self.server.tsval, 0)]
        if sack:
            edges = [self.start + edge & 0xFFFFFFFF for edge in sack]
            options += [Option(1), Option(1), segment.sack((edges[0], edges[1]))]
        number = self.start + at & 0xFFFFFFFF
        self.emit(self.server, ACK, ack=number, window=window, options=options)
        return self


SCENES = {
    WINDOW_UPDATE: lambda: Scene().ack(0, 600),
    DUPLICATE + " 2#1": lambda: Scene().ack(0, 502).ack(0, 502),
    RETRANSMISSION: lambda: Scene().data(0).data(0, after=300_000),
    FAST_RETRANSMISSION: lambda: (
        Scene()
        .data(0)
        .data(100)
        .ack(100)
        .data(300)
        .ack(100)
        .ack(100, sack=(300, 400))
        .ack(100)
        .data(100, after=100)
    ),
    SPURIOUS_RETRANSMISSION: lambda: Scene().data(0).ack(100).data(0, after=300_000),
    OUT_OF_ORDER: lambda: Scene().data(0).data(200).data(100, after=500),
    PREVIOUS_MISSING: lambda: Scene().data(0).data(500),
    ACKED_UNSEEN: lambda: Scene().data(0).ack(100).ack(700),
    KEEP_ALIVE: lambda: Scene().data(0).ack(100).data(99, 1, after=7_000_000),
    KEEP_ALIVE_ACK: lambda: Scene().data(0).ack(100).data(99, 0, after=7_000_000).ack(100),
    ZERO_WINDOW: lambda: Scene().data(0).ack(100, 0),
    ZERO_WINDOW_PROBE: lambda: Scene().data(0).ack(100, 0).data(100, 1),
    ZERO_WINDOW_PROBE_ACK: lambda: Scene().data(0).ack(100, 0).data(100, 1).ack(100, 0),
    WINDOW_FULL: lambda: Scene().ack(0, 1).data(0, 128),
}


@pytest.mark.parametrize("mark", SCENES)
def test_what_goes_wrong_is_marked_alike(tmp_path, mark):
    path = write_capture(tmp_path / "capture.pcapng", SCENES[mark]())
    *_, last = our_rows(path)
    assert f"[{mark.split(' 2#')[0]}" in last.info
    assert disagreements(path) == []


def test_a_second_connection_on_the_same_ports_is_marked_alike(tmp_path):
    first, second = Scene(), Scene()
    for conversation, isn in ((first, 5), (second, 500_000)):
        conversation.packets.clear()
        conversation.client.seq = isn
        conversation.handshake()
    path = write_capture(tmp_path / "capture.pcapng", first.packets + second.packets)
    assert disagreements(path) == []
    assert our_rows(path)[3].info.startswith(f"[{PORTS_REUSED}]")


# ---- other protocols -----------------------------------------------------------------------


def test_icmp_udp_and_fragments_are_shown_alike(tmp_path):
    v4, v6 = ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")
    quoted = segment.build_udp(*reversed(v4), 1, 2, b"12345678")
    quoted6 = segment.build_udp(*reversed(v6), 1, 2, b"12345678")
    packets = [
        segment.build_icmp(*v4, 8, rest=0x21D00001, body=bytes(56)),
        segment.build_icmp(*v4, 0, rest=0x21D00002, body=bytes(56)),
        segment.build_icmp(*v6, 128, rest=0x21D00001, body=bytes(56)),
        segment.build_icmp(*v6, 129, rest=0x21D00002, body=bytes(56)),
        *(segment.build_icmp(*v4, 3, code, body=quoted) for code in (0, 1, 2, 3, 13)),
        *(segment.build_icmp(*v4, 11, code, body=quoted) for code in (0, 1)),
        segment.build_icmp(*v4, 12, body=quoted),
        *(segment.build_icmp(*v6, 1, code, body=quoted6) for code in (0, 1, 3, 4)),
        *(segment.build_icmp(*v6, 3, code, body=quoted6) for code in (0, 1)),
        *(segment.build_icmp(*v6, 4, code, body=quoted6) for code in (0, 1, 2)),
        segment.build_udp(*v4, 40000, 40001, b"x" * 10),
        segment.build_udp(*v6, 40000, 40001, b"x" * 10),
        segment.build_udp(*v4, 1, 2, b"x" * 8, more_fragments=True, ip_id=77),
        segment.build_ip(*v4, segment.UDP, bytes(8), fragment_offset=1480, ip_id=77),
        segment.build_ip(*v6, 17, bytes(8), extensions=[(44, b"\0\0\0\x01\0\0\0\x09")]),
        segment.build_ip(*v6, segment.NO_NEXT_HEADER, b""),
    ]
    path = write_capture(tmp_path / "capture.pcapng", list(enumerate(packets)))
    assert disagreements(path) == []


def test_wrong_checksums_are_told_alike(tmp_path):
    ends = "192.0.2.1", "192.0.2.2"
    packets = [
        segment.build_udp(*ends, 40000, 40001, b"x", checksum=7),
        segment.build_tcp(*ends, 1, 2, checksum=7),
    ]
    path = write_capture(tmp_path / "capture.pcapng", list(enumerate(packets)))
    assert len(tshark.findings(path).bad_checksums) == 2
    assert ["CHECKSUM INCORRECT" in row.info for row in our_rows(path)] == [True, True]


def test_a_checksum_left_to_the_device_is_no_alarm(tmp_path):
    whole = segment.parse(segment.build_tcp("192.0.2.1", "192.0.2.2", 1, 2))
    partial = segment.ones_complement(
        segment.pseudo_header(whole.src, whole.dst, segment.TCP, len(whole.payload))
    )
    packet = segment.build_tcp("192.0.2.1", "192.0.2.2", 1, 2, checksum=partial)
    (row,) = our_rows(write_capture(tmp_path / "capture.pcapng", [(0, packet)]))
    assert "INCORRECT" not in row.info
    assert not row.alarming
