"""What an attacker who guesses can bring about: challenge ACKs and their limit (RFC 5961)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core.tcp.states import State
from stack.core.why import Why
from stack.link.impair import Faults
from stack.wire.batch import Inbound
from stack.wire.segment import ACK, PSH, build_tcp, parse
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, SECOND, Endpoint, Peer
from tests.support.hostile import Application, Pair


def established(t):
    states.established(t)
    return t


@pytest.mark.rfc("5961", "3.2")
def test_a_reset_in_the_window_is_challenged_and_only_an_exact_one_believed(tcp):
    t = established(tcp())
    for seq in (2, 1000, 65_535):
        t.inject("R", seq=seq)
        t.expect("A", seq=1, ack=1, why=Why.CHALLENGE_ACK)
        t.advance(500 * MS)
    t.expect_state(State.ESTABLISHED)
    t.inject("R", seq=1)
    t.expect_state(State.CLOSED)


@pytest.mark.rfc("5961", "3.2")
def test_a_reset_outside_the_window_is_dropped_silently(tcp):
    t = established(tcp())
    for seq in (0, -1, 65_537, 1 << 31):
        t.inject("R", seq=seq)
    t.expect_nothing(SECOND)
    t.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-5, 0, 1, 100, 65_536, 70_000])
@pytest.mark.parametrize("flags", ["S", "SA", "SF"])
def test_a_syn_on_a_synchronised_connection_is_challenged_wherever_it_lies(tcp, flags, seq):
    t = established(tcp())
    t.inject(flags, seq=seq)
    t.expect("A", seq=1, ack=1, why=Why.CHALLENGE_ACK)
    t.expect_state(State.ESTABLISHED)
    assert t.tcp.available == 0


@pytest.mark.rfc("5961", "4.2")
def test_a_peer_that_forgot_the_connection_gets_rid_of_it_by_its_reset(tcp):
    t = established(tcp())
    t.inject("S", seq=500_000)
    challenge = t.expect("A", ack=1)
    t.inject("R", seq=challenge.ack)
    t.expect_state(State.CLOSED)
    t.advance(SECOND)
    t.inject("S", seq=500_000)
    t.expect("SA", ack=500_001)


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.rfc("9293", "MAY-12")
def test_data_with_an_ack_outside_the_acceptable_range_is_not_taken(tcp):
    t = established(tcp(peer={"window": 1000}))
    for ack in (2, 1 << 30, -1000, -(1 << 30)):
        t.inject("PA", seq=1, ack=ack, text=b"injected")
        t.expect("A", seq=1, ack=1)
        t.advance(500 * MS)
    t.inject("PA", seq=1, ack=-999, text=b"of the peer")
    assert t.receive() == b"of the peer"
    t.take()


@pytest.mark.rfc("5961", "7")
def test_challenge_acks_of_a_connection_are_limited(tcp):
    t = established(tcp())
    for _ in range(20):
        t.inject("R", seq=1000)
        t.advance(100 * MS)
    assert len(t.take()) == 4
    assert t.host.counters["TCPChallengeACK"] == 4
    assert t.host.counters["TCPACKSkippedChallenge"] == 16
    t.advance(SECOND)
    t.inject("R", seq=1000)
    t.expect("A", why=Why.CHALLENGE_ACK)


@pytest.mark.rfc("5961", "7")
def test_repeated_data_is_acknowledged_without_that_limit(tcp):
    """Or a peer that lost our ACK could never recover."""
    t = established(tcp(challenge_acks=0))
    t.inject("R", seq=1000)
    t.inject("R", seq=1000)
    t.inject("PA", seq=1, text=b"data")
    t.take()
    for _ in range(10):
        t.inject("PA", seq=1, text=b"data")
        t.expect("A", ack=5, why=Why.DUPLICATE)


@pytest.mark.rfc("5961", "7")
@pytest.mark.parametrize(
    "fields", [{"seq": 70_000}, {"seq": 0}, {"seq": -100}, {"ack": 5000}, {"tsval": 1}]
)
def test_bare_segments_that_do_not_fit_are_answered_twice_a_second_at_most(tcp, fields):
    t = established(tcp(peer={"ts": True}))
    for _ in range(10):
        t.inject("A", **{"seq": 1, **fields})
        t.advance(100 * MS)
    assert len(t.take()) == 2


def test_two_hosts_that_disagree_do_not_answer_each_other_for_ever():
    """Someone made B believe that A had sent more: each then finds the other out of step."""
    pair = Pair(faults=Faults(delay=1 * MS))
    a, b = Application(b"", keep_open=True), Application(b"", keep_open=True)
    pair.connect(a, b)
    pair.run(SECOND)
    (number, last) = len(pair.a.capture), parse(pair.a.capture[-1][1])
    assert a.connection is not None
    forged = build_tcp(
        a.connection.local[0],
        a.connection.remote[0],
        a.connection.local[1],
        a.connection.remote[1],
        seq=a.connection.tcb.snd_nxt,
        ack=a.connection.tcb.rcv_nxt,
        flags=PSH | ACK,
        options=last.tcp.option_bytes,
        text=b"injected",
    )
    pair.b.host.receive(Inbound.of([forged]), pair.now)
    pair.settle()
    pair.run(10 * SECOND)
    assert len(pair.a.capture) - number < 100


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize("seq", [-1000, -(1 << 20), -(1 << 30)])
def test_old_data_acknowledges_nothing(tcp, seq):
    """Its sequence number takes no guessing: half of all are to the left of the window."""
    t = established(tcp())
    t.inject("PA", text=b"x" * 100)
    t.send(b"in flight")
    t.take()
    t.inject("PA", seq=seq, text=b"guessed", ack=1 + len(b"in flight"))
    t.expect("A", why=Why.DUPLICATE)
    assert t.tcb.snd_una != t.tcb.snd_nxt
    t.expect(text=b"in flight", within=SECOND)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_the_latest_segment_acknowledges_when_it_comes_again(tcp):
    """It may be the only one that gets through."""
    t = established(tcp())
    t.inject("PA", text=b"question")
    t.expect("A")
    t.send(b"answer")
    t.expect(text=b"answer")
    t.inject("PA", seq=1, text=b"question", ack=1 + len(b"answer"))
    t.expect("A", why=Why.DUPLICATE)
    assert t.tcb.snd_una == t.tcb.snd_nxt


# ---- noise -----------------------------------------------------------------------------------

fields = st.fixed_dictionaries(
    {
        "seq": st.integers(0, 0xFFFF_FFFF),
        "ack": st.integers(0, 0xFFFF_FFFF),
        "window": st.integers(0, 65_535),
        "urgent": st.integers(0, 65_535),
        "options": st.binary(max_size=40),
        "text": st.binary(max_size=50),
        "reserved": st.integers(0, 7),
    },
    optional={"header_length": st.sampled_from([0, 16, 20, 24, 60])},
)


def harmless(flags, seq, ack, window=65_535):
    """Whether such a segment, sent blindly, can do nothing on a connection where both sides
    stand at 1: it misses the window, or the range of acceptable ACKs, or has no ACK.
    """
    if "R" in flags:
        return seq != 1
    if "S" in flags or "A" not in flags:
        return True
    in_window = (seq - 1) % (1 << 32) < window or (seq + 60 - 1) % (1 << 32) < window + 60
    acceptable = (ack - 1 + window) % (1 << 32) <= window
    return not (in_window and acceptable)


@given(
    st.lists(st.tuples(st.text("FSRPAU", max_size=4), fields), min_size=1, max_size=30),
    st.sampled_from(list(State)),
)
def test_no_segment_with_a_right_checksum_makes_the_host_raise(segments, state):
    t = Endpoint(peer=Peer(ts=True, wscale=7))
    states.reach(t, state)
    for flags, given_fields in segments:
        t.arrive(t.packet("".join(set(flags)), **given_fields))
        t.take()
    t.advance(SECOND)


@given(st.lists(st.tuples(st.text("FSRPAU", max_size=4), fields), min_size=1, max_size=30))
def test_blind_segments_change_nothing_in_the_stream(segments):
    t = Endpoint()
    states.established(t)
    t.inject("PA", text=b"first,")
    for flags, given_fields in segments:
        if harmless(flags, given_fields["seq"], given_fields["ack"]):
            t.arrive(t.packet("".join(set(flags)), **given_fields))
            t.take()
    t.inject("PA", seq=7, ack=1, text=b"second", window=65_535)
    assert t.state == State.ESTABLISHED
    assert t.receive() == b"first,second"
    t.send(b"answer")
    assert b"answer" in [one.text for one in t.take()]


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 1 << 32))
def test_random_bytes_never_raise_and_never_reach_a_stream(garbage, seed):
    t = Endpoint()
    states.established(t)
    rng = random.Random(seed)
    good = t.packet("PA", text=b"genuine")
    mutants = []
    for _ in range(20):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= rng.randint(1, 255)  # two could make up for each other
        mutants.append(bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data))
    for at in range(0, len(mutants + garbage), 64):
        t.host.receive(Inbound.of((mutants + garbage)[at : at + 64]), t.now)
    t._after()
    t.take()
    received = t.tcp.peek(100)
    # What no checksum covers is in the IP header, and then the text is the genuine one.
    assert received in (b"", b"genuine")
    t.arrive(good)
    assert t.receive() == b"genuine"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_noise_leaves_the_connection_and_the_host_as_they_were(version, seed):
    t = Endpoint(version)
    states.established(t)
    rng = random.Random(seed)
    for _ in range(40):
        batch = []
        for _ in range(64):
            data = bytearray(
                t.packet(
                    "".join(rng.sample("FSRPAU", rng.randint(0, 4))),
                    seq=rng.choice([1, 0, rng.getrandbits(32), rng.randint(-70_000, 140_000)]),
                    ack=rng.choice([1, 0, rng.getrandbits(32)]),
                    text=rng.randbytes(rng.choice([0, 1, 100])),
                    options=rng.randbytes(rng.choice([0, 0, 4, 40])),
                )
            )
            # From the addresses on, a checksum covers every byte of both versions.
            data[rng.randrange(12, len(data))] ^= rng.randint(1, 255)
            batch.append(bytes(data))
        t.host.receive(Inbound.of(batch), t.now)
        t._after()
        t.take()
        t.now += 1000
    t.peer.nxt = t.peer.acks = 1
    assert len(t.host.connections) == 1
    t.inject("PA", text=b"still here")
    assert t.receive() == b"still here"
    assert {OURS[version], PEER[version]} == {t.tcp.local[0], t.tcp.remote[0]}
