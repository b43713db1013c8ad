"""What of a host is an input: every call and every attribute by which the world outside changes
what the host does. All else follows from these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from stack._native import ffi
from stack.core.events import KeyLogged
from stack.core.host import Host
from stack.core.tcp.connection import Connection
from stack.core.tcp.listener import Listener
from stack.core.udp.endpoint import UdpEndpoint
from stack.observe.recording.values import Digest, Offered, Packets, Room, digest, short
from stack.wire.batch import Inbound, Outbound, packet_bytes

Recorded = Connection | Listener | UdpEndpoint

_VIRTIO_HEADER = 10  # bytes, which say what is left to the device


@dataclass(frozen=True, slots=True)
class Surface:
    """The public names of a class: `calls` and `assigned` attributes are inputs, `asks` change
    nothing, `parts` are what the core's own parts call while an input is at work.
    """

    of: type
    calls: Sequence[str]
    assigned: Sequence[str] = ()
    asks: Sequence[str] = ()
    parts: Sequence[str] = ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HOST = Surface(
    Host,
    calls=_names(
        "receive transmit next_deadline on_deadline events"
        " listen open_udp unbound_udp connect publish close"
    ),
    assigned=("offload", "config"),
    asks=("addresses", "config", "next_wake", "listener_for", "path_back", "observe"),
    parts=_names(
        "connection_class listener_class endpoint_class next_number new_connection forget"
        " take_in enters_time_wait stop_listening listens_otherwise segment_without_connection refuse reply_segment"
        " send_whole in_pieces reply identify tell receive_rest"
    ),
)
CONNECTION = Surface(
    Connection,
    calls=_names(
        "set use_congestion send send_urgent send_with_syn receive receive_into receive_urgent"
        " flush ask_for_room shutdown close abort"
    ),
    assigned=("nodelay", "reports_errors", "owner"),
    asks=_names(
        "state version local remote remote_packed available urgent_remaining at_mark eof"
        " syn_why traffic_class_heard variables"
        " send_space send_queued nodelay orphan info peek timestamp"
    ),
    parts=_names(
        "wants_output may_go_on start_timer stop_timer on_timer move reset finish soft"
        " tell cwnd_changed note_call discard"
    ),
)
LISTENER = Surface(
    Listener,
    calls=("accept", "close"),
    assigned=("backlog", "fast_open", "configure"),
    asks=_names(
        "backlog local conflicts takes queue_detail pending full half_open fast_open plain"
        " shapes_syn_ack configure"
    ),
    parts=_names(
        "arrives open opened fast_open_room opened_early leaves_half_open established dropped"
    ),
)
ENDPOINT = Surface(
    UdpEndpoint,
    calls=_names(
        "bind connect disconnect close send send_to receive take peek take_error take_send_error"
    ),
    assigned=_names(
        "version broadcast reuse_address reuse_port send_buffer receive_buffer ipv4 ipv6"
    ),
    asks=("local", "remote", "settings", "send_space", "readable", "reported"),
    parts=("sent", "deliver", "fail", "report", "too_long", "tell"),
)
SURFACES = (HOST, CONNECTION, LISTENER, ENDPOINT)


@dataclass(frozen=True, slots=True)
class Input:
    """One way in: a call, or with `assigned` an attribute."""

    of: type
    name: str
    assigned: bool = False
    time_at: int | None = None
    """Which argument is the time, counted without self; None where there is none."""

    @property
    def title(self) -> str:
        """As the header of a recording has it."""
        return f"{self.of.__name__}.{self.name}{'=' if self.assigned else ''}"


def _time_at(call: Callable[..., Any]) -> int | None:
    given = signature(call).parameters.values()
    names = [one.name for one in given if one.kind is not Parameter.KEYWORD_ONLY]
    return names.index("now") - 1 if "now" in names else None


INPUTS = tuple(
    made
    for surface in SURFACES
    for made in (
        *(Input(surface.of, n, time_at=_time_at(getattr(surface.of, n))) for n in surface.calls),
        *(Input(surface.of, name, assigned=True) for name in surface.assigned),
    )
)
BY_TITLE = {one.title: one for one in INPUTS}


# ---- arguments as they are recorded ---------------------------------------------------------


def packets_of(inbound: Inbound) -> Packets:
    """What came in, as it came: checksums that a device left open stay so."""
    slots = map(inbound.slot, range(inbound.count))
    return Packets(tuple((packet_bytes(p), p.vnet_flags, p.gso_size) for p in slots))


def _offered(connection: Connection, data: Any) -> Offered:
    """No more of the bytes than the connection has room for: an application that writes much
    offers the rest again and again.
    """
    room = max(connection.send_space, 0)
    return Offered(len(data), bytes(memoryview(data)[:room]))


_RECORDED: dict[str, Callable[[Any, Sequence[Any]], tuple[Any, ...]]] = {
    "Host.receive": lambda _, args: (packets_of(args[0]),),
    "Connection.send": lambda c, args: (_offered(c, args[0]), *args[1:]),
    "Connection.send_urgent": lambda c, args: (_offered(c, args[0]), *args[1:]),
    "Connection.send_with_syn": lambda c, args: (_offered(c, args[0]), *args[1:]),
    "Connection.receive_into": lambda _, args: (Room(len(args[0])), *args[1:]),
    # Who it is does not matter to a host, only whether there is one.
    "Connection.owner=": lambda _, args: (args[0] is not None,),
    "Listener.configure=": lambda _, args: (args[0] is not None,),
}


def recorded(one: Input) -> Callable[[Any, Sequence[Any]], Sequence[Any]]:
    """How the arguments of an input are written down, given the object and the arguments."""
    return _RECORDED.get(one.title, lambda _, args: args)


def is_input(one: Input, args: Sequence[Any]) -> bool:
    """Whether a call is one: events come from the host itself, but for secrets of TLS."""
    return one.name != "publish" or isinstance(args[0], KeyLogged)


# ---- results as they are compared -----------------------------------------------------------


def outcome(one: Input, args: Sequence[Any], result: Any) -> Any:
    """What a call made of its arguments."""
    if isinstance(result, Outbound):
        return packets_out(result)
    if one.name == "receive_into":
        return result, short(bytes(memoryview(args[0])[:result]))
    return result


def packets_out(out: Outbound) -> tuple[Digest, ...]:
    """What stands for packets that leave: their bytes, and what is left to the device."""
    heads = (ffi.buffer(out.raw[index].vnet)[:_VIRTIO_HEADER] for index in range(out.count))
    return tuple(digest(data, head) for data, head in zip(out.copies(), heads, strict=True))
