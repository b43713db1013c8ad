"""What a recording is made of: every input of a host, values, frames, variables in words."""

import ast
import random
import re
from contextlib import suppress
from inspect import getattr_static
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stack
from stack._native import ffi, lib
from stack.core.config import HostConfig
from stack.core.events import KeyLogged
from stack.core.host import Host
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.settings import SETTINGS
from stack.core.udp.settings import Discovery, IpSettings
from stack.errors import UsageError
from stack.observe.recording.frames import MAGIC, Damaged, FrameReader, FrameWriter, Kind
from stack.observe.recording.player import Player
from stack.observe.recording.recorder import (
    Recorder,
    RecordingConnection,
    RecordingEndpoint,
    RecordingHost,
    RecordingListener,
)
from stack.observe.recording.surface import CONNECTION, ENDPOINT, HOST, LISTENER, SURFACES
from stack.observe.recording.values import (
    Cursor,
    Digest,
    Offered,
    Packets,
    Ref,
    Room,
    config_values,
    put_number,
    put_value,
    read_config,
)
from stack.observe.tcb import UNITS, tcb_text
from stack.wire.batch import Inbound
from stack.wire.segment import build_icmp, build_tcp, build_udp
from tests.support.endpoint import Endpoint
from tests.support.recordings import places, play
from tests.support.states import established

STACK = Path(stack.__file__).parent
OURS = "192.0.2.2"
PEER = "192.0.2.1"
PACKETS = [
    *(
        build_tcp(src, dst, 1, 2, seq=5, ack=6, flags=flags, window=7, text=text)
        for src, dst in ((PEER, OURS), ("2001:db8::1", "2001:db8::2"))
        for flags, text in ((2, b""), (16, b"hello"))
    ),
    build_udp(PEER, OURS, 1, 2, b"hello"),
    build_icmp(PEER, OURS, 8, 0, rest=1, body=b"hello"),
]
RECORDING = {
    HOST: RecordingHost,
    CONNECTION: RecordingConnection,
    LISTENER: RecordingListener,
    ENDPOINT: RecordingEndpoint,
}


@pytest.fixture
def recorder(tmp_path):
    with Recorder(tmp_path / "a.rec") as made:
        yield made


def host_of(recorder: Recorder) -> Host:
    return recorder.host([f"{OURS}/24", "2001:db8::2/64"], random_bytes=random.Random(1).randbytes)


# ---- every input ---------------------------------------------------------------------------------


def public(kind: type) -> set[str]:
    """Methods and properties; plain attributes and slots are none of them."""
    found = {name for name in dir(kind) if not name.startswith("_")}
    return {
        name
        for name in found
        if callable(getattr_static(kind, name)) or isinstance(getattr_static(kind, name), property)
    }


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.of.__name__)
def test_every_public_name_is_known_to_be_an_input_or_none(surface):
    """A new method has to be entered in stack/observe/recording/surface.py: is it an input?"""
    known = [*surface.calls, *surface.asks, *surface.parts]
    assert public(surface.of) == set(known)
    assert len(known) == len(set(known))


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.of.__name__)
def test_every_input_is_noted_by_the_class_that_records(surface):
    recording = RECORDING[surface]
    for name in surface.calls:
        assert vars(recording)[name] is not getattr_static(surface.of, name)
    for name in surface.assigned:
        assert isinstance(vars(recording)[name], property)


def test_a_host_that_is_not_recorded_has_nothing_of_it():
    host = Host([f"{OURS}/24"], random_bytes=random.Random(1).randbytes)
    assert type(host.listen(None, 80)).__module__ == "stack.core.tcp.listener"
    assert type(host.connect(PEER, 80, 1)).__module__ == "stack.core.tcp.connection"
    assert type(host.open_udp()).__module__ == "stack.core.udp.endpoint"


