"""A host under test and a peer that a script plays, in virtual time.

A test injects segments, expects segments, lets time pass and calls as an application does.
Sequence numbers are relative: 0 is the SYN, 1 the first byte. An expectation that fails prints
the steps so far and the last segments.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn

from stack.core.config import HostConfig
from stack.core.events import Event, StateChanged
from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp.config import TcpConfig
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.tcp.states import State
from stack.wire import segment
from stack.wire.batch import Inbound
from stack.wire.segment import Option, build_tcp, parse
from tests.support import gso
from tests.support.invariants import Watch
from tests.support.seen import Seen, flag_bits, matches, relative, view
from tests.support.wirecheck import check

MS = 1_000
SECOND = 1_000_000
OURS = {4: "192.0.2.2", 6: "2001:db8::2"}
PEER = {4: "192.0.2.1", 6: "2001:db8::1"}
PORT = 80
PEER_PORT = 40_000
MASK = 0xFFFF_FFFF
SHOWN = 20  # segments that a failure prints


@dataclass
class Peer:
    """What the scripted side is and offers; numbers are relative as everywhere."""

    iss: int = 10_000
    mss: int | None = 1460
    wscale: int | None = None
    sack: bool = True
    ts: bool = False
    window: int = 65_535
    port: int = PEER_PORT
    nxt: int = 0  # next sequence number
    acks: int = 0  # what our host sent, as far as it is here
    tsval: int = 5_000  # at time 0; ticks every millisecond
    tsecr: int = 0


class Endpoint:
    """One host, one scripted peer. `config` are fields of TcpConfig."""

    def __init__(
        self,
        version: int = 4,
        *,
        iss: int | None = None,
        mtu: int = 1500,
        offload: bool = False,
        observed: bool = False,
        seed: int = 1,
        watched: bool = True,
        loss_free: bool = False,
        slow_reader: bool = False,
        peer: Peer | None = None,
        **config: Any,
    ) -> None:
        self.version = version
        self.config = TcpConfig(**config)
        self.host = Host(
            [f"{OURS[4]}/24", f"{OURS[6]}/64"],
            random_bytes=random.Random(seed).randbytes,
            config=HostConfig(tcp=self.config),
            mtu=mtu,
        )
        if iss is not None:
            self.host.secrets.initial_sequence = lambda path, now: iss
            self.host.segment_path.opens = False  # it would ask for its own
        self.host.offload = offload
        self.peer = peer if peer is not None else Peer()
        self.now = SECOND
        self.iss: int | None = None  # learnt from our host's SYN
        self.wscale: int | None = None  # as our host's SYN offered it
        self.ts_offered = False
        self.local_port = PORT
        self.connection: Connection | None = None
        self.listener: Listener | None = None
        self.ready: dict[object, Ready] = {}
        self.moves: list[StateChanged] = []
        self.steps: list[str] = []
        self.seen: list[Seen] = []
        self.pending: list[Seen] = []
        self.capture: list[tuple[int, bytes]] = []
        self.loss_free = loss_free
        self.slow_reader = slow_reader
        self.judged = True  # False: the script lies, so that the wire check cannot be right
        self.excused: tuple[str, ...] = ()
        self._mark = self.now
        self._watch = Watch(self.host)
        if not watched:  # thousands of connections would take their time
            self._watch.check = lambda: None
        if observed:
            self.host.observe(self._note)

    # ---- the application ----------------------------------------------------------

    def listen(self, **options: Any) -> Listener:
        self._step("call", "listen")
        self.listener = self.host.listen(OURS[self.version], PORT, **options)
        return self.listener

    def connect(self, **options: Any) -> Connection:
        self._step("call", "connect")
        options.setdefault("local_port", 50_000)
        self.local_port = options["local_port"]
        self.connection = self.host.connect(PEER[self.version], self.peer.port, self.now, **options)
        self._after()
        return self.connection

    def accept(self) -> Connection:
        self._step("call", "accept")
        assert self.listener is not None
        connection = self.listener.accept()
        if connection is None:
            self.fail("there is nothing to accept")
        self.connection = connection
        return connection

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls a method of the connection that takes the time last."""
        self._step("call", f"{name}({', '.join(_short(a) for a in arguments)})")
        result = getattr(self.tcp, name)(*arguments, self.now)
        self._after()
        return result

    def send(self, data: bytes) -> int:
        return self.call("send", data)

    def receive(self, limit: int = 1 << 30) -> bytes:
        return self.call("receive", limit)

    def shutdown(self) -> None:
        self.call("shutdown")

    def close(self) -> None:
        self.call("close")

    def abort(self) -> None:
        self.call("abort")

    @property
    def tcp(self) -> Connection:
        assert self.connection is not None, "no connection yet"
        return self.connection

    @property
    def tcb(self) -> Any:
        return self.tcp.tcb

    @property
    def state(self) -> State:
        return self.tcp.state

    def ready_of(self, source: object = None) -> Ready:
        """What the application was told since the last look."""
        return self.ready.pop(source or self.tcp, Ready(0))

    # ---- the peer -----------------------------------------------------------------

    def packet(
        self,
        flags: str,
        *,
        seq: int | None = None,
        ack: int | None = None,
        text: bytes = b"",
        window: int | None = None,
        options: Iterable[Option] | bytes | None = None,
        sack: Iterable[tuple[int, int]] = (),
        tsval: int | None = None,
        tsecr: int | None = None,
        ts: bool | None = None,
        port: int | None = None,
        **raw: Any,
    ) -> bytes:
        """A segment of the peer's. What is left out is what an honest peer would say.

        `window` is in bytes; `raw` goes to `build_tcp` (urgent, checksum, reserved, …).
        """
        peer = self.peer
        at = peer.nxt if seq is None else seq
        end = at + len(text) + ("S" in flags) + ("F" in flags)
        if at <= peer.nxt:
            peer.nxt = max(peer.nxt, end)
        number = peer.acks if ack is None else ack
        field = peer.window if window is None else window
        if "S" in flags:
            field = min(field, 65_535)
        elif self.scaled:
            field >>= peer.wscale or 0
        if options is None:
            options = self._options(flags, sack, tsval, tsecr, ts)
        return build_tcp(
            PEER[self.version],
            OURS[self.version],
            peer.port if port is None else port,
            self.local_port,
            seq=(peer.iss + at) & MASK,
            ack=((self.iss or 0) + number) & MASK if "A" in flags else 0,
            flags=flag_bits(flags),
            window=field,
            options=options,
            text=text,
            **raw,
        )

    def _options(self, flags, sack, tsval, tsecr, ts) -> list[Option]:
        peer = self.peer
        if "S" in flags:
            found = [segment.mss(peer.mss)] if peer.mss is not None else []
            found += [segment.window_scale(peer.wscale)] if peer.wscale is not None else []
            found += [segment.sack_permitted()] if peer.sack else []
        else:
            found = []
        wanted = peer.ts if "S" in flags else self.timestamps
        if wanted if ts is None else ts:
            value = peer.tsval + self.now // MS if tsval is None else tsval
            echo = peer.tsecr if "A" in flags else 0
            found.append(segment.timestamps(value & MASK, echo if tsecr is None else tsecr))
        if sack:
            base = self.iss or 0
            blocks = [((base + a) & MASK, (base + b) & MASK) for a, b in sack]
            found.append(segment.sack(*blocks))
        return found

    @property
    def timestamps(self) -> bool:
        """Whether both sides offered them."""
        return self.peer.ts and self.ts_offered

    @property
    def scaled(self) -> bool:
        return self.peer.wscale is not None and self.wscale is not None

    def inject(self, flags: str, **fields: Any) -> None:
        """One segment arrives."""
        self.arrive(self.packet(flags, **fields))

    def arrive(self, *packets: bytes) -> None:
        """Packets arrive together."""
        for data in packets:
            parsed = parse(data)
            if parsed.tcp is not None and not parsed.fault:
                one = self._view(data, ours=False)
                self.seen.append(one)
                self._step("inject", one.line()[14:])
            else:
                self._step("inject", f"{len(data)} bytes, protocol {parsed.protocol}")
            self.capture.append((self.now, data))
        for at in range(0, len(packets), 64):
            self.host.receive(Inbound.of(packets[at : at + 64]), self.now)
            self._watch.check()
        self._after()

    def _view(self, data: bytes, *, ours: bool) -> Seen:
        packet = parse(data)
        base, other = (self.iss or 0, self.peer.iss) if ours else (self.peer.iss, self.iss or 0)
        shift = (self.wscale if ours else self.peer.wscale) if self.scaled else 0
        return view(packet, self.now, ours=ours, base=base, peer_base=other, shift=shift or 0)

    # ---- time and output ------------------------------------------------------------

    def advance(self, us: int) -> None:
        """Time passes; timers run."""
        self._step("advance", _time(us))
        self._run(self.now + us)

    def _run(self, end: int, until: Callable[[], bool] = lambda: False) -> None:
        while not until() and (due := self.host.next_deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            self.host.on_deadline(self.now)
            self._after()
        if not until():
            self.now = end

    def _after(self) -> None:
        """Takes what the host sends and tells, and checks what must always hold."""
        self._watch.check()
        while (out := self.host.transmit(self.now)).count:
            whys, details = list(out.whys), list(out.details)
            for pieces, why, detail in zip(gso.packets(out), whys, details, strict=True):
                for data in pieces:
                    self._sent(data, why, detail)
        self._watch.check()
        events = self.host.events()
        self._watch.events(events)
        for source, ready in events:
            self.ready[source] = self.ready.get(source, Ready(0)) | ready

    def _sent(self, data: bytes, why: Any, detail: str) -> None:
        self.capture.append((self.now, data))
        parsed = parse(data)
        if parsed.tcp is None:
            return
        if parsed.tcp.flags & segment.SYN and parsed.tcp.dport == self.peer.port:
            self.iss = parsed.tcp.seq
            self.wscale = parsed.tcp.window_scale
            self.ts_offered = parsed.tcp.timestamps is not None
        one = self._view(data, ours=True)
        one.why, one.detail, one.elapsed = why, detail, self.now - self._mark
        if one.dport == self.peer.port and "R" not in one.flags:
            self.peer.acks = max(self.peer.acks, one.end)
            if one.ts:
                self.peer.tsecr = one.ts[0]
        self.seen.append(one)
        self.pending.append(one)

    def expect(
        self, flags: str | None = None, *, within: int = 0, after: int | None = None, **wanted: Any
    ) -> Seen:
        """The next segment of our host must be like this. It is there already, or comes
        `within` so many µs; `after` is the exact time from now, in µs.
        """
        if flags is not None:
            wanted = {"flags": flags, **wanted}
        words = ", ".join(f"{name}={_short(value)}" for name, value in wanted.items())
        limit = within if after is None else after
        start = self.now
        self._step("expect", words + (f" after {_time(after)}" if after is not None else ""))
        if not self.pending:
            self._run(start + limit, lambda: bool(self.pending))
        if not self.pending:
            self.fail("no segment came")
        one = self.pending.pop(0)
        one.elapsed = one.now - start
        missed = one.misses(wanted)
        if after is not None and one.now - start != after:
            missed.append(f"it came after {_time(one.now - start)}, not {_time(after)}")
        if missed:
            self.fail(f"{'; '.join(missed)}\n  in {one.line()}")
        return one

    def expect_nothing(self, us: int = 0) -> None:
        """Our host stays silent, for `us` more."""
        self._step("expect", "nothing" + (f" for {_time(us)}" if us else ""))
        if us and not self.pending:
            self._run(self.now + us, lambda: bool(self.pending))
        if self.pending:
            self.fail(f"a segment came\n  {self.pending[0].line()}")

    def expect_state(self, *states: State) -> None:
        self._step("expect", "state " + " or ".join(state.label for state in states))
        if self.state not in states:
            self.fail(f"the state is {self.state.label}")

    def expect_value(self, name: str, expected: Any, value: Any) -> None:
        """A variable has a value, or meets a condition."""
        self._step("expect", f"{name} = {_short(expected)}")
        if not matches(expected, value):
            self.fail(f"{name} is {_short(value)}")

    def take(self) -> list[Seen]:
        """All segments that wait to be expected."""
        found, self.pending = self.pending, []
        self._step("take", f"{len(found)} segments")
        return found

    # ---- reports ----------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.moves.append(event)

    def _step(self, kind: str, words: str) -> None:
        self._mark = self.now
        self.steps.append(f"{len(self.steps) + 1:4}  {self.now / 1e6:.6f}  {kind:8}{words}")

    def fail(self, words: str) -> NoReturn:
        lines = ["", "steps:", *self.steps[-40:], f"unmet: {words}", "segments:"]
        lines += [f"  {one.line()}" for one in self.seen[-SHOWN:]]
        if self.connection is not None:
            lines.append(f"state: {self.state.label}  {self.connection.info()}")
        raise AssertionError("\n".join(lines))

    def finish(self) -> None:
        """Nothing unexpected is left, and everything that our host sent was honest."""
        if self.pending:
            self.fail(f"{len(self.pending)} segments were never expected")
        if self.judged:
            found = check(
                self.capture, {OURS[self.version]}, self.loss_free, slow_reader=self.slow_reader
            )
            found = [one for one in found if not any(words in one for words in self.excused)]
            if found:
                self.fail("the wire check: " + "\n  ".join(found))

    def our_number(self, number: int) -> int:
        """A sequence number of ours (from the TCB), made relative."""
        return relative(number, self.iss or 0)

    def peer_number(self, number: int) -> int:
        return relative(number, self.peer.iss)


def address(text: str) -> bytes:
    return ip_address(text).packed


def _time(us: int) -> str:
    return f"{us / 1000:g} ms"


def _short(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > 32:
        return f"{len(value)} bytes"
    return repr(value)
