"""What is in the network in the order of sending, and what looking for losses in it costs."""

import pytest

from stack.core.tcp.flight import Transmission
from stack.core.tcp.rack import Rack
from stack.core.tcp.send_order import SendOrder
from stack.sim.bulk import Bulk
from tests.support.paths import MBIT, MS, SECOND, path


def order_of(count):
    """(the order, its members from the oldest on), sent at 0, 1, … µs."""
    order = SendOrder(Transmission(0, 0, 0))
    members = [Transmission(number, number + 1, number) for number in range(count)]
    for member in members:
        order.append(member)
    return order, members


def test_the_newest_member_behind_one_that_left_is_found():
    order, members = order_of(5)
    order.remove(members[3])
    assert order.behind(members[3]) is members[2]
    assert list(order) == [members[0], members[1], members[2], members[4]]


def test_what_left_since_is_passed_over():
    order, members = order_of(5)
    for number in (3, 1, 2):
        order.remove(members[number])
    assert order.behind(members[3]) is members[0]
    order.remove(members[0])
    assert order.behind(members[3]) is None


def test_nothing_is_behind_the_oldest():
    order, members = order_of(2)
    order.remove(members[0])
    assert order.behind(members[0]) is None


@pytest.mark.rfc("8985", "6.2")
def test_an_acknowledgement_costs_what_it_finds_not_what_may_yet_be_late(monkeypatch):
    compared = 0
    compare = Rack._sent_after

    def counted(*times):
        nonlocal compared
        compared += 1
        return compare(*times)

    monkeypatch.setattr(Rack, "_sent_after", staticmethod(counted))
    # Within a quarter of the round trip, which is 80 segments here.
    net, sender, receiver = path(rate=100 * MBIT, reorder=0.02, hold=(9 * MS, 9 * MS))
    flow = Bulk(net, sender, receiver)
    net.run(until=net.now + SECOND // 2)
    segments = flow.connection.info()["segs_in"]
    assert segments > 1_000
    assert compared < 4 * segments
