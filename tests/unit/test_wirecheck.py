"""The checker of honest captures: it finds each kind of violation, and none in clean traffic."""

import pytest

from stack.wire import segment
from stack.wire.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Option
from tests.support.conversations import Conversation
from tests.support.wirecheck import check

NOP = Option(segment.NOP)


class Capture(Conversation):
    """A conversation whose server is ours."""

    def opened(self) -> "Capture":
        self.handshake()
        return self

    def stamps(self, *more: Option, tsval: int | None = None, tsecr: int | None = None):
        """The options of a segment of ours."""
        return [
            NOP,
            NOP,
            segment.timestamps(
                self.server.tsval + 1 if tsval is None else tsval,
                self.client.tsval if tsecr is None else tsecr,
            ),
            *more,
        ]

    def ours(self, flags: int = ACK, text: bytes = b"", **fields: object) -> "Capture":
        self.emit(self.server, flags, text, **fields)
        return self

    def theirs(self, flags: int = ACK, text: bytes = b"", **fields: object) -> "Capture":
        self.emit(self.client, flags, text, **fields)
        return self

    def wait(self, microseconds: int) -> "Capture":
        self.now += microseconds
        return self

    def check(self, *, loss_free: bool = True, **options: bool) -> list[str]:
        return check(self, {"192.0.2.2"}, loss_free, **options)


def opened() -> Capture:
    return Capture().opened()


def syn(options: list[Option], flags: int = SYN, **fields: object) -> Capture:
    """A connection begun by the peer with these options."""
    capture = Capture()
    capture.theirs(flags, options=options, **fields)
    return capture


def window_filled() -> Capture:
    """All that the peer's window of 64,256 bytes takes was sent."""
    capture = opened()
    for _ in range(44):
        capture.ours(ACK, bytes(1448))
    return capture.ours(ACK, bytes(64256 - 44 * 1448))


BARE = [segment.mss(1460)]


# ---- clean -----------------------------------------------------------------------------


def test_a_clean_conversation_has_nothing():
    capture = opened()
    capture.send(capture.client, b"GET / HTTP/1.1\r\n\r\n")
    capture.send(capture.server, b"x" * 10_000)
    capture.close()
    assert capture.check() == []


def test_a_clean_conversation_of_which_both_ends_are_ours_has_nothing():
    capture = opened()
    capture.send(capture.client, b"x" * 10_000)
    capture.close()
    assert check(capture, {"192.0.2.1", "192.0.2.2"}, loss_free=True) == []


def test_the_rules_do_not_bind_the_peer():
    capture = opened().theirs(ACK, b"x" * 2000, checksum=5).theirs(ACK, urgent=3, reserved=7)
    assert capture.check() == []


def test_a_capture_that_begins_in_the_middle_is_judged_by_what_it_shows():
    capture = opened()
    capture.send(capture.client, b"x" * 3000)
    capture.packets = capture.packets[4:]
    assert capture.check() == []


def test_retransmission_and_recovery_are_honest_on_a_path_that_loses():
    capture = opened().ours(ACK, b"x" * 1000)
    capture.server.seq -= 1000
    capture.ours(ACK, b"x" * 1000).theirs()
    assert capture.check(loss_free=False) == []


def test_an_honest_selective_acknowledgement_is_none():
    capture = opened().theirs(ACK, b"first")
    lost = capture.client.seq
    capture.client.seq += 100
    left = capture.client.seq
    capture.theirs(ACK, b"later")
    options = capture.stamps(NOP, NOP, segment.sack((left, left + 5)))
    capture.ours(ACK, ack=lost, options=options)
    assert capture.check(loss_free=False) == []


@pytest.mark.rfc("5961", "§4")
def test_a_challenged_syn_does_not_disturb_the_connection():
    capture = opened()
    stranger = Capture()
    stranger.client.seq = 5
    stranger.theirs(SYN, options=BARE)
    capture.packets += stranger.packets
    capture.ours()
    capture.ours(ACK, b"still there").theirs()
    assert capture.check(loss_free=False) == []


def test_a_second_connection_between_the_same_ports_begins_anew():
    capture = opened()
    capture.close()
    second = Capture()
    second.client.seq, second.server.seq = 3_000_000_000, 17
    second.handshake()
    second.send(second.server, b"x" * 100)
    capture.packets += second.packets
    assert capture.check() == []


