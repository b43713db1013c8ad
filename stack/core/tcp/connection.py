"""A connection: its transmission control block, its helpers, and the user calls on it.

The calls are those of RFC 9293 §3.9.1 (SEND, RECEIVE, CLOSE, ABORT, STATUS); they only
change state and ask for output. Segments are built later, by `output`, when the host
is asked what it may transmit.
"""

import errno
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stack._native import ffi, lib
from stack.core.events import ApplicationCalled, CwndChanged, StateChanged, TimerStarted
from stack.core.ready import Ready
from stack.core.system_error import system_error
from stack.core.tcp import congestion, fast_open_client, info, timeouts, window
from stack.core.tcp.acks import AckPolicy
from stack.core.tcp.cork import Cork
from stack.core.tcp.ecn import Ecn
from stack.core.tcp.flight import Flight
from stack.core.tcp.frto import ForwardRto
from stack.core.tcp.keepalive import KeepAlive
from stack.core.tcp.mtu_probe import MtuProbe
from stack.core.tcp.newreno import WITHOUT_SACK
from stack.core.tcp.pacing import Pacer
from stack.core.tcp.prr import ProportionalRateReduction
from stack.core.tcp.rack import Rack
from stack.core.tcp.reassembly import Reassembly
from stack.core.tcp.receive_buffer import ReceiveBuffer
from stack.core.tcp.send_buffer import SendBuffer
from stack.core.tcp.settings import NO_LIMIT, SETTINGS, Value
from stack.core.tcp.states import SENDING, STATES, Cause, State, follow
from stack.core.tcp.timers import Timer
from stack.core.tcp.undo import Undo
from stack.core.tcp.urgent import Urgent
from stack.core.tcp.validation import WindowValidation
from stack.core.why import NUMBERS, REASONS, Verdict, Why
from stack.wire.address import raw, text
from stack.wire.sequence import MASK

if TYPE_CHECKING:
    from stack._native import Tcb
    from stack.core.host import Host
    from stack.core.ip.icmp import IcmpError
    from stack.core.tcp.config import TcpConfig
    from stack.core.tcp.congestion.base import CongestionControl
    from stack.core.tcp.fast_open import FastOpen
    from stack.core.tcp.listener import Listener
    from stack.core.tcp.rate import RateSampler
    from stack.core.tcp.recovery import LossDetector
    from stack.core.tcp.source_route import IpOptions
    from stack.core.tcp.user_timeout import UserTimeoutOption

Buffer = bytes | bytearray | memoryview

_FAILED = Ready.CLOSED | Ready.ERROR


def _algorithm(connection: "Connection", name: str) -> "CongestionControl":
    """Makes a congestion control; what the window was stays."""
    tcb = connection.tcb
    window, threshold = tcb.cwnd, tcb.ssthresh
    made = congestion.create(name, tcb, connection.config.initial_window)
    if window:
        tcb.cwnd = window
        if made.rate is None:
            tcb.ssthresh = threshold
    return made


def _detector_of(connection: "Connection") -> "LossDetector":
    """RACK needs SACK, which is known once the peer's SYN was here."""
    tcb = connection.tcb
    known = tcb.state not in (State.LISTEN, State.SYN_SENT, State.CLOSED)
    return Rack(tcb) if known and tcb.sack_ok else WITHOUT_SACK


# Parts of a connection that are made when somebody asks for them the first time: many are
# never needed, for nothing is lost, or the segment path does all the work.
_ON_DEMAND: dict[str, Callable[["Connection"], Any]] = {
    "acks": lambda connection: AckPolicy(connection.tcb),
    "congestion": lambda connection: _algorithm(connection, connection.config.congestion),
    "cork": lambda _: Cork(),
    "detector": _detector_of,
    "ecn": lambda connection: Ecn(connection.config.ecn),
    "flight": lambda connection: Flight(connection.tcb),
    "frto": lambda _: ForwardRto(),
    "keepalive": lambda _: KeepAlive(),
    "pacer": lambda connection: Pacer(connection.tcb),
    "prr": lambda _: ProportionalRateReduction(),
    "reassembly": lambda _: Reassembly(),
    "undo": lambda _: Undo(),
    "urgent": lambda _: Urgent(),
    "validation": lambda _: WindowValidation(),
}


