"""The text trace: columns, reasons, colours, and secrets that come when they come."""

import random
import re

import pytest

from stack.core.events import KeyLogged, PacketReceived, PacketSent, StateChanged
from stack.core.why import Verdict, Why
from stack.observe.trace import TextTrace, seconds
from stack.wire import segment
from stack.wire.segment import ACK, RST, SYN, Option
from tests.support.conversations import Conversation, TlsConversation

SYN_OPTIONS = [
    segment.mss(1460),
    segment.sack_permitted(),
    segment.timestamps(7, 0),
    Option(segment.NOP),
    segment.window_scale(7),
]


class Written:
    """A trace, and what it wrote."""

    def __init__(self, **options) -> None:
        self.calls: list[str] = []
        self.trace = TextTrace(self.calls.append, **options)

    @property
    def lines(self) -> list[str]:
        return "".join(self.calls).splitlines()

    @property
    def infos(self) -> list[str]:
        return [re.match(r"(?:\s*\S+){6}\s+(.*)", line).group(1) for line in self.lines]


def sent(now: int, data: bytes, why: Why = Why.DATA, detail: str = "") -> PacketSent:
    return PacketSent(now, data, why, detail)


def received(now: int, data: bytes, verdict=Verdict.IN_ORDER, detail: str = "") -> PacketReceived:
    return PacketReceived(now, data, verdict, detail)


def handshake(client: str = "192.0.2.1", server: str = "192.0.2.2") -> list:
    conversation = Conversation(client, server)
    conversation.handshake()
    (first, syn), (second, syn_ack), (third, ack) = conversation
    return [
        received(first, syn, Verdict.SYN_RECEIVED),
        sent(second, syn_ack, Why.SYN_ACCEPTED, "queue 1/1024"),
        received(third, ack, Verdict.HANDSHAKE_COMPLETE),
    ]


def test_a_packet_is_a_line_as_wiresharks_list_has_it_with_our_reason_under_it():
    written = Written()
    for event in handshake():
        written.trace(event)
    expected = """\
  1  0.000000  192.0.2.1  192.0.2.2  TCP        60  40312 → 80 [SYN] Seq=0 Win=64240 Len=0 \
MSS=1460 SACK_PERM TSval=1001 TSecr=0 WS=128
  2  0.001000  192.0.2.2  192.0.2.1  TCP        60  80 → 40312 [SYN, ACK] Seq=0 Ack=1 Win=64240 \
Len=0 MSS=1460 SACK_PERM TSval=900001 TSecr=1001 WS=128
                                                    ↳ SYN accepted on a listening port \
(RFC 9293 §3.10.7.2); queue 1/1024
  3  0.002000  192.0.2.1  192.0.2.2  TCP        52  40312 → 80 [ACK] Seq=1 Ack=1 Win=64256 Len=0 \
TSval=1002 TSecr=900001
"""
    assert "".join(written.calls) == expected


def test_each_packet_is_written_at_once_and_whole():
    written = Written()
    for count, event in enumerate(handshake(), 1):
        written.trace(event)
        assert len(written.calls) == count
        assert written.calls[-1].endswith("\n")


def test_options_stand_in_wire_order():
    written = Written()
    data = segment.build_tcp("192.0.2.1", "192.0.2.2", 1, 2, flags=SYN, options=SYN_OPTIONS[::-1])
    written.trace.packet(0, data)
    assert written.lines[0].endswith("Len=0 WS=128 TSval=7 TSecr=0 SACK_PERM MSS=1460")


def test_columns_line_up_and_grow_for_longer_addresses():
    written = Written(reasons=False)
    for event in handshake() + handshake("2001:db8::1", "2001:db8::2"):
        written.trace(event)
    four, six = written.lines[:3], written.lines[3:]
    assert len({line.index("TCP") for line in four}) == 1
    assert len({line.index("TCP") for line in six}) == 1
    assert six[0].index("TCP") - four[0].index("TCP") == 4


