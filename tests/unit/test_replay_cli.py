"""`tunstack replay`: what it prints, where it stops, and files that cannot be used."""

import shutil

import pytest

from stack.cli.main import main
from stack.observe.recording.frames import Kind
from stack.wire import pcapng
from tests.support.recordings import places, record_visit, spoil


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return record_visit(tmp_path_factory.mktemp("visit"))


@pytest.fixture
def server(visit, tmp_path):
    return shutil.copy(visit.server, tmp_path / "server.rec")


@pytest.fixture
def replay(capsys):
    """Runs the command; gives status, output and errors."""

    def run(*arguments):
        status = main(["replay", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_same_run_is_said_in_one_line(visit, replay):
    status, out, err = replay(visit.server)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert ": the same bit for bit, " in line
    assert line.startswith("event ") and line.endswith(" out")


def test_the_trace_is_that_of_the_run(visit, replay):
    status, out, _ = replay("--trace", visit.server)
    *trace, last = out.splitlines()
    assert status == 0 and last.startswith("event ")
    assert trace == visit.trace.splitlines()


def test_events_have_numbers_and_stand_in_their_order(visit, replay):
    status, out, _ = replay("--events", visit.server)
    lines = out.splitlines()[:-1]
    assert status == 0
    assert sorted(int(line.split()[0]) for line in lines) == list(range(1, len(lines) + 1))
    assert any(line.endswith("listen(None, 80) → listener 1") for line in lines)
    nested = next(n for n, line in enumerate(lines) if "    connection" in line)
    assert "receive(" in lines[nested - 1]  # the application was asked in there


@pytest.mark.parametrize("event", [0, 1, 500])
def test_it_stops_behind_an_event(visit, replay, event):
    status, out, _ = replay("--until", event, "--events", visit.server)
    *lines, last = out.splitlines()
    assert status == 0 and len(lines) == event
    assert last.startswith(f"event {event}, ")


@pytest.mark.parametrize("point", ["0.1s", "100ms", "100000us", "100000µs"])
def test_it_stops_at_a_time_of_the_trace(visit, replay, point):
    status, out, _ = replay("--until", point, "--trace", visit.server)
    times = [float(line.split()[1]) for line in out.splitlines()[:-1] if "↳" not in line]
    assert status == 0 and 0.08 < max(times) <= 0.1


def test_it_prints_variables_of_all_connections_or_of_one(visit, replay):
    status, out, _ = replay("--until", "400", "--tcb", visit.server)
    found = [line for line in out.splitlines() if line.startswith("connection ")]
    assert status == 0 and found
    assert out.count("\n    snd_una ") == len(found)
    number = found[0].split()[1].rstrip(":")
    _, one, _ = replay("--until", "400", "--tcb", "--connection", number, visit.server)
    assert one.count("\n    snd_una ") == 1
    _, none, _ = replay("--until", "400", "--tcb", "--connection", "99", visit.server)
    assert none.startswith("there is no connection 99 at event 400, ")


def test_the_capture_holds_every_packet_and_the_secrets(visit, replay, tmp_path):
    status, out, _ = replay("--capture", tmp_path / "out.pcapng", visit.server)
    with (tmp_path / "out.pcapng").open("rb") as stream:
        found = list(pcapng.read(stream))
    packets = [one for one in found if isinstance(one, pcapng.CapturedPacket)]
    words = out.split()
    assert status == 0
    assert len(packets) == int(words[words.index("packets") - 1]) + int(words[-2])
    assert any(isinstance(one, pcapng.CapturedSecrets) for one in found)


def test_a_divergence_is_explained_and_is_status_1(server, replay):
    sent = [place for place in places(server) if place.kind is Kind.RESULT]
    place = next(place for place in sent[500:] if place.content.startswith(b"L\x02Y"))
    spoil(server, place, place.content[:-1] + bytes([place.content[-1] ^ 1]))
    status, out, err = replay("--tcb", server)
    first, recorded, replayed = err.splitlines()
    assert status == 1
    assert first.startswith(f"tunstack: {server}: the replay differs at event {place.event}, ")
    assert first.endswith(" s, transmit()")
    assert recorded.startswith("  recorded: packet 1 of 1 with ")
    assert replayed.endswith(" bytes with other content")
    assert out.count("\n    snd_una ")  # the variables there


def test_an_altered_byte_is_named_with_its_event_and_is_status_2(server, replay):
    place = places(server)[900]
    data = bytearray(server.read_bytes())
    data[place.end - 1] ^= 1
    server.write_bytes(data)
    status, _, err = replay(server)
    assert status == 2
    assert err.startswith(f"tunstack: {server}: event {place.event - (place.kind is Kind.CALL)}, ")
    assert err.endswith(f"the record at byte {place.offset} is damaged: its check fails\n")


def test_a_cut_recording_is_the_same_as_far_as_it_goes(server, replay):
    place = places(server)[900]
    server.write_bytes(server.read_bytes()[: place.end - 3])
    status, out, err = replay(server)
    assert (status, err) == (0, "")
    assert "; the recording ends within a record, of which " in out
    server.write_bytes(server.read_bytes()[: place.offset])
    status, out, err = replay(server)
    assert status == 0
    assert "; the recording was cut off here" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing.rec"], "cannot read missing.rec: No such file or directory"),
        (["/"], "cannot read /: Is a directory"),
        (["/dev/null"], "/dev/null: no recording; `tunstack run --record FILE` makes one"),
        (["--until", "soon", "x"], "--until 'soon': give the number of an event, or a time"),
        (["--connection", "1", "x"], "--connection belongs to --tcb"),
        ([], "the following arguments are required: FILE"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(replay, arguments, complaint):
    status, out, err = replay(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("tunstack: ") and complaint in err and err.count("\n") == 1


def test_a_capture_that_cannot_be_written_is_one_line(visit, replay):
    status, _, err = replay("--capture", "/nowhere/x.pcapng", visit.server)
    assert status == 2 and err.startswith("tunstack: cannot write the capture /nowhere/x.pcapng")


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    said = capsys.readouterr().out
    assert "tunstack replay --until 250 --tcb run.rec" in said


@pytest.mark.parametrize("command", ["run", "serve", "fetch"])
def test_a_recording_needs_a_folder_that_is_there(capsys, command):
    rest = {"run": ["--", "true"], "serve": [], "fetch": ["http://192.0.2.2/"]}[command]
    assert main([command, "--record", "/nowhere/x.rec", *rest]) == 2
    said = capsys.readouterr().err
    assert said == "tunstack: --record /nowhere/x.rec: there is no folder /nowhere\n"
