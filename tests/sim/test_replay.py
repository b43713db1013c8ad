"""A recorded run is done again bit for bit, in virtual time."""

import random
import shutil
from contextlib import ExitStack

import pytest

from stack.core.host import Host
from stack.core.tcp.states import State
from stack.core.udp.settings import Discovery
from stack.errors import UsageError
from stack.link.impair import Faults
from stack.observe.recording.frames import Damaged, Kind
from stack.observe.recording.player import Diverged, Player, Stopped
from stack.observe.recording.recorder import Recorder
from stack.observe.recording.surface import INPUTS
from stack.observe.tcb import tcb_text
from stack.observe.trace import TextTrace
from stack.sim import Network
from stack.wire.batch import Inbound
from tests.support.hostile import Pair
from tests.support.recordings import places, play, record_visit, recording, spoil
from tests.support.two_hosts import CLIENT, SERVER, SERVER6


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return record_visit(tmp_path_factory.mktemp("visit"))


@pytest.fixture
def open_player():
    """Players that are closed behind the test."""
    with ExitStack() as opened:
        yield lambda path: opened.enter_context(Player(path))


@pytest.fixture
def server(visit, tmp_path):
    """A copy of the server's recording, which a test may spoil."""
    return shutil.copy(visit.server, tmp_path / "server.rec")


def test_both_sides_of_a_hostile_run_are_the_same_again(visit):
    for path in (visit.client, visit.server):
        player = play(path)
        assert player.complete and player.left_out == 0
        assert player.events > 900
        assert player.host.counters["TcpRetransSegs"] > 0
        assert player.host.counters["UdpInDatagrams"] > 0


def test_the_trace_is_the_same_text(visit, open_player):
    lines = []
    player = open_player(visit.server)
    trace = TextTrace(lines.append, ours={SERVER, SERVER6})
    player.host.observe(trace)
    player.play()
    trace.flush()
    assert "".join(lines) == visit.trace
    assert "GET /bytes/300000" in visit.trace  # TLS, decrypted


def said(text):
    """Without a word about the segment at hand, which the segment path does not say."""
    return [line for line in text.splitlines() if "ack_verdict" not in line]


def test_every_variable_is_the_same_behind_any_event(visit, open_player):
    """Not only what left the host: state, windows, flight, policies, timers."""
    seen = {number: texts for number, texts in visit.variables.items() if texts}
    assert len(seen) > 10

    def compare(event, outcome):
        for text, connection in zip(
            seen.pop(event.number, []), player.host.connections.values(), strict=False
        ):
            assert said(text) == said(tcb_text(connection, player.host.now))

    player = open_player(visit.server)
    player.after = compare
    player.play()
    assert not seen


@pytest.mark.parametrize("number", [1, 7, 100, 900])
def test_a_replay_stops_behind_any_event(visit, number, open_player):
    def stop(event, outcome):
        if event.number == number:
            raise Stopped

    player = open_player(visit.server)
    player.after = stop
    with pytest.raises(Stopped):
        player.play()
    assert player.events == number


def test_a_replay_stops_at_a_time(visit, open_player):
    player = open_player(visit.server)
    player.play(until=1_050_000)
    assert 1_000_000 < player.host.now <= 1_050_000 < player.now
    assert player.connections()


# ---- a file that is not what was written --------------------------------------------------------


def test_an_altered_byte_is_found_at_its_event(visit, server, open_player):
    whole = visit.server.read_bytes()
    chance = random.Random(1)
    behind_making = [place for place in places(visit.server) if place.event > 0]
    for place in chance.sample(behind_making, 60):
        data = bytearray(whole)
        data[chance.randrange(place.offset, place.end)] ^= 1 << chance.randrange(8)
        server.write_bytes(data)
        if not place.event:  # what the host draws its secrets from
            with pytest.raises(Damaged, match=f"at byte {place.offset} "):
                open_player(server)
            continue
        player = open_player(server)
        with pytest.raises(Damaged, match=f"at byte {place.offset} "):
            player.play()
        assert player.events == place.event - (place.kind is Kind.CALL)


def test_a_cut_file_is_good_up_to_the_cut(visit, server):
    whole = visit.server.read_bytes()
    found = places(visit.server)
    chance = random.Random(2)
    for place in chance.sample(found[2:], 40):
        cut = chance.randrange(place.offset, place.end)
        server.write_bytes(whole[:cut])
        player = play(server)
        assert not player.complete and player.ended
        assert player.left_out == cut - place.offset
        assert player.events == place.event - (place.kind is Kind.CALL)


