"""Runs against real programs are recorded, and done again bit for bit."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest

from tests.support.playground import TUNSTACK, Playground, eventually, require, tunstack

TIMEOUT = 20


@pytest.fixture
def recording(tmp_path):
    return tmp_path / "run.rec"


def replayed(*arguments) -> str:
    """What the replay prints; it must be the same run."""
    done = tunstack("replay", *map(str, arguments))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert done.stderr == ""
    assert ": the same bit for bit, " in done.stdout.splitlines()[-1]
    return done.stdout


def test_curl_over_tls_with_faults_is_the_same_again_with_its_trace(recording, tmp_path):
    """Two files from two runs: what was seen live, and what the replay shows of it."""
    require("curl")
    live, again = tmp_path / "live.pcapng", tmp_path / "again.pcapng"
    done = tunstack(
        *("run", "--record", recording, "--trace", "--capture", live),
        *("--impair", "loss=3%,delay=2ms,reorder=3%,duplicate=2%,corrupt=1%", "--seed", "4"),
        *("--", "curl", "-sSk", "--max-time", str(TIMEOUT), "-o", os.devnull),
        "https://192.0.2.2/bytes/300000",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = replayed("--trace", "--capture", again, recording)
    assert shown.rpartition("event ")[0] == done.stderr
    assert "GET /bytes/300000" in shown
    assert again.read_bytes() == live.read_bytes()


def test_super_segments_both_ways_are_the_same_again(recording, tmp_path):
    """Recording leaves offload on: some packets are far above the MTU."""
    data = tmp_path / "data"
    data.write_bytes(os.urandom(1 << 20) * 8)
    with Playground("--record", str(recording)) as playground:
        url = "http://192.0.2.2"
        down = playground.call("curl", "-sS", "-o", os.devnull, f"{url}/bytes/10M", timeout=TIMEOUT)
        up = playground.call("curl", "-sS", "-T", data, f"{url}/sha256", timeout=TIMEOUT)
        assert down.returncode == up.returncode == 0, down.stderr + up.stderr
        assert hashlib.sha256(data.read_bytes()).hexdigest() in up.stdout
        assert playground.close() == 0
    shown = replayed("--events", recording)
    assert " offload = True" in shown
    sizes = [line.split() for line in shown.splitlines() if "receive(" in line]
    assert any(int(words[-2]) > 1500 * int(words[2][8:]) for words in sizes if "packet" in words[3])


def test_a_process_that_is_killed_leaves_a_recording_up_to_there(recording):
    with Playground("--record", str(recording)) as playground:
        client = playground.start("curl", "-sS", "http://192.0.2.2/stream?count=1000&interval=0.01")
        assert eventually(lambda: recording.exists() and recording.stat().st_size > 20_000)
        os.kill(playground.process.pid, signal.SIGKILL)
        client.kill()  # nobody answers it any more
        client.communicate(timeout=TIMEOUT)
        playground.close()
    assert "; the recording was cut off here" in replayed(recording)


def test_ctrl_c_ends_a_recording_properly(recording):
    script = (
        "trap 'exit 9' INT; curl -sS http://192.0.2.2/; echo; echo up; while :; do sleep 0.05; done"
    )
    process = subprocess.Popen(
        [TUNSTACK, "run", "--quiet", "--record", recording, "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        while process.stdout.readline() not in ("up\n", ""):
            pass
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(TIMEOUT) == 9
    assert "cut off" not in replayed(recording)


def test_fetch_records_our_stack_as_the_client(recording):
    with Playground() as playground:
        done = playground.call(
            *(TUNSTACK, "fetch", "-k", "--record", str(recording)), "https://192.0.2.2/bytes/200K"
        )
        assert done.returncode == 0, done.stderr
    shown = replayed("--tcb", "--until", "100", recording)
    assert "connection 1: 198.51.100.2:" in shown
    replayed(recording)


def test_a_full_disk_is_told_and_the_command_goes_on(tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    done = tunstack(
        *("run", "--quiet", "--record", tmp_path / "full", "--"),
        *(sys.executable, "-c", "print('went on')"),
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert done.stderr.endswith("the recording ends early: No space left on device\n")
