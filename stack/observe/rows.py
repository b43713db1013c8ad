"""The rows of a packet list: each packet as number, time, addresses, protocol, length, info."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from stack.observe.dissect.connection import ConnectionDissector
from stack.observe.dissect.layer import Named
from stack.observe.dissect.tls_secrets import SecretStore
from stack.observe.streams import Place, Streams
from stack.observe.summary import other_info, tcp_info
from stack.wire.segment import RST, Packet, Tcp, ones_complement, parse, pseudo_header

# Connections whose records may wait for secrets at one time.
WAITING_MAX = 256

SEGMENT = "[TCP segment of a reassembled PDU]"


@dataclass(slots=True)
class Row:
    """A packet as the list shows it; `time` is in µs since the first packet."""

    number: int
    time: int
    source: str
    destination: str
    length: int
    from_client: bool
    alarming: bool
    summary: tuple[str, str]  # protocol and info by the headers alone
    marks: str = ""
    named: Named | None = None  # what the application said
    dissector: ConnectionDissector | None = None  # which waits for a secret

    @property
    def waiting(self) -> bool:
        """Whether what it carries may become readable, once a secret is known."""
        return self.dissector is not None and self.dissector.waiting

    @property
    def protocol(self) -> str:
        return self.named.protocol if self.named and self.named.items else self.summary[0]

    @property
    def notes(self) -> list[str]:
        """What the application's messages say beyond their names."""
        return self.named.notes if self.named is not None else []

    @property
    def info(self) -> str:
        named, (_, summary) = self.named, self.summary
        if named is not None and named.items:
            summary = ", ".join(named.items)
        elif named is not None and named.open:
            summary = f"{named.head or summary + ' '}{SEGMENT}"
        return self.marks + summary


class Rows:
    """Makes rows of packets, in the order in which they come."""

    def __init__(self) -> None:
        self._streams = Streams()
        self._secrets = SecretStore()
        self._waiting: OrderedDict[bytes, ConnectionDissector] = OrderedDict()
        self._count = 0
        self._first: int | None = None

    def take(self, now: int, data: bytes, *, note: str = "", verify: bool = True) -> Row:
        """The row of an IP packet at `now` (µs), or of a frame that `note` names.

        With `verify` its checksums are looked at, and a packet where one is wrong leaves no
        trace in what is known of its connection.
        """
        self._count += 1
        if self._first is None:
            self._first = now
        packet = parse(data)
        wrong = _wrong_checksums(packet) if verify else ""
        source, destination = str(packet.src or ""), str(packet.dst or "")
        row = Row(
            number=self._count,
            time=now - self._first,
            source=source,
            destination=destination,
            length=len(packet.data) + packet.missing,
            from_client=True,
            alarming=bool(wrong) or (bool(packet.fault) and not packet.missing),
            summary=(note, note),
        )
        if packet.tcp is not None:
            self._take_tcp(row, packet, packet.tcp, now, sound=not row.alarming)
        elif not note:
            row.summary = other_info(packet)
        if wrong:
            row.summary = row.summary[0], row.summary[1] + wrong
        return row

    def _take_tcp(self, row: Row, packet: Packet, tcp: Tcp, now: int, *, sound: bool) -> None:
        place = self._streams.place(packet, tcp, row.number, now, sound=sound)
        fault = f" [Malformed Packet: {packet.fault}]" if row.alarming and packet.fault else ""
        row.from_client = place.from_client
        row.alarming = row.alarming or place.retransmitted or bool(tcp.flags & RST)
        row.marks = "".join(f"[{mark}] " for mark in place.marks)
        row.summary = "TCP", tcp_info(tcp, place) + fault
        if sound:
            self._dissect(row, place, tcp)

    def _dissect(self, row: Row, place: Place, tcp: Tcp) -> None:
        dissector = place.flow.attached
        if not isinstance(dissector, ConnectionDissector):
            place.flow.attached = dissector = ConnectionDissector(self._secrets)
        row.named = dissector.segment(place, tcp, row.number)
        if dissector.waiting and dissector.tls is not None:
            row.dissector = dissector
            self._waiting[dissector.tls.random] = dissector
            if len(self._waiting) > WAITING_MAX:
                self._waiting.popitem(last=False)

    def add_secret(self, line: str) -> Iterator[tuple[int, str]]:
        """Takes a line of a key log; yields what it makes readable: packet number and names."""
        random = self._secrets.add(line)
        dissector = self._waiting.get(random) if random is not None else None
        if random is None or dissector is None or dissector.tls is None:
            return
        names: dict[int, list[str]] = {}
        for number, named in dissector.tls.retry():
            names.setdefault(number, []).extend(named.items)
        if not dissector.waiting:
            del self._waiting[random]
        for number, items in names.items():
            yield number, ", ".join(items)


def _wrong_checksums(packet: Packet) -> str:
    """Which checksums are wrong, as the info shows it; "" when none is.

    One that was left to the device holds the sum of the pseudo header, or nothing.
    """
    wrong = "" if packet.ip_checksum_ok else " [IP CHECKSUM INCORRECT]"
    transport = packet.transport
    if transport is None or packet.missing or packet.transport_checksum_ok:
        return wrong
    if packet.src is not None and packet.dst is not None:
        left_out = pseudo_header(packet.src, packet.dst, packet.protocol, len(packet.payload))
        if transport.checksum in (0, ones_complement(left_out)):
            return wrong
    return f"{wrong} [{type(transport).__name__.upper()} CHECKSUM INCORRECT]"