def test_another_packet_than_the_recorded_one_is_found_at_its_event(server, open_player):
    """As if the host had sent something else: the digest of what left is not the recorded one."""
    sent = [place for place in places(server) if place.kind is Kind.RESULT and place.content]
    place = next(place for place in sent[300:] if place.content.startswith(b"L\x02Y"))
    spoil(server, place, place.content[:-1] + bytes([place.content[-1] ^ 1]))
    player = open_player(server)
    with pytest.raises(Diverged) as caught:
        player.play()
    assert caught.value.event.number == place.event == player.events
    assert caught.value.event.what.name == "transmit"
    assert caught.value.recorded.startswith("packet 1 of 1 with ")


def test_another_input_shows_in_what_leaves(server, open_player):
    """Bytes of an application that were not those: the segment that carries them differs."""
    titles = [one.title for one in INPUTS]
    send = titles.index("Connection.send")
    calls = [place for place in places(server) if place.kind is Kind.CALL]
    place = next(place for place in calls if place.content[0] == send << 1)
    spoil(server, place, place.content[:-2] + b"!" + place.content[-1:])
    player = open_player(server)
    with pytest.raises(Diverged) as caught:
        player.play()
    assert caught.value.event.what.name == "transmit"
    assert place.event < caught.value.event.number <= place.event + 3


def test_no_recording_makes_a_replay_fail_in_another_way(tmp_path, open_player):
    """Frames whose content is not what was written, though their checks are right."""
    recorder, path = Recorder(tmp_path / "a.rec"), tmp_path / "b.rec"
    net = Network(seed=1)
    client = net.host("client", f"{CLIENT}/24")
    server = net.host("server", f"{SERVER}/24", make=recorder.host)
    net.link(client, server, delay=1_000)
    listener = server.listen(None, 80)
    listener.configure = lambda connection: connection.set("ttl", 9)
    connection = client.connect(SERVER, 80, net.now)
    net.run(net.now + 50_000)
    accepted = listener.accept()
    accepted.send(b"hello", net.now)
    connection.send(b"hello", net.now)
    net.run(net.now + 50_000)
    accepted.receive_into(bytearray(100), net.now)
    endpoint = server.open_udp(SERVER, 53)
    endpoint.ipv4.discovery = Discovery.DONT
    endpoint.send_to(b"x", CLIENT, 53, net.now)
    net.run(net.now + 50_000)
    recorder.close()
    whole, found, chance = (
        (tmp_path / "a.rec").read_bytes(),
        places(tmp_path / "a.rec"),
        random.Random(9),
    )
    results = set()
    for _ in range(400):
        place = chance.choice([place for place in found if place.content])
        content = bytearray(place.content)
        content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(whole)
        spoil(path, place, bytes(content))
        player = open_player(path)
        try:
            player.play()
        except (Damaged, Diverged, UsageError) as error:
            results.add(type(error))
    assert results == {Damaged, Diverged}


# ---- other hosts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("offload", ["", "cut", "whole"])
@pytest.mark.parametrize("algorithm", ["cubic", "bbr"])
def test_super_segments_are_replayed_as_they_were(
    monkeypatch, tmp_path, version, offload, algorithm
):
    """Recording leaves offload as it is."""
    made = recording(monkeypatch, tmp_path, "tests.support.hostile.Host")
    config = {"congestion": algorithm, "ecn": "accurate"}
    faults = Faults(loss=0.02, delay=3_000, jitter=1_000, duplicate=0.01)
    pair = Pair(5, version=version, faults=faults, offload=offload, a=config, b=config)
    pair.transfer(bytes(range(256)) * 1500, bytes(200_000))
    assert len(made) == 2
    for recorder, path in made:
        recorder.close()
        player = play(path)
        assert player.complete
        assert player.host.offload is bool(offload)
        if offload != "whole":  # which leaves few packets to lose
            assert player.host.counters["TcpRetransSegs"] > 0


def test_checksums_that_a_device_vouched_for_stay_open(tmp_path):
    """A device with offload hands over 64 KiB whose checksum nobody wrote."""
    recorder = Recorder(tmp_path / "a.rec")
    a = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    b = Host([f"{SERVER}/24"], random_bytes=random.Random(2).randbytes)
    a.offload = b.offload = True
    listener, now, received, accepted = a.listen(None, 80), 1_000_000, 0, None
    connection = b.connect(CLIENT, 80, now)
    sizes = []
    for _ in range(40):
        now += 1_000
        for source, target in ((b, a), (a, b)):
            out = source.transmit(now)
            given = [(data, 1, 1448 if len(data) > 1500 else 0) for data in out]
            sizes += map(len, out)
            inbound = Inbound.of(())
            inbound.fill_offloaded(given)
            target.receive(inbound, now)
        if connection.state == State.ESTABLISHED:
            connection.send(bytes(100_000), now)
        accepted = accepted or listener.accept()
        if accepted:
            received += len(accepted.receive(1 << 20, now))
    assert received > 1_000_000 and max(sizes) > 30_000
    recorder.close()
    assert play(tmp_path / "a.rec").complete
    assert (tmp_path / "a.rec").stat().st_size > received


