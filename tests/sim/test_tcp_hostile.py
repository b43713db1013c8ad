"""Whatever the wire does, the bytes arrive, and everything is given back at the end."""

import os
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core.why import Why
from stack.link.impair import Faults
from stack.wire.segment import parse
from tests.support.hostile import MS, SECOND, Application, Pair, Reader, Troubles
from tests.support.invariants import check_returned

MORE = 50 if os.environ.get("TUNSTACK_FUZZ") == "long" else 1


def some_bytes(length, seed):
    return random.Random(seed).randbytes(length)


faults = st.builds(
    Faults,
    loss=st.one_of(st.just(0.0), st.floats(0, 0.59)),
    duplicate=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    reorder=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    corrupt=st.one_of(st.just(0.0), st.floats(0, 0.2)),
    delay=st.integers(0, 200 * MS),
    jitter=st.integers(0, 20 * MS),
)
configs = st.fixed_dictionaries(
    {
        "sack": st.booleans(),
        "timestamps": st.booleans(),
        "window_scaling": st.booleans(),
        "congestion": st.sampled_from(["reno", "cubic", "bbr", "fixed"]),
        "ecn": st.sampled_from(["off", "passive", "classic", "accurate"]),
        "idle_restart": st.booleans(),
        "receive_buffer": st.one_of(st.integers(1, 100), st.integers(100, 200_000)),
        "send_buffer": st.one_of(st.integers(1, 100), st.integers(100, 200_000)),
        "mtu_probing": st.sampled_from(["off", "off", "black hole", "always"]),
        "scaled_window_update": st.booleans(),
        "quick_acks": st.sampled_from([0, 16]),
    }
)
readers = st.builds(
    Reader,
    limit=st.one_of(st.integers(1, 200), st.just(1 << 30)),
    pause=st.one_of(st.just(0), st.integers(1, 2000 * MS)),
)
writers = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"chunk": st.integers(200, 5000), "pause": st.integers(1, 3000 * MS)}),
)
# While a transfer runs the path becomes narrower and wider, and there are times at which it
# is not there at all.
moments = st.integers(0, 20 * SECOND)
troubles = st.builds(
    Troubles,
    st.lists(st.tuples(moments, st.sampled_from([1280, 1300, 1400, 1500])), max_size=4),
    st.lists(
        st.tuples(moments, st.integers(1, 8 * SECOND)).map(lambda one: (one[0], one[0] + one[1])),
        max_size=3,
    ),
)
lengths = st.one_of(st.integers(0, 5000), st.integers(0, 60_000))


def bounded(length, *knobs):
    """No more bytes than some sixty round trips carry, so that a test takes its second."""
    return min(length, 60 * min(knobs))


def run_hostile(configs, reads, lengths, seed, writers=({}, {}), observer=None, **world):
    a, b = configs
    a_reads, b_reads = reads
    pair = Pair(seed, a=a, b=b, **world)
    for side in pair.sides if observer else ():
        side.host.observe(observer)
    to_a = bounded(lengths[0], a["receive_buffer"], b["send_buffer"], a_reads.limit)
    to_b = bounded(lengths[1], b["receive_buffer"], a["send_buffer"], b_reads.limit)
    data = some_bytes(to_b, seed), some_bytes(to_a, seed + 1)
    pair.transfer(*data, a_reads, b_reads, writers)
    return pair


hostile = given(
    seed=st.integers(0, 1 << 32),
    version=st.sampled_from([4, 6]),
    offload=st.sampled_from(["", "", "cut", "whole"]),
    faults=st.tuples(faults, faults),
    iss=st.sampled_from([None, 0xFFFF_FFFF, 0xFFFF_F000, 0x7FFF_FFFF]),
    troubles=st.one_of(st.just(Troubles()), troubles),
    configs=st.tuples(configs, configs),
    reads=st.tuples(readers, readers),
    writers=st.tuples(writers, writers),
    lengths=st.tuples(lengths, lengths),
)


@settings(max_examples=80 * MORE)
@hostile
def test_every_byte_arrives_over_a_hostile_wire(**world):
    """Both ways at once; then both close, and everything is given back."""
    run_hostile(**world).check_wire()


@settings(max_examples=5 * MORE)
@hostile
def test_one_seed_gives_the_same_bytes_twice(**world):
    first, second = (run_hostile(**world) for _ in range(2))
    for one, other in zip(first.sides, second.sides, strict=True):
        assert one.capture == other.capture
        assert one.whys == other.whys


@settings(max_examples=5 * MORE)
@hostile
def test_who_watches_changes_nothing(**world):
    world["offload"] = ""
    plain = run_hostile(**world)
    events = []
    watched = run_hostile(**world, observer=events.append)
    assert events
    for one, other in zip(plain.sides, watched.sides, strict=True):
        assert one.capture == other.capture


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
def test_losses_are_repaired_without_many_timeouts(loss, sack, congestion):
    """On a path of 40 ms with 200 segments; what fast recovery repairs needs no timeout."""
    config = {"sack": sack, "congestion": congestion}
    wire = Faults(loss=loss, delay=20 * MS)
    pair = Pair(7, faults=(wire, Faults(delay=20 * MS)), a=config, b=config)
    pair.transfer(some_bytes(300_000, 1), b"")
    pair.check_wire()
    timeouts = pair.a.whys.count(Why.RTO)
    assert timeouts <= {0.01: 1, 0.05: 4, 0.2: 25}[loss] * (1 if sack else 2)


