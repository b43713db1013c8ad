"""One flow on one simulated path: a bottleneck forth, the same delay back."""

from typing import Any

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.tcp.config import TcpConfig
from stack.link.impair import Faults, ImpairmentSpec
from stack.link.loss import Loss
from stack.link.queue import DropTail
from stack.sim import CoDel, Network
from stack.sim.bulk import Bulk, throughput

MS = 1_000
SECOND = 1_000_000
MBIT = 1_000_000
SEGMENT = 1500  # bytes on the wire
HEADERS = 52  # of these, IPv4 and TCP with timestamps
TEXT = (SEGMENT - HEADERS) / SEGMENT  # of what a link carries, text


def path(
    seed: int = 1,
    *,
    rate: int,
    delay: int = 20 * MS,
    loss: Loss = 0.0,
    queue: float | DropTail | CoDel = 1.0,
    mtu: int = SEGMENT,
    reorder: float = 0.0,
    hold: tuple[int, int] = (0, 0),
    **settings: Any,
) -> tuple[Network, Host, Host]:
    """(network, sender, receiver): `rate` in bit/s, `delay` in µs each way, `queue` in
    bandwidth-delay products or as the link takes it; what else is said is the TCP's.
    """
    net = Network(seed)
    config = HostConfig(tcp=TcpConfig(**settings))
    sender = net.host("sender", "192.0.2.1/24", config=config, mtu=mtu)
    receiver = net.host("receiver", "192.0.2.2/24", config=config, mtu=mtu)
    if isinstance(queue, float):
        queue = max(int(queue * rate * 2 * delay / SECOND / 8 / mtu), 1)
    forth = Faults(rate=rate, delay=delay, loss=loss, queue=queue, reorder=reorder, hold=hold)
    back = Faults(rate=rate, delay=delay)
    net.link(sender, receiver, ImpairmentSpec(outbound=forth, inbound=back))
    return net, sender, receiver


def alone(
    span: float, warm_up: float = 2, mtu: int = SEGMENT, **settings: Any
) -> tuple[float, Bulk]:
    """(share of what the link can carry as text, the flow), over `span` seconds."""
    net, sender, receiver = path(mtu=mtu, **settings)
    flow = Bulk(net, sender, receiver)
    (rate,) = throughput(net, [flow], warm_up=int(warm_up * SECOND), span=int(span * SECOND))
    return rate * mtu / (mtu - HEADERS) / settings["rate"], flow
