"""Anything in any order: applications call, packets come, go missing, are forged, time passes.

After every step the variables of every connection must make sense; in the end all that
connections had must be back. Hypothesis searches for a short way to break this; the long
walks, which cost less a step, get deeper into the life of a connection.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stack.core.tcp.connection import Connection
from stack.wire.segment import ACK, FIN, PSH, RST, SYN, URG
from stack.wire.tcp_options import (
    Option,
    mss,
    sack,
    sack_permitted,
    timestamps,
    window_scale,
)
from tests.support.recordings import play, recording
from tests.support.tcp_world import MASK, MS, PORT, SECOND, Application, World, stream

LONG = os.environ.get("TUNSTACK_FUZZ") == "long"

# ---- what may be drawn: the same tables serve Hypothesis and the walks ---------------------

CONFIG: dict[str, list[Any]] = {
    "sack": [True, True, False],
    "timestamps": [True, False],
    "window_scaling": [True, True, False],
    "congestion": ["reno", "cubic", "bbr", "fixed"],
    "ecn": ["off", "passive", "classic", "accurate"],
    "mtu_probing": ["off", "off", "black hole", "always"],
    "send_buffer": [0, 0, 0, 1, 30, 700, 5000, 70_000],
    "receive_buffer": [0, 0, 0, 1, 30, 700, 5000, 70_000],
    "buffer_memory": [1 << 30, 100_000],
    "quick_acks": [0, 16],
    "syn_queue": [1, 1024],
    "time_wait_limit": [1, 100],
    "scaled_window_update": [False, True],
    "user_timeout_option": [False, True],
    "idle_restart": [True, False],
    "r2": [300 * SECOND],
}
FLAGS = [ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, SYN, SYN | ACK, ACK | URG]
BASES = ["rcv_nxt", "rcv_adv", "irs", "last_ack_sent"]
ACKED = ["snd_una", "snd_nxt", "iss", "recover"]
KINDS = {
    4: [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (4, 0), (11, 0), (12, 0)],
    6: [(1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0), (4, 1)],
}


def out_of_band(connection: Connection, value: int, now: int) -> None:
    """Takes the urgent octet out of the stream, or leaves it there."""
    connection.set("urgent_inline", value == 0)


SETTINGS: list[Callable[[Connection, int, int], None]] = [
    lambda c, value, now: c.set("nodelay", bool(value)),
    lambda c, value, now: c.set("cork", value == 0),
    lambda c, value, now: c.set("more", value == 1),
    lambda c, value, now: c.set("send_buffer", value + 1),
    lambda c, value, now: c.set("receive_buffer", value + 1),
    lambda c, value, now: c.set("keepalive", value > 0),
    lambda c, value, now: c.set("user_timeout", value * SECOND),
    lambda c, value, now: c.set("advertised_timeout", (value + 1) * SECOND),
    lambda c, value, now: c.set("mss", max(value, 88)),
    lambda c, value, now: c.set("pacing", value * 100),
    lambda c, value, now: c.use_congestion({0: "reno", 1: "cubic"}.get(value, "bbr")),
    lambda c, value, now: c.set("quickack", value > 0),
    out_of_band,
]


class Driver:
    """The steps, by name; `side` chooses the host, `number` one of its connections."""

    def __init__(self, seed: int, version: int, configs: tuple[dict, dict]) -> None:
        self.world = World(seed, version, configs)
        self.version = version
        # Most of life is behind the handshake.
        self.world.connect(0, 1000, PORT)
        self.let_it_run(2, 1000)
        self.world.accept(1)
        self.world.check()

    def _application(self, side: int, number: int) -> Application | None:
        """One that still has its connection, those that are not over first."""
        held = [one for one in self.world.parties[side].applications if one.held]
        alive = [one for one in held if one.connection in self.world.alive(side)] or held
        return alive[number % len(alive)] if alive else None

    def connect(self, side: int, local: int, remote: int) -> None:
        self.world.connect(side, local, remote)

    def connect_fast(self, side: int, local: int, length: int) -> None:
        self.world.connect(side, local, PORT, early=stream(0, length))

    def accept(self, side: int) -> None:
        self.world.accept(side)

    def listen_or_stop(self, side: int, backlog: int) -> None:
        self.world.listen(side, backlog)

    def send(self, side: int, number: int, length: int, urgent: int) -> None:
        if one := self._application(side, number):
            self.world.send(one, length, urgent=urgent == 0)

    def receive(self, side: int, number: int, limit: int) -> None:
        if one := self._application(side, number):
            self.world.receive(one, limit)

    def shutdown(self, side: int, number: int) -> None:
        if one := self._application(side, number):
            self.world.shutdown(one)

    def close(self, side: int, number: int) -> None:
        if one := self._application(side, number):
            self.world.close(one)

    def abort(self, side: int, number: int) -> None:
        if one := self._application(side, number):
            self.world.abort(one)

    def change(self, side: int, number: int, what: int, value: int) -> None:
        if one := self._application(side, number):
            one.plain = one.plain and SETTINGS[what] is not out_of_band
            SETTINGS[what](one.connection, value, self.world.now)
            one.available = one.connection.available

    def deliver(self, side: int, places: list[int]) -> None:
        self.world.deliver(side, places)

    def duplicate(self, side: int, places: list[int]) -> None:
        self.world.deliver(side, places, keep=True)

    def lose(self, side: int, count: int) -> None:
        self.world.lose(side, count)

    def let_it_run(self, rounds: int, delay: int) -> None:
        """All packets arrive, in order, `delay` µs after they left."""
        for _ in range(rounds):
            for side in (0, 1):
                self.world.flush()
                self.world.advance(delay)
                self.world.deliver(side, list(range(64)))

    def advance(self, us: int) -> None:
        self.world.advance(us)

    def forge(
        self,
        side: int,
        number: int,
        flags: int,
        base: str,
        offset: int,
        acked: str,
        ack_offset: int,
        window: int,
        length: int,
        options: int,
        fuzz: int,
    ) -> None:
        """A segment of any kind, near to what the connection expects."""
        if connections := self.world.alive(side):
            connection = connections[number % len(connections)]
            self.world.forge(
                side,
                connection,
                seq=getattr(connection.tcb, base) + offset,
                ack=getattr(connection.tcb, acked) + ack_offset,
                flags=flags,
                window=window,
                text=length,
                options=list(forged_options(connection, options, fuzz, self.world.now)),
                urgent=fuzz % 3000,
                tclass=fuzz % 4,
            )

    def icmp(self, side: int, number: int, kind: int, rest: int, at: str, offset: int) -> None:
        if connections := self.world.alive(side):
            connection = connections[number % len(connections)]
            kinds = KINDS[self.version]
            seq = getattr(connection.tcb, at) + offset
            self.world.icmp(side, connection, *kinds[kind % len(kinds)], rest, seq)


def forged_options(connection: Connection, which: int, fuzz: int, now: int):
    """Timestamps (1; 4: of about now), SACK (2; 8: two blocks), else a SYN's options (8)."""
    tcb = connection.tcb
    if which & 1:
        tsval = tcb.ts_recent + fuzz % 7 - 3 if which & 4 else fuzz
        yield timestamps(tsval & MASK, connection.timestamp(now) - fuzz % 1000 & MASK)
    if which & 2:
        left = tcb.snd_una + fuzz % 5000 - 500
        right = left + 1 + fuzz % 3000
        blocks = [(left, right), (right + fuzz % 99, right + fuzz % 3999)]
        yield sack(*[(a & MASK, b & MASK) for a, b in blocks[: 2 if which & 8 else 1]])
    elif which & 8:
        found: list[Option] = [mss(fuzz % 2000), window_scale(fuzz % 16), sack_permitted()]
        yield from found


