"""Algorithms on simulated paths: BBR under random loss, BBR beside others, and marks."""

from typing import ClassVar

import pytest

from stack.core.tcp.congestion import ALGORITHMS
from stack.core.tcp.congestion.cubic import Cubic
from stack.sim import CoDel
from stack.sim.bulk import Bulk, jain, throughput
from tests.support.paths import MBIT, MS, SECOND, TEXT, alone, path

BBR = "draft-ietf-ccwg-bbr"


@pytest.mark.rfc(BBR, "3.1")
def test_bbr_keeps_a_path_busy_that_loses_one_percent_where_cubic_cannot():
    bbr, flow = alone(8, warm_up=4, rate=100 * MBIT, loss=0.01, congestion="bbr")
    assert bbr >= 0.85
    assert flow.connection.info()["retrans"] >= 500
    cubic, _ = alone(8, warm_up=4, rate=100 * MBIT, loss=0.01, congestion="cubic")
    assert cubic <= 0.15


@pytest.mark.rfc(BBR, "3.1")
@pytest.mark.parametrize("queue", [0.25, 4.0])
def test_bbr_fills_a_path_and_leaves_its_queue_short(queue):
    share, flow = alone(8, rate=20 * MBIT, queue=queue, congestion="bbr")
    assert share >= 0.93
    assert flow.connection.tcb.srtt <= 70 * MS


@pytest.mark.rfc(BBR, "5.3.3.8")
@pytest.mark.parametrize("names", [("bbr", "cubic"), ("bbr", "reno"), ("bbr", "bbr")])
@pytest.mark.parametrize("queue", [1.0, 4.0])
def test_bbr_and_others_beside_each_other_all_get_something(names, queue):
    net, sender, receiver = path(rate=10 * MBIT, queue=queue)
    flows = [Bulk(net, sender, receiver, begin=net.now + n * SECOND // 2) for n in (0, 1)]
    net.run(until=net.now + SECOND // 2 + MS)
    for flow, name in zip(flows, names, strict=True):
        flow.connection.use_congestion(name)
    shares = throughput(net, flows, warm_up=5 * SECOND, span=15 * SECOND)
    assert sum(shares) >= 0.9 * TEXT * 10 * MBIT
    assert min(shares) >= 0.1 * 10 * MBIT, shares
    assert jain(shares) >= (0.9 if names == ("bbr", "bbr") else 0.6), shares


@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.rfc("9768", "3.2.2.2")
@pytest.mark.parametrize("ecn", ["classic", "accurate"])
@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr"])
def test_a_queue_that_marks_is_kept_short_without_a_loss(congestion, ecn):
    share, flow = alone(8, rate=10 * MBIT, queue=CoDel(mark=True), congestion=congestion, ecn=ecn)
    connection = flow.connection
    assert connection.host.counters["TCPEcnReductions"] >= 1
    assert connection.info()["retrans"] == 0
    assert connection.tcb.srtt <= 75 * MS
    assert share >= 0.6


@pytest.mark.rfc(BBR, "5.6.2")
@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr"])
def test_a_limit_on_pacing_holds_on_a_whole_path(congestion):
    net, sender, receiver = path(rate=100 * MBIT, congestion=congestion)
    flow = Bulk(net, sender, receiver)
    net.run(until=net.now + 100 * MS)
    flow.connection.set("pacing", 500_000)
    (rate,) = throughput(net, [flow], warm_up=2 * SECOND, span=4 * SECOND)
    assert 0.93 * 4 * MBIT <= rate <= 1.001 * 4 * MBIT
    assert flow.connection.info()["retrans"] == 0


class Told(Cubic):
    """CUBIC that notes when it hears of acknowledgements outside of slow start."""

    name = "told"
    times: ClassVar[list[int]] = []

    def on_ack(self, sample):
        if self.tcb.cwnd >= self.tcb.ssthresh:
            self.times.append(sample.now)
        super().on_ack(sample)


class Plain(Told):
    """One that leaves no word of how cwnd may grow."""

    name = "plain"

    def grow(self, by, acked):
        self.tcb.cwnd += by * acked // self.tcb.cwnd


@pytest.mark.parametrize(("algorithm", "per_round"), [(Told, (0.7, 1.1)), (Plain, (20, 100))])
def test_congestion_control_hears_once_in_a_round_trip_where_it_says_how_cwnd_grows(
    monkeypatch, algorithm, per_round
):
    monkeypatch.setitem(ALGORITHMS, algorithm.name, algorithm)
    monkeypatch.setattr(Told, "times", [])
    share, flow = alone(8, rate=20 * MBIT, congestion=algorithm.name)
    last = [now for now in algorithm.times if now > flow.connection.host.now - 4 * SECOND]
    rounds = 4 * SECOND / flow.connection.tcb.srtt
    least, most = per_round
    assert least <= len(last) / rounds <= most
    assert share >= 0.9


@pytest.mark.rfc("9406", "4.2")
def test_slow_start_ends_before_it_overflows_the_queue():
    """HyStart++ sees the queue grow; without it, a window of packets would be lost."""
    net, sender, receiver = path(rate=50 * MBIT, delay=50 * MS, queue=8.0)
    flow = Bulk(net, sender, receiver)
    net.run(until=net.now + 3 * SECOND)
    assert flow.connection.tcb.ssthresh < 1 << 30
    assert flow.connection.info()["retrans"] == 0
    assert flow.received >= 2 * 0.8 * TEXT * 50 * MBIT / 8