def test_a_failing_call_fails_again_the_same_way(tmp_path):
    recorder = Recorder(tmp_path / "a.rec")
    host = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    host.listen(None, 80)
    for call in (
        lambda: host.listen(None, 80),
        lambda: host.connect("nonsense", 80, 1),
        lambda: host.connect(SERVER6, 80, 1),
        lambda: host.listen("192.0.2.77", 80),
        lambda: host.connect(SERVER, 80, 1).use_congestion("nonsense"),
        lambda: host.open_udp("192.0.2.77", 5),
        lambda: host.unbound_udp(4).send(b"x", 1),
    ):
        with pytest.raises((OSError, ValueError, Exception)):
            call()
    recorder.close()
    failed = [place for place in places(tmp_path / "a.rec") if place.kind is Kind.FAILURE]
    assert len(failed) == 7
    assert play(tmp_path / "a.rec").complete


def test_an_application_that_fails_inside_a_call_fails_there_again(tmp_path):
    """What sets connections up for a listener is called by the host; its calls are inputs."""
    recorder = Recorder(tmp_path / "server.rec")
    net = Network(seed=1)
    client = net.host("client", f"{CLIENT}/24")
    server = net.host("server", f"{SERVER}/24", make=recorder.host)
    net.link(client, server, delay=1_000)
    listener = server.listen(None, 80)
    seen = []

    def configure(connection):
        connection.set("ttl", 7)
        connection.nodelay = True
        seen.append(connection)
        if len(seen) == 2:
            raise RuntimeError("no more")

    listener.configure = configure
    client.connect(SERVER, 80, net.now)
    net.run(net.now + 100_000)
    client.connect(SERVER, 80, net.now)
    with pytest.raises(RuntimeError, match="no more"):
        net.run(net.now + 100_000)
    recorder.close()
    player = play(tmp_path / "server.rec")
    assert player.complete
    assert [c.path.ttl for c in player.connections()] == [7, 7]


def test_a_host_that_is_killed_leaves_all_its_inputs(tmp_path):
    """Every input is with the kernel before it is done; only the last result can be missing."""
    recorder = Recorder(tmp_path / "a.rec")
    host = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    host.connect(SERVER, 80, 1_000)
    host.transmit(1_000)
    host.on_deadline(2_000_000)
    player = play(tmp_path / "a.rec")  # nobody closed it
    assert player.events == recorder.events == 3
    assert player.ended and not player.complete
    assert player.host.now == 2_000_000
    recorder.close()


def test_an_input_that_the_host_does_not_survive_is_in_the_file(tmp_path, monkeypatch):
    def crash(*args):
        raise SystemExit

    recorder = Recorder(tmp_path / "a.rec")
    host = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    monkeypatch.setattr("stack.core.deliver.packet_arrives", crash)
    inbound = Inbound.of([b"\x45" + bytes(39)])
    with pytest.raises(SystemExit):
        host.receive(inbound, 5)
    monkeypatch.undo()
    (place,) = [one for one in places(tmp_path / "a.rec") if one.kind is Kind.CALL]
    assert bytes(39) in place.content
    recorder.close()


def test_a_full_disk_ends_the_recording_and_not_the_run():
    recorder = Recorder("/dev/full")
    host = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    host.connect(SERVER, 80, 1_000)
    assert host.transmit(1_000).count == 1
    recorder.close()
    assert recorder.error == "the recording ends early: No space left on device"


def test_what_an_application_let_go_of_is_let_go_of_in_the_replay(tmp_path):
    recorder = Recorder(tmp_path / "a.rec")
    host = recorder.host([f"{CLIENT}/24"], random_bytes=random.Random(1).randbytes)
    for now in range(100):
        host.connect(SERVER, 80, 1_000 + now).abort(1_000 + now)
        host.transmit(1_000 + now)
    recorder.close()
    player = play(tmp_path / "a.rec")
    assert player.complete
    assert len(player.connections()) < 5
