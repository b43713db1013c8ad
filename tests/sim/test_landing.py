"""Text that is read straight into its receive ring, in C and in Python: whatever comes behind
it or in its place, the host does what it does without.
"""

import random

import pytest

from stack._native import lib
from stack.core.ready import Ready
from stack.core.tcp.states import State
from stack.observe.recording.player import Player
from stack.observe.recording.recorder import Recorder
from tests.support import landing
from tests.support.landing import ROOM, LandingEndpoint, stream

MS = 1_000
MASK = 0xFFFF_FFFF


@pytest.fixture(params=[True, False], ids=["c", "python"])
def established(request):
    """Makes endpoints on which text may land, whose segments C takes, or Python alone."""
    made = []

    def make(version=4, **settings):
        made.append(landing.established(version, fast=request.param, **settings))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.mark.parametrize("version", [4, 6])
def test_what_lands_is_read_as_it_was_sent(established, version):
    end = established(version)
    at = end.peer.nxt
    for _ in range(4):
        sent = [end.text(length) for length in (30_000, 12_345, 60_000)]
        end.come(*sent)
        assert end.came[-3:] == sent
        assert end.receive() == stream(at, 102_345)
        at += 102_345
    assert end.landed == 12
    assert end.tcb.bytes_received == at - 1


def test_an_idle_connection_keeps_no_memory_for_it(established):
    end = established()
    end.come(end.text(30_000), end.text(30_000))
    assert end.landed == 2
    end.receive()
    end.come()
    assert end.tcb.rcv.capacity == 0


def test_behind_a_dropped_one_its_place_is_right(established):
    """The first has an old timestamp: the second is out of order, and waits where it landed."""
    end = established()
    at = end.peer.nxt
    end.come(end.text(20_000, tsval=end.peer.tsval), end.text(30_000))
    assert end.landed == 2
    assert end.tcb.rcv.length == 0
    assert end.tcb.rcv.ahead == 50_000
    end.come(end.text(20_000, seq=at))
    assert end.landed == 2, "nothing lands while anything lies ahead"
    assert end.receive() == stream(at, 50_000)


@pytest.mark.parametrize("flags", ["FA", "FPA"])
def test_a_fin_does_not_land(established, flags):
    end = established()
    at = end.peer.nxt
    end.come(end.text(20_000), end.text(20_000, flags), end.text(20_000))
    assert end.landed == 1
    assert end.state is State.CLOSE_WAIT
    assert end.receive() == stream(at, 40_000)


def test_a_reset_with_text_does_not_land(established):
    end = established()
    at = end.peer.nxt
    first = end.text(20_000)
    end.come(first, end.text(20_000, "RA"), end.text(20_000, seq=end.peer.nxt))
    assert end.landed == 1
    assert end.state is State.CLOSED
    assert Ready.ERROR in end.ready_of()
    assert end.receive() == stream(at, 20_000), "what came before the reset stays"


def test_urgent_text_does_not_land(established):
    end = established()
    at = end.peer.nxt
    end.tcp.set("urgent_inline", True)
    end.come(end.text(20_000), end.text(20_000, "UA", urgent=5), end.text(20_000))
    assert end.landed == 1
    data = b""
    while more := end.receive():
        data += more
    assert data == stream(at, 60_000)


def test_what_goes_beyond_the_window_is_cut_off_where_it_landed(established):
    end = established(receive_buffer=70_000)
    at = end.peer.nxt
    end.come(end.text(20_000), end.text(60_000))
    assert end.landed == 2
    data = end.receive()
    assert 40_000 < len(data) < 75_000
    assert data == stream(at, len(data))
    end.come(end.text(30_000, seq=at + len(data)))
    assert end.receive() == stream(at + len(data), 30_000)


def test_for_an_application_that_let_go_nothing_lands(established):
    end = established()
    end.close()
    end.come(end.text(20_000), end.text(20_000))
    assert end.landed == 0
    assert end.state is State.CLOSED


def test_an_abort_between_two_batches(established):
    end = established()
    end.come(end.text(20_000))
    end.abort()
    end.come(end.text(20_000), end.text(20_000))
    assert end.landed == 1
    assert end.tcb.rcv.capacity == 0


def test_in_time_wait_nothing_lands(established):
    end = established()
    end.shutdown()
    at = end.peer.nxt
    end.come(end.text(20_000))
    assert end.state is State.FIN_WAIT_2
    end.come(end.text(20_000), end.text(20_000, "FA"))
    assert end.landed == 2, "the FIN did not"
    assert end.state is State.TIME_WAIT
    end.come(end.text(20_000), end.text(20_000))
    assert end.landed == 2
    assert end.receive() == stream(at, 60_000)


def test_a_recording_has_it_whole(established, tmp_path, monkeypatch):
    recorder = Recorder(tmp_path / "a.rec")
    monkeypatch.setattr("tests.support.endpoint.Host", recorder.host)
    end = established()
    at = end.peer.nxt
    end.come(end.text(30_000), end.text(20_000))
    assert end.landed == 2
    assert end.receive() == stream(at, 50_000)
    recorder.close()
    player = Player(tmp_path / "a.rec")
    player.play()
    assert player.complete
    player.close()


# ---- any packets ------------------------------------------------------------------------------


def packets(chance: random.Random, end: LandingEndpoint) -> list[bytes]:
    """Super-segments mostly, and all that may come between them."""
    made = []
    if chance.random() < 0.5:  # from where it is expected
        end.peer.nxt = (end.tcb.rcv_nxt - end.tcb.irs) & MASK
    for _ in range(chance.randint(1, 4)):
        length = chance.choice((100, 9_000, 20_000, 40_000))
        match chance.randint(0, 15):
            case 0:
                made.append(end.text(length, seq=max(1, end.peer.nxt - chance.randint(1, 40_000))))
            case 1:
                made.append(end.text(length, seq=end.peer.nxt + chance.randint(1, 20_000)))
            case 2:
                made.append(end.text(length, tsval=end.peer.tsval))
            case 3:
                made.append(end.text(length, sack=[(1, 2)], ack=0))
            case 4:
                made.append(end.packet("A"))
            case 5:
                made.append(end.text(length, "PA", port=chance.choice((end.peer.port, 7))))
            case 6 if chance.random() < 0.1:
                made.append(end.text(length, chance.choice(("FA", "RA", "UA", "SA"))))
            case _:
                made.append(end.text(length))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_nothing_differs_from_a_host_without(established, seed):
    chance = random.Random(seed)
    version = 4 + 2 * (seed % 2)
    end = established(version)
    other = established(version, landing=False)
    for _ in range(60):
        came = packets(chance, end)
        end.come(*came)
        other.come(*came, sizes=end.sizes)
        limit = chance.choice((0, 5_000, ROOM, ROOM))
        assert end.receive(limit) == other.receive(limit)
        assert end.variables() == other.variables()
        assert [one.line() for one in end.seen] == [one.line() for one in other.seen]
        if end.state is State.CLOSED:
            break
        step = chance.choice((0, 1 * MS, 50 * MS))
        end.advance(step)
        other.advance(step)
    assert end.came == other.came
    assert end.landed > 0
    assert other.landed == 0
    assert lib.flow_count(end.host.flows) == lib.flow_count(other.host.flows)