def test_a_refused_connection_may_be_tried_again():
    capture = syn(BARE)
    capture.emit(capture.server, RST | ACK, seq=0, options=())
    capture.theirs(SYN, options=BARE, seq=77)
    capture.client.seq = 78
    capture.ours(SYN | ACK, options=BARE).theirs(options=())
    assert capture.check() == []


@pytest.mark.rfc("9293", "§3.8.6.1")
def test_a_window_probe_may_pass_the_right_edge_by_a_byte():
    capture = opened().theirs(window=0)
    capture.ours(ACK, b"p").theirs(window=0, ack=capture.server.seq - 1)
    capture.server.seq -= 1
    capture.ours(ACK, b"p").theirs()
    assert capture.check() == []


@pytest.mark.rfc("9293", "§3.8.4")
def test_keep_alives_and_the_answers_to_them_are_no_retransmission():
    capture = opened().ours(ACK, seq=opened().server.seq - 1)
    capture.theirs(ACK, seq=capture.client.seq - 1).ours().ours(ACK, seq=capture.server.seq - 1)
    assert capture.check() == []


# ---- each rule ---------------------------------------------------------------------------

VIOLATIONS = {
    "2 bytes beyond the peer's right edge": lambda: window_filled().ours(ACK, b"xy"),
    "against the peer's MSS of 1460": lambda: opened().ours(ACK, b"x" * 1449),
    "against the peer's MSS of 536": lambda: (
        syn([]).ours(SYN | ACK, options=BARE).theirs(options=()).ours(ACK, b"x" * 537, options=())
    ),
    "SYN without MSS": lambda: syn(BARE).ours(SYN | ACK, options=()),
    "option 3 in the SYN-ACK": lambda: syn(BARE).ours(
        SYN | ACK, options=[*BARE, segment.window_scale(1)]
    ),
    "option 2 outside a SYN": lambda: opened().ours(options=opened().stamps(segment.mss(9))),
    "SACK that the peer did not permit": lambda: (
        syn(BARE)
        .ours(SYN | ACK, options=BARE)
        .theirs(ACK, b"text", options=())
        .ours(options=[segment.sack((Capture().client.seq + 1, Capture().client.seq + 5))])
    ),
    "timestamps that were not negotiated": lambda: (
        syn(BARE).ours(SYN | ACK, options=BARE).theirs(options=()).ours(ACK, b"x")
    ),
    "option 77, which was not negotiated": lambda: opened().ours(
        ACK, b"x", options=opened().stamps(Option(77))
    ),
    "timestamps are missing": lambda: opened().ours(ACK, b"x", options=()),
    "new sequence number behind our FIN": lambda: opened().ours(FIN | ACK).ours(ACK, b"x"),
    "a FIN before where our FIN was": lambda: (
        opened().ours(ACK, b"xy").ours(FIN | ACK).ours(FIN | ACK, seq=opened().server.seq)
    ),
    "something else than a RST behind our RST": lambda: opened().ours(RST | ACK).ours(),
    "retransmission with other bytes": lambda: (
        opened().ours(ACK, b"right").ours(ACK, b"wrong", seq=opened().server.seq)
    ),
    "right edge moves left by 112": lambda: opened().ours(window=501),
    "ACK goes back by 4": lambda: (
        opened().theirs(ACK, b"text").ours().ours(ack=opened().client.seq, window=600)
    ),
    "ACK 1 beyond what was received": lambda: opened().ours(ack=opened().client.seq + 1),
    "outside what was received": lambda: (
        opened()
        .theirs(ACK, b"text")
        .ours(
            options=opened().stamps(
                segment.sack((opened().client.seq + 9, opened().client.seq + 12))
            )
        )
    ),
    "TSval 5 behind": lambda: opened().ours(ACK, b"x", options=opened().stamps(tsval=5)),
    "TSecr 5, which the peer never sent": lambda: opened().ours(
        ACK, b"x", options=opened().stamps(tsecr=5)
    ),
    "ECE, CWR or AE without ECN": lambda: opened().ours(ACK | ECE, b"x"),
    "ECN-capable IP packet": lambda: opened().ours(ACK, b"x", tclass=2),
    "wrong IP checksum": lambda: opened().ours(header_checksum=1),
    "wrong TCP checksum": lambda: opened().ours(checksum=1),
    "padding that is not zero": lambda: syn(BARE).ours(
        SYN | ACK, options=BARE[0].encode() + b"\0\0\0\x07"
    ),
    "illegal option length": lambda: opened().ours(options=b"\x08\x01\x01\x01"),
    "reserved bits of the TCP header": lambda: opened().ours(reserved=1),
    "urgent pointer without URG": lambda: opened().ours(urgent=1),
    "ACK number without ACK": lambda: opened().ours(0, ack=1),
    "malformed": lambda: opened().ours(header_length=16),
}


