"""Values in a recording: arguments and results of calls, a tag byte and a few bytes each."""

from collections.abc import Callable
from dataclasses import asdict, astuple, fields
from enum import Enum
from hashlib import blake2b
from json import dumps, loads
from typing import Any, NamedTuple

from stack.core.config import HostConfig
from stack.core.events import KeyLogged
from stack.core.tcp.config import TcpConfig
from stack.core.udp.config import UdpConfig
from stack.core.udp.settings import Discovery, IpSettings
from stack.errors import UsageError

_LARGEST = 1 << 32  # bytes in one buffer
_SHORT = 16  # bytes that are kept as they are; of longer ones a digest is


class Ref(NamedTuple):
    """A connection, an endpoint or a listener, by its number; 0 is the host."""

    number: int


class Packets(NamedTuple):
    """What came in together: bytes, VNET_ flags and segment size of each packet."""

    packets: tuple[tuple[bytes, int, int], ...]


class Room(NamedTuple):
    """A buffer to be filled, of so many bytes."""

    size: int


class Offered(NamedTuple):
    """`total` bytes given to a call that can take no more of them than `data`."""

    total: int
    data: bytes


class Digest(NamedTuple):
    """Stands for `length` bytes."""

    length: int
    digest: bytes


def digest(data: bytes | memoryview, head: bytes = b"") -> Digest:
    """What stands for `data`, and for a `head` that does not count in its length."""
    return Digest(len(data), blake2b(data, key=head, digest_size=8).digest())


def short(data: bytes) -> bytes | Digest:
    """Bytes as they are if they are few, else their digest."""
    return data if len(data) <= _SHORT else digest(data)


# ---- numbers ------------------------------------------------------------------------------


def put_number(out: bytearray, value: int) -> None:
    """An integer of any size and sign, seven bits a byte, the lowest first."""
    rest = value << 1 if value >= 0 else ~value << 1 | 1
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)


def _put_bytes(out: bytearray, value: bytes) -> None:
    put_number(out, len(value))
    out += value


# ---- writing ------------------------------------------------------------------------------


def put_value(out: bytearray, value: Any) -> None:
    """Any value that arguments and results are made of; others by their text, which is what
    counts of an address, for one.
    """
    put = _PUT.get(type(value))
    if put is None:
        put = next((put for kind, put in _PUT_DERIVED if isinstance(value, kind)), _put_text)
    put(out, value)


def _tagged(tag: bytes, put: Callable[[bytearray, Any], None]) -> Callable[[bytearray, Any], None]:
    def write(out: bytearray, value: Any) -> None:
        out += tag
        put(out, value)

    return write


def _put_flag(out: bytearray, value: bool) -> None:
    out += b"T" if value else b"F"


def _put_none(out: bytearray, value: None) -> None:
    out += b"N"


def _put_all(out: bytearray, value: Any) -> None:
    put_number(out, len(value))
    for item in value:
        put_value(out, item)


def _put_packets(out: bytearray, value: Packets) -> None:
    put_number(out, len(value.packets))
    for data, flags, gso_size in value.packets:
        put_number(out, flags)
        put_number(out, gso_size)
        _put_bytes(out, data)


def _put_offered(out: bytearray, value: Offered) -> None:
    put_number(out, value.total)
    _put_bytes(out, value.data)


def _put_digest(out: bytearray, value: Digest) -> None:
    put_number(out, value.length)
    out += value.digest


def _put_ip_settings(out: bytearray, value: IpSettings) -> None:
    _put_all(out, astuple(value))


def _put_key(out: bytearray, value: KeyLogged) -> None:
    _put_all(out, (value.now, value.line))


def _put_config(out: bytearray, value: HostConfig) -> None:
    _put_bytes(out, dumps(asdict(value)).encode())


_put_text = _tagged(b"S", lambda out, value: _put_bytes(out, str(value).encode()))
_put_integer = _tagged(b"I", put_number)
_put_octets = _tagged(b"B", lambda out, value: _put_bytes(out, bytes(value)))
_put_list = _tagged(b"L", _put_all)
_PUT: dict[type, Callable[[bytearray, Any], None]] = {
    type(None): _put_none,
    bool: _put_flag,
    int: _put_integer,
    bytes: _put_octets,
    str: _put_text,
    tuple: _put_list,
    list: _put_list,
    Ref: _tagged(b"O", lambda out, value: put_number(out, value.number)),
    Packets: _tagged(b"Q", _put_packets),
    Room: _tagged(b"X", lambda out, value: put_number(out, value.size)),
    Offered: _tagged(b"P", _put_offered),
    Digest: _tagged(b"Y", _put_digest),
    KeyLogged: _tagged(b"K", _put_key),
    HostConfig: _tagged(b"C", _put_config),
}
_PUT_DERIVED: list[tuple[type | tuple[type, ...], Callable[[bytearray, Any], None]]] = [
    (IpSettings, _tagged(b"H", _put_ip_settings)),
    (int, _put_integer),  # flags and enums
    ((bytearray, memoryview), _put_octets),
    ((tuple, list), _put_list),
]


