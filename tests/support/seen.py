"""Segments as a test script sees them: numbers relative to where each side began."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stack.wire import segment
from stack.wire.segment import Packet, Tcp

LETTERS = "FSRPAUECN"  # from the lowest bit of the flags field up
MASK = 0xFFFF_FFFF

Matcher = Callable[[Any], bool]


def flag_bits(letters: str) -> int:
    """`"SA"` is SYN and ACK; the order of letters is free."""
    return sum(1 << LETTERS.index(letter) for letter in letters)


def flag_letters(bits: int) -> str:
    """The letters of a flags field, SYN, FIN, RST and PSH before ACK."""
    return "".join(letter for letter in "SFRPAUECN" if bits & flag_bits(letter))


# ---- matchers: a value that a field must equal, or one of these ------------------


class Match:
    """A condition with words for it."""

    def __init__(self, words: str, test: Matcher) -> None:
        self.words = words
        self._test = test

    def __call__(self, value: Any) -> bool:
        return self._test(value)

    def __repr__(self) -> str:
        return self.words

    def __and__(self, other: "Match") -> "Match":
        return Match(f"{self} and {other}", lambda value: self(value) and other(value))

    def __or__(self, other: "Match") -> "Match":
        return Match(f"{self} or {other}", lambda value: self(value) or other(value))


present = Match("present", lambda value: value is not None and value != ())
absent = Match("absent", lambda value: value is None or value == ())


def at_least(limit: int) -> Match:
    return Match(f"at least {limit}", lambda value: value >= limit)


def at_most(limit: int) -> Match:
    return Match(f"at most {limit}", lambda value: value <= limit)


def one_of(*values: Any) -> Match:
    return Match(f"one of {values}", lambda value: value in values)


def matches(expected: Any, value: Any) -> bool:
    """Whether a field has the value, or meets the condition."""
    return expected(value) if isinstance(expected, Match) else expected == value


# ---- segments --------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """One segment. `seq`, `ack` and `sack` count from the initial sequence numbers;
    `window` is in bytes; `elapsed` is the time since the step before it began (µs).
    """

    now: int
    ours: bool
    flags: str
    seq: int
    ack: int
    window: int
    text: bytes
    mss: int | None = None
    wscale: int | None = None
    sack_ok: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    ts: tuple[int, int] | None = None
    urgent: int = 0
    why: Any = None
    detail: str = ""
    elapsed: int = 0
    sport: int = 0
    dport: int = 0
    packet: Packet | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        return len(self.text)

    @property
    def end(self) -> int:
        """The sequence number behind it."""
        return self.seq + len(self.text) + ("S" in self.flags) + ("F" in self.flags)

    @property
    def tsval(self) -> int | None:
        return self.ts[0] if self.ts else None

    @property
    def tsecr(self) -> int | None:
        return self.ts[1] if self.ts else None

    def misses(self, wanted: dict[str, Any]) -> list[str]:
        """What of an expectation does not hold, in words."""
        found = []
        for name, expected in wanted.items():
            value = getattr(self, name)
            if name == "flags":
                held = set(value) == set(expected)
            else:
                held = matches(expected, value)
            if not held:
                found.append(f"{name} is {value!r}, not {_shown(expected)}")
        return found

    def line(self) -> str:
        """One line of a trace."""
        options = [
            words
            for words in (
                f"mss {self.mss}" if self.mss is not None else "",
                f"wscale {self.wscale}" if self.wscale is not None else "",
                "sackOK" if self.sack_ok else "",
                "sack " + " ".join(f"{a}–{b}" for a, b in self.sack) if self.sack else "",
                f"ts {self.ts[0]} {self.ts[1]}" if self.ts else "",
            )
            if words
        ]
        head = f"{self.now / 1e6:11.6f} {'→' if self.ours else '←'} [{self.flags}] seq={self.seq}"
        head += f" ack={self.ack}" if "A" in self.flags else ""
        head += f" win={self.window} len={len(self.text)}"
        head += f" <{', '.join(options)}>" if options else ""
        return head + (f"  {self.why.explain(self.detail)}" if self.why is not None else "")


def _shown(expected: Any) -> str:
    if isinstance(expected, bytes | bytearray) and len(expected) > 40:
        return f"{bytes(expected[:40])!r}… ({len(expected)} bytes)"
    return repr(expected)


def view(packet: Packet, now: int, *, ours: bool, base: int, peer_base: int, shift: int) -> Seen:
    """The segment of a parsed packet; `base` is its sender's ISS, `peer_base` the receiver's."""
    tcp = packet.tcp
    assert tcp is not None, packet.fault
    return Seen(
        now,
        ours,
        flag_letters(tcp.flags),
        relative(tcp.seq, base),
        relative(tcp.ack, peer_base) if tcp.flags & segment.ACK else 0,
        tcp.window << (0 if tcp.flags & segment.SYN else shift),
        tcp.text,
        mss=tcp.mss,
        wscale=tcp.window_scale,
        sack_ok=tcp.sack_permitted,
        sack=tuple((relative(a, peer_base), relative(b, peer_base)) for a, b in tcp.sack_blocks),
        ts=tcp.timestamps,
        urgent=tcp.urgent,
        sport=tcp.sport,
        dport=tcp.dport,
        packet=packet,
    )


def relative(number: int, base: int) -> int:
    """Distance from `base`, negative when it lies before it."""
    distance = (number - base) & MASK
    return distance - (1 << 32) if distance >> 31 else distance


def tcp_of(packet: Packet) -> Tcp:
    assert packet.tcp is not None, packet.fault or "no TCP segment"
    return packet.tcp


def texts(segments: Iterable[Seen]) -> bytes:
    """Their texts, one behind the other."""
    return b"".join(one.text for one in segments)
