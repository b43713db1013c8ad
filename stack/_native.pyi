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

class Tcb:
    path: Path
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
    segments_in: int
    segments_out: int
    bytes_received: int
    bytes_acked: int
    bytes_sent: int
    bytes_retransmitted: int
    retransmissions: int
    snd: Ring
    rcv: Ring

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
    text: Array[Span]

class FlowTable: ...

class Batch:
    packets: Array[Packet]
    count: int
    arena: Bytes
    arena_size: int

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
    OUTGOING_HEAD_MAX: int
    BATCH_PACKETS: int
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
    def ring_commit(self, r: Ring, n: int, /) -> int: ...
    def ring_peek(self, r: Ring, offset: int, dst: Bytes, n: int, /) -> int: ...
    def ring_read(self, r: Ring, dst: Bytes, n: int, /) -> int: ...
    def ring_consume(self, r: Ring, n: int, /) -> int: ...
    def ring_spans(self, r: Ring, offset: int, n: int, out: Array[Span], /) -> int: ...
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
    def flow_insert(self, t: FlowTable, path: Path, id_: int, /) -> int: ...
    def flow_remove(self, t: FlowTable, path: Path, /) -> int: ...
    def flow_find_path(self, t: FlowTable, path: Path, /) -> int: ...
    def flow_count(self, t: FlowTable, /) -> int: ...
    def batch_new(self, /) -> Batch: ...
    def batch_free(self, b: Batch, /) -> None: ...
    def tun_receive(self, fd: int, b: Batch, vnet: int, /) -> int: ...
    def tun_poll(self, fd: int, microseconds: int, /) -> int: ...
    def tun_transmit(self, fd: int, out: Outgoing, n: int, vnet: int, /) -> int: ...
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
    def new(self, cdecl: Literal["struct tcb *"], init: object = None) -> Tcb: ...
    @overload
    def new(self, cdecl: Literal["struct emit *"], init: object = None) -> Emit: ...
    @overload
    def new(self, cdecl: Literal["struct outgoing *"], init: object = None) -> Outgoing: ...
    @overload
    def new(self, cdecl: Literal["struct batch *"], init: object = None) -> Batch: ...
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
    def new(self, cdecl: Literal["struct tcb[]"], init: object = None) -> Array[Tcb]: ...
    @overload
    def new(self, cdecl: Literal["struct emit[]"], init: object = None) -> Array[Emit]: ...
    @overload
    def new(self, cdecl: Literal["struct outgoing[]"], init: object = None) -> Array[Outgoing]: ...
    @overload
    def new(self, cdecl: Literal["struct batch[]"], init: object = None) -> Array[Batch]: ...
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
