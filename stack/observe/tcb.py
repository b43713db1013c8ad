"""A connection's transmission control block in full, as text: every variable, with its unit."""

from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from stack._native import ffi
from stack.core.tcp.connection import Connection
from stack.core.tcp.flight import Flight
from stack.core.tcp.recovery_state import Recovery
from stack.core.tcp.states import State
from stack.core.tcp.timers import Timer
from stack.observe.trace import seconds
from stack.wire.address import raw
from stack.wire.address import text as address_text
from stack.wire.sequence import MASK, sub

if TYPE_CHECKING:
    from stack.core.tcp.flight import Transmission

# Sequence numbers are told relative to this field, as traces have them.
_OURS, _THEIRS = "iss", "irs"

UNITS: dict[str, str] = {
    "state": "",
    "iss": "",
    "snd_una": _OURS,
    "snd_nxt": _OURS,
    "snd_wnd": "bytes",
    "snd_wl1": _THEIRS,
    "snd_wl2": _OURS,
    "snd_up": _OURS,
    "max_snd_wnd": "bytes",
    "irs": "",
    "rcv_nxt": _THEIRS,
    "rcv_adv": _THEIRS,
    "rcv_up": _THEIRS,
    "rcv_wnd_max": "bytes",
    "snd_mss": "bytes",
    "peer_mss": "bytes",
    "rcv_mss": "bytes",
    "snd_wscale": "bits",
    "rcv_wscale": "bits",
    "wscale_ok": "",
    "sack_ok": "",
    "ts_ok": "",
    "fin_received": "",
    "fin_queued": "",
    "fin_sent": "",
    "ts_recent": "ms on the peer's clock, mostly",
    "ts_offset": "ms",
    "last_ack_sent": _THEIRS,
    "ts_recent_at": "µs",
    "srtt": "µs",
    "rttvar": "µs",
    "rto": "µs",
    "min_rtt": "µs",
    "backoff": "timeouts",
    "cwnd": "bytes",
    "ssthresh": "bytes",
    "sacked": "bytes",
    "lost": "bytes",
    "dupacks": "segments",
    "recover": _OURS,
    "recovery": "",
    "number": "",
    "rack_sent_at": "µs",
    "rack_rtt": "µs",
    "rack_end": _OURS,
    "rack_fack": _OURS,
    "sample_acked": "bytes",
    "sample_rtt": "µs",
    "sample_rtts": "samples",
    "sample_acks": "segments",
    "sample_flight": "bytes",
    "grow_by": "bytes",
    "grow_over": "bytes",
    "grow_rest": "",
    "grow_cwnd": "bytes",
    "grow_end": _OURS,
    "ack_due": "",
    "ack_waiting": "bytes",
    "ack_full_size": "bytes",
    "ack_alert": "segments",
    "ack_quick": "segments",
    "pacing_rate": "bytes a second",
    "pacing_rest": "",
    "pacing_next": "µs",
    "pacing_burst_end": "µs",
    "rcv_rtt": "µs",
    "rcv_measure_at": "µs",
    "rcv_round_at": "µs",
    "rcv_round_from": _THEIRS,
    "rcv_space": "bytes",
    "last_heard": "µs",
    "last_data_received": "µs",
    "last_sent_at": "µs",
    "unacked_since": "µs",
    "una_at_send": _OURS,
    "flight_before": "bytes",
    "small_end": _OURS,
    "data_segments_in": "segments",
    "data_segments_out": "segments",
    "snd_drawn": "bytes",
    "rcv_drawn": "bytes",
    "fast": "",
    "nodelay": "",
    "discards": "",
    "orphan": "",
    "small_in_flight": "",
    "cwnd_limited": "",
    "send_blocked": "",
    "mss_proven": "",
    "snd_automatic": "",
    "rcv_automatic": "",
    "pacing_waits": "",
    "in_output": "",
    "half_open": "",
    "traffic_class_heard": "",
    "syn_due": "",
    "sample_due": "",
    "ready": "",
    "segments_in": "segments",
    "segments_out": "segments",
    "bytes_received": "bytes",
    "bytes_acked": "bytes",
    "bytes_sent": "bytes",
    "bytes_retransmitted": "bytes",
    "retransmissions": "segments",
}
"""The unit of each number in `struct tcb`; `iss` and `irs` for sequence numbers from there."""

_NAMES: dict[str, type[IntEnum]] = {"state": State, "recovery": Recovery}
_RING_UNITS = {"capacity": "bytes", "length": "bytes", "ahead": "bytes", "limit": "bytes"}
_HERE_ALREADY = {"deadlines", "places", "flight", "tcb", "path", "snd", "rcv", "number", "owner"}
_HERE_BELOW = {"listening", "timers", "deadlines", "places", "sent"}
_DEEPEST = 3
_LISTED = 64  # transmissions


