"""The host under test in virtual time: nothing happens but what is due or done to it."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from stack.core.config import HostConfig
from stack.core.events import Event
from stack.core.host import Host
from stack.sim.drill import packets, pattern
from stack.sim.drill.flow import Flow
from stack.sim.drill.packets import Ends, Seen
from stack.sim.drill.script import IcmpSpec, PacketSpec, TcpSpec, UdpSpec
from stack.sim.drill.settings import Settings
from stack.sim.drill.sockets import VirtualSockets
from stack.wire.batch import Inbound
from stack.wire.segment import ACK, SYN
from stack.wire.sequence import MASK, gt

START = 1_000_000
"""The host's time (µs) when a script begins: 0 is no time for a timer."""

_PREFIX = {4: 24, 6: 64}
_REMOTE_PORT = 40_000
# More steps than this at one instant would be a host that never comes to rest.
_STEPS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that our host sent at `time` (µs of the script), in the script's numbers.

    `broken` says where in the stream its text is not what the application wrote there.
    """

    time: int
    spec: PacketSpec
    flow: Flow | None
    broken: int | None = None


class Machine:
    """A host, the packets it has sent, and the time."""

    def __init__(self, settings: Settings) -> None:
        chance = random.Random(settings.seed)
        self.settings = settings
        self.ends = Ends(settings.local, settings.remote)
        self.host = _host(settings, chance)
        self.now = START
        self.sockets = VirtualSockets(self.host, lambda: self.now)
        self.sent: deque[Sent] = deque()
        self.seen: list[Event] = []
        self.flows: dict[tuple[int, int], Flow] = {}
        self.current: Flow | None = None
        self.cookies: dict[bytes, bytes] = {}  # of Fast Open, by the script's names for them
        self.patterned = True
        self.resume: Callable[[], bool] = lambda: False
        self.wakes: Callable[[], int | None] = lambda: None
        self.bound_port: Callable[[], int] = lambda: settings.bind_port
        self._chance = random.Random(f"{settings.seed}/remote")
        self.host.observe(self.seen.append)

    @property
    def time(self) -> int:
        """The time of the script in µs."""
        return self.now - START

    # Time.

    def advance(self, time: int, *, arriving: bool = False) -> None:
        """Lets happen what is due up to `time` (µs of the script).

        A packet that is `arriving` comes before the timers of that very instant, as with
        every driver of a host: what it acknowledges is no loss.
        """
        if not self.settings.together or START + time > self.now:
            self.run(lambda: False, time - arriving)
            self.now = max(self.now, START + time)

    def run(self, found: Callable[[], bool], time: int) -> None:
        """Lets happen what is due up to `time`, but stops as soon as `found` holds."""
        until = START + time
        self._send()
        while not found():
            deadline = self._next_deadline()
            if deadline is None or deadline > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, deadline)
            self.host.on_deadline(self.now)
            self._send()

    def _next_deadline(self) -> int | None:
        times = (self.host.next_deadline(), self.wakes())
        return min((time for time in times if time is not None), default=None)

    def settle(self) -> None:
        """Something was done to the host: calls that wait go on, and it sends what is due,
        unless all that the script does at one instant comes together.
        """
        if self.settings.together:
            self._tell()
        else:
            self._send()

    def _tell(self) -> bool:
        """Lets applications go on that wait; returns whether something changed."""
        events = self.host.events()
        for source, ready in events:
            if source.owner is not None:
                source.owner.on_ready(ready)
        return self.resume() or bool(events)

    def _send(self) -> None:
        """Has the host send, and its applications go on, until nothing more happens now.

        Applications come first, as with every driver of a host: what they do rides along.
        """
        for _ in range(_STEPS_MAX):
            told = self._tell()
            while (out := self.host.transmit(self.now)).count:
                for data in out:
                    self._note(data)
            if not told:
                return
        raise AssertionError("the host never comes to rest")

    # Packets.

    def inject(self, spec: PacketSpec, flow: Flow) -> None:
        """A packet of the script arrives."""
        data = packets.build(self._with_cookies(spec), flow, self.ends)
        if isinstance(spec, TcpSpec) and spec.flags & ACK and gt(spec.ack or 0, flow.acked):
            flow.acked = spec.ack or 0
        self.host.receive(Inbound.of([data]), self.now)
        self.settle()

    def _with_cookies(self, spec: PacketSpec) -> PacketSpec:
        """Cookies that the script gave a name become what our host drew."""
        if not self.cookies or not isinstance(spec, TcpSpec) or spec.options is None:
            return spec
        options = (
            replace(option, data=self.cookies.get(option.data, option.data))
            for option in spec.options
        )
        return replace(spec, options=tuple(options))

    def flow(self, local_port: int, remote_port: int) -> Flow:
        """The flow with these ports, which is a new one where there was none."""
        key = local_port, remote_port
        if key not in self.flows:
            drawn = self._chance.getrandbits(32)
            chosen = self.settings.remote_isn
            self.flows[key] = Flow(local_port, remote_port, drawn if chosen is None else chosen)
        return self.flows[key]

    def current_flow(self) -> Flow:
        """The flow of the line before; at first that of a peer who comes to our port."""
        if self.current is None:
            self.current = self.flow(self.bound_port(), _REMOTE_PORT)
        return self.current

    def _note(self, data: bytes) -> None:
        """Keeps a packet that our host sent for the line that expects it."""
        seen = packets.read(data)
        spec = seen.spec
        if isinstance(spec, TcpSpec):
            flow = self.flow(*seen.ports)
            if spec.flags & SYN:
                self._learn(flow, spec)
            spec = flow.to_script(spec)
            self.sent.append(Sent(self.time, spec, flow, self._broken(spec, flow, seen)))
            return
        if isinstance(spec, IcmpSpec) and spec.quoted == "tcp" and self.current is not None:
            spec = replace(spec, seq=(spec.seq - self.current.remote_isn) & MASK)
        datagrams = self.flow(*seen.ports) if isinstance(spec, UdpSpec) else None
        self.sent.append(Sent(self.time, spec, datagrams, self._broken_datagram(seen)))

    def _learn(self, flow: Flow, spec: TcpSpec) -> None:
        """A SYN of another connection than before begins to count anew."""
        number = self._number_of(flow)
        if flow.local_isn is None or number is None or number != flow.connection:
            flow.local_isn = spec.seq
            flow.connection = number
            flow.acked = 0

    def _number_of(self, flow: Flow) -> int | None:
        for number, connection in self.host.connections.items():
            path = connection.tcb.path
            if (path.sport, path.dport) == (flow.local_port, flow.remote_port):
                return number
        return None

    def _broken(self, spec: TcpSpec, flow: Flow, seen: Seen) -> int | None:
        """The first byte of the stream that is wrong; what was acknowledged may be anything,
        since a probe need not keep it.
        """
        first = (spec.seq + bool(spec.flags & SYN)) & MASK
        if not self.patterned or not seen.text or gt(flow.acked, first):
            return None
        wanted = pattern.text(first - 1, len(seen.text))
        if seen.text == wanted:
            return None
        wrong = (index for index, byte in enumerate(seen.text) if byte != wanted[index])
        return first - 1 + next(wrong)

    def _broken_datagram(self, seen: Seen) -> int | None:
        if not isinstance(seen.spec, UdpSpec) or not self.patterned:
            return None
        return None if seen.text == pattern.text(0, len(seen.text)) else 0

    def configure(self, config: HostConfig) -> None:
        """New settings, which hold for what is opened from now on."""
        self.host.config = config


def _host(settings: Settings, chance: random.Random) -> Host:
    local = ip_address(settings.local)
    addresses = [f"{local}/{_PREFIX[local.version]}"]
    if settings.sockets != settings.version:  # an IPv6 socket needs a host that has IPv6
        addresses.append(f"2001:db8::2/{_PREFIX[6]}")
    return Host(
        addresses,
        random_bytes=chance.randbytes,
        config=settings.host,
        mtu=settings.link_mtu,
    )
