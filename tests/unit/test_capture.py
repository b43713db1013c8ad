"""Captures: what a host's observers and a link in the chain write to a file."""

import io
import ssl
from ipaddress import ip_address

import pytest

from stack._native import ffi, lib
from stack.core.events import KeyLogged, PacketReceived, PacketSent
from stack.core.why import Verdict, Why
from stack.errors import UsageError
from stack.link.base import Link
from stack.link.capture import CaptureLink
from stack.observe.capture import Capture
from stack.wire import pcapng, segment
from stack.wire.address import fill_path, pack
from stack.wire.batch import Inbound, Outbound
from stack.wire.pcapng import CapturedPacket, CapturedSecrets, Writer
from stack.wire.segment import ACK, SYN
from tests.support import tshark
from tests.support.conversations import TlsConversation

PACKET = segment.build_tcp("192.0.2.2", "192.0.2.1", 80, 40312, text=b"text")
ANSWER = segment.build_tcp("192.0.2.1", "192.0.2.2", 40312, 80, flags=ACK)
LINE = f"CLIENT_RANDOM {'11' * 32} {'22' * 48}"


def read(path) -> list[pcapng.Captured]:
    return list(pcapng.read(io.BytesIO(path.read_bytes())))


# ---- as an observer --------------------------------------------------------------------


def test_packets_are_written_with_their_reasons_as_comments(tmp_path):
    path = tmp_path / "capture.pcapng"
    capture = Capture(path, epoch_us=1_000_000)
    capture(PacketSent(5, PACKET, Why.DATA, "4 bytes"))
    capture(PacketReceived(6, ANSWER, Verdict.ACKNOWLEDGEMENT))
    capture(PacketReceived(7, ANSWER, Verdict.OUT_OF_WINDOW))
    capture.close()
    assert read(path) == [
        CapturedPacket(1_000_005, PACKET, (Why.DATA.explain("4 bytes"),), outbound=True),
        CapturedPacket(1_000_006, ANSWER, (), outbound=False),
        CapturedPacket(1_000_007, ANSWER, (Verdict.OUT_OF_WINDOW.explain(),), outbound=False),
    ]
    assert tshark.comments(path) == [
        Why.DATA.explain("4 bytes"),
        Verdict.OUT_OF_WINDOW.explain(),
    ]


def test_nothing_is_lost_when_the_process_ends_without_closing(tmp_path):
    path = tmp_path / "capture.pcapng"
    capture = Capture(path)
    for count in range(1, 4):
        capture(PacketSent(count, PACKET, Why.DATA))
        assert len(read(path)) == count
    capture.add_secret(LINE)
    assert read(path)[-1] == CapturedSecrets(LINE + "\n")
    capture.close()
    capture.close()
    assert capture.packets == 3


def test_times_are_those_of_the_wall_clock_unless_told_otherwise(tmp_path):
    path = tmp_path / "capture.pcapng"
    capture = Capture(path)
    capture(PacketSent(17, PACKET, Why.DATA))
    capture(PacketSent(20, PACKET, Why.DATA))
    capture.close()
    first, second = read(path)
    assert second.time_us - first.time_us == 3
    assert first.time_us > 1_700_000_000_000_000


