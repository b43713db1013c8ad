"""Attackers off the path: they know addresses and ports, and have to guess the rest
(RFC 5961, RFC 5927).
"""

import random
from statistics import fmean, pstdev

import pytest

from stack.core.tcp.challenge import PERIOD, ChallengeLimit
from stack.core.tcp.states import State
from stack.core.why import Why
from stack.wire.craft import build_icmp, build_tcp
from tests.support import states
from tests.support.endpoint import MS, OURS, PEER, SECOND, Peer

GUESSES = 10_000
WINDOW = 65_535
SPACE = 1 << 32


def established(tcp, **settings):
    t = tcp(watched=False, **settings)
    states.established(t)
    return t


def sweep(t, guess, every=MS):
    """Sends `guess(number)` for each number, one every millisecond, while the genuine peer
    sends a line each second and gets one; returns what we sent beside those.
    """
    others = []
    for number in range(GUESSES):
        at = t.peer.nxt
        t.arrive(guess(number))
        t.peer.nxt = at
        t.now += every
        t.host.on_deadline(t.now)
        if number % 1000 == 999:
            line = b"line %d" % number
            t.inject("PA", text=line, ack=t.our_number(t.tcb.snd_nxt))
            assert t.receive() == line
            t.send(line)
            sent = t.take()
            assert any(one.text == line for one in sent)
            t.inject("A", ack=t.our_number(t.tcb.snd_nxt))
            others += [one for one in sent if not one.text]
            t.seen.clear()
            t.steps.clear()
            t.capture.clear()
    t.expect_state(State.ESTABLISHED)
    return others


def spread(number):
    """Relative sequence numbers as one would choose them: a window apart over all of the
    space at first, then anywhere inside the window, but never the one that is right.
    """
    if number < GUESSES // 2:
        return number * (SPACE // (GUESSES // 2))
    return 3000 + random.Random(number).randrange(WINDOW - 10_000)


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("5961", "4.2")
@pytest.mark.rfc("5961", "7")
@pytest.mark.parametrize("version", [4, 6])
def test_ten_thousand_resets_and_syns_change_nothing(tcp, version):
    """And no more than two of them a second are answered."""
    t = established(tcp, version=version)
    rng = random.Random(version)

    def guess(number):
        return t.packet(rng.choice(["R", "RA", "S", "SA", "SF"]), seq=spread(number), ack=1)

    challenges = [one for one in sweep(t, guess) if one.why is Why.CHALLENGE_ACK]
    assert 1 <= len(challenges) <= 2 * GUESSES * MS // SECOND
    assert t.host.counters["TCPChallengeACK"] <= 2 * GUESSES * MS // SECOND


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize("version", [4, 6])
def test_ten_thousand_guesses_put_nothing_into_the_stream(tcp, version):
    """The acknowledgement has to be guessed as well: 1 in 65,000 guesses is near enough."""
    t = established(tcp, version=version)
    rng = random.Random(version)

    def guess(number):
        flags = rng.choice(["PA", "FPA", "FA", "PUA", "P", "F", "A"])
        ack = rng.randrange(2 * WINDOW, SPACE - 2 * WINDOW)
        text = b"injected" if "P" in flags else b""
        return t.packet(flags, seq=spread(number), ack=ack, text=text)

    sweep(t, guess)
    assert t.host.counters["TCPChallengeACK"] <= 2 * GUESSES * MS // SECOND
    assert not t.tcp.reassembly


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("version", [4, 6])
def test_ten_thousand_icmp_errors_change_nothing(tcp, version):
    """Of every kind: hard, soft, source quench, fragmentation needed. Those that guess right
    are about a connection that works (RFC 5461 §4.1, RFC 5927 §7.2).
    """
    t = established(tcp, version=version)
    t.send(bytes(t.tcb.snd_mss))  # segments of full size go through
    t.take()
    t.inject("A", ack=t.our_number(t.tcb.snd_nxt))
    mss = t.tcb.snd_mss
    kinds = {
        4: [(3, code) for code in range(16)] + [(4, 0), (5, 1), (11, 0), (11, 1), (12, 0)],
        6: [(1, code) for code in range(7)] + [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1)],
    }[version]

    def guess(number):
        kind, code = kinds[number % len(kinds)]
        seq = ((t.iss or 0) + spread(number)) % SPACE
        path = OURS[version], PEER[version], t.local_port, t.peer.port
        quoted = build_tcp(*path, seq=seq, text=bytes(1000))
        body = quoted[:28] if version == 4 else quoted[:1200]
        router = {4: "192.0.2.254", 6: "2001:db8::fe"}[version]
        return build_icmp(router, OURS[version], kind, code, rest=1280, body=body)

    assert {one.why for one in sweep(t, guess)} <= {Why.QUICK_ACK, Why.DELAYED_ACK}
    assert t.tcb.snd_mss == mss


# ---- what can be learnt from the limit (CVE-2016-5696) -----------------------------------------


@pytest.mark.rfc("5961", "7")
@pytest.mark.parametrize("guess", [1000, 1 << 31])
def test_who_counts_challenge_acks_learns_nothing_of_another_connection(tcp, guess):
    """He has a connection of his own and counts there, after guessing in or beside the
    window of the victim: he counts the same.
    """
    t = established(tcp)
    victim, mine = t.peer, Peer(port=41_000, iss=777)
    iss = t.iss
    t.peer, t.iss = mine, None
    t.inject("S")
    t.expect("SA")
    t.inject("A")
    own = t.iss
    counted = []
    for _ in range(10):
        t.peer, t.iss = victim, iss
        for _ in range(100):
            t.arrive(t.packet("R", seq=guess))
        t.peer, t.iss = mine, own
        for _ in range(100):
            t.arrive(t.packet("R", seq=1000))
        counted.append(sum(one.dport == mine.port for one in t.take()))
        t.advance(SECOND)
    assert counted == [1] * 10


def drawn(limit, key, seconds):
    """How many challenge ACKs leave in each second when far too many are due."""
    limiter = ChallengeLimit(limit, key)
    return [
        sum(limiter.allow(second * PERIOD + n) for n in range(2 * limit + 2))
        for second in range(seconds)
    ]


@pytest.mark.rfc("5961", "7")
def test_the_limit_of_a_host_is_another_one_each_second():
    counts = drawn(200, b"key", 400)
    assert min(counts) >= 100
    assert max(counts) <= 300
    assert fmean(counts) == pytest.approx(200, rel=0.05)
    assert pstdev(counts) > 50
    assert len(set(counts)) > 100
    assert counts != drawn(200, b"another key", 400)


@pytest.mark.rfc("5961", "7")
def test_what_a_victim_takes_of_that_limit_drowns_in_its_chance():
    """With enough connections of his own an attacker can use up the limit and see what is
    left. A right guess takes two of it a second; over a minute, that is a fraction of the
    error of the mean, and the next minute may say the contrary.
    """
    minutes = [fmean(drawn(1000, bytes([minute]), 60)) for minute in range(20)]
    assert pstdev(minutes) > 10 * 2
    assert max(minutes) - min(minutes) > 20 * 2


def test_no_challenge_leaves_where_none_may():
    assert set(drawn(0, b"key", 20)) <= {0}


def test_one_host_says_the_same_when_it_runs_again():
    assert drawn(50, b"key", 20) == drawn(50, b"key", 20)
