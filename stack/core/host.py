"""A host (RFC 1122): addresses, connections, listeners and timers behind five calls.

It owns no clock, no randomness and no descriptor. Whoever drives it brings packets and
the time (µs, never going back) and takes packets away: `receive`, `transmit`,
`next_deadline`, `on_deadline`, `events`.
"""

import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core import deliver
from stack.core.config import HostConfig
from stack.core.counters import Counters
from stack.core.events import Event, Observer, PacketReceived, PacketSent
from stack.core.ip.addresses import LocalAddresses
from stack.core.ip.fragment import fragment
from stack.core.ip.icmp import IcmpLimiter
from stack.core.ip.identification import Identification
from stack.core.ip.path_mtu import PathMtu
from stack.core.ip.reassembly import Reassembly
from stack.core.ready import Ready
from stack.core.system_error import system_error
from stack.core.tcp import fast_open_client, growth, handshake, output, resets, source_route
from stack.core.tcp.challenge import ChallengeLimit
from stack.core.tcp.connection import Buffer, Connection
from stack.core.tcp.fast_open import Cookies
from stack.core.tcp.isn import Secrets
from stack.core.tcp.listener import Listener
from stack.core.tcp.memory import Budget
from stack.core.tcp.metrics import MetricsCache
from stack.core.tcp.segment_path import SegmentPath
from stack.core.tcp.states import Cause, State
from stack.core.tcp.syn_cookies import SynCookies
from stack.core.timers import TimerQueue
from stack.core.udp.endpoint import UdpEndpoint
from stack.core.udp.ports import UdpPorts
from stack.core.why import Verdict, Why
from stack.errors import UsageError
from stack.wire.address import fill_path, pack, raw
from stack.wire.batch import Outbound

if TYPE_CHECKING:
    from stack._native import Packet, Path, Tcb
    from stack.wire.batch import Inbound

Source = Connection | Listener | UdpEndpoint

_REPLIES_MAX = 1024  # packets that wait without a connection: resets, ICMP


