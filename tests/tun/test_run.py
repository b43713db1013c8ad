"""`tunstack run` as a person uses it: real programs, over a real device."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.playground import (
    HOSTS,
    TUNSTACK,
    Playground,
    call,
    eventually,
    require,
    tunstack,
)

CURL = ("curl", "-sS", "-k", "--max-time", "20", "-w", "\n%{http_code} %{http_version}")
FORMS = {
    "http": (["--http1.1"], "http", "200 1.1"),
    "https, HTTP/1.1": (["--http1.1"], "https", "200 1.1"),
    "https, HTTP/2 by ALPN": ([], "https", "200 2"),
    "h2c by upgrade": (["--http2"], "http", "200 2"),
    "h2c by prior knowledge": (["--http2-prior-knowledge"], "http", "200 2"),
}
both_versions = pytest.mark.parametrize("version", [4, 6])


@both_versions
@pytest.mark.parametrize("form", FORMS)
def test_curl_gets_the_page(playground, form, version):
    options, scheme, outcome = FORMS[form]
    done = playground.call(*CURL, *options, f"{scheme}://{HOSTS[version]}/")
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    assert status == outcome
    assert body.strip()


@both_versions
def test_the_upgrade_to_h2c_is_answered_with_101(playground, version):
    done = playground.call("curl", "-sSv", "--http2", f"http://{HOSTS[version]}/")
    assert done.returncode == 0, done.stderr
    assert "HTTP/1.1 101" in done.stderr
    assert "HTTP/2 200" in done.stderr


@both_versions
@pytest.mark.parametrize("port", [8080, 8443])
def test_the_ports_of_habit_answer_too(playground, port, version):
    scheme = "https" if port == 8443 else "http"
    done = playground.call(*CURL, f"{scheme}://{HOSTS[version]}:{port}/")
    assert done.returncode == 0, done.stderr
    assert "\n200 " in done.stdout


@both_versions
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nghttp_speaks_http2_with_it(playground, scheme, version):
    done = playground.call("nghttp", "-nv", f"{scheme}://{HOSTS[version]}/")
    assert done.returncode == 0, done.stdout
    assert ":status: 200" in done.stdout
    assert "ERROR" not in done.stdout.replace("NO_ERROR", "")


@both_versions
@pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
def test_openssl_agrees_on_h2(playground, tls, version):
    done = playground.call(
        "openssl", "s_client", tls, "-alpn", "h2", "-connect", f"{HOSTS[version]}:443", data=""
    )
    assert done.returncode == 0, done.stderr
    assert "ALPN protocol: h2" in done.stdout


def test_a_window_of_plain_packets_finds_room_in_the_device(playground):
    links = json.loads(playground.call("ip", "-j", "link", "show", "up").stdout)
    assert [link["txqlen"] for link in links if "txqlen" in link and link["ifname"] != "lo"] == [
        5000
    ]


def test_a_closed_port_is_refused_at_once(playground):
    begun = time.monotonic()
    done = playground.call("curl", "-sS", "http://192.0.2.2:81/")
    assert done.returncode == 7  # curl's word for a refused connection
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137)],
)
def test_the_status_of_the_command_is_ours(script, status):
    assert tunstack("run", "--quiet", "--", "sh", "-c", script).returncode == status


def test_a_command_that_does_not_exist_has_a_shells_status():
    done = tunstack("run", "--quiet", "--", "no-such-command")
    assert done.returncode == 127
    assert done.stderr == "tunstack: no-such-command: command not found\n"


def test_a_command_that_may_not_be_executed_has_a_shells_status(tmp_path):
    (tmp_path / "text").write_text("no program")
    done = tunstack("run", "--quiet", "--", str(tmp_path / "text"))
    assert done.returncode == 126
    assert done.stderr == f"tunstack: {tmp_path / 'text'}: Permission denied\n"


def test_the_command_keeps_its_input_output_and_arguments():
    done = tunstack(
        "run", "--", "sh", "-c", 'cat; printf "%s|" "$@"', "sh", "a b", "--", "-k", data="typed"
    )
    assert done.stdout == "typeda b|--|-k|"


def test_the_command_learns_our_addresses_from_its_environment():
    done = tunstack(
        "run",
        "--address",
        "198.51.100.7/24",
        "--address",
        "2001:db8:7::7/64",
        "--",
        "sh",
        "-c",
        "echo $TUNSTACK_IPV4 $TUNSTACK_IPV6",
    )
    assert done.stdout == "198.51.100.7 2001:db8:7::7\n"


def test_given_addresses_replace_the_default_ones():
    with Playground("--address", "198.51.100.1/24") as playground:
        assert playground.call(*CURL, "http://198.51.100.1/").returncode == 0
        addresses = playground.call("ip", "-brief", "address", "show", "tun0").stdout
        assert "198.51.100.2/24" in addresses  # .1 is taken by us
        assert "192.0.2" not in addresses
        assert "2001:db8" not in addresses


def test_given_ports_replace_the_default_ones():
    with Playground("--http", "8000", "--http", "8001") as playground:
        assert playground.call(*CURL, "http://192.0.2.2:8000/").returncode == 0
        assert playground.call(*CURL, "http://192.0.2.2:8001/").returncode == 0
        assert playground.call(*CURL, "http://192.0.2.2/").returncode == 7
        assert playground.call(*CURL, "https://192.0.2.2/").returncode == 0


APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"from the current directory"})
"""


