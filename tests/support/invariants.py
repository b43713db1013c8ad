"""What holds of every connection after every call into its host."""

from stack._native import lib
from stack.core.host import Host
from stack.core.ready import Ready
from stack.core.tcp import fast_open
from stack.core.tcp.connection import Connection
from stack.core.tcp.reassembly import Reassembly
from stack.core.tcp.states import SENDING, State
from stack.core.tcp.timers import Timer

MASK = 0xFFFF_FFFF
UNSYNCHRONISED = (State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED)
OURS_CLOSED = (
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)
THEIRS_CLOSED = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT)


class Watch:
    """Checks the connections of one host; remembers what may only move one way."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._edges: dict[int, tuple[int, int, int]] = {}
        self._over: set[int] = set()

    def check(self) -> None:
        for number, connection in self.host.connections.items():
            assert connection.state != State.CLOSED, "a closed connection is kept"
            self._one_way(number, connection)
            check_sending(connection)
            check_receiving(connection)
            check_closing(connection)
        assert _flows(self.host) == len(self.host.connections), "flow table and connections differ"

    def events(self, events: list) -> None:
        """After ERROR or CLOSED no further event comes."""
        for source, ready in events:
            if isinstance(source, Connection):
                assert source.number not in self._over, f"{ready!r} after the end"
                if ready & (Ready.CLOSED | Ready.ERROR):
                    self._over.add(source.number)

    def _one_way(self, number: int, connection: Connection) -> None:
        """Before both SYNs are there, these numbers mean nothing."""
        tcb = connection.tcb
        now = tcb.snd_una, tcb.rcv_nxt, tcb.rcv_adv
        before = self._edges.pop(number, now)
        if connection.state not in UNSYNCHRONISED:
            self._edges[number] = now
        for name, old, new in zip(("snd_una", "rcv_nxt", "rcv_adv"), before, now, strict=True):
            assert (new - old) & MASK < 1 << 31, f"{name} moved left"


def _flows(host: Host) -> int:
    return lib.flow_count(host.flows)


def check_sending(connection: Connection) -> None:
    """Records lie side by side from snd_una to snd_nxt; their sums are those of the TCB."""
    tcb = connection.tcb
    flight = connection.flight
    if connection.state in UNSYNCHRONISED:
        assert len(flight) == 0 or fast_open.may_send(connection)
        return
    in_flight = (tcb.snd_nxt - tcb.snd_una) & MASK
    at, sacked, lost = tcb.snd_una, 0, 0
    for record in flight:
        assert record.seq == at, "a gap or an overlap between records"
        assert 0 < record.length < 1 << 31, "an empty record"
        assert not (record.sacked and record.lost)
        sacked += record.length if record.sacked else 0
        lost += record.length if record.lost else 0
        at = record.end
    assert at == tcb.snd_nxt, "records end elsewhere than the flight"
    assert (sacked, lost) == (tcb.sacked, tcb.lost)
    assert flight.pipe >= 0
    assert in_flight - bool(tcb.fin_sent) <= tcb.snd.length or tcb.snd.length == 0
    assert tcb.cwnd >= min(tcb.snd_mss, 1)
    assert tcb.snd_mss > 0
    if len(flight) and not connection.tcb.in_output:
        timers = Timer.RETRANSMISSION, Timer.LOSS_PROBE, Timer.REORDERING
        assert any(connection.deadlines[timer] for timer in timers), "in flight without a timer"
        assert connection.deadlines[Timer.RETRANSMISSION], (
            "in flight without a retransmission timer"
        )


def ranges(reassembly: Reassembly) -> list[tuple[int, int]]:
    """The out-of-order ranges in sequence."""
    return [(left, reassembly._rights[left]) for left in reassembly._lefts]


def check_receiving(connection: Connection) -> None:
    """The window is never larger than the ring; out-of-order ranges lie apart inside it."""
    tcb = connection.tcb
    if connection.state in UNSYNCHRONISED:
        return
    window = (tcb.rcv_adv - tcb.rcv_nxt) & MASK
    assert window < 1 << 31, "rcv_nxt beyond rcv_adv"
    assert tcb.rcv.length + window <= tcb.rcv.limit, "more announced than the ring can hold"
    last = 0
    for left, right in ranges(connection.reassembly):
        start, end = (left - tcb.rcv_nxt) & MASK, (right - tcb.rcv_nxt) & MASK
        assert last < start < end <= window, "ranges touch, or lie outside the window"
        last = end


def check_closing(connection: Connection) -> None:
    tcb, state = connection.tcb, connection.state
    assert bool(tcb.fin_received) == (state in THEIRS_CLOSED)
    if state in OURS_CLOSED:
        assert tcb.fin_queued
    if state in (State.FIN_WAIT_2, State.TIME_WAIT):
        assert tcb.snd_una == tcb.snd_nxt, "our FIN is not acknowledged"
    if state == State.TIME_WAIT:
        assert connection.deadlines[Timer.TIME_WAIT], "TIME-WAIT without an end"


def check_flight(connection: Connection) -> None:
    """What the flight keeps in three places says the same."""
    flight, tcb = connection.flight, connection.tcb
    in_network = list(flight.in_network)
    assert [r.sent_at for r in in_network] == sorted(r.sent_at for r in in_network)
    known = flight._records  # the rest was sent once, and nothing more is known of it
    waiting = {id(r) for r in known if not r.sacked and not r.lost}
    assert {id(r) for r in in_network} == waiting, "the send order holds something else"
    assert len(in_network) == len(waiting), "a record stands twice in the send order"
    plain = sum(r.length for r in flight) - sum(r.length for r in known)
    in_pipe = plain + sum(r.length for r in in_network)
    assert flight.pipe == in_pipe or connection.state in UNSYNCHRONISED
    lost = [r.seq for r in flight if r.lost]
    first = flight.next_lost()
    assert (None if first is None else first.seq) == (lost[0] if lost else None)
    assert tcb.cwnd >= tcb.snd_mss or connection.rate is not None, "cwnd below one segment"


ENDS = (State.TIME_WAIT, State.CLOSED)
NO_DATA_COMES = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, *ENDS)


def check_timers(connection: Connection) -> None:
    """A timer runs where its state has one, and where it would do something."""
    state, deadlines, places = connection.state, connection.deadlines, connection.places
    for timer in Timer:
        assert not deadlines[timer] or 0 < places[timer] <= deadlines[timer], "not in the heap"
    if state in ENDS:
        running = [timer for timer in Timer if deadlines[timer]]
        assert running == ([Timer.TIME_WAIT] if state is State.TIME_WAIT else [])
    if deadlines[Timer.TIME_WAIT]:
        assert state is State.TIME_WAIT or (state is State.FIN_WAIT_2 and connection.orphan)
    if state is State.FIN_WAIT_2 and connection.orphan:
        assert deadlines[Timer.TIME_WAIT], "an orphan waits for a FIN without end"
    if state in UNSYNCHRONISED:
        assert deadlines[Timer.RETRANSMISSION] or connection.tcb.in_output, "a SYN without a timer"
        assert not deadlines[Timer.PERSIST]
    if deadlines[Timer.KEEPALIVE]:
        assert connection.keeps_alive
    if deadlines[Timer.LOSS_PROBE]:
        assert deadlines[Timer.RETRANSMISSION], "a probe without the timeout it spares"
    tcb = connection.tcb
    if (
        state in SENDING
        and not connection.flight
        and not connection.tcb.in_output
        and tcb.snd.length
    ):
        assert (
            deadlines[Timer.PERSIST]
            or deadlines[Timer.PACING]
            or deadlines[Timer.CORK]
            or state in UNSYNCHRONISED
        ), "data waits for nothing"


def check_memory(host: Host, budget: int) -> None:
    """Every byte that buffers drew is drawn from the host's budget, and no ring is larger
    than it says.
    """
    drawn = 0
    for connection in host.connections.values():
        drawn += connection.tcb.snd_drawn + connection.tcb.rcv_drawn
        for ring in (connection.tcb.snd, connection.tcb.rcv):
            assert ring.length <= ring.capacity
            assert ring.length <= ring.limit
    assert host.buffer_memory.left + drawn == budget, "memory was drawn or given back twice"
    assert host.buffer_memory.left >= 0


def check_returned(host: Host) -> None:
    """Everything that connections had was given back."""
    assert not host.connections
    assert _flows(host) == 0
    assert not host.ready_to_send
    assert host.next_deadline() is None
    assert host.timers.places == 0
