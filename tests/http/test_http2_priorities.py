"""Whose response leaves first: RFC 9218 for today's clients, RFC 7540's tree for older ones."""

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import PriorityFrame
from hypothesis import given
from hypothesis import strategies as st

from stack.http.frames import Dependency, FrameReader, PriorityUpdate
from stack.http.limits import Limits
from stack.http.schedule import Ranked, Schedule, parse_priority
from tests.support.http2_peer import Peer, sized, with_peer
from tests.support.http_world import Wired, path_app, run_virtual

SIZE = 65_536
WINDOW = 1 << 20


def update(stream: int, value: bytes) -> bytes:
    """A PRIORITY_UPDATE frame."""
    payload = stream.to_bytes(4, "big") + value
    return len(payload).to_bytes(3, "big") + b"\x10\x00" + bytes(4) + payload


def priority(stream: int, parent: int, weight: int, *, exclusive: bool = False) -> bytes:
    frame = PriorityFrame(stream, depends_on=parent, stream_weight=weight - 1, exclusive=exclusive)
    return frame.serialize()


def order_of(requests, *, before: bytes = b"", behind: bytes = b"", **limits) -> list[int]:
    """The streams of the DATA frames that answer `requests`: (stream, header fields...)."""

    async def test(peer, wire, wired):
        peer.h2.increment_flow_control_window(8 * WINDOW)
        wire.feed(peer.h2.data_to_send() + before)
        for stream, *fields in requests:
            peer.get(stream, "/", *fields)
        wire.feed(peer.h2.data_to_send() + behind)
        await peer.turn()
        assert peer.goaways == []
        return peer.order

    return with_peer(sized(SIZE), test, Limits(**limits), window=WINDOW)


def firsts(order: list[int]) -> list[int]:
    """The streams in the order in which they were complete."""
    return sorted(set(order), key=lambda stream: len(order) - order[::-1].index(stream))


# ---- RFC 9218


@pytest.mark.rfc("9218", "10")
def test_the_more_urgent_response_leaves_first():
    order = order_of([(1, ("priority", "u=5")), (3, ("priority", "u=0")), (5, ("priority", "u=3"))])
    assert order == [3] * 4 + [5] * 4 + [1] * 4


@pytest.mark.rfc("9218", "10")
def test_what_is_of_use_only_as_a_whole_leaves_one_by_one_as_it_was_asked_for():
    order = order_of([(1, ("priority", "u=2")), (3, ("priority", "u=2"))])
    assert order == [1] * 4 + [3] * 4


@pytest.mark.rfc("9218", "4.2")
def test_incremental_responses_share():
    order = order_of([(1, ("priority", "u=2, i")), (3, ("priority", "u=2, i"))])
    assert order == [1, 3] * 4


@pytest.mark.rfc("9218", "7")
def test_a_priority_update_overtakes_what_the_request_said():
    asked = [(1, ("priority", "u=1")), (3, ("priority", "u=2"))]
    assert firsts(order_of(asked, behind=update(3, b"u=0"))) == [3, 1]


@pytest.mark.rfc("9218", "7.1")
def test_a_priority_update_may_come_before_its_request():
    asked = [(1, ("priority", "u=1")), (3, ("priority", "u=2"))]
    assert firsts(order_of(asked, before=update(3, b"u=0"))) == [3, 1]


@pytest.mark.rfc("9218", "7")
def test_a_response_under_way_obeys_a_priority_update():
    async def test(peer, wire, wired):
        for stream in (1, 3):
            peer.get(stream, "/", ("priority", "u=3"))
        await peer.turn()
        assert set(peer.order) == {1}  # the connection's window is full
        wire.feed(update(3, b"u=1"))
        peer.h2.increment_flow_control_window(WINDOW)
        await peer.turn()
        assert firsts(peer.order) == [3, 1]

    with_peer(sized(2 * SIZE), test, window=WINDOW, auto_window=False)


@pytest.mark.rfc("9218", "4")
@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (b"", (3, False)),
        (b"u=7, i", (7, True)),
        (b"i,u=0", (0, True)),
        (b"i=?0, u=1", (1, False)),
        (b"u=1;x=2", (1, False)),
        (b"u=8", (3, False)),
        (b"u=-1, i=?1", (3, True)),
        (b"u=high, unknown=1", (3, False)),
        (b"\xff\x00", (3, False)),
    ],
)
def test_what_a_priority_field_means(value, meaning):
    assert parse_priority(value) == meaning


# ---- RFC 7540


def test_a_parent_leaves_before_what_depends_on_it():
    tree = priority(1, 3, 16) + priority(3, 0, 16)
    assert firsts(order_of([(1,), (3,)], before=tree)) == [3, 1]


def test_siblings_share_by_weight():
    order = order_of([(1,), (3,)], before=priority(1, 0, 64) + priority(3, 0, 192))
    assert firsts(order) == [3, 1]
    assert 1 in order[:3]