class _Part:
    """Makes a part of a connection that is asked for the first time; from then on it is found
    in the connection itself. A `__getattr__` would slow every attribute of it down threefold.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[["Connection"], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, connection: "Connection", _owner: type) -> Any:
        part = vars(connection)[self._name] = self._make(connection)
        return part


def _is_variable(name: str, value: object) -> bool:
    """Whether it outlasts a segment, and is no part of the class."""
    of_the_class = (property, FunctionType, SendBuffer, ReceiveBuffer, _Part)
    return name[0] != "_" and name != "ack_verdict" and not isinstance(value, of_the_class)


class Connection:
    """One TCP connection of a host."""

    # These keep what they know in the TCB, so that one is enough for all connections.
    send_buffer = SendBuffer()
    receive_buffer = ReceiveBuffer()

    host: "Host"
    config: "TcpConfig"
    tcb: "Tcb"
    acks: AckPolicy
    congestion: "CongestionControl"
    cork: Cork
    detector: "LossDetector"
    ecn: Ecn
    flight: Flight
    frto: ForwardRto
    keepalive: KeepAlive
    pacer: Pacer
    prr: ProportionalRateReduction
    reassembly: Reassembly
    undo: Undo
    urgent: Urgent
    validation: WindowValidation

    # What holds of a connection until something sets it: most keep nearly all of this.
    owner: Any = None
    listener: "Listener | None" = None  # passive open; MUST-11
    looped = False  # both ends are this host
    error = 0
    soft_error = 0  # errno of the last ICMP error that was not fatal (MUST-47)
    reports_errors = True  # the application hears of those (SHLD-20)
    closing = False  # let go of, but its adapter still holds bytes to send
    fast_open: "FastOpen | None" = None
    rate: "RateSampler | None" = None  # where congestion control wants rates
    timeout_option: "UserTimeoutOption | None" = None
    mss_limit = NO_LIMIT  # TCP_MAXSEG
    ip_options: "IpOptions | None" = None  # IP_OPTIONS, or the way a segment came
    hears_traffic_class = False  # IP_RECVTOS: with every segment, not the SYN's alone
    mtu_probe: MtuProbe | None = None
    mtu_report: "IcmpError | None" = None  # a claim that they do not fit
    urgent_inline = True  # the urgent octet stays in the stream (SO_OOBINLINE)
    urgent_mark: int | None = None  # its sequence number, until the reader is behind it
    reset_why: Why | None = None  # a RST must leave
    retransmit_why = Why.FAST_RETRANSMIT
    out_of_step_at = -1_000_000  # µs, when a segment that did not fit was answered
    out_of_order = 0  # segments
    duplicates_reported = 0  # D-SACKs (RFC 2883)
    probe_due = False  # a tail loss probe must leave
    window_probe_due = False
    keeps_alive = False  # keep-alives are on
    keepalive_due = False
    user_timeout = 0  # µs, 0: the configured R2 (MUST-21)
    ack_verdict = Verdict.ACKNOWLEDGEMENT  # what the last ACK field meant

    def __init__(self, host: "Host", tcb: "Tcb") -> None:
        """Takes a control block over (`SegmentPath.new_tcb`). Raises MemoryError without one."""
        if tcb == ffi.NULL:
            raise MemoryError
        self.host = host
        self.config = host.config.tcp
        self.tcb = ffi.gc(tcb, lib.tcb_free)
        self.number: int = tcb.number
        self.path = ffi.addressof(tcb, "path")
        self.snd = ffi.addressof(tcb, "snd")
        self.rcv = ffi.addressof(tcb, "rcv")
        self.deadlines = tcb.deadlines
        self.places = tcb.places
        if self.config.mtu_probing != "off":
            self.mtu_probe = MtuProbe()

    def variables(self) -> Iterator[str]:
        """The names of all that is kept beside the TCB, for those who show it."""
        yield from _VARIABLES

    @property
    def syn_why(self) -> Why | None:
        """Why a SYN or SYN-ACK must leave, or None."""
        return REASONS.get(self.tcb.syn_due)

    @syn_why.setter
    def syn_why(self, why: Why | None) -> None:
        self.tcb.syn_due = lib.WHY_NONE if why is None else NUMBERS[why]

    @property
    def traffic_class_heard(self) -> int:
        """DSCP and ECN of what came last, as in the octet (MAY-9)."""
        return self.tcb.traffic_class_heard

    @traffic_class_heard.setter
    def traffic_class_heard(self, octet: int) -> None:
        self.tcb.traffic_class_heard = octet

    @property
    def orphan(self) -> bool:
        """Whether the application let go of it."""
        return bool(self.tcb.orphan)

    @orphan.setter
    def orphan(self, gone: bool) -> None:
        self.tcb.orphan = gone

    @property
    def nodelay(self) -> bool:
        """Whether small segments leave at once (TCP_NODELAY, MUST-17)."""
        return bool(self.tcb.nodelay)

    @nodelay.setter
    def nodelay(self, on: bool) -> None:
        self.tcb.nodelay = on

    @property
    def remote_packed(self) -> bytes:
        """The peer's address as 16 bytes."""
        return raw(self.tcb.path.dst)

    # What the application may look at.

    @property
    def state(self) -> State:
        """The state of RFC 9293 §3.3.2."""
        return STATES[self.tcb.state]

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.tcb.path.version

    @property
    def local(self) -> tuple[str, int]:
        """Our address and port."""
        path = self.tcb.path
        return text(raw(path.src), path.version), path.sport

    @property
    def remote(self) -> tuple[str, int]:
        """The peer's address and port."""
        path = self.tcb.path
        return text(raw(path.dst), path.version), path.dport

    @property
    def available(self) -> int:
        """Bytes that can be received at once."""
        if self.urgent_mark is None:
            return self.tcb.rcv.length
        return self.urgent.readable(self)

    @property
    def urgent_remaining(self) -> int:
        """Bytes of urgent data not yet read, with those still to come; 0 without any
        (RFC 9293 MUST-33).
        """
        return self.urgent.remaining(self)

    @property
    def at_mark(self) -> bool:
        """Whether the next byte to receive is the last urgent one (SIOCATMARK)."""
        return self.urgent.at_mark(self)

    @property
    def eof(self) -> bool:
        """Whether the peer's FIN came and everything before it was read."""
        return bool(self.tcb.fin_received) and self.available == 0

    @property
    def send_space(self) -> int:
        """Bytes that `send` would take now."""
        return self.tcb.snd.limit - self.tcb.snd.length

    @property
    def send_queued(self) -> int:
        """Bytes handed to `send` that the peer has not acknowledged."""
        return self.tcb.snd.length

    def info(self) -> dict[str, int]:
        """The variables as `ss -ti` names them; times in µs, sizes in bytes."""
        return info.as_ss_shows(self, self.host.now)

    # What the application may set.

    def set(self, setting: str, value: Value) -> None:
        """Gives one of SETTINGS, which tell what each means, a value. Raises KeyError for a name
        that is none of them.
        """
        SETTINGS[setting](self, value)
        if self.tcb.segments_out:  # or the first one will see
            self.host.segment_path.judge(self)

    # User calls.

    def send(self, data: Buffer, now: int) -> int:
        """Queues bytes and returns how many were taken; 0 means that the buffer is full.

        Raises OSError: EPIPE after the sending side was closed, ENOTCONN before a
        connection exists, or what ended the connection (RFC 9293 §3.9.1.2).
        """
        self._raise_error()
        if self.rate is not None:
            self.rate.check_app_limited()
        tcb = self.tcb
        state = tcb.state
        if tcb.fin_queued or state not in SENDING:
            raise system_error(errno.EPIPE)
        length = len(data)
        taken = lib.ring_write(self.snd, ffi.from_buffer("uint8_t[]", data), length)
        if taken < length:
            tcb.send_blocked = 1
        if taken:
            self.wants_output()
        if self.host.observed:
            self.note_call("send", f"{taken} of {length} bytes", now)
        return taken

    def flush(self, now: int) -> int:
        """Takes back what was queued to send, except what has left and what the peer's window
        would let leave; returns how many bytes that were (RFC 9293 §3.9.1.7).
        """
        self.note_call("flush", "", now)
        return self.send_buffer.flush(self)

    def ask_for_room(self) -> bool:
        """Whether the send buffer has more room than a few bytes; where it is full, `WRITABLE`
        tells when it has again.
        """
        if not self.send_space:
            self.tcb.send_blocked = 1
        return not self.tcb.send_blocked

    def send_urgent(self, data: Buffer, now: int) -> int:
        """Like `send`, and the peer's application is told that all up to here is urgent
        (RFC 9293 §3.8.5). New applications should not use it (RFC 6093 §5, SHLD-13).
        """
        taken = self.send(data, now)
        if taken:
            self.urgent.begin(self)
        return taken

    def send_with_syn(self, data: Buffer, now: int) -> int:
        """Like `send`, before the SYN has left, which carries what fits where the server
        allowed that before (TCP Fast Open, RFC 7413).
        """
        return fast_open_client.load(self, data, now)

    def receive_urgent(self, *, keep: bool = False) -> bytes:
        """The last urgent octet where it is not `urgent.inline`, once, or more often with
        `keep`. Raises OSError EINVAL without one, EAGAIN when it has not come yet.
        """
        return self.urgent.fetch(self, keep=keep)

    def receive(self, limit: int, now: int) -> bytes:
        """Up to `limit` bytes in order; empty when there are none (see `eof`).

        Raises OSError with what ended the connection, once all that came before is read.
        """
        length = min(limit, self.available)
        if length == 0:
            if not self.tcb.fin_received:
                self._raise_error()
            return b""
        data = self.receive_buffer.copy(self, self._skipped(), length)
        self._take(length, now)
        return data

    def receive_into(self, buffer: bytearray | memoryview, now: int) -> int:
        """Like `receive`, into a writable buffer; returns the number of bytes."""
        length = min(len(buffer), self.available)
        if length == 0:
            if not self.tcb.fin_received:
                self._raise_error()
            return 0
        lib.ring_peek(self.rcv, self._skipped(), ffi.from_buffer("uint8_t[]", buffer), length)
        self._take(length, now)
        return length

    def _skipped(self) -> int:
        """Bytes at the head of the ring that a read leaves out: an urgent one, or none."""
        return 0 if self.urgent_mark is None else self.urgent.skipped(self)

    def _take(self, length: int, now: int) -> None:
        """Bytes that the application has a copy of leave the ring."""
        if self.urgent_mark is not None:
            self.urgent.on_read(self, length)
        lib.ring_consume(self.rcv, length)
        if self.tcb.rcv_automatic:
            self.receive_buffer.on_read(self, now)
        if self.tcb.state <= State.FIN_WAIT_2 and window.update_is_worth_a_segment(self.tcb):
            self.acks.now(self, Why.WINDOW_UPDATE)
        if self.host.observed:
            self.note_call("receive", f"{length} bytes", now)

    def discard(self, now: int) -> None:
        """Where the application set `discard`, what is there counts as read."""
        length = self.available
        if length and self.tcb.discards:
            self._take(length, now)

    def peek(self, limit: int) -> bytes:
        """Up to `limit` bytes in order, which stay where they are."""
        length = min(limit, self.available)
        if not length:
            return b""
        return self.receive_buffer.copy(self, self._skipped(), length)

    def shutdown(self, now: int) -> None:
        """No more data from us: a FIN goes behind what is queued (RFC 9293 §3.10.4).

        Does nothing when our side is closed already.
        """
        tcb = self.tcb
        if tcb.fin_queued or tcb.state in (State.CLOSED, State.TIME_WAIT):
            return
        self.note_call("shutdown", "", now)
        if tcb.state == State.SYN_SENT:
            self.finish(Cause.CLOSE, 0, now)
            return
        tcb.fin_queued = 1
        if tcb.state != State.SYN_RECEIVED:
            self.move(Cause.CLOSE, now)
        self.wants_output()

    def close(self, now: int) -> None:
        """Lets go of the connection: a FIN, or a RST when bytes were left unread
        (RFC 9293 §3.6.1, SHLD-3).
        """
        if self.orphan:
            return
        self.note_call("close", "", now)
        self.orphan = True
        if self.tcb.rcv.length and self.tcb.state in (
            State.ESTABLISHED,
            State.FIN_WAIT_1,
            State.FIN_WAIT_2,
            State.CLOSE_WAIT,
        ):
            self.reset(Why.UNREAD_DATA, 0, now)
            return
        self.shutdown(now)
        if self.tcb.fin_received or self.tcb.state == State.CLOSED:
            lib.ring_free(self.rcv)  # nobody can ask for it any more
        if self.tcb.state == State.FIN_WAIT_2:
            self.start_timer(Timer.TIME_WAIT, now + self.config.fin_wait_2)
        if self.tcb.snd_wnd == 0:
            self.tcb.unacked_since = now  # for a closed window there was all time until here

    def abort(self, now: int) -> None:
        """Ends the connection with a RST at once (RFC 9293 §3.10.5)."""
        self.orphan = True
        if self.tcb.state in (State.CLOSED, State.TIME_WAIT):
            lib.ring_free(self.rcv)  # nobody can ask for it any more
            return
        self.note_call("abort", "", now)
        if self.tcb.state in (State.SYN_SENT, State.CLOSING, State.LAST_ACK):
            self.finish(Cause.ABORT, 0, now)  # there is nothing left to tell the peer
        else:
            self.reset(Why.ABORT, 0, now)

    def _raise_error(self) -> None:
        if self.error:
            raise system_error(self.error)
        if self.tcb.state in (State.SYN_SENT, State.SYN_RECEIVED):
            return
        if self.tcb.state == State.CLOSED and not self.tcb.fin_received:
            raise system_error(errno.ENOTCONN)

    def use_congestion(self, name: str) -> None:
        """Chooses the congestion control algorithm (TCP_CONGESTION), at any time.

        What the window was stays. Raises UsageError for a name that nobody registered.
        """
        tcb = self.tcb
        tcb.fast = 0  # not every algorithm can do without Python
        self.congestion = _algorithm(self, name)
        self.rate = self.congestion.rate
        self.flight.on_lost = self.congestion.on_lost if self.rate is not None else None
        if self.congestion.pacing_rate or tcb.pacing_rate:
            self.pacer.ask(self.congestion.pacing_rate)

    # What the parts of TCP call.

    def wants_output(self) -> None:
        """Asks the host to let this connection transmit."""
        if not self.tcb.in_output:
            self.tcb.in_output = 1
            self.host.ready_to_send.append(self)

    def may_go_on(self) -> None:
        """Asks for output if anything waits that an acknowledgement or a window may let go."""
        tcb = self.tcb
        if tcb.snd.length or (tcb.fin_queued and not tcb.fin_sent):
            self.wants_output()

    def start_timer(self, timer: Timer, deadline: int) -> None:
        """(Re)starts a timer; `deadline` in µs."""
        host = self.host
        if host.observed and not self.deadlines[timer]:
            host.publish(TimerStarted(host.now, self.number, timer.name, deadline))
        host.timers.start(self, timer, deadline)

    def stop_timer(self, timer: Timer) -> None:
        """Stops a timer; does nothing when it is off."""
        self.deadlines[timer] = 0

    def on_timer(self, timer: int, now: int) -> None:
        """A timer ran out."""
        timeouts.expired(self, Timer(timer), now)
        self.host.segment_path.judge(self)

    def timestamp(self, now: int) -> int:
        """TSval at time `now` (µs): our clock ticks every millisecond (RFC 7323 §5.4)."""
        return (now // 1000 + self.tcb.ts_offset) & MASK

    def move(self, cause: Cause, now: int) -> None:
        """Goes to the state that `cause` leads to."""
        old = self.tcb.state
        new = follow(old, cause)
        self.tcb.state = new
        if self.host.observed:
            event = StateChanged(now, self.number, State(old).label, new.label, cause.value)
            self.host.publish(event)

    def reset(self, why: Why, error: int, now: int) -> None:
        """Ends the connection here and tells the peer by a RST."""
        self.reset_why = why
        self.wants_output()
        self.finish(Cause.ABORT, error, now)

    def finish(self, cause: Cause, error: int, now: int) -> None:
        """The connection is over: timers stop, memory that nobody reads goes back."""
        self.move(cause, now)
        self.error = self.error or error
        host, tcb = self.host, self.tcb
        tcb.syn_due = lib.WHY_NONE
        host.segment_path.end(tcb)
        host.metrics.note(self, now)
        host.forget(self)
        if tcb.orphan:
            lib.ring_free(self.rcv)
        else:
            host.tell(self, _FAILED if error else Ready.CLOSED)

    def soft(self, error: int) -> None:
        """Something is wrong with the path, but not with the connection: the application
        may hear of it (MUST-47), and asks `soft_error` for the errno.
        """
        self.soft_error = error
        self.tcb.fast = 0  # the next acknowledgement shows that the path works
        if self.reports_errors:
            self.tell(Ready.SOFT_ERROR)

    def tell(self, ready: Ready) -> None:
        """Notes a condition for the application, unless that let go of the connection."""
        if not self.orphan:
            self.host.tell(self, ready)

    def cwnd_changed(self, cause: str, now: int) -> None:
        """Publishes the congestion window, for those who watch."""
        if self.host.observed:
            tcb = self.tcb
            event = CwndChanged(now, self.number, tcb.cwnd, tcb.ssthresh, cause)
            self.host.publish(event)

    def note_call(self, call: str, detail: str, now: int) -> None:
        """Publishes an application's call, for those who watch."""
        if self.host.observed:
            self.host.publish(ApplicationCalled(now, self.number, call, detail))


for _name, _make in _ON_DEMAND.items():
    setattr(Connection, _name, _Part(_name, _make))

_VARIABLES = [
    *(name for name, value in vars(Connection).items() if _is_variable(name, value)),
    *_ON_DEMAND,
]