@pytest.mark.rfc("1191", "6.4")
@pytest.mark.rfc("8201", "5.4")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("offload", ["", "cut"])
@pytest.mark.parametrize("sack", [True, False])
def test_a_narrow_path_in_the_middle_is_found_and_followed(version, offload, sack):
    wire = Faults(delay=10 * MS)
    config = {"sack": sack}
    pair = Pair(
        version=version, faults=wire, a=config, b=config, mtu=4000, offload=offload, path_mtu=1300
    )
    pair.transfer(some_bytes(200_000, 1), some_bytes(200_000, 2))
    pair.check_wire()
    for side in pair.sides:
        sizes = [len(data) for _, data in side.capture if str(parse(data).src) in side.addresses()]
        assert max(sizes) > 1300
        assert max(sizes[len(sizes) // 4 :]) <= 1300


def test_many_connections_share_a_lossy_wire():
    pair = Pair(3, faults=Faults(loss=0.05, delay=5 * MS, jitter=2 * MS, duplicate=0.02))
    connections = [
        pair.a.host.connect("192.0.2.2", 80, pair.now, local_port=10_000 + number)
        for number in range(60)
    ]
    accepted = {}
    received = {number: bytearray() for number in range(60)}
    for number, connection in enumerate(connections):
        connection.send(some_bytes(5000, number), pair.now)
    while True:
        pair.settle_hosts()
        while (connection := pair.listener.accept()) is not None:
            accepted[connection.remote[1] - 10_000] = connection
        for number, connection in accepted.items():
            received[number] += connection.receive(1 << 20, pair.now)
            if len(received[number]) == 5000:
                connection.close(pair.now)
        for connection in connections:
            if connection.eof:
                connection.close(pair.now)
        if not pair.step():
            break
    assert all(bytes(received[number]) == some_bytes(5000, number) for number in range(60))
    pair.check_wire()
    for side in pair.sides:
        check_returned(side.host)


# ---- clean paths -----------------------------------------------------------------------------


@settings(max_examples=40 * MORE)
@given(
    seed=st.integers(0, 1000),
    version=st.sampled_from([4, 6]),
    delay=st.sampled_from([0, 50, 1 * MS, 20 * MS, 150 * MS]),
    configs=st.tuples(configs, configs),
    offload=st.sampled_from(["", "cut", "whole"]),
    lengths=st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)),
)
def test_a_clean_path_sees_no_needless_segment(seed, version, delay, configs, offload, lengths):
    """No retransmission, no probe, no duplicate ACK; the wire check looks for them."""
    for config in configs:
        config["receive_buffer"] = max(config["receive_buffer"], 20_000)
        config["send_buffer"] = max(config["send_buffer"], 20_000)
    wire = Faults(delay=delay)
    pair = Pair(seed, version=version, faults=wire, a=configs[0], b=configs[1], offload=offload)
    pair.transfer(some_bytes(lengths[0], seed), some_bytes(lengths[1], seed + 1))
    pair.check_wire(loss_free=True, slow_reader=False)
    for side in pair.sides:
        assert not {Why.RTO, Why.LOSS_PROBE, Why.RACK_LOST, Why.FAST_RETRANSMIT} & set(side.whys)


@pytest.mark.parametrize("size", [1, 100, 1448, 1500, 3000, 20_000])
@pytest.mark.parametrize("delay", [100, 10 * MS, 100 * MS])
def test_questions_and_answers_see_no_probe(size, delay):
    """Each side delays its acknowledgements; none of them may look like a loss."""
    pair = Pair(faults=Faults(delay=delay), a={"quick_acks": 0}, b={"quick_acks": 0})
    a, b = Application(b"", keep_open=True), Application(b"", keep_open=True)
    pair.connect(a, b)
    pair.run(SECOND)
    for _ in range(20):
        for one, other in ((a, b), (b, a)):
            one.connection.send(bytes(size), pair.now)
            pair.settle()
            while len(other.received) < size:
                pair.run(MS)
            other.received.clear()
    pair.run(SECOND)
    pair.check_wire(loss_free=True)
    for side in pair.sides:
        assert not {Why.RTO, Why.LOSS_PROBE} & set(side.whys)


# ---- closing -----------------------------------------------------------------------------------


@settings(max_examples=40 * MORE)
@given(
    seed=st.integers(0, 1 << 32),
    wire=st.tuples(faults, faults),
    ends=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["shutdown", "close", "abort", "send"]),
            st.integers(0, 500 * MS),
        ),
        max_size=8,
    ),
)
def test_however_both_sides_end_nothing_stays(seed, wire, ends):
    """Any calls at any times; in the end both hosts are as before."""
    patience = {"r2": 100 * SECOND, "syn_r2": 180 * SECOND}
    pair = Pair(seed, faults=wire, a=patience, b=patience)
    a, b = Application(b"", keep_open=True), Application(b"", keep_open=True)
    pair.connect(a, b)
    for name, call, after in [*ends, ("a", "close", 0), ("b", "close", 0)]:
        pair.run(after)
        connection = (a if name == "a" else b).connection
        if connection is not None:
            with suppress(OSError):
                getattr(connection, call)(*((bytes(3000),) if call == "send" else ()), pair.now)
        pair.settle()
    pair.listener.close(pair.now)
    pair.run()
    for side in pair.sides:
        side.host.close(pair.now)
        while side.host.transmit(pair.now).count:
            pass
        check_returned(side.host)
    pair.check_wire()
