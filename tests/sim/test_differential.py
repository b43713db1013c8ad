"""The segment path in C and Python alone are the same TCP: the same bytes leave, and every
variable of every connection is the same behind every event.
"""

import os
import random

import pytest

from stack.core.host import Host
from stack.link.impair import Faults
from stack.observe.recording.recorder import Recorder
from stack.sim import Network
from tests.sim.test_tcp_stateful import walk
from tests.support.differential import share_of_the_fast
from tests.support.hostile import Application, Pair, Reader, Troubles
from tests.support.recordings import record_visit, recording
from tests.support.visitors import Visitors

LONG = os.environ.get("TUNSTACK_FUZZ") == "long"
WRAPS = (1 << 32) - 20_000
CLEAN = Faults(delay=3_000)
LOSSY = Faults(loss=0.02, delay=3_000, jitter=1_000, duplicate=0.01, corrupt=0.005)
REORDERING = Faults(delay=5_000, reorder=0.05)

TRANSFERS = {
    "clean": {},
    "lossy": {"faults": LOSSY},
    "reordering": {"faults": REORDERING},
    "IPv6, super-segments": {"version": 6, "offload": "whole"},
    "super-segments that a device cuts": {"faults": LOSSY, "offload": "cut"},
    "without options": {"a": {"timestamps": False, "sack": False, "window_scaling": False}},
    "without SACK": {"faults": LOSSY, "a": {"sack": False}},
    "reno": {"faults": LOSSY, "a": {"congestion": "reno"}, "b": {"congestion": "reno"}},
    "bbr": {"faults": LOSSY, "a": {"congestion": "bbr"}, "b": {"congestion": "bbr"}},
    "accurate ECN": {"a": {"ecn": "accurate"}, "b": {"ecn": "accurate"}},
    "fixed buffers": {"a": {"send_buffer": 20_000}, "b": {"receive_buffer": 5_000}},
    "a tiny window": {"b": {"receive_buffer": 600}},
    "little memory": {"a": {"buffer_memory": 1000}, "b": {"buffer_memory": 1000}},
    "memory that ends on the way": {"a": {"buffer_memory": 9_000, "first_send_buffer": 8_000}},
    "a send buffer with a bound": {
        "a": {"first_send_buffer": 8_000, "largest_send_buffer": 24_000}
    },
    "the largest packets": {"mtu": 65_535, "offload": "whole"},
    "no time at all": {"faults": Faults()},
    "numbers that wrap": {"iss": WRAPS},
    "a narrow path": {"path_mtu": 1000},
    "an outage": {"troubles": Troubles(outages=[(60_000, 900_000)])},
    "window updates at once": {"b": {"scaled_window_update": True}},
}
# Where nothing is lost and nothing special was asked for, Python has next to nothing to do.
COMMON = ("clean", "without options", "numbers that wrap")


def compare(made, prepare=lambda host: None) -> list[float]:
    """The shares of the segment path in what was recorded; asserts that it makes no difference."""
    shares = []
    for recorder, path in made:
        recorder.close()
        shares.append(share_of_the_fast(path, prepare))
    return shares


