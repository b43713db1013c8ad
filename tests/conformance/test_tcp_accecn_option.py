"""The TCP option of accurate ECN: bytes by codepoint, in both directions (RFC 9768 §3.2.3)."""

import pytest

from stack.core.tcp.accecn_option import AccEcnOption
from stack.core.tcp.ecn import CE, ECT_0, ECT_1, NOT_ECT
from stack.core.why import Why
from stack.link.impair import Faults
from stack.wire.batch import Inbound
from stack.wire.tcp_options import Option, timestamps, walk_tcp_options
from tests.support.endpoint import MS, SECOND
from tests.support.hostile import Pair

RTT = 50 * MS
KINDS = 172, 174
FIELDS = {172: ("e0b", "ceb", "e1b"), 174: ("e1b", "ceb", "e0b")}


def option(order=0, **counters):
    """The option as it is on the wire; fields behind the last one given are left out."""
    kind = KINDS[order]
    data = b"".join(
        (counters[name] & 0xFF_FFFF).to_bytes(3, "big") for name in FIELDS[kind] if name in counters
    )
    return Option(kind, data)


def told(one):
    """The counters that a segment carries; None without the option."""
    for found in walk_tcp_options(one.packet.tcp.option_bytes):
        if found.kind in KINDS:
            values = [found.data[at : at + 3] for at in range(0, len(found.data), 3)]
            names = FIELDS[found.kind]
            return {n: int.from_bytes(v, "big") for n, v in zip(names, values, strict=False)}
    return None


def server(t, *, syn_options=()):
    """ESTABLISHED; the peer asked for accurate ECN."""
    t.listen()
    t.inject("SECN")
    t.expect("SAC")
    t.advance(RTT)
    t.inject("AC", options=[*stamps(t), option(e0b=1, ceb=0, e1b=1)])
    t.accept()
    t.take()
    return t