def follows(text: bytes, label: str) -> bool:
    """Whether a host that receives this publishes the secret of that label then."""
    client_hello, server_hello, client_key, change_cipher_spec = (
        b"\x16\x01",
        b"\x16\x02",
        b"\x16\x10",
        b"\x14\x01",
    )
    if label in ("CLIENT_TRAFFIC_SECRET_0", "CLIENT_RANDOM"):
        return text[:6:5] in (server_hello, client_key, change_cipher_spec)
    return text[:6:5] in (client_hello, server_hello)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_wireshark_needs_no_key_file_for_either_role(tmp_path, role, version):
    """As a host publishes it: its secrets follow from a packet that it received."""
    conversation = TlsConversation(tmp_path, version=ssl.TLSVersion[version], alpn="http/1.1")
    ours = getattr(conversation, role)
    conversation.handshake()
    conversation.write(conversation.client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    conversation.write(conversation.server, b"HTTP/1.1 204 No Content\r\n\r\n")
    path = tmp_path / "capture.pcapng"
    capture = Capture(path)
    for now, data in conversation:
        packet = segment.parse(data)
        if str(packet.src) == ours.address:
            capture(PacketSent(now, data, Why.DATA))
            continue
        capture(PacketReceived(now, data, Verdict.IN_ORDER))
        for line in conversation.key_log.splitlines()[1:]:
            if follows(packet.tcp.text, line.split()[0]):
                capture(KeyLogged(now, line))
    capture.close()
    times = [captured.time_us for captured in read(path) if isinstance(captured, CapturedPacket)]
    assert len(times) == len(conversation.packets)
    assert times == sorted(times)
    infos = [info for _, info in tshark.packet_list(path)]
    assert "GET / HTTP/1.1" in infos
    assert "HTTP/1.1 204 No Content" in infos
    assert any("Finished" in info for info in infos)


def test_what_is_held_back_for_a_secret_is_written_with_the_next_packet(tmp_path):
    conversation = TlsConversation(tmp_path)
    conversation.handshake()
    hello = next(
        data for _, data in conversation if segment.parse(data).tcp.text[:6:5] == b"\x16\x02"
    )
    path = tmp_path / "capture.pcapng"
    capture = Capture(path)
    capture(PacketReceived(1, hello, Verdict.IN_ORDER))
    capture(PacketReceived(2, ANSWER, Verdict.ACKNOWLEDGEMENT))
    assert read(path) == []
    capture(PacketSent(3, PACKET, Why.DATA))
    assert [captured.data for captured in read(path)] == [hello, ANSWER, PACKET]
    capture(PacketReceived(4, hello, Verdict.IN_ORDER))
    capture.close()
    assert [captured.data for captured in read(path)] == [hello, ANSWER, PACKET, hello]


@pytest.mark.parametrize("name", ["", "missing/capture.pcapng"])
def test_a_path_that_cannot_be_written_is_the_users_to_mend(tmp_path, name):
    with pytest.raises(UsageError, match="cannot write the capture") as caught:
        Capture(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_full_disk_ends_the_capture_and_not_the_host(tmp_path):
    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    capture = Capture(tmp_path / "capture.pcapng")
    capture._writer._stream.close()
    capture._writer._stream = Full()
    capture(PacketSent(1, PACKET, Why.DATA))
    capture(PacketSent(2, PACKET, Why.DATA))
    assert "No space left" in capture.error
    capture.close()


# ---- as a link ---------------------------------------------------------------------------


class Wire(Link):
    """A link that brings one packet and remembers what it was given."""

    def __init__(self, *arriving: bytes) -> None:
        self.mtu, self.offload, self.closed = 1400, True, False
        self.arriving = list(arriving)
        self.given: list[bytes] = []

    def fileno(self) -> int:
        return 7

    def receive(self, now: int) -> Inbound:
        batch, self.arriving = Inbound.of(self.arriving), []
        return batch

    def transmit(self, out: Outbound, now: int) -> None:
        self.given += list(out)

    def next_deadline(self) -> int | None:
        return 99

    def on_deadline(self, now: int) -> None:
        self.given.append(b"deadline %d" % now)

    def set_offload(self, on: bool) -> None:
        self.offload = on

    def close(self) -> None:
        self.closed = True


def recorded(link: CaptureLink, stream: io.BytesIO) -> list[CapturedPacket]:
    del link
    return list(pcapng.read(io.BytesIO(stream.getvalue())))


def test_a_capture_link_writes_what_passes_and_passes_it_on():
    stream = io.BytesIO()
    wire = Wire(ANSWER)
    link = CaptureLink(wire, Writer(stream, epoch_us=100))
    batch = link.receive(5)
    out = Outbound()
    out.push_raw(PACKET, Why.DATA, "4 bytes")
    out.push_raw(PACKET, None, "")
    link.transmit(out, 6)
    assert [batch.data(index) for index in range(batch.count)] == [ANSWER]
    assert wire.given == [PACKET, PACKET]
    assert recorded(link, stream) == [
        CapturedPacket(105, ANSWER, (), outbound=False),
        CapturedPacket(106, PACKET, (Why.DATA.explain("4 bytes"),), outbound=True),
        CapturedPacket(106, PACKET, (), outbound=True),
    ]


def test_a_capture_link_is_else_what_it_wraps():
    wire = Wire()
    link = CaptureLink(wire, Writer(io.BytesIO()))
    assert (link.fileno(), link.mtu, link.offload, link.next_deadline()) == (7, 1400, True, 99)
    link.on_deadline(3)
    assert wire.given == [b"deadline 3"]
    link.set_offload(on=False)
    assert (wire.offload, link.offload) == (False, False)
    link.close()
    assert wire.closed


@pytest.mark.parametrize("ends", [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")])
def test_a_checksum_left_to_the_device_is_filled_in(ends):
    src, dst = (ip_address(end) for end in ends)
    path = ffi.new("struct path *")
    fill_path(path, src.version, pack(src), pack(dst), 80, 40312)
    emit = ffi.new("struct emit *", {"flags": SYN, "seq": 7, "checksum_offload": 1})
    out = Outbound()
    lib.outgoing_tcp(out.next_slot(), path, emit, ffi.NULL, 0, 0)
    out.push(Why.ACTIVE_OPEN)
    assert not segment.parse(out.bytes(0)).transport_checksum_ok
    stream = io.BytesIO()
    wire = Wire()
    link = CaptureLink(wire, Writer(stream))
    link.transmit(out, 1)
    (captured,) = recorded(link, stream)
    packet = segment.parse(captured.data)
    assert packet.transport_checksum_ok
    assert (packet.tcp.seq, packet.tcp.flags) == (7, SYN)
    assert wire.given == [out.bytes(0)]
