"""`tunstack serve` in a network namespace that the test makes, in the place of a machine."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.playground import TUNSTACK, empty_network, eventually


@pytest.fixture
def machine():
    with empty_network() as network:
        yield network


def serve(machine, *options, **settings):
    """Starts it and waits for the line that says where it answers."""
    process = machine.start(TUNSTACK, "serve", *options, **settings)
    line = process.stderr.readline()
    assert "answers at" in line, line + process.stderr.read()
    return process


def devices(machine):
    listing = machine.call("ip", "-brief", "link").stdout
    return {line.split()[0].split("@")[0] for line in listing.splitlines()} - {"lo"}


def routes(machine):
    done = machine.call("ip", "route"), machine.call("ip", "-6", "route")
    return "".join(found.stdout for found in done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_answers_until_a_signal_ends_it_and_leaves_nothing(machine, number):
    nothing = devices(machine), routes(machine)
    with serve(machine) as process:
        assert "tunstack0" in devices(machine)
        for url in ("http://192.0.2.2/", "http://[2001:db8::2]/", "https://192.0.2.2:8443/"):
            done = machine.call("curl", "-sSk", "--max-time", "10", url)
            assert done.returncode == 0, done.stderr
        process.send_signal(number)
        assert process.wait(10) == 0
    assert (devices(machine), routes(machine)) == nothing


def test_a_kill_leaves_no_device_and_no_route(machine):
    nothing = devices(machine), routes(machine)
    with serve(machine, "--tun", "tcp0") as process:
        assert devices(machine) == {"tcp0"}
        process.kill()
        process.wait(10)
    assert eventually(lambda: (devices(machine), routes(machine)) == nothing)


def test_after_a_kill_it_starts_again(machine):
    for _ in range(2):
        with serve(machine) as process:
            assert machine.call("curl", "-sS", "http://192.0.2.2/").returncode == 0
            process.kill()


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (["address", "add", "192.0.2.9/28", "dev", "lo"], "192.0.2.0/28"),
        (["address", "add", "2001:db8::9/64", "dev", "lo"], "2001:db8::/64"),
        (["route", "add", "192.0.0.0/16", "dev", "lo"], "192.0.0.0/16"),
    ],
)
def test_an_address_that_the_machine_uses_is_refused_in_one_line(machine, setting, named):
    machine.call("ip", *setting)
    process = machine.start(TUNSTACK, "serve")
    _, error = process.communicate(timeout=20)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert named in error
    assert "--address" in error
    assert devices(machine) == set()


def test_a_default_route_is_no_clash(machine):
    machine.call("ip", "route", "add", "default", "dev", "lo")
    with serve(machine) as process:
        process.terminate()


def test_two_serve_side_by_side_on_addresses_of_their_own(machine):
    second = ("--tun", "second", "--address", "198.51.100.2/24")
    with serve(machine) as one, serve(machine, *second) as other:
        for address in ("192.0.2.2", "198.51.100.2"):
            done = machine.call("curl", "-sS", f"http://{address}/")
            assert done.returncode == 0, done.stderr
        one.terminate()
        other.terminate()


def test_a_device_in_use_is_refused_in_one_line(machine):
    with serve(machine) as running:
        process = machine.start(TUNSTACK, "serve", "--address", "198.51.100.2/24")
        _, error = process.communicate(timeout=20)
        assert process.returncode == 2
        assert error == "tunstack: the device tunstack0 is in use: choose another with --tun NAME\n"
        running.terminate()


def test_without_the_capability_it_says_what_to_do(machine):
    done = machine.call(
        "setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", TUNSTACK, "serve"
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "sudo" in done.stderr


def test_counters_are_printed_on_demand(machine):
    with serve(machine) as process:
        machine.call("ping", "-c", "1", "192.0.2.2")
        process.send_signal(signal.SIGUSR1)
        lines = []
        while (line := process.stderr.readline().strip()) != "":
            lines.append(line.split()[:2])
        assert ["IcmpInEchos", "1"] in lines
        process.terminate()


def test_an_application_is_replaced_under_way_and_its_requests_are_logged(machine, tmp_path):
    site, log = tmp_path / "site_on_disk.py", tmp_path / "access.log"
    site.write_text(SITE.format(name="first"))
    options = ("--app", "site_on_disk:app", "--access-log", str(log))
    with serve(machine, *options, cwd=tmp_path) as process:
        get = ("curl", "-sS", "-k", "-A", "curl", "http://192.0.2.2/x", "https://192.0.2.2/")
        assert machine.call(*get).stdout == '"first""first"'
        site.write_text("1 / 0")
        process.send_signal(signal.SIGUSR2)
        assert "ZeroDivisionError" in (line := process.stderr.readline())
        assert line.startswith("tunstack: ")
        assert machine.call(*get).stdout == '"first""first"'
        site.write_text(SITE.format(name="the second"))
        log.rename(tmp_path / "access.log.1")
        process.send_signal(signal.SIGUSR2)
        assert eventually(lambda: machine.call(*get).stdout == '"the second"' * 2)
        assert process.stderr.readline() == "first ends\n"
        first = (tmp_path / "access.log.1").read_text().splitlines()
        assert len(first) >= 4
        pattern = r'192\.0\.2\.1 - - \[.*\] "GET /x HTTP/1\.1" 200 7 "-" "curl"'
        assert re.fullmatch(pattern, first[0])
        assert '"GET / HTTP/2.0" 200 7' in first[1]
        assert '"GET / HTTP/2.0" 200 12' in log.read_text()
        process.terminate()


SITE = """
import contextlib, sys
import fastapi

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    print("{name} ends", file=sys.stderr, flush=True)

app = fastapi.FastAPI(lifespan=lifespan)

@app.get("/{{path:path}}")
def answer(path):
    return "{name}"
"""


def test_it_takes_no_processor_time_when_nothing_happens(machine):
    with serve(machine) as process:
        time.sleep(0.5)
        before = processor_time(process.pid)
        time.sleep(1)
        assert processor_time(process.pid) - before <= 2
        process.terminate()


def processor_time(pid):
    """In ticks of 10 ms (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
