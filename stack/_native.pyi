"""Typed view of the C extension, written by native/stub.py from native/tunstack.h.

cffi reaches a struct's fields through the struct and through a pointer to it alike, so one
class stands for both.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

_T = TypeVar("_T")
_Readable = bytes | bytearray | memoryview

class Array(Generic[_T]):
    """A C array, or a pointer into one."""

    def __getitem__(self, index: int) -> _T: ...
    def __setitem__(self, index: int, value: _T) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __add__(self, count: int) -> Array[_T]: ...

Bytes = Array[int]

class Buffer:
    """C memory as a Python buffer."""

    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __setitem__(self, index: slice, value: _Readable) -> None: ...
    @overload
    def __setitem__(self, index: int, value: bytes) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int) -> memoryview: ...

class _IntArray:
    """An array field: read as an array, set from anything of the right length."""

    def __get__(self, owner: object, kind: type | None = None) -> Bytes: ...
    def __set__(self, owner: object, value: bytes | Sequence[int] | Bytes) -> None: ...

class Packet:
    data: Bytes
    length: int
    fault: int
    version: int
    protocol: int
    ttl: int
    traffic_class: int
    flow_label: int
    ip_header_length: int
    source_route: int
    src: _IntArray
    dst: _IntArray
    is_fragment: int
    more_fragments: int
    dont_fragment: int
    fragment_next_header: int
    fragment_offset: int
    fragment_id: int
    unfragmentable_length: int
    problem: int
    problem_code: int
    problem_pointer: int
    vnet_flags: int
    gso_size: int
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    options: int
    mss: int
    wscale: int
    sack_count: int
    tsval: int
    tsecr: int
    sack: _IntArray
    fast_open_length: int
    fast_open: _IntArray
    user_timeout: int
    accecn_order: int
    accecn_count: int
    accecn: _IntArray
    text: Bytes
    text_length: int
    landed: int
    icmp_type: int
    icmp_code: int
    icmp_rest: int

class Ring:
    data: Bytes
    capacity: int
    head: int
    length: int
    ahead: int
    limit: int
    usual: int

class Span:
    data: Bytes
    length: int

class Path:
    version: int
    ttl: int
    traffic_class: int
    dont_fragment: int
    flow_label: int
    src: _IntArray
    dst: _IntArray
    sport: int
    dport: int
    options_length: int
    routed: int
    next_hop: _IntArray
    options: _IntArray

class Transmission:
    sent_at: int
    seq: int
    end: int

class Sent:
    data: Transmission
    capacity: int
    head: int
    count: int

class Listening:
    next: Listening
    waiting: int
    backlog: int
    half_open: int
    version: int
    has_address: int
    address: _IntArray
    port: int

class Tcb:
    path: Path
    number: int
    state: int
    iss: int
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    snd_wl1: int
    snd_wl2: int
    snd_up: int
    max_snd_wnd: int
    irs: int
    rcv_nxt: int
    rcv_adv: int
    rcv_up: int
    rcv_wnd_max: int
    snd_mss: int
    peer_mss: int
    rcv_mss: int
    snd_wscale: int
    rcv_wscale: int
    wscale_ok: int
    sack_ok: int
    ts_ok: int
    fin_received: int
    fin_queued: int
    fin_sent: int
    ts_recent: int
    ts_offset: int
    last_ack_sent: int
    ts_recent_at: int
    srtt: int
    rttvar: int
    rto: int
    min_rtt: int
    backoff: int
    cwnd: int
    ssthresh: int
    sacked: int
    lost: int
    dupacks: int
    recover: int
    recovery: int
    rack_sent_at: int
    rack_rtt: int
    rack_end: int
    rack_fack: int
    sample_acked: int
    sample_rtt: int
    sample_rtts: int
    sample_acks: int
    sample_flight: int
    grow_by: int
    grow_over: int
    grow_rest: int
    grow_cwnd: int
    grow_end: int
    syn_due: int
    ack_due: int
    ack_waiting: int
    ack_full_size: int
    ack_alert: int
    ack_quick: int
    pacing_rate: int
    pacing_rest: int
    pacing_next: int
    pacing_burst_end: int
    rcv_rtt: int
    rcv_measure_at: int
    rcv_round_at: int
    rcv_round_from: int
    rcv_space: int
    last_heard: int
    last_data_received: int
    last_sent_at: int
    unacked_since: int
    una_at_send: int
    flight_before: int
    small_end: int
    data_segments_in: int
    data_segments_out: int
    snd_drawn: int
    rcv_drawn: int
    fast: int
    orphan: int
    nodelay: int
    discards: int
    small_in_flight: int
    cwnd_limited: int
    send_blocked: int
    mss_proven: int
    snd_automatic: int
    rcv_automatic: int
    pacing_waits: int
    in_output: int
    half_open: int
    traffic_class_heard: int
    sample_due: int
    ready: int
    deadlines: _IntArray
    places: _IntArray
    segments_in: int
    segments_out: int
    bytes_received: int
    bytes_acked: int
    bytes_sent: int
    bytes_retransmitted: int
    retransmissions: int
    sent: Sent
    snd: Ring
    rcv: Ring
    listening: Listening
    timers: TimerHandle

class TimerHandle: ...
class TimerQueue: ...

class Emit:
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    options: int
    mss: int
    wscale: int
    sack_count: int
    tsval: int
    tsecr: int
    sack: _IntArray
    fast_open_length: int
    fast_open: _IntArray
    user_timeout: int
    accecn_order: int
    accecn_count: int
    accecn: _IntArray
    ip_id: int
    gso_size: int
    checksum_offload: int

class Outgoing:
    vnet: _IntArray
    head: _IntArray
    head_length: int
    length: int
    why: int
    text: Array[Span]

class FlowTable: ...

class Batch:
    packets: Array[Packet]
    count: int
    arena: Bytes
    arena_size: int
    latest: Packet

class Budget:
    left: int

class Secrets:
    sequence: _IntArray
    timestamp: _IntArray

class SegmentPath:
    flows: FlowTable
    timers: TimerQueue
    budget: Budget
    secrets: Secrets
    number: int
    initial_rto: int
    minimum_rto: int
    maximum_rto: int
    delayed_ack: int
    minimum_probe_timeout: int
    probe_delayed_ack: int
    fin_wait_2: int
    initial_window: int
    largest_send_buffer: int
    largest_receive_buffer: int
    send_buffer: int
    receive_buffer: int
    quick_acks: int
    mtu: int
    send_automatic: int
    receive_automatic: int
    window_scaling: int
    wscale: int
    timestamps: int
    sack: int
    ttl: int
    ports: Array[Listening]
    syn_queue: int
    own_count: int
    refused_count: int
    own: Bytes
    refused: Bytes
    opens: int
    happened_to: _IntArray
    happened: _IntArray
    opened: Array[Tcb]
    sending: _IntArray
    sampled: _IntArray
    sender: Tcb
    happened_count: int
    opened_count: int
    sending_count: int
    sampled_count: int
    noted: int
    packets_in: int
    octets_in: int
    segments_in: int
    segments_out: int
    syns_in: int
    packets_out: int

class Parcel: ...

class Line:
    rate: int
    delay: int
    packets_max: int
    octets_max: int
    passed: int
    refused: int
    too_long: int
    sent_at: int
    sent_at_ns: int
    travelling: int
    waiting: int
    waiting_octets: int
    first: Parcel
    last: Parcel
    first_waiting: Parcel
    held: Parcel
    spare: Parcel

class Channel:
    line: Line
    to: Station
    number: int
    mtu: int
    due: int

class Station:
    path: SegmentPath
    batch: Batch
    out: Outgoing
    way: Channel
    number: int
    ready: int
    now: int
    next: Station

class Arrival: ...

class Network:
    heap: Arrival
    count: int
    capacity: int
    order: int
    epoch: int
    now: int
    touched: Station
    at: int
    packet: int
    sender: int

class Hop:
    destination: _IntArray
    longest: int

class Share:
    number: int
    of: int
    key: int

class _Lib:
    FLAG_FIN: int
    FLAG_SYN: int
    FLAG_RST: int
    FLAG_PSH: int
    FLAG_ACK: int
    FLAG_URG: int
    FLAG_ECE: int
    FLAG_CWR: int
    FLAG_AE: int
    OPTION_MSS: int
    OPTION_WSCALE: int
    OPTION_SACK_PERMITTED: int
    OPTION_SACK: int
    OPTION_TIMESTAMPS: int
    OPTION_UNKNOWN: int
    OPTION_ILLEGAL: int
    OPTION_FAST_OPEN: int
    OPTION_USER_TIMEOUT: int
    OPTION_ACCECN: int
    SACK_MAX: int
    ACCECN_MAX: int
    FAST_OPEN_MAX: int
    VNET_NEEDS_CSUM: int
    VNET_DATA_VALID: int
    PARSE_TRUST_CHECKSUM: int
    IP_OPTIONS_MAX: int
    STATE_ESTABLISHED: int
    STATE_SYN_RECEIVED: int
    STATE_FIN_WAIT_1: int
    STATE_FIN_WAIT_2: int
    STATE_TIME_WAIT: int
    STATE_CLOSE_WAIT: int
    STATE_LAST_ACK: int
    TIMER_RETRANSMISSION: int
    TIMER_LOSS_PROBE: int
    TIMER_REORDERING: int
    TIMER_PERSIST: int
    TIMER_DELAYED_ACK: int
    TIMER_TIME_WAIT: int
    TIMER_KEEPALIVE: int
    TIMER_PACING: int
    TIMER_CORK: int
    TIMER_COUNT: int
    WHY_NONE: int
    WHY_SECOND_SEGMENT: int
    WHY_QUICK_ACK: int
    WHY_WINDOW_UPDATE: int
    WHY_DELAYED_ACK: int
    WHY_DATA: int
    WHY_DATA_PUSHED: int
    WHY_FIN_RECEIVED: int
    WHY_FIN: int
    WHY_SYN_ACCEPTED: int
    WHY_OTHER: int
    OUTGOING_HEAD_MAX: int
    BATCH_PACKETS: int
    READY_READABLE: int
    READY_WRITABLE: int
    READY_EOF: int
    HAPPENED_MAX: int
    PORT_BUCKETS: int
    HAPPENED_READY: int
    HAPPENED_ESTABLISHED: int
    HAPPENED_ENDED: int
    HAPPENED_TIME_WAIT: int
    HAPPENED_OPENED: int
    LEAVE_DONE: int
    LEAVE_FULL: int
    LEAVE_PYTHON: int
    LEAVE_OFFLOAD: int
    LINE_NOTHING: int
    LINE_NO_MEMORY: int
    RUN_NOTHING: int
    RUN_ENOUGH: int
    RUN_ARRIVAL: int
    RUN_PACKETS: int
    RUN_OUTPUT: int
    RUN_TIMERS: int
    RUN_NO_MEMORY: int
    FAULT_NONE: int
    FAULT_SHORT: int
    FAULT_VERSION: int
    FAULT_IP_HEADER_LENGTH: int
    FAULT_IP_LENGTH: int
    FAULT_IP_CHECKSUM: int
    FAULT_IP_OPTION: int
    FAULT_SOURCE_ROUTE: int
    FAULT_EXTENSION: int
    FAULT_TRANSPORT_SHORT: int
    FAULT_DATA_OFFSET: int
    FAULT_UDP_LENGTH: int
    FAULT_TRANSPORT_CHECKSUM: int
    FAULT_COUNT: int
    def packet_parse(self, out: Packet, data: bytes | Bytes, length: int, flags: int, /) -> int: ...
    def packet_complete_checksum(self, p: Packet, data: Bytes, /) -> int: ...
    def checksum_scalar(self, data: bytes | Bytes, length: int, sum_: int, /) -> int: ...
    def checksum_add(self, data: bytes | Bytes, length: int, sum_: int, /) -> int: ...
    def checksum_pseudo(
        self, src: bytes | Bytes, dst: bytes | Bytes, version: int, protocol: int, length: int, /
    ) -> int: ...
    def ring_init(self, r: Ring, limit: int, /) -> None: ...
    def ring_free(self, r: Ring, /) -> None: ...
    def ring_write(self, r: Ring, src: bytes | Bytes, n: int, /) -> int: ...
    def ring_write_at(self, r: Ring, offset: int, src: bytes | Bytes, n: int, /) -> int: ...
    def ring_prepare(self, r: Ring, n: int, /) -> int: ...
    def ring_place(self, r: Ring, offset: int, n: int, /) -> int: ...
    def ring_settle(self, r: Ring, /) -> None: ...
    def ring_commit(self, r: Ring, n: int, /) -> int: ...
    def ring_peek(self, r: Ring, offset: int, dst: Bytes, n: int, /) -> int: ...
    def ring_read(self, r: Ring, dst: Bytes, n: int, /) -> int: ...
    def ring_consume(self, r: Ring, n: int, /) -> int: ...
    def ring_spans(self, r: Ring, offset: int, n: int, out: Array[Span], /) -> int: ...
    def path_back(self, path: Path, p: Packet, ttl: int, /) -> None: ...
    def sent_free(self, q: Sent, /) -> None: ...
    def sent_push(self, q: Sent, seq: int, end: int, now: int, /) -> int: ...
    def sent_pop(self, q: Sent, base: int, una: int, out: Transmission, /) -> int: ...
    def sent_at(self, q: Sent, index: int, /) -> Transmission: ...
    def tcb_free(self, t: Tcb, /) -> None: ...
    def timer_queue_new(self, /) -> TimerQueue: ...
    def timer_queue_free(self, q: TimerQueue, /) -> None: ...
    def timer_start(self, q: TimerQueue, t: Tcb, timer: int, deadline: int, /) -> int: ...
    def timers_let_go(self, t: Tcb, /) -> None: ...
    def timer_next(self, q: TimerQueue, /) -> int: ...
    def timer_earliest(self, q: TimerQueue, /) -> int: ...
    def timer_places(self, q: TimerQueue, /) -> int: ...
    def timer_due(self, q: TimerQueue, now: int, timer: Bytes, /) -> Tcb: ...
    def outgoing_tcp(
        self, out: Outgoing, path: Path, e: Emit, ring: Ring, offset: int, n: int, /
    ) -> int: ...
    def outgoing_raw(self, out: Outgoing, data: bytes | Bytes, length: int, /) -> None: ...
    def outgoing_copy(self, out: Outgoing, dst: Bytes, room: int, /) -> int: ...
    def packet_build(
        self,
        dst: Bytes,
        room: int,
        path: Path,
        protocol: int,
        ip_id: int,
        payload: bytes | Bytes,
        length: int,
        checksum_offset: int,
        /,
    ) -> int: ...
    def flow_table_new(self, key: bytes | Bytes, /) -> FlowTable: ...
    def flow_table_free(self, t: FlowTable, /) -> None: ...
    def flow_find(self, t: FlowTable, p: Packet, /) -> int: ...
    def flow_insert(self, t: FlowTable, path: Path, id_: int, tcb: Tcb, /) -> int: ...
    def flow_remove(self, t: FlowTable, path: Path, /) -> int: ...
    def flow_find_path(self, t: FlowTable, path: Path, /) -> int: ...
    def flow_count(self, t: FlowTable, /) -> int: ...
    def batch_new(self, /) -> Batch: ...
    def batch_free(self, b: Batch, /) -> None: ...
    def tun_receive(self, fd: int, b: Batch, vnet: int, flows: FlowTable, /) -> int: ...
    def tun_poll(self, fd: int, microseconds: int, /) -> int: ...
    def tun_transmit(self, fd: int, out: Outgoing, n: int, vnet: int, /) -> int: ...
    def segment_path_wanted(self, /) -> int: ...
    def segments_arrive(self, path: SegmentPath, b: Batch, first: int, now: int, /) -> int: ...
    def segments_leave(
        self, path: SegmentPath, t: Tcb, out: Array[Outgoing], count: int, flags: int, now: int, /
    ) -> int: ...
    def initial_sequence(self, s: Secrets, path: Path, now: int, /) -> int: ...
    def timestamp_offset(self, s: Secrets, path: Path, /) -> int: ...
    def tcb_new(self, host: SegmentPath, number: int, state: int, path: Path, /) -> Tcb: ...
    def tcb_end(self, path: SegmentPath, t: Tcb, /) -> None: ...
    def port_open(self, path: SegmentPath, listening: Listening, /) -> None: ...
    def port_close(self, path: SegmentPath, listening: Listening, /) -> None: ...
    def segment_path_count(self, path: SegmentPath, b: Batch, /) -> None: ...
    def line_new(self, rate: int, delay: int, packets_max: int, octets_max: int, /) -> Line: ...
    def line_free(self, line: Line, /) -> None: ...
    def line_push(self, line: Line, data: bytes | Bytes, length: int, now: int, /) -> int: ...
    def line_carry(
        self, line: Line, out: Array[Outgoing], n: int, mtu: int, lost: int, now: int, /
    ) -> int: ...
    def line_pop(self, line: Line, out: Array[Span], limit: int, now: int, /) -> int: ...
    def line_lend(self, line: Line, out: Array[Outgoing], now: int, /) -> int: ...
    def line_deliver(self, line: Line, b: Batch, now: int, /) -> int: ...
    def line_due(self, line: Line, /) -> int: ...
    def line_waiting(self, line: Line, now: int, /) -> int: ...
    def network_clear(self, net: Network, /) -> None: ...
    def network_expect(self, net: Network, channel: Channel, when: int, now: int, /) -> int: ...
    def network_due(self, net: Network, /) -> int: ...
    def network_run(
        self, net: Network, until: int, when: int, order: int, events: int, /
    ) -> int: ...
    def hop_look(self, hop: Hop, out: Array[Outgoing], n: int, limit: int, /) -> int: ...
    def hop_take(self, onward: Array[Outgoing], out: Array[Outgoing], n: int, /) -> None: ...
    def share_owner(self, s: Share, p: Packet, /) -> int: ...
    def share_split(self, s: Share, b: Batch, strays: Array[Packet], owners: Bytes, /) -> int: ...

class _FFI:
    NULL: Any
    error: type[Exception]
    @overload
    def new(self, cdecl: Literal["struct packet *"], init: object = None) -> Packet: ...
    @overload
    def new(self, cdecl: Literal["struct ring *"], init: object = None) -> Ring: ...
    @overload
    def new(self, cdecl: Literal["struct span *"], init: object = None) -> Span: ...
    @overload
    def new(self, cdecl: Literal["struct path *"], init: object = None) -> Path: ...
    @overload
    def new(self, cdecl: Literal["struct transmission *"], init: object = None) -> Transmission: ...
    @overload
    def new(self, cdecl: Literal["struct sent *"], init: object = None) -> Sent: ...
    @overload
    def new(self, cdecl: Literal["struct listening *"], init: object = None) -> Listening: ...
    @overload
    def new(self, cdecl: Literal["struct tcb *"], init: object = None) -> Tcb: ...
    @overload
    def new(self, cdecl: Literal["struct emit *"], init: object = None) -> Emit: ...
    @overload
    def new(self, cdecl: Literal["struct outgoing *"], init: object = None) -> Outgoing: ...
    @overload
    def new(self, cdecl: Literal["struct batch *"], init: object = None) -> Batch: ...
    @overload
    def new(self, cdecl: Literal["struct budget *"], init: object = None) -> Budget: ...
    @overload
    def new(self, cdecl: Literal["struct secrets *"], init: object = None) -> Secrets: ...
    @overload
    def new(self, cdecl: Literal["struct segment_path *"], init: object = None) -> SegmentPath: ...
    @overload
    def new(self, cdecl: Literal["struct line *"], init: object = None) -> Line: ...
    @overload
    def new(self, cdecl: Literal["struct channel *"], init: object = None) -> Channel: ...
    @overload
    def new(self, cdecl: Literal["struct station *"], init: object = None) -> Station: ...
    @overload
    def new(self, cdecl: Literal["struct network *"], init: object = None) -> Network: ...
    @overload
    def new(self, cdecl: Literal["struct hop *"], init: object = None) -> Hop: ...
    @overload
    def new(self, cdecl: Literal["struct share *"], init: object = None) -> Share: ...
    @overload
    def new(self, cdecl: Literal["struct packet[]"], init: object = None) -> Array[Packet]: ...
    @overload
    def new(self, cdecl: Literal["struct ring[]"], init: object = None) -> Array[Ring]: ...
    @overload
    def new(self, cdecl: Literal["struct span[]"], init: object = None) -> Array[Span]: ...
    @overload
    def new(self, cdecl: Literal["struct path[]"], init: object = None) -> Array[Path]: ...
    @overload
    def new(
        self, cdecl: Literal["struct transmission[]"], init: object = None
    ) -> Array[Transmission]: ...
    @overload
    def new(self, cdecl: Literal["struct sent[]"], init: object = None) -> Array[Sent]: ...
    @overload
    def new(
        self, cdecl: Literal["struct listening[]"], init: object = None
    ) -> Array[Listening]: ...
    @overload
    def new(self, cdecl: Literal["struct tcb[]"], init: object = None) -> Array[Tcb]: ...
    @overload
    def new(self, cdecl: Literal["struct emit[]"], init: object = None) -> Array[Emit]: ...
    @overload
    def new(self, cdecl: Literal["struct outgoing[]"], init: object = None) -> Array[Outgoing]: ...
    @overload
    def new(self, cdecl: Literal["struct batch[]"], init: object = None) -> Array[Batch]: ...
    @overload
    def new(self, cdecl: Literal["struct budget[]"], init: object = None) -> Array[Budget]: ...
    @overload
    def new(self, cdecl: Literal["struct secrets[]"], init: object = None) -> Array[Secrets]: ...
    @overload
    def new(
        self, cdecl: Literal["struct segment_path[]"], init: object = None
    ) -> Array[SegmentPath]: ...
    @overload
    def new(self, cdecl: Literal["struct line[]"], init: object = None) -> Array[Line]: ...
    @overload
    def new(self, cdecl: Literal["struct channel[]"], init: object = None) -> Array[Channel]: ...
    @overload
    def new(self, cdecl: Literal["struct station[]"], init: object = None) -> Array[Station]: ...
    @overload
    def new(self, cdecl: Literal["struct network[]"], init: object = None) -> Array[Network]: ...
    @overload
    def new(self, cdecl: Literal["struct hop[]"], init: object = None) -> Array[Hop]: ...
    @overload
    def new(self, cdecl: Literal["struct share[]"], init: object = None) -> Array[Share]: ...
    @overload
    def new(self, cdecl: Literal["uint8_t[]"], init: object = None) -> Bytes: ...
    @overload
    def new(self, cdecl: Literal["uint32_t[]"], init: object = None) -> Bytes: ...
    @overload
    def new(self, cdecl: str, init: object = None) -> Any: ...
    @overload
    def from_buffer(self, cdecl: _Readable, /) -> Bytes: ...
    @overload
    def from_buffer(
        self, cdecl: str, python_buffer: _Readable, require_writable: bool = False
    ) -> Bytes: ...
    def buffer(self, cdata: object, size: int = -1) -> Buffer: ...
    def gc(self, cdata: _T, destructor: Callable[[_T], object] | None, size: int = 0) -> _T: ...
    @overload
    def addressof(self, cdata: Array[_T], index: int, /) -> _T: ...
    @overload
    def addressof(self, cdata: _T, /) -> _T: ...
    @overload
    def addressof(self, cdata: object, *fields: str | int) -> Any: ...
    def cast(self, cdecl: str, value: object) -> Any: ...
    def memmove(self, dest: object, src: object, n: int) -> None: ...
    def sizeof(self, cdecl: object) -> int: ...
    def offsetof(self, cdecl: str, *fields: str | int) -> int: ...
    def typeof(self, cdecl: object) -> Any: ...
    def unpack(self, cdata: object, length: int) -> Any: ...

ffi: _FFI
lib: _Lib