def tcb_text(connection: Connection, now: int, zero: int = 0) -> str:
    """Every variable of a connection at `now`, in lines; `zero` is where a trace begins (µs)."""
    local, remote = connection.local, connection.remote
    head = (
        f"connection {connection.number}: {_name(local)} ↔ {_name(remote)},"
        f" {connection.state.label}, at {seconds(now - zero)} s"
    )
    parts: list[tuple[str, list[str]]] = [
        ("tcb", list(_struct(connection.tcb))),
        ("timers", list(_timers(connection, now))),
        ("in flight", list(_flight(connection.flight, connection.tcb.iss, zero))),
        ("policy (times in µs, sizes in bytes)", list(_variables("", connection, _DEEPEST))),
    ]
    lines = [head]
    for title, part in parts:
        lines.append(f"  {title}")
        lines += [f"    {line}" for line in part or ["none"]]
    return "\n".join(lines) + "\n"


def _name(name: tuple[str, int]) -> str:
    address, port = name
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# ---- what C and Python share ------------------------------------------------------------------


def _struct(tcb: Any) -> Iterator[str]:
    for name, field in ffi.typeof("struct tcb").fields:
        value = getattr(tcb, name)
        if name in _HERE_BELOW:
            continue
        if field.type.kind == "struct":
            yield from _inner(name, value, field.type)
        else:
            yield _line(name, value, _unit(tcb, name, value))


def _inner(name: str, value: Any, kind: Any) -> Iterator[str]:
    """The fields of a struct inside the block: the path, the rings."""
    for inner, field in kind.fields:
        if inner in ("src", "dst"):
            yield _line(f"{name}.{inner}", address_text(raw(getattr(value, inner)), value.version))
        elif field.type.kind == "array":
            yield _line(f"{name}.{inner}", _plain(ffi.buffer(getattr(value, inner))[:]))
        elif field.type.kind == "primitive":
            unit = _RING_UNITS.get(inner, "") if kind.cname == "struct ring" else ""
            yield _line(f"{name}.{inner}", getattr(value, inner), unit)


def _unit(tcb: Any, name: str, value: int) -> str:
    if name in _NAMES:
        return _NAMES[name](value).name
    unit = UNITS.get(name, "")
    if unit not in (_OURS, _THEIRS):
        return unit
    distance = sub(value, getattr(tcb, unit))
    return "" if distance < 0 else f"{unit} + {distance}"  # it was never set


def _line(name: str, value: object, unit: str = "") -> str:
    return f"{name:<30} {value}{'  ' + unit if unit else ''}"


# ---- what only Python has -----------------------------------------------------------------


def _timers(connection: Connection, now: int) -> Iterator[str]:
    for timer in Timer:
        deadline = connection.deadlines[timer]
        if deadline:
            yield _line(timer.name, f"in {deadline - now}", "µs")


def _flight(flight: Flight, iss: int, zero: int) -> Iterator[str]:
    records = list(flight)
    for record in records[:_LISTED]:
        first, end = (record.seq - iss) & MASK, (record.end - iss) & MASK
        yield f"{first}…{end}  sent at {seconds(record.sent_at - zero)} s{_marks(record)}"
    if len(records) > _LISTED:
        yield f"and {len(records) - _LISTED} more"


def _marks(record: "Transmission") -> str:
    marks = ("retransmitted", "sacked", "lost")
    found = [mark for mark in marks if getattr(record, mark)]
    return ", " + ", ".join(found) if found else ""


def _variables(prefix: str, owner: object, depth: int) -> Iterator[str]:
    """The plain attributes of an object of the core, and those of its parts."""
    for name in _attributes(owner):
        if prefix == "" and name in _HERE_ALREADY:
            continue
        try:
            value = getattr(owner, name)
        except AttributeError:
            continue  # a slot that nothing was put into yet
        full = prefix + name.removeprefix("_")
        if _is_plain(value):
            yield _line(full, _plain(value))
        elif _is_part(value) and depth:
            yield from _variables(f"{full}.", value, depth - 1)


def _attributes(owner: object) -> Iterator[str]:
    if isinstance(owner, Connection):
        yield from Connection.variables(owner)
        return
    for kind in type(owner).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__"):
                yield name
    yield from getattr(owner, "__dict__", ())


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values())) and all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes, Enum))


def _plain(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.rstrip(b"\0").hex() or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "none"
    if isinstance(value, (tuple, list, set, frozenset)):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _is_part(value: object) -> bool:
    """Whether an object is a part of a connection's own: policies, detectors, buffers."""
    kind = type(value)
    shared = kind.__name__ in ("TcpConfig", "Listener", "RecordingListener")
    return (
        kind.__module__.startswith("stack.core.tcp")
        and not shared
        and not isinstance(value, Connection)
    )