def parts_of_a_connection() -> set[str]:
    host = Host([f"{OURS}/24"], random_bytes=random.Random(1).randbytes)
    connection = host.connect(PEER, 80, 1)
    names = {*dir(connection), *connection.variables()}
    slots = [name for name in names if hasattr(connection, name)]
    own = {
        name
        for name in slots
        if type(getattr(connection, name)).__module__.startswith("stack.core.tcp")
        and not isinstance(getattr(connection, name), TcpConfig)
    }
    return own | {"path", "tcb"}


def reaches(tree: ast.AST, parts: set[str]) -> list[str]:
    """Calls and assignments through a part of a connection."""
    found = []
    for node in ast.walk(tree):
        targets = []
        if isinstance(node, ast.Call):
            targets = [node.func]
        elif isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        for target in targets:
            text = ast.unparse(target)
            if re.search(rf"connection\.({'|'.join(parts)})\.\w+$|host\.udp\.\w+$", text):
                found.append(text)
    return found


def test_adapters_reach_a_connection_by_its_calls_only():
    """What goes around them would be missing in a recording: Connection.set is the way."""
    parts = parts_of_a_connection()
    assert {"cork", "keepalive", "pacer", "send_buffer", "urgent"} <= parts
    around = {
        f"{path.name}: {text}"
        for layer in ("sockets", "run", "http", "cli")
        for path in (STACK / layer).rglob("*.py")
        for text in reaches(ast.parse(path.read_text()), parts)
    }
    assert not around


def test_the_guard_sees_who_reaches_around():
    source = "self._connection.cork.set(c, True)\nconnection.path.ttl = 1\nx = connection.tcb.state"
    assert reaches(ast.parse(source), {"cork", "path", "tcb"}) == [
        "connection.path.ttl",
        "self._connection.cork.set",
    ]


VALUES = {"congestion": "reno", "ip_options": b"\x01" * 4, "mss": 500, "pacing": 100_000}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_set_again(recorder, setting, tmp_path):
    host = host_of(recorder)
    connection = host.connect(PEER, 80, 1_000)
    connection.set(setting, VALUES.get(setting, 100_000 if "buffer" in setting else 1))
    host.transmit(1_000)
    live = tcb_text(connection, host.now)
    recorder.close()
    (replayed,) = play(tmp_path / "a.rec").connections()
    assert tcb_text(replayed, replayed.host.now) == live


def test_attributes_are_set_again(recorder, tmp_path):
    host = host_of(recorder)
    host.offload = True
    listener = host.listen(None, 80)
    listener.backlog, listener.fast_open = 7, 3
    connection = host.connect(PEER, 80, 1_000)
    connection.nodelay, connection.reports_errors, connection.owner = True, False, "somebody"
    endpoint = host.unbound_udp()
    endpoint.broadcast = endpoint.reuse_address = endpoint.reuse_port = True
    endpoint.send_buffer, endpoint.receive_buffer, endpoint.version = 5_000, 6_000, 4
    endpoint.ipv4.ttl = 9
    endpoint.ipv4.discovery = Discovery.PROBE
    endpoint.ipv6 = IpSettings(33, options=b"")
    host.config = HostConfig(ttl=77)
    recorder.close()
    player = play(tmp_path / "a.rec")
    assert player.complete and player.host.offload
    assert player.host.config.ttl == 77
    (again,) = player.connections()
    assert (again.nodelay, again.reports_errors, again.owner is None) == (True, False, False)
    (heard,) = player.host.listeners[80]
    assert (heard.backlog, heard.fast_open) == (7, 3)
    datagrams = player._objects[endpoint.number]
    assert datagrams.broadcast and datagrams.reuse_address and datagrams.reuse_port
    assert (datagrams.send_buffer, datagrams.receive_buffer) == (5_000, 6_000)
    assert datagrams.version == 4
    assert (datagrams.ipv4.ttl, datagrams.ipv4.discovery) == (9, Discovery.PROBE)
    assert datagrams.ipv6.ttl == 33


def test_what_the_core_does_by_itself_is_no_input(recorder):
    """`open_udp` binds, `close` shuts down: one event each."""
    host = host_of(recorder)
    host.open_udp(None, 5000, reuse_address=True)
    host.connect(PEER, 80, 1).close(1)
    host.close(2)
    assert recorder.events == 4