def test_an_app_of_the_current_directory_answers(tmp_path):
    (tmp_path / "mysite.py").write_text(APP)
    done = tunstack(
        "run", "--app", "mysite:app", "--", "curl", "-sS", "http://192.0.2.2/", cwd=tmp_path
    )
    assert done.stdout == "from the current directory"


@pytest.mark.parametrize(
    "options",
    [("--app", "no_such_module:app"), ("--capture", "/dev/full/x"), ("--capture", "/dev")],
)
def test_what_cannot_be_used_is_one_line_and_the_command_never_runs(options):
    done = tunstack("run", *options, "--", "echo", "ran")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tunstack: ")
    assert done.stderr.count("\n") == 1


def test_the_trace_may_lose_its_reader():
    script = (
        f"{TUNSTACK} run --trace -- curl -sS http://192.0.2.2/bytes/1M 2>&1 >/dev/null | head -1"
    )
    done = call(["bash", "-c", f"set -o pipefail; {script}"])
    assert "[SYN]" in done.stdout
    assert done.returncode == 0, done.stderr


def test_one_line_says_where_it_answers_unless_it_shall_be_quiet():
    done = tunstack("run", "--", "true")
    assert done.stderr.count("\n") == 1
    for url in ("http://192.0.2.2/", "https://192.0.2.2/", "http://[2001:db8::2]/"):
        assert url in done.stderr
    assert tunstack("run", "--quiet", "--", "true").stderr == ""


def test_the_trace_goes_to_stderr_with_the_reason_of_each_of_our_segments():
    done = tunstack("run", "--trace", "--", "curl", "-sS", "http://192.0.2.2/")
    assert done.returncode == 0
    assert "\x1b[" not in done.stderr  # stderr is no terminal here
    for words in ("[SYN]", "[SYN, ACK]", "RFC 9293", "GET / HTTP/1.1", "[FIN, ACK]"):
        assert words in done.stderr
    assert "[SYN]" not in done.stdout


def test_the_capture_is_complete_when_the_command_has_ended(tmp_path):
    require("tshark")
    path = tmp_path / "run.pcapng"
    done = tunstack(
        "run", "--quiet", "--capture", str(path), "--", "curl", "-skS", "https://192.0.2.2/"
    )
    assert done.returncode == 0, done.stderr
    flags = tshark(path, "tcp.flags.fin == 1", "tcp.flags.str")
    assert len(flags) == 2
    assert "RFC 9293" in "".join(tshark(path, "frame.comment", "frame.comment"))
    statuses = tshark(path, "http2.type == 1", "http2.headers.status")
    assert "200" in statuses, "tshark cannot read HTTP/2: the secrets are missing"


