"""UDP between the kernel's sockets and ours, over a real device.

Each scenario that the loopback knows runs here with the kernel on one side and our stack on
the other, in both roles, and must come out as between the kernel and itself.
"""

import random
import socket
from contextlib import contextmanager

import pytest

from stack.core.host import Host
from stack.link.tun import TunLink
from stack.sockets.blocking import BlockingHost
from tests.support import udp_option_cases  # noqa: F401 - registers its cases
from tests.support.kernel_network import KERNEL, OURS, KernelNetwork, interfaces
from tests.support.playground import eventually
from tests.support.udp_cases import CASES
from tests.support.udp_worlds import UdpWorld, compare, kernels


class Sides:
    """Our stack and the kernel beside it."""

    def __init__(self, network, ours):
        self.kernel = network
        self.ours = ours

    @contextmanager
    def world(self, client):
        """A world in which the client is "ours" or the "kernel's"."""
        make = {"ours": self.ours.socket, "kernel's": self.kernel.socket}
        addresses = {"ours": OURS, "kernel's": KERNEL}
        server = "kernel's" if client == "ours" else "ours"
        world = UdpWorld(
            {"client": make[client], "server": make[server]}, addresses[client], addresses[server]
        )
        try:
            yield world
        finally:
            world.close()


@pytest.fixture(scope="module")
def sides():
    with KernelNetwork() as network:
        host = Host(interfaces(OURS), random_bytes=random.Random(1).randbytes)
        with BlockingHost(host, TunLink(network.tun)) as ours:
            yield Sides(network, ours)


# A TUN device has no broadcast, so the kernel has no route to everyone.
UNKNOWN = {("kernel's", "broadcast_needs_leave")}
ROLES = [
    pytest.param(case, client, id=f"{case.__name__}-{client}")
    for case in CASES
    for client in ("ours", "kernel's")
    if (client, case.__name__) not in UNKNOWN
]


@pytest.mark.parametrize(("scenario", "client"), ROLES)
def test_same_as_between_the_kernel_and_itself(sides, scenario, client):
    with kernels() as world:
        expected = list(scenario(world))
    with sides.world(client) as world:
        compare(list(scenario(world)), expected)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_thousands_of_datagrams_of_all_sizes_come_back(sides, family):
    chance = random.Random(family)
    with (
        sides.kernel.socket(family) as kernel,
        sides.ours.socket(family, socket.SOCK_DGRAM) as ours,
    ):
        kernel.bind((KERNEL[family], 0))
        ours.bind((OURS[family], 0))
        kernel.settimeout(5)
        ours.settimeout(5)
        for _ in range(1000):
            text = chance.randbytes(chance.choice([0, 1, 2, 100, 1471, 1473, 3000, 20_000]))
            kernel.sendto(text, ours.getsockname())
            data, name = ours.recvfrom(65_535)
            assert (data, name) == (text, kernel.getsockname())
            ours.sendto(data[::-1], name)
            assert kernel.recv(65_535) == text[::-1]


def test_all_that_the_kernel_sends_is_counted_and_nothing_is_found_spoilt(sides):
    before = sides.ours.host.counters.as_dict()
    with (
        sides.kernel.socket() as kernel,
        sides.ours.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
    ):
        ours.bind((OURS[socket.AF_INET], 0))
        for _ in range(200):  # fewer than the device's queue holds
            kernel.sendto(b"x" * 100, ours.getsockname())
        ours.settimeout(5)
        for _ in range(200):
            assert len(ours.recv(1000)) == 100
        after = sides.ours.host.counters.as_dict()
        moved = {name: after[name] - before[name] for name in after}
        assert moved["UdpInDatagrams"] == 200
        assert moved["UdpInErrors"] == moved["UdpInCsumErrors"] == 0


def test_a_full_buffer_drops_and_counts(sides):
    with (
        sides.kernel.socket() as kernel,
        sides.ours.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
    ):
        ours.bind((OURS[socket.AF_INET], 0))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        counters = sides.ours.host.counters
        before, heard = counters["UdpRcvbufErrors"], counters["UdpInDatagrams"]
        for number in range(100):
            kernel.sendto(b"%03d" % number * 300, ours.getsockname())
        assert eventually(
            lambda: counters["UdpRcvbufErrors"] + counters["UdpInDatagrams"] == before + heard + 100
        )
        dropped = counters["UdpRcvbufErrors"] - before
        ours.setblocking(False)
        kept = 0
        while True:
            try:
                assert ours.recv(2000)[:3] == b"%03d" % kept  # the first ones, in order
            except BlockingIOError:
                break
            kept += 1
        assert 0 < kept < 20
        assert dropped == 100 - kept
