"""`tunstack drill`: what it prints, and its exit status."""

from pathlib import Path

import pytest

from stack.cli.main import main
from stack.wire.pcapng import Writer
from stack.wire.segment import ACK, SYN, build_tcp, mss

SCRIPTS = Path(__file__).parent.parent / "drill"

PASSING = """\
// A SYN for a port where nobody listens.
0 < S 0:0(0) win 1000
+0 > R. 0:0(0) ack 1
"""
FAILING = PASSING.replace("ack 1", "ack 2")


@pytest.fixture
def script(tmp_path):
    def write(text, name="x.pkt"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_a_script_that_passes_is_status_0(script, capsys):
    path = script(PASSING)
    assert main(["drill", path]) == 0
    assert capsys.readouterr().out == f"ok    {path}\n1 script: 1 passed, 0 failed\n"


def test_a_script_that_fails_is_status_1_and_shows_why(script, capsys):
    path = script(FAILING)
    assert main(["drill", path]) == 1
    out = capsys.readouterr().out
    assert f"FAIL  {path}:3: the packet differs: ack 1 instead of 2" in out
    assert "3 | +0 > R. 0:0(0) ack 2" in out
    assert "expected  > R. 0:0(0) ack 2" in out
    assert "actual    > R. 0:0(0) ack 1 win 0" in out
    assert "[RST, ACK]" in out
    assert "reset: no such connection" in out


def test_several_scripts_run_one_after_the_other(script, capsys):
    paths = [script(PASSING, "a.pkt"), script(FAILING, "b.pkt"), script(PASSING, "c.pkt")]
    assert main(["drill", *paths]) == 1
    out = capsys.readouterr().out
    assert "3 scripts: 2 passed, 1 failed" in out
    assert out.index("a.pkt") < out.index("b.pkt") < out.index("c.pkt")


def test_the_same_run_prints_the_same(script, capsys):
    path = script(FAILING)
    main(["drill", path])
    first = capsys.readouterr().out
    main(["drill", path])
    assert capsys.readouterr().out == first


def test_a_folder_means_every_script_in_it(script, tmp_path, capsys):
    script(PASSING, "b.pkt")
    (tmp_path / "inner").mkdir()
    script(PASSING, "inner/a.pkt")
    assert main(["drill", str(tmp_path)]) == 0
    assert "2 scripts: 2 passed" in capsys.readouterr().out


def test_quiet_prints_only_what_fails(script, capsys):
    assert main(["drill", "--quiet", script(PASSING)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["drill", "--quiet", script(PASSING, "a.pkt"), script(FAILING)]) == 1
    out = capsys.readouterr().out
    assert "a.pkt" not in out
    assert "FAIL" in out


def test_trace_shows_the_packets_of_a_script_that_passes(script, capsys):
    assert main(["drill", "--trace", script(PASSING)]) == 0
    assert "[RST, ACK]" in capsys.readouterr().out


def test_strict_fails_on_packets_that_no_line_expects(script, capsys):
    path = script("0 < S 0:0(0) win 1000\n")
    assert main(["drill", path]) == 0
    assert main(["drill", "--strict", path]) == 1
    assert "the host has sent more" in capsys.readouterr().out


def test_options_reach_the_script(script, capsys):
    path = script("0 < S 0:0(0) win SIZE <mss SIZE>\n+0 > (ttl 7) R. 0:0(0) ack 1\n")
    assert main(["drill", "--define", "SIZE=1000", "--set", "ttl=7", path]) == 0
    assert main(["drill", "--define", "SIZE=9", "--ip_version=ipv6", "--set", "ttl=7", path]) == 0


def test_a_script_that_cannot_be_read_is_status_2_and_nothing_is_run(script, capsys):
    path = script("0 < S 0:0(0)\n", "bad.pkt")
    assert main(["drill", script(PASSING), path]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        captured.err == f"tunstack: {path}:1: a packet that arrives needs a window: add `win N`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a script to run"),
        (["/no/such.pkt"], "cannot read /no/such.pkt"),
        (["--define", "3=4", "x.pkt"], "write NAME=VALUE"),
        (["--record", "x.pcapng"], "add `-o FILE.pkt`"),
        (["--record", "/no/such.pcapng", "-o", "x.pkt"], "cannot read /no/such.pcapng"),
        (["--record", "x.pcapng", "-o", "x.pkt", "y.pkt"], "writes a script and runs none"),
        (["-o", "x.pkt", "y.pkt"], "--output belongs to --record"),
        (["--address", "192.0.2.1", "y.pkt"], "--address belongs to --record"),
        (["--connection", "x", "y.pkt"], "--connection"),
        (["--frobnicate", "y.pkt"], "--frobnicate"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, capsys):
    assert main(["drill", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tunstack: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_an_empty_folder_is_told(tmp_path, capsys):
    assert main(["drill", str(tmp_path)]) == 2
    assert "there is no script" in capsys.readouterr().err


def _capture(path):
    client, server = "192.0.2.1", "192.0.2.2"
    with path.open("wb") as stream:
        writer = Writer(stream)
        syn = build_tcp(client, server, 5000, 81, seq=5, flags=SYN, window=99, options=[mss(1000)])
        writer.packet(1_000_000, syn, outbound=False)
        syn_ack = build_tcp(
            server,
            client,
            81,
            5000,
            seq=70,
            ack=6,
            flags=SYN | ACK,
            window=65535,
            options=[mss(1460)],
        )
        writer.packet(1_000_100, syn_ack, outbound=True)
        writer.packet(
            1_020_000,
            build_tcp(client, server, 5000, 81, seq=6, ack=71, flags=ACK, window=99),
            outbound=False,
        )
        writer.close()


def test_record_writes_a_script_that_then_passes(tmp_path, capsys):
    capture, path = tmp_path / "x.pcapng", tmp_path / "x.pkt"
    _capture(capture)
    assert main(["drill", "--record", str(capture), "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 3 packets; passes within 4 ms\n"
    assert "+0.1 < S 0:0(0) win 99 <mss 1000>" in path.read_text("utf-8")
    assert main(["drill", "--strict", str(path)]) == 0


def test_a_place_that_cannot_be_written_is_told(tmp_path, capsys):
    capture = tmp_path / "x.pcapng"
    _capture(capture)
    assert main(["drill", "--record", str(capture), "-o", str(tmp_path / "no" / "x.pkt")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as left:
        main(["drill", "--help"])
    assert left.value.code == 0
    assert "tunstack drill --record" in capsys.readouterr().out


def test_the_scripts_of_this_repository_pass_as_the_guide_says(capsys):
    assert main(["drill", "--quiet", str(SCRIPTS / "handshake")]) == 0