def tshark(path, display_filter, field):
    """The field in each packet that passes the filter."""
    done = call(["tshark", "-r", str(path), "-Y", display_filter, "-T", "fields", "-e", field])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_same_seed_gives_the_same_initial_sequence_numbers(tmp_path):
    require("tshark")

    def first_answer(name, seed):
        path = tmp_path / name
        tunstack(
            "run",
            "--quiet",
            "--seed",
            seed,
            "--capture",
            str(path),
            "--",
            "curl",
            "-sS",
            "--local-port",
            "40000",
            "http://192.0.2.2/",
        )
        done = call(
            [
                "tshark",
                "-r",
                str(path),
                "-Y",
                "tcp.flags == 0x12",
                "-T",
                "fields",
                "-e",
                "tcp.options.timestamp.tsval",
                "-e",
                "tcp.seq_raw",
            ]
        )
        return int(done.stdout.split()[-1])

    # The number also moves with the clock (RFC 6528 §3), by one each 4 µs.
    one, again, other = (first_answer(*given) for given in (("a", "1"), ("b", "1"), ("c", "2")))
    assert (again - one) % 2**32 < 250_000 * 60 or (one - again) % 2**32 < 250_000 * 60
    assert min((other - one) % 2**32, (one - other) % 2**32) > 250_000 * 60


def test_a_faulty_link_delivers_the_same_bytes():
    spec = "loss=2%,reorder=2%,duplicate=1%,corrupt=0.5%,delay=2ms,rate=100mbit"
    script = "curl -sS --max-time 60 http://192.0.2.2/bytes/2000000 | wc -c"
    done = tunstack(
        "run", "--quiet", "--impair", spec, "--seed", "5", "--", "sh", "-c", script, timeout=90
    )
    assert done.stdout.strip() == "2000000", done.stderr


def test_a_delay_is_felt():
    with Playground("--impair", "delay=50ms") as playground:
        done = playground.call(
            "curl", "-sS", "-o", "/dev/null", "-w", "%{time_connect}", "http://192.0.2.2/"
        )
        assert 0.1 <= float(done.stdout) < 0.3


