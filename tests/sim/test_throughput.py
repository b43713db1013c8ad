"""What a connection makes of a path without any setting: filled links, fair shares, and
nothing sent twice that was only late.
"""

import os

import pytest

from stack.sim import Network
from stack.sim.bulk import Bulk, jain, throughput
from tests.support.paths import MBIT, MS, SECOND, TEXT, alone, path

LONG = os.environ.get("TUNSTACK_FUZZ") == "long"


@pytest.mark.rfc("9438", "4.2")
def test_cubic_fills_a_path_whose_queue_holds_one_product_of_rate_and_delay():
    """100 Mbit/s × 40 ms."""
    share, _ = alone(2, warm_up=1, rate=100 * MBIT)
    assert share >= 0.95


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.parametrize("mtu", [9000, 1500] if LONG else [9000])
def test_buffers_and_window_grow_until_a_long_fast_path_is_full(mtu):
    """1 Gbit/s × 100 ms and no setting: 12.5 MB are in flight. With a small MTU it takes six
    times the work and makes no other difference.
    """
    share, flow = alone(1, warm_up=2, rate=1000 * MBIT, delay=50 * MS, mtu=mtu)
    assert share >= 0.9
    assert flow.connection.tcb.snd_wnd > 12_500_000


@pytest.mark.rfc("9438", "5.3")
@pytest.mark.parametrize("later", [0, 3 * SECOND])
def test_two_cubic_flows_of_the_same_round_trip_share_fairly(later):
    net, sender, receiver = path(rate=10 * MBIT)
    flows = [Bulk(net, sender, receiver, begin=net.now + start) for start in (0, later)]
    shares = throughput(net, flows, warm_up=15 * SECOND, span=20 * SECOND)
    assert jain(shares) >= 0.95, shares
    assert sum(shares) >= 0.95 * TEXT * 10 * MBIT


@pytest.mark.rfc("8985", "6.2")
@pytest.mark.parametrize("reorder", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("hold", [(MS, 30 * MS), (30 * MS, 30 * MS)])
def test_segments_that_are_only_late_are_hardly_ever_repeated(reorder, hold):
    """Up to 30 ms late on a path of 40 ms, and none of them lost."""
    net, sender, receiver = path(
        rate=20 * MBIT, reorder=reorder, hold=hold, queue=100.0, receive_buffer=100_000
    )
    flow = Bulk(net, sender, receiver)
    net.run(until=net.now + 8 * SECOND)
    (wire,) = net.wires
    counters = wire.towards("receiver").impairments.counters
    assert counters.queue_dropped == 0
    assert counters.reordered > 50
    sent, again = (flow.connection.info()[name] for name in ("data_segs_out", "retrans"))
    assert sent > 6_000
    assert again < 0.005 * sent


def test_a_dumbbell_shares_its_bottleneck_among_hosts():
    net = Network(1)
    bell = net.dumbbell(3, 3, rate=10 * MBIT, delay=20 * MS, queue=33)
    flows = [Bulk(net, left, right) for left, right in zip(bell.left, bell.right, strict=True)]
    shares = throughput(net, flows, warm_up=5 * SECOND, span=10 * SECOND)
    assert sum(shares) >= 0.95 * TEXT * 10 * MBIT
    assert jain(shares) >= 0.9, shares
