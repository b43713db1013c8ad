"""When the segment path may work: what switches it off, and who gets it back."""

import pytest

from stack._native import lib
from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.core.why import NUMBERS, REASONS, Why
from stack.sim import Network
from stack.sim.bulk import Bulk


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    """These tests are about C, whatever the others are run with."""
    monkeypatch.delenv("TUNSTACK_FASTPATH", raising=False)


def flow(**settings):
    net = Network(seed=1)
    client = net.host("client", "192.0.2.1/24", config=HostConfig(**settings))
    server = net.host("server", "192.0.2.2/24", config=HostConfig(**settings))
    net.link(client, server, rate=100_000_000, delay=1_000, queue=1_000)
    return net, client, server


def carry(net: Network, client: Host, server: Host, octets: int = 1_000_000) -> Bulk:
    bulk = Bulk(net, client, server, octets=octets)
    net.run_until(lambda: bulk.done)
    return bulk


def share(host: Host, direction: str) -> float:
    return host.counters[f"Fast{direction}Segs"] / host.counters[f"Tcp{direction}Segs"]


def test_c_takes_nearly_all_segments_of_a_bulk_transfer():
    net, client, server = flow()
    carry(net, client, server, 20_000_000)
    for host in (client, server):
        assert share(host, "In") > 0.99
        assert share(host, "Out") > 0.99


def test_python_does_everything_where_c_is_switched_off():
    net, client, server = flow(fast_path=False)
    bulk = carry(net, client, server)
    assert bulk.received == 1_000_000
    for host in (client, server):
        assert host.counters["FastInSegs"] == host.counters["FastOutSegs"] == 0


def test_the_environment_switches_it_off(monkeypatch):
    monkeypatch.setenv("TUNSTACK_FASTPATH", "0")
    net, client, server = flow()
    carry(net, client, server)
    assert client.counters["FastInSegs"] == 0


def test_a_host_that_is_observed_decides_everything_in_python_and_shows_it():
    net, client, server = flow()
    seen = []
    detach = server.observe(seen.append)
    carry(net, client, server)
    assert server.counters["FastInSegs"] == 0 < client.counters["FastInSegs"]
    assert len(seen) > 1_000
    detach()
    carry(net, client, server)
    assert server.counters["FastInSegs"] > 0


def test_counters_are_the_same_whoever_counts():
    def counted(fast_path):
        net, client, server = flow(fast_path=fast_path)
        carry(net, client, server)
        both = {
            **client.counters.as_dict(),
            **{f"s{k}": v for k, v in server.counters.as_dict().items()},
        }
        return {name: value for name, value in both.items() if "Fast" not in name}

    assert counted(True) == counted(False)


def test_other_settings_make_earlier_connections_pythons_matter():
    """C has those for the connections to come."""
    net, client, server = flow()
    bulk = Bulk(net, client, server, octets=3_000_000)
    net.run_until(lambda: bulk.received > 1_000_000)
    before = server.counters["FastInSegs"]
    server.config = HostConfig(tcp=TcpConfig(delayed_ack=10_000))
    net.run_until(lambda: bulk.done)
    assert server.counters["FastInSegs"] - before < 100 < before
    carry(net, client, server)
    assert server.counters["FastInSegs"] >= 2 * before


@pytest.mark.parametrize("setting", ["cork", "user_timeout", "recvtos"])
def test_a_setting_that_only_python_knows_takes_a_connection_back(setting):
    net, client, server = flow()
    bulk = Bulk(net, client, server, octets=3_000_000)
    net.run_until(lambda: bulk.received > 1_000_000)
    connection = bulk.connection
    assert connection.tcb.fast
    connection.set(setting, 1_000_000_000 if setting == "user_timeout" else True)
    assert not connection.tcb.fast
    connection.set(setting, 0 if setting == "user_timeout" else False)
    assert connection.tcb.fast
    net.run_until(lambda: bulk.done)


def test_both_sides_mean_the_same_by_their_numbers():
    assert lib.STATE_ESTABLISHED == State.ESTABLISHED
    assert lib.STATE_FIN_WAIT_1 == State.FIN_WAIT_1
    assert lib.STATE_FIN_WAIT_2 == State.FIN_WAIT_2
    assert lib.STATE_CLOSE_WAIT == State.CLOSE_WAIT
    assert lib.STATE_LAST_ACK == State.LAST_ACK
    assert lib.READY_READABLE == Ready.READABLE
    assert lib.READY_WRITABLE == Ready.WRITABLE
    assert sorted(Timer) == list(range(lib.TIMER_COUNT))
    assert set(NUMBERS) == set(Why)
    assert len(REASONS) == len(Why)
    assert lib.WHY_NONE not in REASONS