# ---- Hypothesis -------------------------------------------------------------------------------

sides = st.integers(0, 1)
picks = st.integers(0, 7)
locals_ = st.integers(1000, 1003)
sizes = st.one_of(st.integers(1, 3), st.integers(1, 3000), st.integers(1, 200_000))
near = st.one_of(st.sampled_from([-1, 0, 1]), st.integers(-2000, 70_000))
places = st.lists(st.integers(0, 30), min_size=1, max_size=8)
configs = st.fixed_dictionaries({name: st.sampled_from(some) for name, some in CONFIG.items()})
times = st.one_of(
    st.integers(1, 1000),
    st.integers(1000, 300 * MS),
    st.sampled_from([SECOND, 10 * SECOND, 100 * SECOND, 400 * SECOND]),
)
STEPS: dict[str, dict[str, Any]] = {
    "connect": {
        "side": sides,
        "local": locals_,
        "remote": st.sampled_from([PORT, PORT, 1000, 1001]),
    },
    "connect_fast": {"side": sides, "local": locals_, "length": st.sampled_from([0, 5, 2000])},
    "accept": {"side": sides},
    "listen_or_stop": {"side": sides, "backlog": st.integers(0, 3)},
    "send": {"side": sides, "number": picks, "length": sizes, "urgent": st.integers(0, 5)},
    "receive": {"side": sides, "number": picks, "limit": sizes},
    "shutdown": {"side": sides, "number": picks},
    "close": {"side": sides, "number": picks},
    "abort": {"side": sides, "number": picks},
    "change": {
        "side": sides,
        "number": picks,
        "what": st.integers(0, len(SETTINGS) - 1),
        "value": st.sampled_from([0, 1, 3000]),
    },
    "deliver": {"side": sides, "places": places},
    "duplicate": {"side": sides, "places": places},
    "lose": {"side": sides, "count": st.integers(1, 40)},
    "let_it_run": {
        "rounds": st.integers(1, 4),
        "delay": st.sampled_from([10, 1000, 50 * MS]),
    },
    "advance": {"us": times},
    "forge": {
        "side": sides,
        "number": picks,
        "flags": st.one_of(st.sampled_from(FLAGS), st.integers(0, 0x1FF)),
        "base": st.sampled_from(BASES),
        "offset": near,
        "acked": st.sampled_from(ACKED),
        "ack_offset": near,
        "window": st.sampled_from([0, 1, 1000, 65_535]),
        "length": st.sampled_from([0, 0, 1, 5, 1000, 1400]),
        "options": st.integers(0, 15),
        "fuzz": st.integers(0, 1 << 30),
    },
    "icmp": {
        "side": sides,
        "number": picks,
        "kind": st.integers(0, 8),
        "rest": st.sampled_from([0, 500, 1280, 1400, 65_535]),
        "at": st.sampled_from(["snd_una", "snd_nxt", "iss"]),
        "offset": near,
    },
}


