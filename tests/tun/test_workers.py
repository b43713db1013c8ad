"""`tunstack serve --workers N`: several processes behind one device, over a real one."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.wire import craft
from tests.support.playground import TUNSTACK, empty_network, eventually, require, tunstack

SITE = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d NAME\\n" % os.getpid()})
"""

# Without these two, loading a program for the kernel is forbidden (capabilities(7)).
UNSTEERED = ("setpriv", "--bounding-set", "-bpf,-sys_admin", "--inh-caps", "-bpf,-sys_admin")


@pytest.fixture
def machine():
    with empty_network() as network:
        yield network


@pytest.fixture
def site(tmp_path):
    (tmp_path / "who.py").write_text(SITE)
    return tmp_path


@contextmanager
def serve(machine, site, *options, workers=2, before=()):
    """Starts it and waits until all workers serve."""
    command = (*before, TUNSTACK, "serve", "--app", "who:app", "--workers", str(workers))
    process = machine.start(*command, *options, cwd=site, start_new_session=True)
    with process:
        try:
            line = process.stderr.readline()
            assert f"on tunstack0 with {workers} workers" in line, line
            yield process
        finally:
            process.kill()  # for a test that failed; the workers follow


def end(process):
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    return process.stderr.read()


def python(script, *arguments):
    return (sys.executable, "-c", script, *arguments)


def children(process):
    """The workers' processes."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return {int(child) for child in path.read_text("ascii").split()}


def devices(machine):
    listing = machine.call("ip", "-brief", "link").stdout
    return {line.split()[0].split("@")[0] for line in listing.splitlines()} - {"lo"}


def is_gone(process):
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def counters(process, workers=2):
    """The counters of each worker, by its process; what was handed over is one of them."""
    process.send_signal(signal.SIGUSR1)
    found = {}
    for _ in range(workers):
        head = re.match(r"worker (\d+): (\d+) packets handed over", process.stderr.readline())
        found[int(head[1])] = mine = Counter({"handed over": int(head[2])})
        while (line := process.stderr.readline().strip()) != "":
            name, value, *_ = line.split(maxsplit=2)
            mine[name] = int(value)
    return found


# ---- connections ----------------------------------------------------------------------------

PAUSE = 5  # s; the kernel forgets after 3 from where a flow's packets were written

STAY = """
import http.client, sys, time
connections = [
    http.client.HTTPConnection(host, timeout=10)
    for host in ("192.0.2.2", "[2001:db8::2]") for _ in range(20)
]
def ask(connection, method="GET", body=None):
    connection.request(method, "/", body)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.read().split()[0].decode()
workers = [ask(connection) for connection in connections]
for pause in (0, 0, float(sys.argv[1]), 0):
    time.sleep(pause)
    for connection, worker in zip(connections, workers):
        found = ask(connection, "POST", bytes(100_000))
        assert found == worker, (found, worker)