# ---- reading ------------------------------------------------------------------------------


class Cursor:
    """Reads what was written, in that order. Raises ValueError where it makes no sense."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        """What was not read yet."""
        return self._data[self._at :]

    def number(self) -> int:
        """What `put_number` wrote."""
        result = shift = 0
        data, at = self._data, self._at
        while True:
            if at >= len(data):
                raise ValueError("a number is cut off")
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self._at = at
        return ~(result >> 1) if result & 1 else result >> 1

    def size(self) -> int:
        """A number of bytes that one call can have had to do with."""
        size = self.number()
        if not 0 <= size <= _LARGEST:
            raise ValueError("a size that no call has")
        return size

    def take(self, length: int) -> bytes:
        """So many bytes."""
        taken = self._data[self._at : self._at + length] if length >= 0 else b""
        if len(taken) != length:
            raise ValueError("bytes are cut off")
        self._at += length
        return taken

    def octets(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.number())

    def value(self) -> Any:
        """What `put_value` wrote."""
        get = _GET.get(self.take(1))
        if get is None:
            raise ValueError("a value of an unknown kind")
        try:
            return get(self)
        except (AttributeError, RecursionError, TypeError, UsageError) as error:
            raise ValueError(f"no value of its kind: {error}") from error

    def values(self) -> tuple[Any, ...]:
        """Several values behind their number."""
        return tuple(self.value() for _ in range(self._count()))

    def _count(self) -> int:
        count = self.number()
        if not 0 <= count <= len(self._data):
            raise ValueError("more values than bytes")
        return count


def _get_packets(cursor: Cursor) -> Packets:
    def one() -> tuple[bytes, int, int]:
        flags, gso_size = cursor.number(), cursor.number()
        return cursor.octets(), flags, gso_size

    return Packets(tuple(one() for _ in range(cursor._count())))


def _get_ip_settings(cursor: Cursor) -> IpSettings:
    names = [field.name for field in fields(IpSettings)]
    given = dict(zip(names, cursor.values(), strict=True))
    given["discovery"] = Discovery(given["discovery"])
    return IpSettings(**given)


_GET: dict[bytes, Callable[[Cursor], Any]] = {
    b"N": lambda _: None,
    b"T": lambda _: True,
    b"F": lambda _: False,
    b"I": Cursor.number,
    b"B": Cursor.octets,
    b"S": lambda cursor: cursor.octets().decode(),
    b"L": Cursor.values,
    b"O": lambda cursor: Ref(cursor.number()),
    b"Q": _get_packets,
    b"X": lambda cursor: Room(cursor.size()),
    b"P": lambda cursor: Offered(cursor.size(), cursor.octets()),
    b"Y": lambda cursor: Digest(cursor.number(), cursor.take(8)),
    b"H": _get_ip_settings,
    b"K": lambda cursor: KeyLogged(*cursor.values()),
    b"C": lambda cursor: read_config(loads(cursor.octets())),
}


# ---- configuration ------------------------------------------------------------------------


def config_values(config: HostConfig) -> dict[str, Any]:
    """The settings of a host as plain values; `read_config` is the way back."""
    return asdict(config)


def read_config(values: dict[str, Any]) -> HostConfig:
    """Settings that the recording does not have are at their defaults, as they were when it
    was made. Raises UsageError for those that this version does not have.
    """
    rest = dict(values)
    tcp, udp = rest.pop("tcp", {}), rest.pop("udp", {})
    for kind, given in ((HostConfig, rest), (TcpConfig, tcp), (UdpConfig, udp)):
        unknown = set(given) - {field.name for field in fields(kind)}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise UsageError(f"made by a version with settings that this one lacks: {names}")
    return HostConfig(**rest, tcp=TcpConfig(**tcp), udp=UdpConfig(**udp))


def plain(value: Any, reference: Callable[[Any], Ref | None]) -> Any:
    """What of a result is compared: objects by number, long bytes by digest.

    `reference` gives the number of what has one.
    """
    if value is None or isinstance(value, (bool, int)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, bytes):
        return short(value)
    if isinstance(value, (Digest, str)):
        return value
    found = reference(value)
    if found is not None:
        return found
    if isinstance(value, (tuple, list)):
        return tuple(plain(item, reference) for item in value)
    return str(value)