class Host:
    """One end system; `addresses` are like "192.0.2.2/24", `mtu` is in bytes.

    `random_bytes(n)` must give n unpredictable bytes, or the same ones each time where a
    run is to be repeated. With `loopback` the host has 127.0.0.1 and ::1, too; its link must turn
    around what it sends to itself (`stack.link.loopback`). Raises UsageError for addresses that
    no host can have.
    """

    # What the host makes for its applications. A subclass that records takes others.
    connection_class: type[Connection] = Connection
    listener_class: type[Listener] = Listener
    endpoint_class: type[UdpEndpoint] = UdpEndpoint

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        random_bytes: Callable[[int], bytes],
        config: HostConfig | None = None,
        mtu: int = 1500,
        loopback: bool = False,
    ) -> None:
        if mtu < 1280:
            raise UsageError(f"an MTU of {mtu} is too small: IPv6 needs 1280 (RFC 8200 §5)")
        self._config = config if config is not None else HostConfig()
        self.local = LocalAddresses(addresses, loopback=loopback)
        self.mtu = mtu
        self.now = 0
        self.offload = False
        self.observed = False
        self.counters = Counters()
        self.secrets = Secrets(random_bytes(32))
        self.path_mtu = PathMtu(mtu)
        self.identification = Identification(random_bytes(32))
        self.reassembly = Reassembly(counters=self.counters)
        self.icmp_limiter = IcmpLimiter(self.config.icmp_rate, self.config.icmp_burst)
        self.flows = ffi.gc(lib.flow_table_new(random_bytes(16)), lib.flow_table_free)
        self.buffer_memory = Budget(self.config.tcp.buffer_memory)
        self.metrics = MetricsCache(self.config.tcp.metrics_limit, self.config.tcp.metrics_lifetime)
        self.connections: dict[int, Connection] = {}
        self.timers = TimerQueue(self.connections)
        self.listeners: dict[int, list[Listener]] = {}
        self.ready_to_send: deque[Connection] = deque()
        self.sampled: list[Connection] = []
        """Connections whose congestion control has acknowledgements to hear of."""
        self.segment_path = SegmentPath(self)
        self.counters.include(self.segment_path.counted)
        self.emit = ffi.new("struct emit *")
        self.spans = ffi.new("struct span[2]")  # for whoever looks into a ring
        self._replies: deque[tuple[bytes, Why, str]] = deque()
        self._time_wait: deque[Connection] = deque()
        self._events: dict[Source, Ready] = {}
        self._observers: tuple[Observer, ...] = ()
        self.elsewhere: Callable[[bytes], bool] | None = None
        """Asked about packets that were rebuilt from fragments, where several hosts share the
        addresses: whether the packet was for another one, which has it now."""
        self.early = Outbound()
        """What must leave before anything else: the batch that `transmit` returns next."""
        self._sent = Outbound()
        self._scratch = ffi.new("struct outgoing *")
        self._ip_id = int.from_bytes(random_bytes(2), "big")
        self.udp = UdpPorts(self, random_bytes(32))
        self.syn_cookies = SynCookies(random_bytes(32))
        self.fast_open_cookies = Cookies(random_bytes(32))
        self.fast_open_cache = fast_open_client.CookieCache()
        self.challenges = ChallengeLimit(self.config.tcp.challenge_acks, random_bytes(16))

    @property
    def config(self) -> HostConfig:
        """The settings; others hold for what begins from then on."""
        return self._config

    @config.setter
    def config(self, settings: HostConfig) -> None:
        self._config = settings
        self.segment_path.use(settings)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses with their prefix lengths."""
        return tuple(str(interface) for interface in self.local.interfaces)

    # The five calls.

    def receive(self, inbound: "Inbound", now: int) -> None:
        """Processes packets that came in together."""
        self.now = now
        arrived = inbound.count
        path = self.segment_path
        if path.enabled and not self.observed:
            index = path.arrive(inbound, 0, now)
            if index < arrived:
                self._take_packets(inbound, index, now)
        else:
            path.count(inbound)
            for index in range(arrived):
                self._packet_arrives(inbound, index, now)
        if self.sampled:
            self._settle(now)

    def receive_rest(self, inbound: "Inbound", first: int, now: int) -> None:
        """Goes on with packets that came in together: a driver has given those before `first`
        to the segment path, which has noted what became due.
        """
        self.now = now
        self.segment_path.take_notes()
        self._take_packets(inbound, first, now)
        if self.sampled:
            self._settle(now)

    def _take_packets(self, inbound: "Inbound", index: int, now: int) -> None:
        arrived = inbound.count
        while index < arrived:
            self._packet_arrives(inbound, index, now)
            index = self.segment_path.arrive(inbound, index + 1, now)

    def _packet_arrives(self, inbound: "Inbound", index: int, now: int) -> None:
        data = inbound.data(index) if self.observed else b""
        verdict, detail = deliver.packet_arrives(self, inbound.slot(index), now)
        if self.observed:
            self.publish(PacketReceived(now, data, verdict, detail))

    def _settle(self, now: int) -> None:
        """The batch is over: congestion control hears what its acknowledgements were worth."""
        for connection in self.sampled:
            if connection.tcb.sample_due:
                growth.settle(connection, now)
        self.sampled.clear()

    def transmit(self, now: int) -> Outbound:
        """Packets that may leave now; call again until there are none.

        The object and what it borrows hold until the next call into this host.
        """
        self.now = now
        if not (self.ready_to_send or self.early.count or self._replies or self.udp.unsent):
            return self.early
        out, self.early = self.early, self._sent
        self._sent = out
        self.early.clear()
        while self._replies and not out.full:
            out.push_raw(*self._replies.popleft())
        if self.udp.unsent:
            self.udp.transmit(out)
        ready = self.ready_to_send
        while ready and not out.full:
            connection = ready.popleft()
            connection.tcb.in_output = 0
            if not output.transmit(connection, out, now):
                connection.wants_output()
        self.counters.count("IpOutRequests", out.count)
        if self.observed:
            self._show_sent(out, now)
        return out

    def _show_sent(self, out: Outbound, now: int) -> None:
        for data, why, detail in zip(out.whole(), out.whys, out.details, strict=True):
            assert isinstance(why, Why)
            self.publish(PacketSent(now, data, why, detail))

    def next_deadline(self) -> int | None:
        """When `on_deadline` must be called (µs) if nothing arrives before; None: never."""
        return self._before_others(self.timers.next_deadline())

    def next_wake(self) -> int | None:
        """No later than `next_deadline`, and found with less work: for drivers that do not
        mind to be woken too early once in a while.
        """
        return self._before_others(self.timers.earliest_place())

    def _before_others(self, deadline: int | None) -> int | None:
        if not (self.reassembly.held or self.path_mtu.known):
            return deadline
        for other in (self.reassembly.next_deadline(), self.path_mtu.next_deadline()):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        return deadline

    def on_deadline(self, now: int) -> None:
        """Runs every timer that is due."""
        self.now = now
        self.timers.expire(now)
        deliver.expire(self, now)

    def events(self) -> list[tuple[Source, Ready]]:
        """What applications must hear since the last call, one entry for each object."""
        if not self._events:
            return []
        events = list(self._events.items())
        self._events = {}
        return events

    # What applications ask for.

    def listen(
        self,
        address: str | None,
        port: int,
        *,
        backlog: int = 128,
        fast_open: int = 0,
        reuse_port: bool = False,
    ) -> Listener:
        """Listens on one address, on all of a version ("0.0.0.0", "::") or on all (None).

        Port 0 takes a free one. Of connections by TCP Fast Open, `fast_open` may wait for the
        end of their handshake while the application has them already. With `reuse_port` others
        that have it, too, may listen there. Raises OSError EADDRNOTAVAIL or EADDRINUSE.
        """
        version, packed = self._bindable(address)
        if port == 0:
            port = next(p for p in self._ephemeral(self._any_path()) if p not in self.listeners)
        listener = self.listener_class(
            self, packed, version, port, max(backlog, 1), fast_open, reuse_port=reuse_port
        )
        others = self.listeners.setdefault(port, [])
        if any(listener.conflicts(other) for other in others):
            raise system_error(errno.EADDRINUSE)
        others.append(listener)
        self.segment_path.listen(port, others)
        return listener

    def listens_otherwise(self, listener: Listener) -> None:
        """A listener wants other things than before."""
        others = self.listeners.get(listener.port, ())
        if listener in others:
            self.segment_path.listen(listener.port, others)

    def _bindable(self, address: str | None) -> tuple[int, bytes | None]:
        """(version or 0 for both, packed address or None for all)."""
        if address is None:
            return 0, None
        parsed = ip_address(address)
        if parsed.is_unspecified:
            return parsed.version, None
        packed = pack(parsed)
        if not self.local.owns(packed):
            raise system_error(errno.EADDRNOTAVAIL)
        return parsed.version, packed

    def unbound_udp(self, version: int = 0) -> UdpEndpoint:
        """A UDP endpoint without a port, for IP version 4, 6, or both (0)."""
        return self.udp.new(version)

    def open_udp(
        self,
        address: str | None = None,
        port: int = 0,
        *,
        reuse_address: bool = False,
        reuse_port: bool = False,
    ) -> UdpEndpoint:
        """A UDP endpoint bound to an address and port as with `listen`; see `UdpEndpoint.bind`."""
        endpoint = self.udp.new(0)
        endpoint.reuse_address = reuse_address
        endpoint.reuse_port = reuse_port
        endpoint.bind(address, port)
        return endpoint

    def connect(
        self,
        address: str,
        port: int,
        now: int,
        *,
        local_address: str | None = None,
        local_port: int = 0,
        fast_open_data: Buffer | None = None,
    ) -> Connection:
        """Opens a connection; `Ready.CONNECTED` or `Ready.ERROR` follows.

        `fast_open_data`, even if empty, asks for TCP Fast Open (RFC 7413): it is sent, and
        leaves with the SYN where the server allowed that before. The server may get it
        twice, and `send_queued` tells how much was taken.

        Raises OSError: ENETUNREACH without a source address, EADDRNOTAVAIL for a local
        address that is not ours or when all ports are taken, EADDRINUSE (MUST-46 too).
        """
        self.now = now
        path = self._path_to(address, port, local_address)
        self._choose_port(path, local_port)
        connection = self.new_connection(path, State.CLOSED)
        connection.move(Cause.ACTIVE_OPEN, now)
        handshake.prepare(connection, now)
        handshake.update_mss(connection)
        connection.syn_why = Why.ACTIVE_OPEN
        if fast_open_data is not None:
            fast_open_client.prepare(connection, now)
            if len(fast_open_data):
                fast_open_client.load(connection, fast_open_data, now)
        connection.note_call("connect", f"to {address} port {port}", now)
        connection.wants_output()
        return connection

    def _path_to(self, address: str, port: int, local_address: str | None) -> "Path":
        remote = ip_address(address)
        packed = pack(remote)
        if not self.local.is_valid_destination(packed) or not 0 < port < 65536:
            raise system_error(errno.ENETUNREACH)
        version, source = self._bindable(local_address)
        if source is None:
            source = self.local.source_for(packed)
        if source is None or version not in (0, remote.version):
            raise system_error(errno.ENETUNREACH)
        path = ffi.new("struct path *")
        fill_path(path, remote.version, source, packed, 0, port, self.config.ttl)
        return path

    def _choose_port(self, path: "Path", wanted: int) -> None:
        if wanted:
            path.sport = wanted
            if lib.flow_find_path(self.flows, path):
                raise system_error(errno.EADDRINUSE)
            return
        for port in self._ephemeral(path):
            path.sport = port
            if port not in self.listeners and not lib.flow_find_path(self.flows, path):
                return
        raise system_error(errno.EADDRNOTAVAIL)

    def _ephemeral(self, path: "Path") -> Iterator[int]:
        tcp = self.config.tcp
        return self.secrets.ports(path, tcp.first_ephemeral_port, tcp.last_ephemeral_port)

    def _any_path(self) -> "Path":
        return ffi.new("struct path *")

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Publishes every event to `observer` from now on; returns what ends that."""
        self._observers = (*self._observers, observer)
        self.observed = True

        def detach() -> None:
            self._observers = tuple(o for o in self._observers if o is not observer)
            self.observed = bool(self._observers)

        return detach

    def publish(self, event: Event) -> None:
        """Hands an event to all observers."""
        for observer in self._observers:
            observer(event)

    def close(self, now: int) -> None:
        """Ends everything: listeners and UDP endpoints close, connections are aborted."""
        self.now = now
        self.udp.close(now)
        for listeners in list(self.listeners.values()):
            for listener in list(listeners):
                listener.close(now)
        for connection in list(self.connections.values()):
            if connection.owner is not None:
                # Its application did not ask for this, so it is told.
                connection.error = connection.error or errno.ECONNABORTED
                self.tell(connection, Ready.ERROR | Ready.CLOSED)
            connection.abort(now)
        for connection in list(self.connections.values()):
            connection.finish(Cause.ABORT, 0, now)  # TIME-WAIT ends with the host

    # What the protocols ask for.

    def next_number(self) -> int:
        """A number that no connection or endpoint of this host has had."""
        return self.segment_path.next_number()

    def new_connection(self, path: "Path", state: State) -> Connection:
        """A connection for the four-tuple of `path`, entered in the flow table."""
        number = self.next_number()
        connection = self.connection_class(self, self.segment_path.new_tcb(number, state, path))
        connection.looped = self.local.owns(raw(path.dst))
        connection.use_congestion(connection.config.congestion)
        if not lib.flow_insert(self.flows, path, number, connection.tcb):
            raise system_error(errno.ENOMEM)
        self.connections[number] = connection
        return connection

    def take_in(self, tcb: "Tcb") -> None:
        """The segment path has opened a connection; it is in the flow table."""
        connection = self.connection_class(self, tcb)
        self.connections[connection.number] = connection
        self.listeners[tcb.path.sport][0].opened(connection)

    def forget(self, connection: Connection) -> None:
        """The connection is closed: its four-tuple is free again."""
        if self.connections.pop(connection.number, None) is None:
            return
        lib.flow_remove(self.flows, connection.path)
        waiting = self._time_wait
        while waiting and waiting[0].tcb.state == State.CLOSED:
            waiting.popleft()
        if connection.listener is not None:
            connection.listener.dropped(connection)

    def enters_time_wait(self, connection: Connection, now: int) -> None:
        """Keeps the number of connections in TIME-WAIT bounded: the oldest makes room."""
        self.counters.count("TW")
        self._time_wait.append(connection)
        while len(self._time_wait) > self.config.tcp.time_wait_limit:
            oldest = self._time_wait.popleft()
            if oldest.state == State.TIME_WAIT:
                oldest.finish(Cause.TIMEOUT, 0, now)

    def stop_listening(self, listener: Listener) -> None:
        """Takes a listener from its port."""
        listeners = self.listeners[listener.port]
        listeners.remove(listener)
        self.segment_path.leave_port(listener)
        self.segment_path.listen(listener.port, listeners)
        if not listeners:
            del self.listeners[listener.port]

    def segment_without_connection(
        self, seg: "Packet", now: int, above: int | None = None
    ) -> Verdict:
        """For a listener, or answered with a reset (RFC 9293 §3.10.7.1, §3.10.7.2)."""
        listener = self.listener_for(seg)
        if listener is not None:
            return listener.arrives(seg, now, above)
        self.counters.count("TcpNoPorts")
        if not seg.flags & lib.FLAG_RST:
            self.refuse(seg, Why.NO_CONNECTION)
        return Verdict.NO_CONNECTION

    def listener_for(self, seg: "Packet") -> Listener | None:
        """The listener whose address and port fit a segment best."""
        listeners = self.listeners.get(seg.dport)
        if listeners is None:
            return None
        dst = raw(seg.dst)
        if len(listeners) == 1:
            return listeners[0] if listeners[0].takes(seg.version, dst) else None
        takers = [one for one in listeners if one.takes(seg.version, dst)]
        best = max((one.address is not None for one in takers), default=False)
        takers = [one for one in takers if (one.address is not None) is best]
        if len(takers) < 2:
            return takers[0] if takers else None
        # The same peer finds the same listener, as SYN cookies need it.
        return takers[self.secrets.spread(self.path_back(seg), len(takers))]

    def path_back(self, seg: "Packet") -> "Path":
        """The path from us to the sender of `seg`."""
        path = ffi.new("struct path *")
        lib.path_back(path, seg, self.config.ttl)
        if seg.source_route:
            source_route.take_way_back(path, seg, self.now)
        return path

    def refuse(self, seg: "Packet", why: Why) -> None:
        """Answers `seg` with a reset that belongs to no connection."""
        self.counters.count("TcpOutRsts")
        resets.answer(seg, self.emit)
        self.reply_segment(self.path_back(seg), why)

    def reply_segment(self, path: "Path", why: Why) -> None:
        """Sends the segment in `emit`, without text, for no connection."""
        e = self.emit
        e.ip_id = self.identify()
        e.gso_size = 0
        e.checksum_offload = 0
        length = lib.outgoing_tcp(self._scratch, path, e, ffi.NULL, 0, 0)
        data = ffi.new("uint8_t[]", length)
        lib.outgoing_copy(self._scratch, data, length)
        self.reply(ffi.buffer(data)[:], why)

    def send_whole(self, data: bytes, why: Why, identification: int) -> None:
        """Queues a packet of any size, in fragments where the path asks for them."""
        for piece, detail in self.in_pieces(data, self.mtu, identification):
            self.reply(piece, why, detail)

    def in_pieces(self, data: bytes, mtu: int, identification: int) -> list[tuple[bytes, str]]:
        """A packet as it is, or its fragments of at most `mtu` bytes, each with what it is."""
        if len(data) <= mtu:
            return [(data, "")]
        pieces = fragment(data, mtu, identification)
        self.counters.count("IpFragOKs")
        self.counters.count("IpFragCreates", len(pieces))
        return [
            (piece, f"fragment {index} of {len(pieces)}") for index, piece in enumerate(pieces, 1)
        ]

    def reply(self, data: bytes, why: Why, detail: str = "") -> None:
        """Queues a packet that belongs to no connection; too many are dropped."""
        if len(self._replies) >= _REPLIES_MAX:
            self.counters.count("IpOutDiscards")
            return
        self._replies.append((data, why, detail))

    def identify(self) -> int:
        """An IPv4 identification for a packet that says "don't fragment": any will do
        (RFC 6864 §4.1).
        """
        self._ip_id = (self._ip_id + 1) & 0xFFFF
        return self._ip_id

    def tell(self, source: Source, ready: Ready) -> None:
        """Notes a condition for the application that has `source`."""
        told = self._events.get(source)
        # Combining flags costs more than the rest; mostly there is one condition, or the same.
        self._events[source] = ready if told is None or told is ready else told | ready