def test_bytes_that_find_no_room_are_not_written_down(recorder, tmp_path):
    """An application that writes ten megabytes offers the rest again and again."""
    host = host_of(recorder)
    connection = host.connect(PEER, 80, 1)
    data = bytes(10 << 20)
    taken = connection.send(data, 1)
    assert connection.send(memoryview(data)[taken:], 1) == 0
    recorder.close()
    assert (tmp_path / "a.rec").stat().st_size < taken + 10_000
    assert play(tmp_path / "a.rec").complete


def test_secrets_are_kept_for_the_owner_of_the_file(recorder, tmp_path):
    host = host_of(recorder)
    host.publish(KeyLogged(5, "CLIENT_RANDOM 00 11"))
    recorder.close()
    assert (tmp_path / "a.rec").stat().st_mode & 0o777 == 0o600
    heard = []
    with Player(tmp_path / "a.rec") as player:
        player.host.observe(heard.append)
        player.play()
    assert heard == [KeyLogged(5, "CLIENT_RANDOM 00 11")]


def test_a_recording_is_about_one_host(recorder):
    host_of(recorder)
    with pytest.raises(ValueError, match="one host"):
        host_of(recorder)


# ---- packets -------------------------------------------------------------------------------------


@given(st.sampled_from(PACKETS), st.binary(max_size=30), st.data())
def test_a_packet_is_read_the_same_without_what_trailed_it(packet, trailer, data):
    """Recorded is what the parser took for the packet, faulty ones included."""
    spoilt = bytearray(packet + trailer)
    for _ in range(data.draw(st.integers(0, 3))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    flags = data.draw(st.sampled_from([0, lib.VNET_NEEDS_CSUM, lib.VNET_DATA_VALID]))
    first, second = Inbound.of(()), Inbound.of(())
    first.fill_offloaded([(bytes(spoilt), flags, 100)])
    slot = first.slot(0)
    second.fill_offloaded([(ffi.buffer(slot.data, slot.length)[:], flags, 100)])
    assert fields(first) == fields(second)


def fields(inbound: Inbound) -> dict[str, object]:
    packet = inbound.slot(0)
    found = {}
    for name, field in ffi.typeof("struct packet").fields:
        value = getattr(packet, name)
        if field.type.kind == "array":
            found[name] = ffi.buffer(value)[:]
        elif name == "text":
            found[name] = value - packet.data if value else None
        elif name != "data":
            found[name] = value
    return found


# ---- values --------------------------------------------------------------------------------------

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.binary(max_size=100),
    st.text(max_size=30),
    st.builds(Ref, st.integers()),
    st.builds(Room, st.integers(0, 1 << 32)),
    st.builds(Offered, st.integers(0, 1 << 32), st.binary(max_size=30)),
    st.builds(Digest, st.integers(0), st.binary(min_size=8, max_size=8)),
    st.builds(KeyLogged, st.integers(0), st.text(max_size=20)),
    st.builds(
        Packets,
        st.lists(st.tuples(st.binary(max_size=50), st.integers(0, 3), st.integers(0, 65535))).map(
            tuple
        ),
    ),
    st.builds(IpSettings, st.integers(0, 255), discovery=st.sampled_from(Discovery)),
    st.just(HostConfig(tcp=TcpConfig(sack=False, congestion="bbr"))),
)
ANY = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=10)


@given(ANY)
def test_values_come_back(value):
    out = bytearray()
    put_value(out, value)
    cursor = Cursor(bytes(out))
    assert cursor.value() == value
    assert cursor.rest == b""


@given(st.integers())
def test_numbers_of_any_size_come_back(number):
    out = bytearray()
    put_number(out, number)
    assert Cursor(bytes(out)).number() == number


@given(st.binary(max_size=60))
def test_bytes_that_are_no_values_raise_one_kind_of_error(data):
    with suppress(ValueError):
        Cursor(data).value()


