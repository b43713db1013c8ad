"""Two hosts, the packets between them, and an attacker who sees everything.

A test decides each single thing: which packet arrives next, which is lost, what a forger
sends, what applications call. After each of its steps `check` holds every connection
against the invariants, and at the end `end` sees that all memory was given back.
"""

import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.wire.batch import Inbound
from stack.wire.craft import build_icmp, build_tcp
from stack.wire.tcp_options import Option
from tests.support import gso
from tests.support.invariants import (
    Watch,
    check_flight,
    check_memory,
    check_returned,
    check_timers,
)

MS = 1_000
SECOND = 1_000_000
MASK = 0xFFFF_FFFF
ADDRESSES = {
    0: {4: "192.0.2.1", 6: "2001:db8::1"},
    1: {4: "192.0.2.2", 6: "2001:db8::2"},
}
PORT = 80
KEPT = 200  # packets on the wire; more are lost
STREAM = random.Random(9).randbytes(1 << 16)


def stream(at: int, length: int) -> bytes:
    """What every application sends, so that a byte's place tells its value."""
    start = at % len(STREAM)
    found = STREAM[start : start + length]
    while len(found) < length:
        found += STREAM[: length - len(found)]
    return found


def ports(connection: Connection) -> frozenset[int]:
    """The ports of both ends, which are the same seen from either."""
    return frozenset((connection.local[1], connection.remote[1]))


@dataclass
class Application:
    """What one end of a connection has done and was told."""

    connection: Connection
    sent: int = 0
    received: int = 0
    available: int = 0
    told: Ready = field(default_factory=lambda: Ready(0))
    held: bool = True  # neither closed nor aborted by us
    plain: bool = True  # urgent data cannot have taken a byte out of the stream


@dataclass
class Party:
    """One host and its applications; those that are over stay for the final count."""

    host: Host
    watch: Watch
    wire: list[bytes] = field(default_factory=list)  # what it sent and nobody received yet
    applications: list[Application] = field(default_factory=list)
    listener: Listener | None = None
    budget: int = 0

    def application(self, connection: Connection) -> Application:
        for one in self.applications:
            if one.connection is connection:
                return one
        self.applications.append(Application(connection))
        return self.applications[-1]