def stamps(t):
    return [timestamps(t.peer.tsval + t.now // 1000, t.peer.tsecr)] if t.peer.ts else []


def get(t, text, codepoint, **fields):
    """A segment of the peer's with text, in a packet with this codepoint."""
    t.inject("PA", text=text, tclass=codepoint, **fields)


START = {"e0b": 1, "ceb": 0, "e1b": 1}


# ---- the handshake -----------------------------------------------------------------------------


@pytest.mark.rfc("9768", "3.2.3.2.1")
def test_the_syn_ack_carries_the_option_and_a_repeated_one_does_not(tcp):
    t = tcp()
    t.listen()
    t.inject("SECN")
    assert told(t.expect("SAC")) == START
    again = t.expect("SAC", within=2 * SECOND)
    assert told(again) is None


@pytest.mark.rfc("9768", "3.2.3.2.1")
def test_a_syn_never_carries_it_but_the_first_ack_and_the_first_data_do(tcp):
    t = tcp(ecn="accurate")
    t.connect()
    assert told(t.expect("SECN")) is None
    t.inject("SAC")
    assert told(t.expect(text=b"", ack=1)) == START
    t.send(b"first")
    assert told(t.expect(text=b"first")) == START
    t.inject("A")
    t.send(b"second")
    assert told(t.expect(text=b"second")) is None, "there is no news"


@pytest.mark.rfc("9768", "3.2.3")
@pytest.mark.parametrize("settings", [{"ecn": "accurate", "accecn_option": False}, {"ecn": "off"}])
def test_it_can_be_left_out(tcp, settings):
    t = tcp(**settings)
    t.listen()
    t.inject("SECN")
    assert told(t.expect("SA" + "C" * (settings["ecn"] != "off"))) is None
    t.inject("A")
    get(t, b"x", ECT_0)
    assert told(t.expect(text=b"")) is None


@pytest.mark.rfc("9768", "3.2.3.2.2")
def test_first_data_without_an_answer_ends_it(tcp):
    t = tcp(ecn="accurate")
    t.connect()
    t.expect("SECN")
    t.inject("SAC")
    t.expect(text=b"", ack=1)
    t.send(b"first")
    assert told(t.expect(text=b"first"))
    while True:
        again = t.expect(text=b"first", within=5 * SECOND)
        if again.why is Why.RTO:
            break
    assert told(again) is None
    t.inject("A")
    get(t, b"x", ECT_0)
    assert told(t.expect(text=b"")) is None


# ---- what we report ------------------------------------------------------------------------------


@pytest.mark.rfc("9768", "3.2.1")
@pytest.mark.rfc("9768", "3.2.3")
def test_bytes_are_counted_by_the_codepoint_that_they_came_with(tcp):
    t = server(tcp())
    get(t, bytes(100), ECT_0)
    assert told(t.expect(text=b"")) == {"e0b": 101, "ceb": 0, "e1b": 1}
    get(t, bytes(20), CE)
    assert told(t.take()[-1]) == {"e0b": 101, "ceb": 20, "e1b": 1}
    get(t, bytes(3), ECT_1)
    assert told(t.take()[-1]) == {"e0b": 101, "ceb": 20, "e1b": 4}
    get(t, bytes(50), NOT_ECT)
    one = t.expect(text=b"")
    assert told(one) is None, "nothing changed"


@pytest.mark.rfc("9768", "3.2.3.3")
@pytest.mark.parametrize(("before", "after"), [(ECT_0, CE), (CE, ECT_0), (ECT_0, ECT_1)])
def test_another_counter_is_told_of_at_once(tcp, before, after):
    t = server(tcp(quick_acks=0))
    get(t, b"one", before)
    t.advance(100 * MS)
    t.take()
    get(t, b"two", before)
    first = t.take()  # of marks, every second one is told of
    get(t, b"three", after)
    assert told(t.take()[-1]), "not at once"
    assert before == CE or not first


@pytest.mark.rfc("9768", "3.2.3.3")
def test_sack_goes_before_it(tcp):
    """With one block there is room for three counters, with two for two, with three for none."""
    t = server(tcp(peer={"ts": True}))
    get(t, bytes(10), ECT_0)
    t.take()
    counters, blocks = [], []
    for n in (1, 2, 3):
        get(t, bytes(10), CE if n == 1 else ECT_0, seq=100 * n)
        one = t.take()[-1]
        counters.append(told(one))
        blocks.append(len(one.sack))
    assert blocks == [1, 2, 3]
    assert counters == [{"e0b": 11, "ceb": 10, "e1b": 1}, {"e0b": 21, "ceb": 10}, None]


@pytest.mark.rfc("9768", "3.2.3.3")
def test_full_segments_leave_it_to_an_acknowledgement_of_its_own(tcp):
    t = server(tcp())
    get(t, b"question", ECT_0)
    t.take()
    packet = t.packet("PA", text=b"another", tclass=CE)
    t.host.receive(Inbound.of([packet]), t.now)
    t.tcp.send(bytes(t.tcb.snd_mss), t.now)
    t._after()
    sent = t.take()
    assert [one.length for one in sent] == [0, t.tcb.snd_mss]
    assert told(sent[0])["ceb"] == len(b"another")
    assert told(sent[1]) is None
    t.judged = False  # the packet went past the capture


@pytest.mark.rfc("9768", "3.2.3")
def test_counters_wrap_at_24_bits(tcp):
    t = server(tcp())
    t.tcp.ecn.option.received[ECT_0] = (1 << 24) - 1
    get(t, bytes(3), ECT_0)
    assert told(t.expect(text=b""))["e0b"] == 2


# ---- what the peer reports ------------------------------------------------------------------------


def acknowledged(t, **counters):
    order = counters.pop("order", 0)
    t.send(bytes(100))
    t.take()
    t.advance(RTT)
    t.inject("AEN", options=[option(order, **counters)])  # the field says 5: no mark
    t.take()


@pytest.mark.rfc("9768", "3.2.2.5")
@pytest.mark.parametrize("order", [0, 1])
def test_marks_that_the_field_hides_by_going_round_slow_us_down(tcp, order):
    t = server(tcp())
    acknowledged(t, order=order, e0b=101, ceb=0, e1b=1)
    cwnd = t.tcb.cwnd
    acknowledged(t, order=order, e0b=101, ceb=100, e1b=1)
    assert t.tcb.cwnd < cwnd
    assert t.tcp.ecn.option.delivered == [0, 1, 101, 100]


@pytest.mark.rfc("9768", "3.2.3")
def test_a_truncated_option_tells_what_it_has(tcp):
    t = server(tcp())
    acknowledged(t, order=1, e1b=1, ceb=30)
    assert t.tcp.ecn.option.delivered[CE] == 30
    acknowledged(t, order=1, e1b=70)
    assert t.tcp.ecn.option.delivered == [0, 70, 1, 30]
    acknowledged(t)
    assert t.tcp.ecn.option.delivered == [0, 70, 1, 30]


@pytest.mark.rfc("9768", "3.2.3")
@pytest.mark.parametrize("length", [1, 2, 4, 5, 7, 8, 10, 12])
def test_an_option_of_any_other_length_is_ignored(tcp, length):
    t = server(tcp())
    t.send(b"x")
    t.take()
    t.inject("AEN", options=[Option(172, b"\x01" * length)])
    assert t.tcp.ecn.option.delivered == [0, 1, 1, 0]


@pytest.mark.rfc("9768", "3.2.3.2.3")
@pytest.mark.parametrize("zero", ["e0b", "e1b"])
def test_an_option_whose_fields_were_cleared_is_ignored_for_good(tcp, zero):
    t = tcp()
    t.listen()
    t.inject("SECN")
    t.expect("SAC")
    t.inject("AC", options=[option(**{**START, zero: 0})])
    t.accept()
    assert t.tcp.ecn.option.ignored
    cwnd = t.tcb.cwnd
    acknowledged(t, e0b=101, ceb=100, e1b=1)
    assert t.tcb.cwnd >= cwnd
    get(t, b"x", ECT_0)
    assert told(t.take()[-1]), "what we send is another matter"


@pytest.mark.rfc("9768", "3.2.3.2.2")
def test_a_peer_that_never_sends_it_is_heard_by_the_field(tcp):
    t = server(tcp())
    t.send(bytes(100))
    t.take()
    cwnd = t.tcb.cwnd
    t.inject("ACN")  # 6: one mark
    assert t.tcb.cwnd < cwnd


def test_an_older_option_takes_nothing_back():
    state = AccEcnOption()

    class Segment:
        accecn_order, accecn_count = 0, 3
        accecn = (500, 200, 1)

    assert state.arrives(Segment) == 200
    Segment.accecn = (400, 100, 1)
    assert state.arrives(Segment) == 0
    assert state.delivered == [0, 1, 500, 200]


@pytest.mark.rfc("9768", "3.2.3")
@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("timestamps", [True, False])
def test_two_hosts_of_ours_agree_on_every_byte(sack, timestamps):
    config = {"ecn": "accurate", "sack": sack, "timestamps": timestamps}
    pair = Pair(5, faults=Faults(delay=10 * MS), a=config, b=config)
    pair.transfer(bytes(100_000), bytes(70_000))
    pair.check_wire(loss_free=True)
    for one, other in (pair.sides, pair.sides[::-1]):
        received = one.application.connection.ecn.option.received
        delivered = other.application.connection.ecn.option.delivered
        assert received[CE] == delivered[CE] == 0
        assert received[ECT_0] == 1 + len(one.application.received)
        assert delivered[ECT_0] >= received[ECT_0] * 0.9
