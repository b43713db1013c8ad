"""A bulk flow in a simulated network, for so long: how many segments pass in a second.

    python -m scripts.benchmarks.simulated SECONDS

1 Gbit/s and 10 ms there and back; nothing is lost but where slow start overflows the queue.
Prints one JSON object: the segments of both directions, the processor's time that they took,
and the time that passed in the network.
"""

import argparse
import json
import time

from stack.sim.bulk import Bulk
from stack.sim.network import Network

RATE = 1_000_000_000  # bit/s
DELAY = 5_000  # µs each way
QUEUE = 1_000  # packets
WARM_UP = 100_000  # µs until the flow fills the link
STEP = 5_000  # µs of the network at a time


def simulate(seconds: float) -> dict[str, float]:
    net = Network(seed=1)
    sender, receiver = net.host("a", "192.0.2.1/24"), net.host("b", "192.0.2.2/24")
    net.link(sender, receiver, rate=RATE, delay=DELAY, queue=QUEUE)
    bulk = Bulk(net, sender, receiver)
    net.run(until=net.now + WARM_UP)

    def segments() -> int:
        return sum(host.counters["TcpInSegs"] for host in (sender, receiver))

    before, octets, began_at, began = segments(), bulk.received, net.now, time.process_time()
    while time.process_time() - began < seconds:
        net.run(until=net.now + STEP)
    return {
        "segments": segments() - before,
        "seconds": time.process_time() - began,
        "virtual_seconds": (net.now - began_at) / 1e6,
        "bytes": bulk.received - octets,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    print(json.dumps(simulate(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