def test_settings_of_another_version_are_named():
    values = config_values(HostConfig())
    values["tcp"]["frobnicate"] = 1
    with pytest.raises(UsageError, match="settings that this one lacks: frobnicate"):
        read_config(values)
    del values["tcp"]["frobnicate"], values["tcp"]["sack"]
    assert read_config(values) == HostConfig()


# ---- files ---------------------------------------------------------------------------------------


def test_frames_come_back(tmp_path):
    writer = FrameWriter(tmp_path / "f")
    writer.header({"a": 1})
    writer.put(Kind.CALL, b"abc")
    writer.put(Kind.RESULT, b"")
    writer.close()
    assert (tmp_path / "f").read_bytes().startswith(MAGIC)
    reader = FrameReader(tmp_path / "f")
    assert reader.header == {"a": 1}
    assert [(place.kind, place.content) for place in places(tmp_path / "f")] == [
        (Kind.CALL, b"abc"),
        (Kind.RESULT, b""),
    ]
    reader.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no recording; `tunstack run --record FILE` makes one"),
        (b"#!/bin/sh\n", "no recording"),
        (b"tunstack recording 9\nxyz", "this version reads format 1, and this is '9'"),
        (MAGIC, "has no header"),
        (MAGIC + b"abc", "has no header"),
        (MAGIC + bytes(30), "damaged"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, complaint):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(complaint)):
        Player(tmp_path / "f")


def test_a_header_without_what_a_host_needs_is_named(tmp_path):
    writer = FrameWriter(tmp_path / "f")
    writer.header({"version": "0", "inputs": []})
    writer.close()
    with pytest.raises(UsageError, match="lacks something: 'epoch_us'"):
        Player(tmp_path / "f")


def test_a_call_that_this_version_has_not_is_named(tmp_path):
    writer = FrameWriter(tmp_path / "f")
    with Recorder(tmp_path / "a.rec") as recorder:
        host_of(recorder)
    with Player(tmp_path / "a.rec") as player:
        header = dict(player._reader.header, inputs=["Host.frobnicate"], version="7.0")
    writer.header(header)
    for place in places(tmp_path / "a.rec"):
        if place.kind is Kind.RANDOM:
            writer.put(place.kind, place.content)
    writer.put(Kind.CALL, bytes(5))
    writer.close()
    with pytest.raises(UsageError, match=r"has no Host\.frobnicate, which event 1 calls.*7\.0"):
        play(tmp_path / "f")


def test_a_call_that_makes_no_sense_is_damage(tmp_path):
    with Recorder(tmp_path / "a.rec") as recorder:
        host_of(recorder)
        recorder._frames.put(Kind.CALL, b"\xff")
    with pytest.raises(Damaged, match="makes no sense"):
        play(tmp_path / "a.rec")


# ---- variables in words --------------------------------------------------------------------------


def test_every_variable_of_the_block_has_its_unit():
    """A new field of struct tcb has to be entered in stack/observe/tcb.py."""
    numbers = {
        name for name, field in ffi.typeof("struct tcb").fields if field.type.kind == "primitive"
    }
    assert set(UNITS) == numbers


def test_variables_are_told_with_units_and_sequence_numbers_from_the_start():
    t = Endpoint()
    established(t)
    t.send(b"x" * 3000)
    t.expect("A", text=b"x" * 1460)
    lines = tcb_text(t.tcp, t.now).splitlines()
    assert lines[0].endswith("192.0.2.2:80 ↔ 192.0.2.1:40000, ESTABLISHED, at 1.000000 s")
    shown = dict(
        line.strip().split(maxsplit=1) for line in lines if re.match(r"    [a-z_.]+ +", line)
    )
    assert shown["snd_una"].endswith("  iss + 1")
    assert shown["rcv_nxt"].endswith("  irs + 1")
    assert shown["state"] == "1  ESTABLISHED"
    assert shown["snd_mss"] == "1460  bytes"
    assert shown["path.src"] == OURS
    assert shown["nodelay"] == "0"
    assert "keepalive.idle" in shown
    assert any(line.strip().startswith("RETRANSMISSION") for line in lines)
    assert "    1…1461  sent at 1.000000 s" in lines
