"""TCP options: kinds, names in scripts, and how their numbers lie in the option's data."""

from struct import calcsize, pack, unpack
from typing import NamedTuple

from stack.sim.drill.script import RAW, OptionSpec
from stack.wire.tcp_options import (
    EOL,
    MSS,
    NOP,
    SACK,
    SACK_PERMITTED,
    TIMESTAMPS,
    WINDOW_SCALE,
    Option,
)

MD5 = 19  # RFC 2385
USER_TIMEOUT = 28  # RFC 5482
FAST_OPEN = 34  # RFC 7413
ACCECN_0 = 172  # RFC 9768: counters in the order E0B, CEB, E1B
ACCECN_1 = 174  # and in the order E1B, CEB, E0B
EXPERIMENT = 254  # RFC 6994: a magic number says which
FAST_OPEN_MAGIC = b"\xf9\x89"

ACCECN_FIELDS = {ACCECN_0: ("e0b", "ceb", "e1b"), ACCECN_1: ("e1b", "ceb", "e0b")}


class _Layout(NamedTuple):
    name: str
    format: str  # of struct; "" where the data is bytes


_LAYOUTS = {
    MSS: _Layout("mss", "!H"),
    WINDOW_SCALE: _Layout("wscale", "!B"),
    TIMESTAMPS: _Layout("TS", "!II"),
    USER_TIMEOUT: _Layout("uto", "!H"),
}
_BARE = {EOL: "eol", NOP: "nop", SACK_PERMITTED: "sackOK"}
_BLOBS = {FAST_OPEN: "FO", MD5: "md5"}

BY_NAME = {layout.name: kind for kind, layout in _LAYOUTS.items()}
BARE_BY_NAME = {name: kind for kind, name in _BARE.items()}
BLOB_BY_NAME = {name: kind for kind, name in _BLOBS.items()}


def encode(option: OptionSpec) -> bytes:
    """The bytes of an option whose numbers are those of the wire."""
    kind = option.kind
    if kind == RAW:
        return option.data
    if kind in _LAYOUTS:
        data = pack(_LAYOUTS[kind].format, *option.values)
    elif kind == SACK:
        data = pack(f"!{len(option.values)}I", *option.values)
    elif kind in ACCECN_FIELDS:
        data = b"".join(value.to_bytes(3, "big") for value in option.values)
    else:
        data = option.data
    return Option(kind, data).encode()


def decode(option: Option) -> OptionSpec:
    """An option of the wire; one that has not the length of its kind stays bytes."""
    kind, data = option.kind, option.data
    if option.fault:
        return OptionSpec(RAW, (), bytes((kind,)) + data)
    if kind in _LAYOUTS and len(data) == calcsize(_LAYOUTS[kind].format):
        return OptionSpec(kind, unpack(_LAYOUTS[kind].format, data))
    if kind == SACK and data and len(data) % 8 == 0:
        return OptionSpec(kind, unpack(f"!{len(data) // 4}I", data))
    if kind in ACCECN_FIELDS and len(data) % 3 == 0:
        values = (data[at : at + 3] for at in range(0, len(data), 3))
        return OptionSpec(kind, tuple(int.from_bytes(value, "big") for value in values))
    return OptionSpec(kind, (), data)


def spelled(option: OptionSpec) -> str:
    """The option as a script writes it."""
    kind, values = option.kind, option.values
    if kind == RAW:
        return f"raw {option.data.hex()}"
    if kind in _BARE and not option.data:
        return _BARE[kind]
    if kind == TIMESTAMPS and values:
        return f"TS val {values[0]} ecr {values[1]}"
    if kind in _LAYOUTS and values:
        return f"{_LAYOUTS[kind].name} {values[0]}"
    if kind == SACK and values:
        pairs = zip(values[::2], values[1::2], strict=True)
        return "sack " + " ".join(f"{left}:{right}" for left, right in pairs)
    if kind in ACCECN_FIELDS:
        return _spelled_accecn(option)
    if kind == EXPERIMENT and option.data.startswith(FAST_OPEN_MAGIC):
        return f"FOEXP {option.data[2:].hex()}".rstrip()
    name = _BLOBS.get(kind, f"kind {kind}")
    return f"{name} {option.data.hex()}".rstrip()


def _spelled_accecn(option: OptionSpec) -> str:
    names = ACCECN_FIELDS[option.kind]
    words = [f"{name} {value}" for name, value in zip(names, option.values, strict=False)]
    return " ".join(["ECN", *words])