def numbers_wrap(host: Host) -> None:
    host.secrets.initial_sequence = lambda path, now: WRAPS
    host.segment_path.opens = False  # it would ask for its own


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_is_the_same(monkeypatch, tmp_path, name):
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    pair = Pair(11, **{"faults": CLEAN, **TRANSFERS[name]})
    size = 2_000 if name == "a tiny window" else 60_000
    pair.transfer(random.Random(1).randbytes(size), random.Random(2).randbytes(size // 3))
    shares = compare(made, numbers_wrap if "iss" in TRANSFERS[name] else lambda host: None)
    if name in COMMON:
        assert min(shares) > 0.7, shares


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_talk_with_pauses_is_the_same(monkeypatch, tmp_path, seed):
    """Small writes, slow readers, pauses long enough for keep-alives and idle restarts."""
    r = random.Random(seed)
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    faults = r.choice([CLEAN, LOSSY, REORDERING])
    pair = Pair(seed, version=r.choice([4, 6]), faults=faults, a={"idle_restart": bool(seed % 2)})
    pair.transfer(
        r.randbytes(r.randrange(1, 10_000)),
        r.randbytes(r.randrange(1, 10_000)),
        Reader(r.choice([100, 1000, 1 << 20]), r.choice([0, 2_000, 300_000])),
        Reader(r.choice([100, 1000, 1 << 20]), r.choice([0, 2_000, 300_000])),
        (
            {"chunk": r.choice([50, 100, 5_000]), "pause": r.choice([0, 1_000, 700_000])},
            {"chunk": r.choice([100, 5_000]), "pause": r.choice([0, 1_000])},
        ),
    )
    compare(made)


@pytest.mark.parametrize("rate", [50_000, 2_000_000])
@pytest.mark.parametrize("offload", ["", "whole"])
def test_a_paced_transfer_is_the_same(monkeypatch, tmp_path, rate, offload):
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    pair = Pair(3, faults=CLEAN, offload=offload)
    sender, receiver = Application(bytes(60_000)), Application(b"")
    pair.connect(sender, receiver)
    assert sender.connection is not None
    sender.connection.set("pacing", rate)
    pair.run()
    assert bytes(receiver.received) == bytes(60_000)
    compare(made)


@pytest.mark.parametrize(
    "name",
    ["clean", "lossy", "super-segments that a device cuts", "without options", "little memory"],
)
def test_what_is_discarded_is_the_same(monkeypatch, tmp_path, name):
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    pair = Pair(12, **{"faults": CLEAN, **TRANSFERS[name]})
    sender, receiver = Application(bytes(400_000)), Application(b"")
    pair.connect(sender, receiver)
    while receiver.connection is None:
        assert pair.step()
        pair.settle()
    receiver.connection.set("discard", True)
    pair.run()
    tcb = receiver.connection.tcb
    assert receiver.done
    assert tcb.bytes_received == len(receiver.received) + len(sender.data[len(receiver.received) :])
    shares = compare(made)
    if name in COMMON:
        assert min(shares) > 0.7, shares


@pytest.mark.parametrize("late", [5_000, 300_000])
def test_pacing_by_a_late_driver_is_the_same(monkeypatch, tmp_path, late):
    """Timers are looked at up to `late` µs behind their time."""
    r = random.Random(late)
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    pair = Pair(5, faults=CLEAN, a={"send_buffer": 40_000})
    sender, receiver = Application(bytes(80_000)), Application(b"")
    pair.connect(sender, receiver)
    assert sender.connection is not None
    sender.connection.set("pacing", 400_000)
    while pair.step():
        pair.settle()
        pair.now += r.randrange(late) if r.random() < 0.5 else 0
    assert bytes(receiver.received) == bytes(80_000)
    compare(made)


@pytest.mark.parametrize("offload", ["", "whole"])
def test_more_than_one_batch_at_once_is_the_same(monkeypatch, tmp_path, offload):
    """A large cwnd meets a large write: what leaves fills more than one transmission."""
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    sizes = {"send_buffer": 1 << 19, "receive_buffer": 1 << 19}
    pair = Pair(6, faults=CLEAN, offload=offload, a=sizes, b=sizes)
    writer = {"chunk": 300_000, "pause": 50_000}
    pair.transfer(bytes(1_500_000), b"", writers=(writer, {}))
    assert min(compare(made)) > 0.7


@pytest.mark.parametrize("buffer", [1_000, 4_000])
@pytest.mark.parametrize("pause", [1_000, 500_000])
def test_a_window_in_the_way_is_the_same(monkeypatch, tmp_path, buffer, pause):
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    pair = Pair(7, faults=CLEAN, b={"receive_buffer": buffer})
    pair.transfer(random.Random(4).randbytes(20_000), bytes(500), b=Reader(700, pause))
    compare(made)


@pytest.mark.parametrize("seed", range(400 if LONG else 8))
def test_a_walk_is_the_same(monkeypatch, tmp_path, seed):
    """Any settings, calls, forgeries and faults, in any order."""
    made = recording(monkeypatch, tmp_path, "tests.support.tcp_world.Host")
    walk(1000 + seed, 250)
    compare(made)


def test_a_visit_by_http_and_tls_is_the_same(tmp_path):
    visit = record_visit(tmp_path)
    for path in (visit.client, visit.server):
        assert share_of_the_fast(path) > 0.1


VISITS = {
    "clean": ({}, {}),
    "IPv6": ({}, {"version": 6}),
    "lossy": ({"loss": 0.05, "jitter": 3_000, "reorder": 0.05, "duplicate": 0.05}, {}),
    "many at once": ({}, {"pause": 0}),
    "more than the queues hold": ({}, {"pause": 0, "backlog": 3, "syn_queue": 5}),
    "a listener that has an address": ({}, {"address": True}),
    "settings for what it accepts": ({}, {"configure": True}),
    "explicit congestion notification": ({}, {"ecn": "accurate"}),
    "the server closes first": ({}, {"closes": True}),
}


@pytest.mark.parametrize("name", VISITS)
def test_short_connections_are_the_same(tmp_path, name):
    """Handshake, a few bytes each way, and the close."""
    faults, how = VISITS[name]
    paths = [tmp_path / f"{side}.rec" for side in ("client", "server")]
    recorders = [Recorder(path) for path in paths]
    visitors = Visitors(Network(seed=5), recorders, faults, **how)
    visitors.run(30 if LONG else 12)
    shares = []
    for recorder, path in zip(recorders, paths, strict=True):
        recorder.close()
        assert recorder.error == ""
        shares.append(share_of_the_fast(path))
    if name in ("clean", "IPv6", "many at once", "a listener that has an address"):
        assert shares[1] == 1, shares