@pytest.mark.parametrize("words", VIOLATIONS)
def test_it_finds(words):
    capture = VIOLATIONS[words]()
    found = capture.check(loss_free=False)
    assert [violation for violation in found if words in violation], found
    assert {violation.split(":")[0] for violation in found} == {f"packet {len(capture.packets)}"}


def test_it_finds_wrong_checksums_of_other_protocols():
    ends = "192.0.2.2", "192.0.2.1"
    packets = [
        (0, segment.build_udp(*ends, 1, 2, b"x", checksum=1)),
        (0, segment.build_icmp(*ends, 0, checksum=1)),
        (0, segment.build_icmp("2001:db8::2", "2001:db8::1", 129, checksum=1)),
    ]
    assert check(packets, {"192.0.2.2", "2001:db8::2"}, loss_free=False) == [
        "packet 1: wrong UDP checksum",
        "packet 2: wrong ICMP checksum",
        "packet 3: wrong ICMP checksum",
    ]


@pytest.mark.rfc("3168", "§6.1.1")
def test_ecn_that_was_negotiated_may_be_used():
    capture = syn(BARE, SYN | ECE | CWR).ours(SYN | ACK | ECE, options=BARE)
    capture.theirs(options=()).ours(ACK | CWR, b"x", options=(), tclass=2)
    assert capture.check() == []


@pytest.mark.rfc("9293", "MUST-66")
def test_urgent_data_may_be_sent():
    assert opened().ours(ACK | URG | PSH, b"x", urgent=1).check() == []


def test_text_that_was_acknowledged_is_not_compared_any_more():
    capture = opened().ours(ACK, b"right").theirs()
    capture.ours(ACK, b"wrong", seq=opened().server.seq)
    assert capture.check(loss_free=False) == []


# ---- on a loss-free path --------------------------------------------------------------------

LOSSES = {
    "retransmission on a loss-free path": lambda: (
        opened().ours(ACK, b"text").ours(ACK, b"text", seq=opened().server.seq)
    ),
    "duplicate ACK on a loss-free path": lambda: opened().theirs(ACK, b"text").ours().ours(),
    "zero window though the application reads": lambda: (
        opened().theirs(ACK, bytes(64256 // 50)).ours(window=0)
    ),
    "ACK 600 ms after the data": lambda: opened().theirs(ACK, b"text").wait(599_000).ours(),
    "never acknowledged the last data": lambda: (
        opened().theirs(ACK, b"text").wait(600_000).theirs()
    ),
}


@pytest.mark.parametrize("words", LOSSES)
def test_on_a_loss_free_path_it_finds(words):
    capture = LOSSES[words]()
    assert any(words in violation for violation in capture.check(loss_free=True))
    assert not any(words in violation for violation in capture.check(loss_free=False))


def test_a_syn_that_is_repeated_is_a_retransmission():
    capture = Capture()
    capture.ours(SYN, options=BARE).ours(SYN, options=BARE, seq=Capture().server.seq)
    assert any("retransmission" in violation for violation in capture.check())


def test_a_zero_window_that_the_application_caused_is_its_own_affair():
    capture = opened()
    for _ in range(44):
        capture.theirs(ACK, bytes(1448))
    capture.theirs(ACK, bytes(64256 - 44 * 1448)).ours(window=0)
    assert capture.check(slow_reader=True) == []
    assert capture.check() == ["packet 49: zero window though the application reads"]


@pytest.mark.rfc("9293", "MUST-40")
def test_a_delayed_acknowledgement_within_the_bound_is_fine():
    assert opened().theirs(ACK, b"text").wait(499_000).ours().check() == []


def test_a_window_update_is_no_duplicate_acknowledgement():
    assert opened().theirs(ACK, b"text").ours().ours(window=600).check() == []
