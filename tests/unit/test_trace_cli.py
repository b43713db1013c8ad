"""`tunstack trace`: any capture, friendly errors."""

import io
import subprocess
import sys

import pytest

from stack.cli.main import main
from stack.wire import segment
from stack.wire.pcapng import Writer
from tests.support.conversations import Conversation, TlsConversation


@pytest.fixture
def capture(tmp_path):
    conversation = Conversation()
    conversation.handshake()
    conversation.send(conversation.client, b"GET / HTTP/1.1\r\n\r\n")
    path = tmp_path / "capture.pcapng"
    writer = Writer(path.open("wb"))
    for number, (now, data) in enumerate(conversation, 1):
        writer.packet(now, data, f"reason {number}\nsecond line", outbound=number == 2)
    writer.close()
    return path


def test_a_capture_is_printed_with_its_comments(capture, capsys):
    assert main(["trace", str(capture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 15
    assert lines[0].startswith("  1  0.000000  192.0.2.1  192.0.2.2  TCP")
    assert [line.strip() for line in lines[1:3]] == ["↳ reason 1", "↳ second line"]
    assert lines[9].endswith("GET / HTTP/1.1")


def test_comments_can_be_left_out(capture, capsys):
    assert main(["trace", "--no-reasons", str(capture)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize(
    ("choice", "coloured"), [("auto", False), ("never", False), ("always", True)]
)
def test_colour_is_for_terminals_or_on_demand(capture, capsys, choice, coloured):
    assert main(["trace", "--colour", choice, str(capture)]) == 0
    assert ("\x1b[" in capsys.readouterr().out) == coloured


def test_embedded_secrets_open_what_they_are_for(tmp_path, capsys):
    conversation = TlsConversation(tmp_path, alpn="http/1.1")
    conversation.handshake()
    conversation.write(conversation.client, b"GET /secret HTTP/1.1\r\n\r\n")
    path = tmp_path / "capture.pcapng"
    writer = Writer(path.open("wb"))
    writer.secrets(conversation.key_log)
    for now, data in conversation:
        writer.packet(now, data)
    writer.close()
    assert main(["trace", str(path)]) == 0
    out = capsys.readouterr().out
    assert "GET /secret HTTP/1.1" in out
    assert "Application Data" not in out


def test_a_capture_is_read_from_standard_input(capture):
    code = "import sys; from stack.cli.main import main; sys.exit(main(['trace', '-']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=capture.read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 15


BROKEN = {
    "neither a pcap nor a pcapng file": lambda data: b"root:x:0:0\n",
    "the file is empty": lambda data: b"",
    "the file ends in the middle of a packet": lambda data: data[:-10],
    "unpack it with gunzip": lambda data: b"\x1f\x8b" + data,
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_one_line_and_status_2(capture, capsys, message):
    capture.write_bytes(BROKEN[message](capture.read_bytes()))
    assert main(["trace", str(capture)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"tunstack: {capture}: ")
    assert message in said.err


def test_what_stands_before_the_broken_place_is_printed(capture, capsys):
    capture.write_bytes(capture.read_bytes()[:-30])
    assert main(["trace", "--no-reasons", str(capture)]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_file_that_is_not_there_is_one_line_and_status_2(tmp_path, capsys):
    for name in (tmp_path / "none", tmp_path):
        assert main(["trace", str(name)]) == 2
        assert capsys.readouterr().err.startswith(f"tunstack: cannot read {name}: ")


def test_a_terminal_as_standard_input_is_refused(capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["trace", "-"]) == 2
    assert "pipe a capture into it" in capsys.readouterr().err


def test_old_captures_with_other_frames_are_printed(tmp_path, capsys):
    packet = segment.build_udp("192.0.2.1", "192.0.2.2", 1, 2, b"x")
    frames = [bytes(12) + b"\x08\x06" + bytes(28), bytes(12) + b"\x08\x00" + packet]
    data = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    for frame in frames:
        size = len(frame).to_bytes(4, "little")
        data += bytes(8) + size + size + frame
    path = tmp_path / "old.pcap"
    path.write_bytes(data)
    assert main(["trace", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[-1] == "ARP"
    assert second.endswith("1 → 2 Len=1")
