"""Scripts written from captures, which then pass."""

from pathlib import Path

import pytest

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.states import State
from stack.errors import UsageError
from stack.observe.capture import Capture
from stack.sim import Network
from stack.sim.drill import parse, run
from stack.sim.drill.record import record
from stack.wire.pcapng import Writer
from stack.wire.segment import ACK, SYN, build_tcp, build_udp

A, B = "192.0.2.1", "192.0.2.2"


class Conversation:
    """A client that asks and a server that answers, captured on one side."""

    def __init__(self, path, ours, *, config=None, version=4, connections=1, **faults):
        self.net = Network(seed=4)
        networks = {4: (f"{A}/24", f"{B}/24"), 6: ("2001:db8::1/64", "2001:db8::2/64")}
        settings = HostConfig(tcp=TcpConfig(**(config or {})))
        self.client = self.net.host("client", networks[version][0], config=settings)
        self.server = self.net.host("server", networks[version][1], config=settings)
        self.net.link(self.client, self.server, delay=10_000, **faults)
        self.capture = Capture(path)
        {"client": self.client, "server": self.server}[ours].observe(self.capture)
        self.listener = self.server.listen(None, 80)
        self.address = networks[version][1].partition("/")[0]
        for _ in range(connections):
            self.talk()
        self.net.run(self.net.now + 1_000_000)
        self.capture.close()

    def talk(self, size=20_000):
        net = self.net
        asker = self.client.connect(self.address, 80, net.now)
        assert net.run_until(lambda: asker.state == State.ESTABLISHED)
        net.run(net.now + 1_000)
        asker.send(bytes(300), net.now)
        accepted = []
        assert net.run_until(lambda: accepted or accepted.extend(self._accepted()))
        assert net.run_until(lambda: accepted[0].available == 300)
        accepted[0].receive(300, net.now)
        accepted[0].send(bytes(size), net.now)
        assert net.run_until(lambda: asker.available == size)
        asker.receive(size, net.now)
        self.end(asker, accepted[0])

    def _accepted(self):
        found = self.listener.accept()
        return [found] if found else []

    def end(self, asker, answerer):
        answerer.shutdown(self.net.now)
        assert self.net.run_until(lambda: asker.eof)
        asker.close(self.net.now)


class Aborted(Conversation):
    def end(self, asker, answerer):
        answerer.abort(self.net.now)
        asker.close(self.net.now)


def check(path, **arguments):
    recorded = record(path, **arguments)
    assert recorded.passes, recorded.remark
    script = parse(recorded.text, "recorded")
    assert run(script, strict=True).failure is None
    return recorded.text


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"loss": 0.05},
        {"reorder": 0.1, "jitter": 5_000},
        {"duplicate": 0.1},
        {"rate": 2_000_000},
    ],
    ids=["clean", "lossy", "reordered", "duplicated", "slow"],
)
@pytest.mark.parametrize("ours", ["client", "server"])
def test_a_recorded_connection_passes(tmp_path, ours, faults):
    path = tmp_path / "x.pcapng"
    Conversation(path, ours, **faults)
    text = check(path, address={"client": A, "server": B}[ours])
    assert ("connect(3, ..., ...)" in text) == (ours == "client")


def test_the_side_that_was_captured_is_ours(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "client")
    assert f"--local_ip={A}" in check(path)


def test_over_ipv6(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "server", version=6)
    assert "--ip_version=ipv6" in check(path)


@pytest.mark.parametrize("ours", ["client", "server"])
def test_what_our_syn_lacks_becomes_a_setting(tmp_path, ours):
    path = tmp_path / "x.pcapng"
    config = {"sack": False, "timestamps": False, "window_scaling": False}
    Conversation(path, ours, config=config)
    text = check(path)
    # Where neither side asked for it, nothing has to be switched off to refuse it.
    assert ("--set=sack=false" in text) == (ours == "client")


def test_another_window_scale_becomes_a_setting(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "server", config={"receive_buffer": 1 << 20})
    assert "--set=receive_buffer=" in check(path)


def test_a_window_update_behind_the_handshake_becomes_a_setting(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "server", config={"scaled_window_update": True})
    assert "--set=scaled_window_update=true" in check(path)


@pytest.mark.parametrize("ours", ["client", "server"])
def test_a_connection_that_was_aborted(tmp_path, ours):
    path = tmp_path / "x.pcapng"
    Aborted(path, ours)
    text = check(path)
    assert ("SO_LINGER" in text) == (ours == "server")


def test_one_of_several_connections_is_chosen_by_number(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "server", connections=3)
    with pytest.raises(UsageError, match="holds 3 TCP connections: choose one with --connection N"):
        record(path)
    check(path, connection=2)
    with pytest.raises(UsageError, match="--connection N"):
        record(path, connection=4)


def test_a_script_that_this_stack_does_not_follow_says_where(tmp_path):
    path = tmp_path / "x.pcapng"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.packet(1_000, build_tcp(A, B, 5000, 80, seq=5, flags=SYN, window=9), outbound=False)
        answer = build_tcp(B, A, 80, 5000, seq=7, ack=6, flags=SYN | ACK, window=1)
        writer.packet(2_000, answer, outbound=True)
        writer.close()
    recorded = record(path)
    assert not recorded.passes
    assert "this stack leaves it in line 14" in recorded.remark
    assert run(parse(recorded.text, "recorded")).failure is None
    assert "// Here this stack does something else: the packet differs" in recorded.text
    assert "\n// +0.001 > S. 0:0(0) ack 1 win 1\n" in recorded.text


def test_what_cannot_be_recorded_is_told(tmp_path):
    path = tmp_path / "x.pcapng"
    with pytest.raises(UsageError, match="cannot read"):
        record(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="neither a pcap nor a pcapng file"):
        record(path)
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.packet(0, build_udp(A, B, 1, 2, b"x"))
        writer.packet(1, build_tcp(A, B, 5000, 80, flags=ACK))
        writer.close()
    with pytest.raises(UsageError, match="holds no TCP connection with its SYN"):
        record(path)


def test_an_address_that_is_not_in_the_connection_is_told(tmp_path):
    path = tmp_path / "x.pcapng"
    Conversation(path, "server")
    with pytest.raises(UsageError, match=r"the connection in .* is 192\.0\.2\.1 port"):
        record(path, address="192.0.2.9")


def test_without_directions_the_usual_address_is_ours_and_else_the_server(tmp_path):
    path = tmp_path / "x.pcapng"
    for client, server, ours in [(B, A, B), (A, "192.0.2.7", "192.0.2.7")]:
        with path.open("wb") as stream:
            writer = Writer(stream)
            writer.packet(0, build_tcp(client, server, 5000, 80, flags=SYN))
            writer.close()
        assert f"--local_ip={ours}" in record(Path(path)).text