class World:
    """`configs` are fields of TcpConfig for each of the two hosts."""

    def __init__(self, seed: int, version: int, configs: tuple[dict[str, Any], dict[str, Any]]):
        self.version = version
        self.now = SECOND
        self.tainted: set[frozenset[int]] = set()  # ports between which a forger spoke
        self.parties = tuple(self._party(seed, index, configs[index]) for index in (0, 1))
        for party in self.parties:
            party.listener = party.host.listen(None, PORT, backlog=3, fast_open=2)

    def _party(self, seed: int, index: int, config: dict[str, Any]) -> Party:
        tcp = TcpConfig(**config)
        host = Host(
            [f"{ADDRESSES[index][4]}/24", f"{ADDRESSES[index][6]}/64"],
            random_bytes=random.Random(f"{seed}/{index}").randbytes,
            config=HostConfig(tcp=tcp),
        )
        return Party(host, Watch(host), budget=tcp.buffer_memory)

    def alive(self, index: int) -> list[Connection]:
        """The connections that a host has."""
        return list(self.parties[index].host.connections.values())

    def address(self, index: int) -> str:
        return ADDRESSES[index][self.version]

    # ---- what applications do ---------------------------------------------------------

    def connect(self, index: int, local: int, remote: int, early: bytes | None = None) -> None:
        """Ports of both ends; with `remote` other than PORT both may open at once."""
        party = self.parties[index]
        with suppress(OSError):
            connection = party.host.connect(
                self.address(1 - index),
                remote,
                self.now,
                local_port=local,
                fast_open_data=early,
            )
            one = party.application(connection)
            one.sent = connection.send_queued

    def accept(self, index: int) -> None:
        party = self.parties[index]
        if party.listener is not None and (connection := party.listener.accept()) is not None:
            one = party.application(connection)
            one.available = connection.available

    def listen(self, index: int, backlog: int) -> None:
        """Closes the listener, or opens one."""
        party = self.parties[index]
        if party.listener is None:
            party.listener = party.host.listen(None, PORT, backlog=backlog, fast_open=1)
        else:
            party.listener.close(self.now)
            party.listener = None
            for one in party.applications:
                one.held = one.held and not one.connection.orphan  # those nobody accepted

    def send(self, one: Application, length: int, *, urgent: bool = False) -> None:
        call = one.connection.send_urgent if urgent else one.connection.send
        space = one.connection.send_space
        with suppress(OSError):
            taken = call(stream(one.sent, length), self.now)
            assert taken == min(length, space), "room in the buffer was not used"
            one.sent += taken

    def receive(self, one: Application, limit: int) -> None:
        available = one.connection.available
        peeked = one.connection.peek(limit)
        try:
            data = one.connection.receive(limit, self.now)
        except OSError:
            assert available == 0, "an error came before what was received"
            return
        assert data == peeked
        assert len(data) == min(limit, available)
        if one.plain and ports(one.connection) not in self.tainted:
            assert data == stream(one.received, len(data)), "other bytes than those sent"
        one.received += len(data)
        one.available = one.connection.available

    def shutdown(self, one: Application) -> None:
        one.connection.shutdown(self.now)

    def close(self, one: Application) -> None:
        one.held = False
        one.connection.close(self.now)

    def abort(self, one: Application) -> None:
        one.held = False
        one.connection.abort(self.now)

    # ---- what the network does --------------------------------------------------------

    def deliver(self, index: int, places: list[int], *, keep: bool = False) -> None:
        """Packets that party `index` sent arrive at the other in one batch; `keep`: they are
        duplicated.
        """
        wire = self.parties[index].wire
        places = sorted({place % len(wire) for place in places}) if wire else []
        batch = [wire[place] for place in places]
        if not keep:
            for place in reversed(places):
                del wire[place]
        self.arrive(1 - index, batch)

    def lose(self, index: int, count: int) -> None:
        del self.parties[index].wire[:count]

    def arrive(self, index: int, packets: list[bytes]) -> None:
        for at in range(0, len(packets), 64):
            self.parties[index].host.receive(Inbound.of(packets[at : at + 64]), self.now)

    def flush(self) -> None:
        for party in self.parties:
            while (out := party.host.transmit(self.now)).count:
                for pieces in gso.packets(out):
                    party.wire += pieces
            del party.wire[:-KEPT]

    def advance(self, us: int) -> None:
        """Time passes; timers run when they are due, and nothing arrives."""
        end = self.now + us
        for _ in range(10_000):
            dues = [party.host.next_deadline() for party in self.parties]
            due = min((due for due in dues if due is not None), default=end + 1)
            if due > end:
                self.now = end
                return
            assert due >= self.now or due == min(d for d in dues if d is not None)
            self.now = max(due, self.now)
            for party in self.parties:
                party.host.on_deadline(self.now)
            self.flush()
        raise AssertionError(f"timers run without end at {self.now} µs")

    # ---- what an attacker does --------------------------------------------------------

    def forge(
        self,
        index: int,
        connection: Connection,
        *,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        text: int,
        options: list[Option],
        urgent: int = 0,
        tclass: int = 0,
    ) -> None:
        """A segment as if from the peer of a connection of party `index`."""
        self.tainted.add(ports(connection))  # from now on both ends may disagree
        local, port = connection.local
        remote, remote_port = connection.remote
        packet = build_tcp(
            remote,
            local,
            remote_port,
            port,
            seq=seq & MASK,
            ack=ack & MASK,
            flags=flags,
            window=window,
            text=bytes(text),
            options=options,
            urgent=urgent,
            tclass=tclass,
        )
        self.arrive(index, [packet])

    def icmp(self, index: int, connection: Connection, kind: int, code: int, rest: int, seq: int):
        """An ICMP error about a segment of party `index`."""
        local, port = connection.local
        remote, remote_port = connection.remote
        quoted = build_tcp(local, remote, port, remote_port, seq=seq & MASK, text=bytes(1400))
        router = {4: "192.0.2.254", 6: "2001:db8::fe"}[self.version]
        body = quoted[:28] if self.version == 4 else quoted[:1200]
        self.arrive(index, [build_icmp(router, local, kind, code, rest=rest, body=body)])

    # ---- what must hold ---------------------------------------------------------------

    def check(self) -> None:
        self.flush()
        for party in self.parties:
            party.watch.check()
            for connection in party.host.connections.values():
                check_flight(connection)
                check_timers(connection)
            check_memory(party.host, party.budget)
            events = party.host.events()
            party.watch.events(events)
            self._hear(party, events)

    def _hear(self, party: Party, events: list) -> None:
        for one in party.applications:
            one.told = Ready(0)
        for source, ready in events:
            if isinstance(source, Connection):
                assert ready, "an event without a condition"
                party.application(source).told |= ready
        for one in party.applications:
            connection = one.connection
            if not one.held:
                assert not one.told, f"{one.told!r} for an application that let go"
                continue
            if connection.available > one.available == 0:
                assert one.told & Ready.READABLE, "data came, and nobody was told"
            one.available = connection.available
            if connection.state is State.CLOSED and one.told:
                assert one.told & (Ready.CLOSED | Ready.ERROR) or connection.eof
            if connection.state is State.CLOSED:
                assert connection.tcb.snd.capacity == 0, "a closed connection keeps its send ring"

    def end(self) -> None:
        """Applications let go of everything, the peers are silent: in the end nothing stays."""
        for party in self.parties:
            if party.listener is not None:
                while (connection := party.listener.accept()) is not None:
                    party.application(connection)
                party.listener.close(self.now)
            for one in party.applications:
                one.connection.close(self.now)
        self.flush()
        for party in self.parties:
            party.wire.clear()
            party.host.events()
        self.advance(10_000 * SECOND)
        for party in self.parties:
            assert not party.host.connections, "a connection outlives its application"
            check_returned(party.host)
            check_memory(party.host, party.budget)
            assert party.host.buffer_memory.left == party.budget
            assert not party.host._time_wait
            for one in party.applications:
                tcb = one.connection.tcb
                assert tcb.snd.capacity == tcb.rcv.capacity == 0, (
                    f"a ring was not given back: {tcb.snd.capacity}, {tcb.rcv.capacity} {one.connection.orphan=} {one.held=}"
                )
                assert not any(one.connection.deadlines[timer] for timer in Timer)