print(*workers)
"""


def test_connections_are_spread_and_stay_also_when_they_were_silent(site):
    """Twice at the same time: with the kernel's help and without it, where it steers by a
    hash of its own, forgets, and workers hand over what is not theirs.
    """
    with (
        empty_network() as one,
        empty_network() as other,
        serve(one, site) as steered,
        serve(other, site, before=UNSTEERED) as alone,
    ):
        clients = [each.start(*python(STAY, str(PAUSE))) for each in (one, other)]
        for process, client in zip((steered, alone), clients, strict=True):
            said, error = client.communicate(timeout=40)
            assert client.returncode == 0, error
            named = Counter(map(int, said.split()))
            assert named.keys() == children(process)
            assert min(named.values()) >= 8  # of 40: a fair coin gives less once in 20,000
        assert sum(each["handed over"] for each in counters(steered).values()) == 0
        if Path("/proc/sys/kernel/unprivileged_bpf_disabled").read_text("ascii") != "0\n":
            assert sum(each["handed over"] for each in counters(alone).values()) > 0
        assert end(steered) == end(alone) == ""


@pytest.mark.parametrize("before", [(), UNSTEERED], ids=["steered", "handed over"])
def test_a_load_of_connections_comes_through(machine, site, before):
    require("h2load")
    log = site / "access.log"
    with serve(machine, site, "--access-log", str(log), workers=3, before=before) as process:
        for options in (["--h1"], []):
            url = "http://192.0.2.2/" if options else "https://[2001:db8::2]/"
            done = machine.call("h2load", *options, "-n", "600", "-c", "60", url)
            assert "600 succeeded, 0 failed" in done.stdout, done.stdout + done.stderr
        found = counters(process, workers=3)
        assert all(each["http_connections"] > 10 for each in found.values())
        assert sum(each["http_connections"] for each in found.values()) == 120
        end(process)
    lines = log.read_text().splitlines()
    assert len(lines) == 1200
    assert all(re.fullmatch(r'\S+ - - \[.*\] "GET / HTTP/.*" 200 \d+ "-" ".*"', x) for x in lines)


def test_a_tls_session_is_resumed_by_whichever_worker(machine, site):
    with serve(machine, site) as process:
        client = ("openssl", "s_client", "-connect", "192.0.2.2:443", "-tls1_2")
        kept = str(site / "session")
        assert machine.call(*client, "-sess_out", kept, data="").returncode == 0
        for _ in range(16):
            assert "Reused, TLSv1.2" in machine.call(*client, "-sess_in", kept, data="").stdout
        assert all(each["http_connections"] for each in counters(process).values())
        end(process)


# ---- what belongs to no connection, or does not look like it ----------------------------------

UDP = """
import socket
refused = 0
for host, family in (("192.0.2.2", socket.AF_INET), ("2001:db8::2", socket.AF_INET6)):
    for _ in range(10):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.connect((host, 9))
            client.settimeout(2)
            client.send(bytes(5000))
            try:
                client.recv(1)
            except ConnectionRefusedError:
                refused += 1
print(refused)
"""


def test_ping_and_datagrams_are_answered_whole_or_in_fragments(machine, site):
    with serve(machine, site) as process:
        for host in ("192.0.2.2", "2001:db8::2"):
            for size in ("56", "5000"):
                done = machine.call("ping", "-c", "4", "-i", "0.05", "-W", "2", "-s", size, host)
                assert " 4 received" in done.stdout, done.stdout
        # Port unreachable, as often as the rate of ICMP errors allows.
        assert machine.call(*python(UDP)).stdout == "20\n"
        found = counters(process)
        assert sum(each["IpReasmOKs"] for each in found.values()) == 28
        assert all(each["UdpNoPorts"] for each in found.values())
        end(process)


FRAGMENTS = """
import socket, sys, time
sys.path.insert(0, sys.argv[1])
from stack.wire import craft
REPAIR, QUEUE, SEQUENCE = 19, 20, 21  # TCP_REPAIR: what the kernel would send next
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
request = b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"

def next_numbers(client):
    client.setsockopt(6, REPAIR, 1)
    for queue in (2, 1):
        client.setsockopt(6, QUEUE, queue)
        yield client.getsockopt(6, SEQUENCE) & 0xFFFFFFFF
    client.setsockopt(6, REPAIR, -1)  # off, and no probe of the window

clients = [socket.create_connection(("192.0.2.2", 80), timeout=5) for _ in range(16)]
time.sleep(0.1)
for number, client in enumerate(clients):
    seq, ack = next_numbers(client)
    segment = craft.build_tcp(
        "192.0.2.1", "192.0.2.2", client.getsockname()[1], 80,
        seq=seq, ack=ack, flags=craft.ACK | craft.PSH, text=request,
    )[20:]
    for at, part, more in ((24, segment[24:], False), (0, segment[:24], True)):
        raw.sendto(craft.build_ip(
            "192.0.2.1", "192.0.2.2", craft.TCP, part,
            ip_id=1000 + number, fragment_offset=at, more_fragments=more,
        ), ("192.0.2.2", 0))
time.sleep(0.1)
for client in clients:
    client.sendall(request)  # the same bytes again, so that our kernel takes the answer
