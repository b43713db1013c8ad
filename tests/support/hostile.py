"""Two hosts on a hostile wire in virtual time, with applications that read when they like."""

import random
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.connection import Connection
from stack.core.tcp.states import State
from stack.link.impair import Faults, Impairments
from stack.wire.batch import Inbound
from stack.wire.segment import build_icmp
from tests.support import gso
from tests.support.invariants import Watch, check_returned
from tests.support.wirecheck import check

MS = 1_000
SECOND = 1_000_000
ADDRESSES = {
    "a": {4: "192.0.2.1", 6: "2001:db8::1"},
    "b": {4: "192.0.2.2", 6: "2001:db8::2"},
}
PORT = 80
STEPS_MAX = 400_000
# Under heavy loss patience decides whether a connection lives; not what these tests are about.
PATIENT = {"r2": 10**15, "orphan_r2": 10**15, "syn_r2": 10**15}


@dataclass
class Reader:
    """How an application reads: at most `limit` bytes at a time, pausing up to `pause` µs."""

    limit: int = 1 << 30
    pause: int = 0


@dataclass
class Troubles:
    """What befalls the path: a router's MTU from a time on, and times at which nothing gets
    through, both ways. In µs from the start.
    """

    path_mtu: list[tuple[int, int]] = field(default_factory=list)
    outages: list[tuple[int, int]] = field(default_factory=list)

    def mtu(self, since: int) -> int | None:
        """What a packet may have now; None: anything."""
        return max(((at, mtu) for at, mtu in self.path_mtu if at <= since), default=(0, None))[1]

    def out(self, since: int) -> bool:
        return any(start <= since < end for start, end in self.outages)


@dataclass
class Application:
    """Sends `data`, reads what comes, closes when both are done; pauses up to `pause` µs
    between two calls to send.
    """

    data: bytes
    reader: Reader = field(default_factory=Reader)
    chance: random.Random = field(default_factory=random.Random)
    chunk: int = 1 << 20  # bytes given to one send
    pause: int = 0
    writes_at: int = 0
    received: bytearray = field(default_factory=bytearray)
    sent: int = 0
    wakes_at: int = 0
    connection: Connection | None = None
    error: OSError | None = None
    done: bool = False
    keep_open: bool = False  # who calls decides when to close

    def step(self, now: int) -> None:
        """Does what is possible now."""
        connection = self.connection
        if connection is None or self.done:
            return
        if self.keep_open:
            self.received += connection.receive(1 << 30, now) if connection.available else b""
            return
        try:
            self._write(connection, now)
            self._read(connection, now)
        except OSError as error:
            self.error, self.done = error, True
            return
        if connection.eof and self.sent == len(self.data):
            connection.close(now)
            self.done = True

    def _write(self, connection: Connection, now: int) -> None:
        while self.sent < len(self.data):
            if now < self.writes_at:
                return
            taken = connection.send(self.data[self.sent : self.sent + self.chunk], now)
            if taken == 0:
                return
            self.sent += taken
            if self.pause:
                self.writes_at = now + self.chance.randint(1, self.pause)
        if connection.state != State.SYN_SENT:  # there, it would give up (RFC 9293 §3.10.4)
            connection.shutdown(now)

    def _read(self, connection: Connection, now: int) -> None:
        if now < self.wakes_at:
            return
        while connection.available:
            self.received += connection.receive(self.reader.limit, now)
            if self.reader.pause:
                self.wakes_at = now + self.chance.randint(1, self.reader.pause)
                return

    def next_wake(self, now: int) -> int | None:
        connection = self.connection
        if self.done or connection is None:
            return None
        reads = self.wakes_at if self.wakes_at > now and connection.available else None
        writes = self.writes_at if self.writes_at > now and self.sent < len(self.data) else None
        return min((time for time in (reads, writes) if time is not None), default=None)


class Side:
    """One host with its application and its capture."""

    def __init__(self, name: str, seed: int, config: TcpConfig, mtu: int) -> None:
        self.name = name
        addresses = [f"{ADDRESSES[name][4]}/24", f"{ADDRESSES[name][6]}/64"]
        self.host = Host(
            addresses,
            random_bytes=random.Random(f"{seed}/{name}").randbytes,
            config=HostConfig(tcp=config),
            mtu=mtu,
        )
        self.watch = Watch(self.host)
        self.capture: list[tuple[int, bytes]] = []
        self.whys: list[Any] = []
        self.application = Application(b"")

    def addresses(self) -> set[str]:
        return set(ADDRESSES[self.name].values())


