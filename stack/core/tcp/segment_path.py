"""The segment path in C, seen from Python: what it may do, and what it hands up.

It finishes by itself what is common on a synchronised connection (native/segments_arrive.c,
native/segments_leave.c), in the same way as `arrive` and `output`, which do all the rest.
While somebody observes the host it stands still, so that every decision is seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ip.addresses import is_loopback
from stack.core.ready import Ready
from stack.core.tcp import congestion, handshake, timeouts
from stack.core.tcp.ecn import Mode
from stack.core.tcp.states import Cause
from stack.core.why import REASONS

if TYPE_CHECKING:
    from stack._native import Path, Tcb
    from stack.core.config import HostConfig
    from stack.core.host import Host
    from stack.core.ip.addresses import LocalAddresses
    from stack.core.tcp.config import TcpConfig
    from stack.core.tcp.connection import Connection
    from stack.core.tcp.listener import Listener
    from stack.wire.batch import Inbound, Outbound

_READY_ALL = lib.READY_READABLE | lib.READY_WRITABLE | lib.READY_EOF
_READY = [Ready(bits) for bits in range(_READY_ALL + 1)]
_KNOWN = frozenset(
    {
        lib.STATE_SYN_RECEIVED,
        lib.STATE_ESTABLISHED,
        lib.STATE_FIN_WAIT_1,
        lib.STATE_FIN_WAIT_2,
        lib.STATE_TIME_WAIT,
        lib.STATE_CLOSE_WAIT,
        lib.STATE_LAST_ACK,
    }
)
_OFFLOAD = lib.LEAVE_OFFLOAD
_ADDRESS = 16  # bytes
_REST = 256  # segments_leave returns packets and, above them, what is left to do


class SegmentPath:
    """The segment path of one host."""

    __slots__ = ("_config", "_host", "_kept", "_opens", "enabled", "opens", "raw")

    def __init__(self, host: "Host") -> None:
        self._host = host
        self.enabled = host.config.fast_path and bool(lib.segment_path_wanted())
        self.opens = True
        """Whether it may begin connections, where all else allows it."""
        self.raw = raw = ffi.new("struct segment_path *")
        raw.flows = host.flows
        raw.timers = host.timers.raw
        raw.budget = host.buffer_memory.raw
        raw.secrets = host.secrets.raw
        raw.mtu = host.mtu
        self._kept = [ffi.from_buffer("uint8_t[]", b"".join(own)) for own in _addresses(host.local)]
        raw.own, raw.refused = self._kept
        raw.own_count, raw.refused_count = (len(own) // _ADDRESS for own in self._kept)
        self.use(host.config)

    def use(self, settings: "HostConfig") -> None:
        """Takes over the settings of the host, for the connections to come; those that are there
        keep theirs, which only Python knows from now on.
        """
        self._config = config = settings.tcp
        raw = self.raw
        for connection in self._host.connections.values():
            connection.tcb.fast = 0
        raw.ttl = settings.ttl
        raw.syn_queue = config.syn_queue
        raw.initial_rto = config.initial_rto
        raw.minimum_rto = config.minimum_rto
        raw.maximum_rto = config.maximum_rto
        raw.delayed_ack = config.delayed_ack
        raw.minimum_probe_timeout = config.minimum_probe_timeout
        raw.probe_delayed_ack = config.probe_delayed_ack
        raw.fin_wait_2 = config.fin_wait_2
        raw.initial_window = config.initial_window
        raw.largest_send_buffer = config.largest_send_buffer
        raw.largest_receive_buffer = config.largest_receive_buffer
        raw.quick_acks = config.quick_acks
        raw.send_automatic = config.send_buffer == 0
        raw.send_buffer = config.send_buffer or config.first_send_buffer
        raw.receive_automatic = config.receive_buffer == 0
        raw.receive_buffer = config.receive_buffer or config.first_receive_buffer
        raw.window_scaling = config.window_scaling
        raw.wscale = handshake.offered_scale(config)
        raw.timestamps = config.timestamps
        raw.sack = config.sack
        self._opens = _opens_plainly(config)

    def next_number(self) -> int:
        """One more than the highest number that the host has given away."""
        self.raw.number += 1
        return self.raw.number

    def new_tcb(self, number: int, state: int, path: "Path") -> "Tcb":
        """A transmission control block as every connection of the host begins with."""
        return lib.tcb_new(self.raw, number, state, path)

    def end(self, tcb: "Tcb") -> None:
        """A connection is over: its timers stop, its buffers are free."""
        lib.tcb_end(self.raw, tcb)

    def listen(self, port: int, listeners: "Sequence[Listener]") -> None:
        """Who listens on a port is another one now, or wants other things."""
        for listener in listeners:
            lib.port_close(self.raw, listener.raw)
        if len(listeners) == 1 and listeners[0].plain:
            lib.port_open(self.raw, listeners[0].raw)

    def leave_port(self, listener: "Listener") -> None:
        """Somebody listens no more."""
        lib.port_close(self.raw, listener.raw)

    def count(self, inbound: "Inbound") -> None:
        """Counts a batch that arrives while Python does everything."""
        lib.segment_path_count(self.raw, inbound.raw)

    def counted(self) -> Mapping[str, int]:
        """The counters of the host that are kept here."""
        raw = self.raw
        return {
            "IpInReceives": raw.packets_in,
            "IpInBytes": raw.octets_in,
            "IpOutRequests": raw.packets_out,
            "TcpInSegs": raw.segments_in,
            "TcpOutSegs": raw.segments_out,
            "FastInSegs": raw.segments_in,
            "FastOutSegs": raw.segments_out,
            "IpInDelivers": raw.syns_in,
        }

    # On the way in.

    def follow_paths(self) -> None:
        """Connections begin in Python while anything is known of the MTU of paths."""
        self.raw.opens = self._opens and self.opens and not self._host.path_mtu.known

    def arrive(self, inbound: "Inbound", first: int, now: int) -> int:
        """Finishes packets of a batch from `first` on; returns the index of the first one that
        is not for it, or their number.
        """
        raw = self.raw
        self.follow_paths()
        index = lib.segments_arrive(raw, inbound.raw, first, now)
        if raw.noted:
            self.take_notes()
        return index

    def take_notes(self) -> None:
        """What became due goes where Python would have put it, in the same order."""
        raw, host = self.raw, self._host
        if raw.happened_count:
            self._tell_what_happened()
        open_ones = host.connections  # others need nothing any more
        numbers = raw.sending
        for index in range(raw.sending_count):
            if numbers[index] in open_ones:
                host.ready_to_send.append(open_ones[numbers[index]])
        numbers = raw.sampled
        for index in range(raw.sampled_count):
            if numbers[index] in open_ones:
                host.sampled.append(open_ones[numbers[index]])
        raw.sending_count = raw.sampled_count = raw.noted = 0

    def _tell_what_happened(self) -> None:
        raw, host = self.raw, self._host
        numbers = ffi.unpack(raw.happened_to, raw.happened_count)
        events = ffi.unpack(raw.happened, raw.happened_count)
        opened = 0
        raw.happened_count = raw.opened_count = 0
        for number, event in zip(numbers, events, strict=True):
            if event == lib.HAPPENED_OPENED:
                host.take_in(raw.opened[opened])
                opened += 1
                continue
            connection = host.connections[number]
            if event == lib.HAPPENED_READY:
                host.tell(connection, _READY[connection.tcb.ready])
                connection.tcb.ready = 0
            elif event == lib.HAPPENED_ESTABLISHED:
                handshake.established(connection, host.now)
            elif event == lib.HAPPENED_TIME_WAIT:
                timeouts.enter_time_wait(connection, host.now)
            else:
                connection.finish(Cause.ACK_OF_FIN, 0, host.now)

    # On the way out.

    def leave(self, connection: "Connection", out: "Outbound", now: int) -> int:
        """Builds what a connection may send; returns LEAVE_…: what is left to do."""
        host, raw = self._host, self.raw
        flags = _OFFLOAD if host.offload else 0
        result = lib.segments_leave(raw, connection.tcb, out.raw, out.count, flags, now)
        built = result % _REST
        if built:
            out.built(built, REASONS)
        return result // _REST

    # What it may do.

    def judge(self, connection: "Connection") -> None:
        """Python has worked on a connection: may the segment path go on with it?"""
        if not self.enabled:
            return
        tcb = connection.tcb
        tcb.fast = (
            tcb.state in _KNOWN
            and connection.config is self._config  # whose settings C has
            and _is_common(connection)
        )


def _addresses(local: "LocalAddresses") -> tuple[Iterable[bytes], Iterable[bytes]]:
    """Those that SYNs from the link may be for, and those that none may come from."""
    return (own for own in local.own if not is_loopback(own)), (*local.own, *local.broadcasts)


def _opens_plainly(config: "TcpConfig") -> bool:
    """Whether a connection that asks for nothing special gets nothing special."""
    return not (
        config.mtu_probing != "off"
        or config.user_timeout_option
        or config.scaled_window_update
        or not congestion.begins_plainly(config.congestion)
    )


def _is_common(connection: "Connection") -> bool:
    """Whether nothing about a connection needs what only Python knows. What stands in the TCB
    is for the segment path itself to look at.
    """
    return (
        _receives_plainly(connection)
        and _sends_plainly(connection)
        and connection.flight.plain
        and connection.detector.settled
        and not (connection.tcb.retransmissions and connection.undo.watches)
        and (connection.tcb.state != lib.STATE_SYN_RECEIVED or _handshakes_plainly(connection))
    )


def _handshakes_plainly(connection: "Connection") -> bool:
    return not (
        connection.listener is None
        or connection.tcb.syn_due
        or connection.fast_open is not None
        or connection.keeps_alive
        or connection.config.scaled_window_update
    )


def _receives_plainly(connection: "Connection") -> bool:
    reassembly = connection.reassembly
    return not (
        reassembly.has_blocks
        or reassembly.fin is not None
        or connection.looped
        or connection.soft_error
        or connection.hears_traffic_class
        or (connection.tcb.discards and connection.urgent_mark is not None)
        or connection.timeout_option is not None
        or connection.ecn.mode is not Mode.OFF
    )


def _sends_plainly(connection: "Connection") -> bool:
    return not (
        connection.rate is not None
        or connection.cork.held
        or connection.urgent.sending
        or connection.user_timeout
        or connection.mtu_probe is not None
        or connection.mtu_report is not None
        or connection.ip_options is not None
        or connection.probe_due
        or connection.window_probe_due
        or connection.keepalive_due
        or connection.reset_why is not None
    )