@pytest.mark.parametrize("verdict", Verdict)
def test_under_received_packets_only_what_is_remarkable_is_said(verdict):
    written = Written()
    data = segment.build_tcp("192.0.2.1", "192.0.2.2", 1, 2)
    written.trace(received(0, data, verdict, "detail"))
    usual = {
        Verdict.IN_ORDER,
        Verdict.ACKNOWLEDGEMENT,
        Verdict.SYN_RECEIVED,
        Verdict.SYN_ACK_RECEIVED,
        Verdict.HANDSHAKE_COMPLETE,
        Verdict.FIN_RECEIVED,
        Verdict.ECHO_REQUEST,
        Verdict.ECHO_REPLY,
        Verdict.DATAGRAM,
    }
    expected = [] if verdict in usual else [f"↳ {verdict.explain('detail')}"]
    assert [line.strip() for line in written.lines[1:]] == expected


@pytest.mark.parametrize("why", Why)
def test_each_reason_is_said_with_its_source(why):
    written = Written()
    written.trace(sent(0, segment.build_tcp("192.0.2.2", "192.0.2.1", 1, 2), why))
    assert written.lines[1].strip() == f"↳ {why.text} ({why.source})"


def test_reasons_can_be_left_out():
    written = Written(reasons=False)
    for event in handshake():
        written.trace(event)
    assert len(written.lines) == 3


def test_other_events_write_nothing():
    written = Written()
    written.trace(StateChanged(0, 1, "LISTEN", "SYN-RECEIVED", "SYN"))
    assert written.calls == []


def test_a_packet_whose_checksum_was_bad_does_not_count_in_its_connection():
    written = Written()
    for event in handshake():
        written.trace(event)
    ends = "192.0.2.1", "192.0.2.2", 40312, 80
    wrong = segment.build_tcp(*ends, seq=9, ack=9, text=b"x" * 100, checksum=1)
    written.trace(received(1, wrong, Verdict.BAD_CHECKSUM))
    right = segment.build_tcp(*ends, seq=0xFFFFFF01, ack=7_000_001, text=b"x")
    written.trace(received(2, right))
    assert "[TCP CHECKSUM INCORRECT]" in written.lines[-3]
    assert "[TCP" not in written.lines[-1]
    assert "Seq=1 Ack=1 " in written.lines[-1]


def test_times_are_exact_and_relative_to_the_first_packet():
    assert [seconds(value) for value in (0, 1, 999_999, 1_000_000, -1, 123_456_789_012)] == [
        "0.000000",
        "0.000001",
        "0.999999",
        "1.000000",
        "-0.000001",
        "123456.789012",
    ]


# ---- colours -------------------------------------------------------------------------------

ANSI = re.compile(r"\x1b\[([0-9;]*)m")


def test_without_colour_there_is_no_escape():
    written = Written()
    for event in handshake():
        written.trace(event)
    assert "\x1b" not in "".join(written.calls)


def test_directions_alarms_and_reasons_have_their_colours():
    written = Written(colour=True, ours=["192.0.2.2"])
    for event in handshake():
        written.trace(event)
    reset = segment.build_tcp("192.0.2.2", "192.0.2.1", 80, 40312, seq=7_000_001, flags=RST)
    written.trace(sent(0, reset, Why.ABORT))
    colours = [ANSI.match(line).group(1) for line in written.lines]
    theirs, ours, reason, theirs_too, alarm, reason_too = colours
    assert (theirs, reason) == (theirs_too, reason_too)
    assert len({theirs, ours, reason, alarm}) == 4
    plain = Written()
    for event in handshake():
        plain.trace(event)
    assert [ANSI.sub("", line) for line in written.lines[:4]] == plain.lines


def test_a_retransmission_is_an_alarm():
    conversation = Conversation()
    conversation.handshake()
    again = conversation.emit(conversation.client, ACK, b"text")
    conversation.packets.append((conversation.now + 300_000, again))
    written = Written(colour=True)
    for now, data in conversation:
        written.trace.packet(now, data)
    usual, alarm = (ANSI.match(line).group(1) for line in written.lines[-2:])
    assert "[TCP Retransmission]" in written.lines[-1]
    assert "31" in alarm.split(";")
    assert "31" not in usual.split(";")