for client in clients:
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    client.close()
"""


def test_a_segment_in_fragments_reaches_its_connection(machine, site):
    """Fragments have no ports, so they meet at a worker by other marks, and what they
    make is handed over; a reset by that worker would end the connection.
    """
    # Such segments carry no timestamp.
    machine.call("sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_timestamps")
    with serve(machine, site) as process:
        done = machine.call(*python(FRAGMENTS, str(Path(craft.__file__).parents[2])))
        assert done.returncode == 0, done.stderr
        found = counters(process).values()
        assert sum(each["IpReasmOKs"] for each in found) == 16
        assert sum(each["http_requests"] for each in found) == 16
        assert sum(each["TcpOutRsts"] for each in found) == 0
        assert sum(each["handed over"] for each in found) > 0
        end(process)


# ---- processes ------------------------------------------------------------------------------

KEEP = """
import http.client, sys
connection = http.client.HTTPConnection("192.0.2.2", timeout=10)
for line in iter(sys.stdin.readline, ""):
    try:
        connection.request("GET", "/")
        print(connection.getresponse().read().split()[0].decode(), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
        break
"""


def test_a_killed_worker_is_replaced_and_nobody_else_notices(machine, site):
    with serve(machine, site) as process:
        first, other = sorted(children(process))
        keepers = {}
        while keepers.keys() != {first, other}:
            client = machine.start(*python(KEEP), stdin=-1)
            worker = asked(client)
            if worker in keepers:
                client.communicate()
            else:
                keepers[worker] = client
        os.kill(first, signal.SIGKILL)
        line = process.stderr.readline()
        assert line == (
            f"tunstack: worker {first} was killed by SIGKILL; another one takes its place\n"
        )
        assert asked(keepers[other]) == other
        # Whoever comes now waits for the new worker; nobody is refused.
        clients = [machine.start("curl", "-sS", "http://192.0.2.2/") for _ in range(20)]
        named = {int(client.communicate(timeout=20)[0].split()[0]) for client in clients}
        assert other in named
        assert named == children(process)
        assert asked(keepers[other]) == other
        assert asked(keepers[first]) == "ConnectionResetError"
        for client in keepers.values():
            client.communicate()
        assert end(process) == ""


def asked(client):
    client.stdin.write("\n")
    client.stdin.flush()
    said = client.stdout.readline().strip()
    return int(said) if said.isdigit() else said


def test_ctrl_c_ends_all_and_leaves_nothing(machine, site):
    with serve(machine, site) as process:
        workers = children(process)
        assert len(workers) == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert all(is_gone(worker) for worker in workers)
    assert devices(machine) == set()


def test_when_the_parent_is_killed_the_workers_end(machine, site):
    with serve(machine, site) as process:
        workers = children(process)
        process.kill()
        process.wait(10)
    assert eventually(lambda: all(is_gone(worker) for worker in workers))
    assert eventually(lambda: devices(machine) == set())


def test_usr2_loads_the_application_anew_in_every_worker(machine, site):
    with serve(machine, site) as process:
        (site / "who.py").write_text(SITE.replace("NAME", "second"))
        process.send_signal(signal.SIGUSR2)
        seen = set()

        def both_are_new():
            seen.add(machine.call("curl", "-sS", "http://192.0.2.2/").stdout)
            return {int(line.split()[0]) for line in seen if "second" in line} == children(process)

        assert eventually(both_are_new)
        end(process)


@pytest.mark.parametrize(
    ("content", "words"), [("1 / 0", "ZeroDivisionError"), (None, "cannot import who")]
)
def test_an_application_that_cannot_serve_is_told_in_one_line(machine, tmp_path, content, words):
    if content is not None:
        (tmp_path / "who.py").write_text(content)
    done = machine.call(
        TUNSTACK, "serve", "--workers", "3", "--app", "who:app", cwd=tmp_path, timeout=20
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tunstack: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert devices(machine) == set()


def test_a_device_of_others_is_not_joined(machine, site):
    refusal = "tunstack: the device tunstack0 is in use: choose another with --tun NAME\n"
    with serve(machine, site) as process:
        for options in ((), ("--workers", "2")):
            done = machine.call(TUNSTACK, "serve", "--address", "198.51.100.2/24", *options)
            assert (done.returncode, done.stderr) == (2, refusal)
        end(process)


# ---- beside a command -------------------------------------------------------------------------


def test_run_has_workers_too(site):
    script = "for i in $(seq 20); do curl -sS http://192.0.2.2/; done; exit 5"
    done = tunstack("run", "--workers", "2", "--app", "who:app", "--", "sh", "-c", script, cwd=site)
    assert done.returncode == 5
    assert len(set(done.stdout.splitlines())) == 2
    assert done.stderr.count("\n") == 1
    assert "answers at" in done.stderr


def test_run_passes_a_signal_to_the_command(site):
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [TUNSTACK, "run", "--quiet", "--workers", "2", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 7
