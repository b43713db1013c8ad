"""The segment path in C, seen from Python: what it may do, and what it hands up.

It finishes by itself what is common on a synchronised connection (native/segments_arrive.c,
native/segments_leave.c), in the same way as `arrive` and `output`, which do all the rest.
While somebody observes the host it stands still, so that every decision is seen.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stack._native import ffi, lib
from stack.core.ready import Ready
from stack.core.tcp import handshake, timeouts
from stack.core.tcp.ecn import Mode
from stack.core.tcp.states import Cause
from stack.core.why import REASONS

if TYPE_CHECKING:
    from stack.core.host import Host
    from stack.core.tcp.connection import Connection
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
_REST = 256  # segments_leave returns packets and, above them, what is left to do


class SegmentPath:
    """The segment path of one host."""

    __slots__ = ("_config", "_host", "enabled", "raw")

    def __init__(self, host: "Host") -> None:
        config = host.config.tcp
        self._host = host
        self._config = config
        self.enabled = host.config.fast_path and bool(lib.segment_path_wanted())
        self.raw = raw = ffi.new("struct segment_path *")
        raw.flows = host.flows
        raw.budget = host.buffer_memory.raw
        raw.minimum_rto = config.minimum_rto
        raw.maximum_rto = config.maximum_rto
        raw.delayed_ack = config.delayed_ack
        raw.minimum_probe_timeout = config.minimum_probe_timeout
        raw.probe_delayed_ack = config.probe_delayed_ack
        raw.fin_wait_2 = config.fin_wait_2
        raw.initial_window = config.initial_window
        raw.largest_send_buffer = config.largest_send_buffer
        raw.largest_receive_buffer = config.largest_receive_buffer

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
        }

    # On the way in.

    def arrive(self, inbound: "Inbound", first: int, now: int) -> int:
        """Finishes packets of a batch from `first` on; returns the index of the first one that
        is not for it, or their number.
        """
        raw = self.raw
        index = lib.segments_arrive(raw, inbound.raw, first, now)
        if raw.noted:
            self.take_notes()
        return index

    def take_notes(self) -> None:
        """What became due goes where Python would have put it, in the same order. Timers first:
        the end of a connection stops its timers.
        """
        raw, host = self.raw, self._host
        if raw.timer_count:
            self._start_timers()
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
        raw.happened_count = 0
        for number, event in zip(numbers, events, strict=True):
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

    def _start_timers(self) -> None:
        raw, host = self.raw, self._host
        for index in range(raw.timer_count):
            owner = host.connections[raw.timer_owners[index]]
            host.timers.push(owner, raw.timer_names[index], raw.timer_deadlines[index])
        raw.timer_count = 0

    # On the way out.

    def leave(self, connection: "Connection", out: "Outbound", now: int) -> int:
        """Builds what a connection may send; returns LEAVE_…: what is left to do."""
        host, raw = self._host, self.raw
        flags = _OFFLOAD if host.offload else 0
        result = lib.segments_leave(raw, connection.tcb, out.raw, out.count, flags, now)
        built = result % _REST
        if built:
            out.built(built, REASONS)
        if raw.timer_count:
            self._start_timers()
            raw.noted = 0
        return result // _REST

    # What it may do.

    def judge(self, connection: "Connection") -> None:
        """Python has worked on a connection: may the segment path go on with it?"""
        tcb = connection.tcb
        tcb.fast = (
            self.enabled
            and tcb.state in _KNOWN
            and connection.config is self._config  # whose settings C has
            and _is_common(connection)
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
        and (connection.tcb.state != lib.STATE_SYN_RECEIVED or _opens_plainly(connection))
    )


def _opens_plainly(connection: "Connection") -> bool:
    return not (
        connection.listener is None
        or connection.syn_why is not None
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
        or (connection.tcb.discards and connection.urgent.mark is not None)
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