class Pair:
    """A connects to B. `faults` are those of both directions, or of a→b and b→a."""

    def __init__(
        self,
        seed: int = 0,
        *,
        version: int = 4,
        faults: Faults | tuple[Faults, Faults] = Faults(),
        a: dict[str, Any] | None = None,
        b: dict[str, Any] | None = None,
        mtu: int = 1500,
        offload: str = "",
        iss: int | None = None,
        path_mtu: int | None = None,
        troubles: Troubles | None = None,
    ) -> None:
        """`offload`: the links take super-segments and either "cut" them or leave them "whole".
        `iss` is the initial sequence number of both. A router between them lets packets of
        `path_mtu` bytes through and tells who sends larger ones.
        """
        self.version = version
        self._troubles = troubles or Troubles([(0, path_mtu)] if path_mtu else [])
        self._whole = offload == "whole"
        self.now = self._start = SECOND
        both = faults if isinstance(faults, tuple) else (faults, faults)
        self.a = Side("a", seed, TcpConfig(**{**PATIENT, **(a or {})}), mtu)
        self.b = Side("b", seed, TcpConfig(**{**PATIENT, **(b or {})}), mtu)
        self.sides = (self.a, self.b)
        self._wires = {
            "a": Impairments(both[0], random.Random(f"{seed}/ab")),
            "b": Impairments(both[1], random.Random(f"{seed}/ba")),
        }
        for side in self.sides:
            side.host.offload = bool(offload)
            if iss is not None:
                side.host.secrets.initial_sequence = lambda path, now: iss
                side.host.segment_path.opens = False  # it would ask for its own
        self.listener = self.b.host.listen(ADDRESSES["b"][version], PORT)

    def connect(self, a: Application, b: Application) -> None:
        self.a.application, self.b.application = a, b
        a.connection = self.a.host.connect(ADDRESSES["b"][self.version], PORT, self.now)
        self.settle()

    def run(self, limit: int | None = None) -> None:
        """For `limit` µs, or until nothing is left to happen."""
        end = None if limit is None else self.now + limit
        for _ in range(STEPS_MAX):
            if not self.step(end):
                self.now = end or self.now
                return
            self.settle()
        raise AssertionError(f"no end after {STEPS_MAX} steps, at {self.now / SECOND} s")

    def step(self, end: int | None = None) -> bool:
        """Goes to the next instant at which something happens, if it is not behind `end`."""
        due = self._next()
        if due is None or (end is not None and due > end):
            return False
        self.now = max(due, self.now)
        self._arrive()
        for side in self.sides:
            side.host.on_deadline(self.now)
        return True

    def settle_hosts(self) -> None:
        """Hosts send what they have; applications are the caller's matter."""
        while True:
            for side in self.sides:
                side.watch.events(side.host.events())
            sent = [self._transmit(side) for side in self.sides]
            if not any(sent):
                return

    def _next(self) -> int | None:
        times = [side.host.next_deadline() for side in self.sides]
        times += [wire.next_deadline() for wire in self._wires.values()]
        times += [side.application.next_wake(self.now) for side in self.sides]
        return min((time for time in times if time is not None), default=None)

    def _arrive(self) -> None:
        for sender, receiver in ((self.a, self.b), (self.b, self.a)):
            while batch := self._wires[sender.name].pop(self.now, 64):
                receiver.capture += [(self.now, data) for data in batch]
                receiver.host.receive(Inbound.of(batch), self.now)
                receiver.watch.check()

    def settle(self) -> None:
        """Applications act and hosts send until neither has more to do at this instant."""
        while True:
            for side in self.sides:
                side.watch.events(side.host.events())
                self._accept()
                side.application.step(self.now)
                side.watch.check()
            sent = [self._transmit(side) for side in self.sides]
            if not any(sent):
                return

    def _accept(self) -> None:
        connection = self.listener.accept()
        if connection is not None:
            assert self.b.application.connection is None, "one SYN, two connections"
            self.b.application.connection = connection

    def _transmit(self, side: Side) -> bool:
        sent = False
        since = self.now - self._start
        mtu = self._troubles.mtu(since)
        while (out := side.host.transmit(self.now)).count:
            sent = True
            side.whys += out.whys
            pieces = list(chain.from_iterable(gso.packets(out)))
            side.capture += [(self.now, data) for data in pieces]
            if self._whole:
                pieces = list(chain.from_iterable(gso.packets(out, whole=True)))
            for data in () if self._troubles.out(since) else pieces:
                if mtu is None or len(data) <= mtu:
                    self._wires[side.name].push(data, self.now)
                else:
                    self._too_big(side, data, mtu)
        side.watch.check()
        return sent

    def _too_big(self, side: Side, data: bytes, mtu: int) -> None:
        """The router drops a packet and says so (RFC 1191 §4, RFC 8201 §3)."""
        other = self.b if side is self.a else self.a
        source, version = ADDRESSES[other.name][self.version], self.version
        kind, code, quoted = (3, 4, 28) if version == 4 else (2, 0, 1200)
        message = build_icmp(
            source, ADDRESSES[side.name][version], kind, code, rest=mtu, body=data[:quoted]
        )
        self._wires[other.name].push(message, self.now)

    # ---- judgement ------------------------------------------------------------------

    def check_wire(self, *, loss_free: bool = False, slow_reader: bool = True) -> None:
        for side in self.sides:
            found = check(side.capture, side.addresses(), loss_free, slow_reader=slow_reader)
            assert not found, f"{side.name}: {found[:5]}"

    def check_over(self) -> None:
        """Both sides closed and gave everything back."""
        for side in self.sides:
            assert side.application.error is None
            assert side.application.connection is not None
            assert side.application.connection.state == State.CLOSED
            check_returned(side.host)

    def transfer(
        self,
        to_b: bytes,
        to_a: bytes,
        a: Reader | None = None,
        b: Reader | None = None,
        writers: tuple[dict[str, int], dict[str, int]] = ({}, {}),
    ):
        """Both ways at once; everything arrives, and everything is given back. `writers` are
        `chunk` and `pause` of both applications.
        """
        first = Application(to_b, a or Reader(), random.Random(1), **writers[0])
        second = Application(to_a, b or Reader(), random.Random(2), **writers[1])
        self.connect(first, second)
        self.run()
        assert bytes(second.received) == to_b
        assert bytes(first.received) == to_a
        self.check_over()