# ---- secrets ---------------------------------------------------------------------------------


def https(tmp_path) -> TlsConversation:
    conversation = TlsConversation(tmp_path, alpn="http/1.1")
    conversation.handshake()
    conversation.write(conversation.client, b"GET / HTTP/1.1\r\n\r\n")
    return conversation


def events(conversation, ours) -> list:
    """What a host publishes whose end of the conversation is `ours`."""
    return [
        sent(now, data) if str(segment.parse(data).src) == ours.address else received(now, data)
        for now, data in conversation
    ]


def test_secrets_that_precede_make_the_connection_readable(tmp_path):
    conversation = https(tmp_path)
    written = Written(reasons=False)
    for line in conversation.key_log.splitlines():
        written.trace(KeyLogged(0, line))
    for event in events(conversation, conversation.server):
        written.trace(event)
    assert "GET / HTTP/1.1" in written.infos
    assert not any("Application Data" in info for info in written.infos)


def test_a_received_packet_waits_for_the_secret_that_follows_from_it(tmp_path):
    conversation = https(tmp_path)
    written = Written(reasons=False)
    for event in events(conversation, conversation.client):
        written.trace(event)
        if isinstance(event, PacketReceived) and segment.parse(event.data).tcp.text:
            for line in conversation.key_log.splitlines():
                written.trace(KeyLogged(0, line))
    flight = "Server Hello, Change Cipher Spec, Encrypted Extensions, Certificate"
    assert any(info.startswith(flight) for info in written.infos)
    assert not any("Application Data" in info for info in written.infos)
    numbers = [int(line.split()[0]) for line in written.lines]
    assert numbers == sorted(numbers)


def test_without_its_secret_a_packet_waits_for_the_next_sent_one_only(tmp_path):
    conversation = https(tmp_path)
    written = Written(reasons=False)
    for event in events(conversation, conversation.client):
        written.trace(event)
        if isinstance(event, PacketSent):
            assert len(written.calls) == int(written.lines[-1].split()[0])
    written.trace.flush()
    assert len(written.calls) == len(conversation.packets)


def test_what_a_late_secret_makes_readable_is_told_late(tmp_path):
    conversation = https(tmp_path)
    written = Written()
    for now, data in conversation:
        written.trace.packet(now, data)
    for line in conversation.key_log.splitlines():
        written.trace.add_secret(line)
    told = [line.strip() for line in written.lines if "decrypted" in line]
    assert (
        "↳ packet 6 decrypted: Encrypted Extensions, Certificate, Certificate Verify, Finished"
        in told
    )
    assert any(line.endswith("decrypted: GET / HTTP/1.1") for line in told)


# ---- hostile ---------------------------------------------------------------------------------


def test_nothing_that_comes_makes_it_raise_or_writes_control_characters():
    source = random.Random(6)
    written = Written(colour=False)
    conversation = Conversation()
    conversation.handshake()
    conversation.send(conversation.client, b"GET /\x1b[2J HTTP/1.1\r\n\r\n")
    conversation.send(conversation.server, b"HTTP/1.1 200 \x07OK\r\n\r\n" + b"x" * 3000)
    conversation.close()
    for number in range(5_000):
        data = bytearray(source.choice(conversation.packets)[1])
        for _ in range(source.randrange(4)):
            data[source.randrange(len(data))] = source.randrange(256)
        data = bytes(data[: source.choice((len(data), source.randrange(len(data))))])
        written.trace(received(number, data, source.choice(list(Verdict)), "\x1b[31m"))
    assert all(line.isprintable() for line in written.lines)


def test_a_frame_that_is_no_ip_packet_has_its_line():
    written = Written()
    written.trace.packet(0, b"", note="ARP")
    assert written.lines[0].split() == ["1", "0.000000", "ARP", "0", "ARP"]


def test_a_connection_reset_before_it_was_seen_is_shown():
    written = Written()
    written.trace.packet(0, segment.build_tcp("192.0.2.1", "192.0.2.2", 1, 2, flags=RST, seq=5))
    assert written.infos == ["1 → 2 [RST] Seq=1 Win=65535 Len=0"]
