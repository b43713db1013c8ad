"""What the lines at the top of a script set: `--name=value` and `sysctl` commands."""

import re
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import ip_address
from typing import Any

from stack.core.config import HostConfig
from stack.core.tcp.config import TcpConfig
from stack.errors import UsageError
from stack.wire.sequence import MASK

SECOND = 1_000_000
DEFAULT_TOLERANCE = 4_000  # µs, packetdrill's
HEADERS = {4: 40, 6: 60}  # IP and TCP headers: --mss asks for an MTU so much larger

_LOCAL = {4: "192.0.2.2", 6: "2001:db8::2"}
_REMOTE = {4: "192.0.2.1", 6: "2001:db8::1"}
_VERSIONS = {"ipv4": (4, 4), "ipv4-mapped-ipv6": (6, 4), "ipv6": (6, 6)}

# Options of packetdrill that speak of a real kernel, a wire or a display. They change
# nothing in virtual time, and scripts from elsewhere may have them.
WITHOUT_EFFECT = frozenset(
    {
        "code_command",
        "code_format",
        "code_sockopt",
        "debug",
        "dry_run",
        "gateway_ip",
        "init_scripts",
        "netmask_ip",
        "non_fatal",
        "persistent_tun_dev",
        "send_omit_free",
        "speed",
        "tcp_ts_ecr_scaled",
        "verbose",
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a script is run. Times in µs; `tick` is that of the timestamp clock, 0: not checked.

    `sockets` and `version` are the IP versions of sockets and of packets, which differ for
    IPv4 on IPv6 sockets. With `together` the host sends only when all has happened that the
    script does at one instant, as it does with packets that a device hands over in a batch.
    """

    sockets: int = 4
    version: int = 4
    local_ip: str = ""
    remote_ip: str = ""
    bind_port: int = 8080
    connect_port: int = 8080
    mss: int = 0
    mtu: int = 0
    tolerance: int = DEFAULT_TOLERANCE
    tolerance_percent: float = 0.0
    tick: int = 0
    seed: int = 1
    together: bool = False
    remote_isn: int | None = None
    host: HostConfig = field(default_factory=HostConfig)

    @property
    def local(self) -> str:
        """The address of the host under test."""
        return self.local_ip or _LOCAL[self.version]

    @property
    def remote(self) -> str:
        """The address that the script plays."""
        return self.remote_ip or _REMOTE[self.version]

    @property
    def link_mtu(self) -> int:
        """The MTU of the link in bytes."""
        if self.mtu:
            return self.mtu
        return self.mss + HEADERS[self.version] if self.mss else 1500

    def tolerates(self, difference: int, since: int) -> bool:
        """Whether an event may be so much (µs) off its time, `since` µs after the one before."""
        allowed = max(self.tolerance, int(since * self.tolerance_percent / 100))
        return abs(difference) <= allowed


def with_option(settings: Settings, name: str, value: str | None) -> Settings:
    """The settings with `--name=value`. Raises UsageError: what is wrong, without a place."""
    if name in WITHOUT_EFFECT or name.startswith("wire_"):
        return settings
    if name == "together" and value is None:
        return replace(settings, together=True)
    setter = OPTIONS.get(name)
    if setter is None:
        known = ", ".join(f"--{known}" for known in OPTIONS)
        raise UsageError(f"there is no option --{name}: take one of {known}, --together, --define")
    if value is None:
        raise UsageError(f"--{name} needs a value: write --{name}=VALUE")
    return setter(settings, name, value)


def with_command(settings: Settings, command: str) -> tuple[Settings, tuple[str, ...]]:
    """The settings with what the `sysctl` calls of a shell command set, and a note for each
    part that has no meaning here: there is no kernel to set up, and no shell is run.
    """
    notes: list[str] = []
    for part in re.split(r"[;\n]|&&", command):
        words = part.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].endswith("sysctl"):
            settings = _with_sysctls(settings, part, notes)
        else:
            notes.append(f"not run, since there is no shell in virtual time: {part.strip()}")
    return settings, tuple(notes)


def _with_sysctls(settings: Settings, part: str, notes: list[str]) -> Settings:
    for name, double, single, bare in re.findall(
        r"""([\w./]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", part
    ):
        field_of = _SYSCTLS.get(name.replace("/", "."))
        if field_of is None:
            notes.append(f"sysctl {name} has no counterpart in this stack")
        else:
            values = field_of(double or single or bare)
            settings = _with_fields(settings, values)
    return settings


def _with_fields(settings: Settings, values: dict[str, Any]) -> Settings:
    host = settings.host
    return replace(settings, host=replace(host, tcp=replace(host.tcp, **values)))


# ---- options ------------------------------------------------------------------------

Setter = Callable[[Settings, str, str], Settings]


def _number(key: str, least: int = 0, most: int = 1 << 31) -> Setter:
    def set_it(settings: Settings, name: str, value: str) -> Settings:
        if not re.fullmatch(r"[0-9]+", value) or not least <= int(value) <= most:
            raise UsageError(f"--{name}={value}: give a number from {least} to {most}")
        changes: dict[str, Any] = {key: int(value)}
        return replace(settings, **changes)

    return set_it


def _address(key: str) -> Setter:
    def set_it(settings: Settings, name: str, value: str) -> Settings:
        try:
            ip_address(value)
        except ValueError:
            raise UsageError(f"--{name}={value}: that is no IP address") from None
        changes: dict[str, Any] = {key: value}
        return replace(settings, **changes)

    return set_it


def _version(settings: Settings, name: str, value: str) -> Settings:
    if value not in _VERSIONS:
        raise UsageError(f"--{name}={value}: take one of {', '.join(_VERSIONS)}")
    sockets, version = _VERSIONS[value]
    return replace(settings, sockets=sockets, version=version)


def _percent(settings: Settings, name: str, value: str) -> Settings:
    if not re.fullmatch(r"\d*\.?\d+", value):
        raise UsageError(f"--{name}={value}: give a number such as 2.5")
    return replace(settings, tolerance_percent=float(value))


def _set(settings: Settings, name: str, value: str) -> Settings:
    """`--set=NAME=VALUE`: a field of TcpConfig or HostConfig."""
    key, _, text = value.partition("=")
    host = settings.host
    for holder in (host.tcp, host):
        for known in fields(holder):
            if known.name == key and known.name != "tcp":
                return _with_field(settings, holder, known, text)
    names = sorted(f.name for f in (*fields(TcpConfig), *fields(HostConfig)) if f.name != "tcp")
    raise UsageError(f"--set={value}: there is no setting {key!r}; there are {', '.join(names)}")


def _with_field(
    settings: Settings, holder: TcpConfig | HostConfig, known: "Field[Any]", text: str
) -> Settings:
    default = getattr(holder, known.name)
    try:
        changes: dict[str, Any] = {known.name: _like(default, text)}
    except ValueError as error:
        raise UsageError(f"--set={known.name}={text}: {error}") from None
    if isinstance(holder, HostConfig):
        return replace(settings, host=replace(holder, **changes))
    return _with_fields(settings, changes)


def _like(default: object, text: str) -> object:
    """`text` as a value of the type that `default` has. Raises ValueError."""
    if isinstance(default, bool):
        if text not in _SWITCH:
            raise ValueError("give true or false")
        return _SWITCH[text]
    if isinstance(default, int):
        if not re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
            raise ValueError("give a whole number")
        return int(text, 0)
    return text


_SWITCH = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}

OPTIONS: dict[str, Setter] = {
    "ip_version": _version,
    "local_ip": _address("local_ip"),
    "remote_ip": _address("remote_ip"),
    "bind_port": _number("bind_port", 1, 65535),
    "connect_port": _number("connect_port", 1, 65535),
    "mss": _number("mss", 88, 65475),
    "mtu": _number("mtu", 68, 65535),
    "tolerance_usecs": _number("tolerance"),
    "tolerance_percent": _percent,
    "tcp_ts_tick_usecs": _number("tick"),
    "seed": _number("seed"),
    "remote_isn": _number("remote_isn", 0, MASK),
    "set": _set,
}


# ---- sysctl -------------------------------------------------------------------------

Fields = Callable[[str], dict[str, Any]]


def _integer(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"sysctl: {value!r} is no number") from None


def _switch(key: str) -> Fields:
    return lambda value: {key: _integer(value) != 0}


def _seconds(key: str) -> Fields:
    return lambda value: {key: _integer(value) * SECOND}


def _plain(key: str) -> Fields:
    return lambda value: {key: _integer(value)}


def _buffer(key: str) -> Fields:
    """min, default, max: the default is what a socket gets."""

    def read(value: str) -> dict[str, Any]:
        sizes = value.split()
        return {key: _integer(sizes[min(1, len(sizes) - 1)])}

    return read


def _word(key: str) -> Fields:
    return lambda value: {key: value}


_ECN = {"0": "off", "1": "classic", "2": "passive", "3": "accurate"}


def _ecn(key: str) -> Fields:
    """Linux's numbers for what a host asks for, and what it grants."""

    def read(value: str) -> dict[str, Any]:
        if value not in _ECN:
            raise UsageError(f"sysctl tcp_ecn={value}: take one of {', '.join(_ECN)}")
        return {key: _ECN[value]}

    return read


def _known(table: Iterable[tuple[str, str, Callable[[str], Fields]]]) -> dict[str, Fields]:
    """Those whose setting exists: a table may name more than this version of TCP has."""
    have = {known.name for known in fields(TcpConfig)}
    return {f"net.ipv4.{name}": make(key) for name, key, make in table if key in have}


_SYSCTLS = _known(
    (
        ("tcp_sack", "sack", _switch),
        ("tcp_timestamps", "timestamps", _switch),
        ("tcp_window_scaling", "window_scaling", _switch),
        ("tcp_wmem", "send_buffer", _buffer),
        ("tcp_rmem", "receive_buffer", _buffer),
        ("tcp_fin_timeout", "fin_wait_2", _seconds),
        ("tcp_max_tw_buckets", "time_wait_limit", _plain),
        ("tcp_max_syn_backlog", "syn_queue", _plain),
        ("tcp_challenge_ack_limit", "challenge_acks", _plain),
        ("tcp_ecn", "ecn", _ecn),
        ("tcp_slow_start_after_idle", "idle_restart", _switch),
        ("tcp_syncookies", "syn_cookies", _switch),
        ("tcp_congestion_control", "congestion", _word),
    )
)
