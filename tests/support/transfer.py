"""A connection with a measured round trip, and full segments on their way."""

from tests.support.endpoint import MS

MSS = 1460
RTT = 50 * MS
PLAIN = {"sack": False}


def connected(t, rtt=RTT):
    """ESTABLISHED with a round trip of `rtt` measured by the handshake."""
    t.listen()
    t.inject("S")
    t.expect("SA")
    t.advance(rtt)
    t.inject("A")
    t.accept()
    return t


def flight(t, segments):
    """So many full segments leave; returns their text."""
    data = bytes(range(256)) * (segments * MSS // 256 + 1)
    t.send(data[: segments * MSS])
    sent = t.take()
    assert len(sent) == segments
    return data[: segments * MSS]


def seg(number):
    """Sequence number of the full segment `number`, counted from 0."""
    return 1 + number * MSS


def grow(t):
    """A window that has grown, and nothing in flight."""
    t.inject("A", window=1 << 20)
    t.send(bytes(150 * MSS))
    while t.tcp.send_queued:
        t.take()
        t.advance(RTT)
        t.inject("A", window=1 << 20)
    assert t.tcb.cwnd > 40 * MSS