def test_a_signal_to_us_reaches_the_command_and_its_end_is_awaited(tmp_path):
    path = tmp_path / "told"
    script = (
        f"trap 'sleep 0.2; echo told > {path}; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    )
    process = subprocess.Popen(
        [TUNSTACK, "run", "--quiet", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    )
    with process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 7
    assert path.read_text() == "told\n"


def test_ctrl_c_is_the_commands_and_the_capture_is_finished(tmp_path):
    path = tmp_path / "interrupted.pcapng"
    script = (
        "curl -sS http://192.0.2.2/ && trap 'exit 9' INT; echo up; while :; do sleep 0.05; done"
    )
    process = subprocess.Popen(
        [TUNSTACK, "run", "--quiet", "--capture", str(path), "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        while process.stdout.readline() not in ("up\n", ""):
            pass
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(10) == 9
    require("tshark")
    done = call(["tshark", "-r", str(path), "-Y", "tcp.flags.fin == 1"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2


def test_when_we_are_killed_the_command_hears_of_it():
    process = subprocess.Popen(
        [TUNSTACK, "run", "--quiet", "--", "sh", "-c", "echo $$; exec sleep 100"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        command = int(process.stdout.readline())
        process.kill()
        process.wait()
    assert eventually(
        lambda: (
            not Path(f"/proc/{command}/cmdline").exists()
            or not Path(f"/proc/{command}/cmdline").read_bytes()
        )
    )


def test_the_machines_own_network_is_not_touched():
    def network():
        return json.loads(call(["ip", "-json", "address"]).stdout), call(["ip", "route"]).stdout

    before = [entry["ifname"] for entry in network()[0]], network()[1]
    with Playground() as playground:
        assert playground.call(*CURL, "http://192.0.2.2/").returncode == 0
        during = [entry["ifname"] for entry in network()[0]], network()[1]
    assert before == during


def test_a_deleted_device_is_told_in_one_line_and_the_command_goes_on():
    done = tunstack("run", "--quiet", "--", "sh", "-c", "ip link delete tun0; sleep 0.3; exit 5")
    assert done.returncode == 5
    assert "the TUN device was deleted" in done.stderr
    assert "Traceback" not in done.stderr


@both_versions
@pytest.mark.parametrize(
    ("options", "scheme", "words"),
    [
        (["--http1.1"], "http", "< HTTP/1.1 200"),
        (["--http1.1", "--insecure"], "https", "< HTTP/1.1 200"),
        (["--http2", "-k"], "https", "<     :status: 200"),
        (["-k"], "https", "<     :status: 200"),
        (["--http2-prior-knowledge"], "http", "<     :status: 200"),
    ],
)
def test_fetch_gets_the_page_with_our_stack_at_both_ends(
    playground, options, scheme, words, version
):
    done = playground.call(TUNSTACK, "fetch", "-v", *options, f"{scheme}://{HOSTS[version]}/")
    assert done.returncode == 0, done.stderr
    assert words in done.stderr
    address = "198.51.100.2" if version == 4 else "2001:db8:1::2"
    assert address in done.stdout  # the demo greets its peer by address


def test_fetch_writes_a_large_body_whole_to_a_file(playground, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    url = "http://192.0.2.2/bytes/3000000"
    assert playground.call(TUNSTACK, "fetch", "-o", str(ours), url).returncode == 0
    assert playground.call("curl", "-sS", "-o", str(theirs), url).returncode == 0
    assert ours.read_bytes() == theirs.read_bytes()


def test_fetch_keeps_what_came_at_ctrl_c_and_goes_on_with_it(playground, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "file").write_bytes(bytes(range(256)) * 8000)
    script = tmp_path / "serve.py"
    script.write_text(SLOW_SERVER)
    server = playground.start(sys.executable, str(script), "0.0.0.0", str(site / "file"))
    try:
        assert server.stdout.readline() == "ready\n"
        file = tmp_path / "file"
        fetch = (TUNSTACK, "fetch", "-O", "-C", "http://198.51.100.1:8000/file")
        broken = playground.start(*fetch, cwd=tmp_path)
        eventually((tmp_path / "file.part").exists)
        eventually(lambda: (tmp_path / "file.part").stat().st_size > 500_000)
        broken.send_signal(signal.SIGINT)
        _, error = broken.communicate(timeout=10)
        assert broken.returncode == 130
        assert error.count("\n") == 1
        assert "bytes are kept in file.part" in error
        assert not file.exists()
        kept = (tmp_path / "file.part").stat().st_size
        assert 500_000 < kept < 2_000_000
        assert playground.call(*fetch, cwd=tmp_path).returncode == 0
        assert file.read_bytes() == (site / "file").read_bytes()
        server.terminate()
        said = server.communicate(timeout=10)[0].splitlines()
        assert said == ["0", str(kept)]
    finally:
        server.kill()
        server.wait()


SLOW_SERVER = """
import http.server, sys, time

class Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = open(sys.argv[2], "rb").read()
        start = int(self.headers.get("range", "bytes=0-")[6:-1])
        print(start, flush=True)
        if start:
            assert self.headers["if-range"] == '"v1"'
            self.send_response(206)
            self.send_header("content-range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("etag", '"v1"')
        self.send_header("content-length", str(len(body) - start))
        self.end_headers()
        for at in range(start, len(body), 100_000):
            self.wfile.write(body[at : at + 100_000])
            if not start:
                time.sleep(0.05)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer((sys.argv[1], 8000), Slow)
print("ready", flush=True)
server.serve_forever()
"""


def test_fetch_refuses_a_certificate_that_nobody_vouches_for(playground):
    done = playground.call(TUNSTACK, "fetch", "https://192.0.2.2/")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--insecure" in done.stderr


def test_fetch_says_when_nobody_answers_there(playground):
    done = playground.call(TUNSTACK, "fetch", "http://192.0.2.2:81/")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "refused" in done.stderr


def test_fetch_traces_its_own_side(playground):
    done = playground.call(TUNSTACK, "fetch", "--trace", "http://192.0.2.2/")
    assert done.returncode == 0
    assert "198.51.100.2  192.0.2.2" in done.stderr
