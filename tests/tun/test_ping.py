import pytest

from tests.support.playground import IPV4, IPV6

both_versions = pytest.mark.parametrize("address", [IPV4, IPV6])


def ping(playground, address, *options):
    version = "-6" if ":" in address else "-4"
    return playground.call("ping", version, "-n", "-i", "0.05", "-W", "2", *options, address)


@pytest.mark.rfc("1122", "3.2.2.6")
@both_versions
def test_ping_is_answered(playground, address):
    done = ping(playground, address, "-c", "5")
    assert done.returncode == 0, done.stdout
    assert "5 packets transmitted, 5 received, 0% packet loss" in done.stdout


@pytest.mark.rfc("1122", "3.2.2.6")
@both_versions
@pytest.mark.parametrize("size", [0, 1, 1452, 1473, 8000, 60000])
def test_ping_of_any_size_is_answered_with_the_same_bytes(playground, address, size):
    done = ping(playground, address, "-c", "2", "-s", str(size), "-p", "a55a")
    assert done.returncode == 0, done.stdout
    assert "2 received, 0% packet loss" in done.stdout
    assert "wrong data byte" not in done.stdout


@pytest.mark.rfc("1122", "3.2.2.6")
def test_ping_learns_route_and_times_of_the_whole_round_trip(playground):
    recorded = ping(playground, IPV4, "-c", "1", "-R").stdout
    assert f"\t{IPV4}\n" in recorded.partition("RR:")[2]
    timed = ping(playground, IPV4, "-c", "1", "-T", "tsonly").stdout
    assert "TS:" in timed
    assert "1 received, 0% packet loss" in timed


@both_versions
def test_the_kernel_is_told_that_no_one_uses_a_udp_port(playground, address):
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET,"
        " socket.SOCK_DGRAM)\n"
        "s.settimeout(3); s.connect((sys.argv[1], 9)); s.send(b'x')\n"
        "try: s.recv(1)\n"
        "except ConnectionRefusedError: print('refused')\n"
    )
    done = playground.call("python3", "-c", script, address)
    assert done.stdout == "refused\n", done.stderr