class TcpMachine(RuleBasedStateMachine):
    """Two hosts of ours and whatever may happen to them."""

    driver: Driver | None = None

    @initialize(
        seed=st.integers(0, 1 << 32),
        version=st.sampled_from([4, 6]),
        configs=st.tuples(configs, configs),
    )
    def begin(self, seed, version, configs):
        self.driver = Driver(seed, version, configs)

    @invariant()
    def everything_makes_sense(self):
        if self.driver is not None:
            self.driver.world.check()

    def teardown(self):
        if self.driver is not None:
            self.driver.world.end()


def _rule(name: str) -> Callable[..., None]:
    def step(self: TcpMachine, **arguments: Any) -> None:
        getattr(self.driver, name)(**arguments)

    step.__name__ = step.__qualname__ = name
    return rule(**STEPS[name])(step)


class EveryStep(TcpMachine):
    """With a rule for each step."""


for _name in STEPS:
    setattr(EveryStep, _name, _rule(_name))

TestTcp = EveryStep.TestCase
TestTcp.settings = settings(
    max_examples=3000 if LONG else 80,
    stateful_step_count=100 if LONG else 40,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

# ---- long walks -----------------------------------------------------------------------------

WEIGHTS = {
    "let_it_run": 20,
    "send": 15,
    "receive": 10,
    "forge": 12,
    "deliver": 8,
    "advance": 8,
    "icmp": 4,
    "change": 4,
    "accept": 3,
    "lose": 3,
    "connect": 3,
    "connect_fast": 2,
    "duplicate": 2,
    "shutdown": 1.5,
    "close": 1,
    "abort": 0.5,
    "listen_or_stop": 0.5,
}


def drawn(name: str, r: random.Random) -> dict[str, Any]:
    """Arguments for a step, by the same measure as above."""
    size = r.choice([r.randint(1, 3), r.randint(1, 3000), r.randint(1, 200_000)])

    def around() -> int:
        return r.choice([-1, 0, 0, 1, r.randint(-2000, 70_000)])

    choices = {
        "side": r.randint(0, 1),
        "number": r.randint(0, 7),
        "local": r.randint(1000, 1003),
        "remote": r.choice([PORT, PORT, 1000, 1001]),
        "length": size if name == "send" else r.choice([0, 0, 1, 5, 1000, 1400]),
        "limit": size,
        "backlog": r.randint(0, 3),
        "urgent": r.randint(0, 5),
        "what": r.randrange(len(SETTINGS)),
        "value": r.choice([0, 1, 3000]),
        "places": [r.randint(0, 30) for _ in range(r.randint(1, 8))],
        "count": r.randint(1, 40),
        "rounds": r.randint(1, 4),
        "delay": r.choice([10, 1000, 50 * MS]),
        "us": r.choice([r.randint(1, 1000), r.randint(1, 300 * MS), SECOND, 30 * SECOND]),
        "flags": r.choice([*FLAGS, ACK, ACK, r.randrange(0x200)]),
        "base": r.choice(BASES),
        "offset": around(),
        "acked": r.choice(ACKED),
        "ack_offset": around(),
        "window": r.choice([0, 1, 1000, 65_535]),
        "options": r.randint(0, 15),
        "fuzz": r.getrandbits(30),
        "kind": r.randint(0, 8),
        "rest": r.choice([0, 500, 1280, 1400, 65_535]),
        "at": r.choice(["snd_una", "snd_nxt", "iss"]),
    }
    return {argument: choices[argument] for argument in STEPS[name]}


def walk(seed: int, steps: int) -> None:
    r = random.Random(seed)
    pair = tuple({name: r.choice(some) for name, some in CONFIG.items()} for _ in range(2))
    driver = Driver(seed, r.choice([4, 6]), pair)  # type: ignore[arg-type]
    honest = seed % 3 == 0  # then every byte is looked at
    weights = [0 if honest and name == "forge" else WEIGHTS[name] for name in WEIGHTS]
    taken = []
    try:
        for name in r.choices(list(WEIGHTS), weights, k=steps):
            arguments = drawn(name, r)
            taken.append((name, arguments))
            getattr(driver, name)(**arguments)
            driver.world.check()
        driver.world.end()
    except Exception as error:
        lines = [f"{name}({arguments})" for name, arguments in taken]
        error.add_note("\n".join([f"seed {seed}, {pair}, the last steps:", *lines[-12:]]))
        raise


@pytest.mark.parametrize("part", range(5))
def test_long_walks_meet_nothing_that_makes_no_sense(part):
    count = 20_000 if LONG else 30
    for seed in range(part * count, (part + 1) * count):
        walk(seed, 150)


@pytest.mark.parametrize("seed", range(6))
def test_a_walk_is_replayed_bit_for_bit(monkeypatch, tmp_path, seed):
    """Whatever happens to a host, its inputs are all that it needs to do the same again."""
    made = recording(monkeypatch, tmp_path, "tests.support.tcp_world.Host")
    walk(seed, 300)
    for recorder, path in made:
        recorder.close()
        assert play(path).complete