def test_an_exclusive_parent_takes_over_the_others():
    tree = priority(1, 0, 16) + priority(3, 0, 16) + priority(5, 0, 16, exclusive=True)
    assert firsts(order_of([(1,), (3,), (5,)], before=tree))[0] == 5


def test_priorities_may_change_while_responses_are_under_way():
    order = order_of([(1,), (3,)], before=priority(1, 0, 16), behind=priority(1, 3, 16))
    assert firsts(order) == [3, 1]


@pytest.mark.rfc("9218", "2.1")
def test_who_speaks_both_schemes_is_served_by_the_newer():
    asked = [(1, ("priority", "u=0")), (3, ("priority", "u=6"))]
    assert firsts(order_of(asked, before=priority(1, 3, 16))) == [1, 3]


@pytest.mark.rfc("9218", "2.1")
def test_who_gives_up_the_tree_in_its_settings_is_not_served_by_it():
    async def main():
        async with Wired(sized(SIZE)) as wired:
            wire = wired.connect()
            peer = Peer(wire, window=WINDOW)
            peer.h2.increment_flow_control_window(8 * WINDOW)
            hello = peer.h2.data_to_send()
            length = int.from_bytes(hello[24:27], "big")
            settings = hello[27 : 33 + length] + b"\x00\x09\x00\x00\x00\x01"
            longer = (length + 6).to_bytes(3, "big") + settings
            wire.feed(hello[:24] + longer + hello[33 + length :] + priority(1, 3, 16))
            for stream in (1, 3):
                peer.get(stream)
            await peer.turn()
            assert peer.goaways == []
            return peer.order

    assert run_virtual(main) == [1, 3] * 4


@pytest.mark.rfc("9218", "2.1")
def test_without_rfc_7540_the_settings_say_so_and_the_tree_is_ignored():
    async def main():
        async with Wired(path_app, Limits(rfc7540_priorities=False)) as wired:
            wire = wired.connect()
            peer = Peer(wire)
            await peer.turn()
            return peer.h2.remote_settings

    settings = run_virtual(main)
    assert settings[9] == 1
    assert settings[SettingCodes.MAX_CONCURRENT_STREAMS] == Limits().streams
    order = order_of([(1,), (3,)], before=priority(1, 3, 16), rfc7540_priorities=False)
    assert order == [1, 3] * 4


def test_a_tree_of_any_size_and_depth_does_no_harm():
    chain = b"".join(priority(stream, stream + 2, 16) for stream in range(1, 4001, 2))
    assert set(order_of([(1,), (3,)], before=chain)) == {1, 3}


# ---- the reader and the schedule by themselves


@given(st.data())
def test_frames_are_read_the_same_however_they_are_cut(data):
    stream = b"".join(
        (
            b"\x00\x00\x03\x00\x00\x00\x00\x00\x01abc",
            priority(3, 1, 200, exclusive=True),
            update(5, b"u=1"),
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x01",
            b"\x00\x00\x07\x01\x2d\x00\x00\x00\x07\x00\x00\x00\x00\x05\x0f\x82",
            b"\x00\x00\x01\x01\x05\x00\x00\x00\x03\x82",  # a stream below an earlier one
        )
    )
    whole = FrameReader()
    expected = whole.feed(stream)
    assert expected == [
        Dependency(3, 1, 200, True),
        PriorityUpdate(5, b"u=1"),
        Dependency(7, 5, 16, False),
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[begin:end])
    assert found == expected
    assert reader.counts == whole.counts
    assert reader.breach == whole.breach == "stream 3 below one that was opened before"
    assert reader.empty == whole.empty == 1


signals = st.one_of(
    st.builds(
        Dependency, st.integers(1, 9), st.integers(0, 12), st.integers(1, 256), st.booleans()
    ),
    st.builds(PriorityUpdate, st.integers(0, 9), st.sampled_from([b"u=0", b"u=7, i", b"x"])),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("signal"), signals),
        st.tuples(st.sampled_from(["push", "forget", "begin"]), st.integers(1, 9)),
        st.tuples(st.just("pop"), st.none()),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_clients_say_each_waiting_stream_has_its_turn_once(script):
    schedule = Schedule(tree_allowed=True)
    streams: dict[int, Ranked] = {}
    waiting: set[int] = set()
    for action, value in script:
        if action == "signal":
            schedule.signal(value, streams.get(value.stream))
        elif action == "begin" and value not in streams:
            streams[value] = Ranked(value)
            schedule.admit(streams[value], b"u=2" if value % 3 == 0 else None)
        elif action == "push" and value in streams and value not in waiting:
            schedule.push(streams[value])
            waiting.add(value)
        elif action == "forget" and value in streams:
            schedule.forget(streams.pop(value))
            waiting.discard(value)
        elif action == "pop":
            popped = schedule.pop()
            assert (popped is None) == (not waiting)
            if popped is not None:
                waiting.remove(popped.id)
        assert bool(schedule) == bool(waiting)
    while waiting:
        popped = schedule.pop()
        assert popped is not None
        waiting.remove(popped.id)
    assert schedule.pop() is None
