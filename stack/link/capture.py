"""A link that records what passes at its place in a chain of links."""

from collections.abc import Callable

from stack.core.why import Reason
from stack.link.base import Link
from stack.wire.batch import Inbound, Outbound
from stack.wire.pcapng import Writer


class CaptureLink(Link):
    """Writes every packet that `inner` brings or is given to a capture.

    Checksums that were left to a device are filled in; a packet's reason is its comment.
    Super-segments are written as they pass: whole. Closes the capture with the link.
    """

    def __init__(self, inner: Link, writer: Writer) -> None:
        self.inner = inner
        self.writer = writer
        self.mtu = inner.mtu
        self.offload = inner.offload

    def fileno(self) -> int:
        return self.inner.fileno()

    def receive(self, now: int) -> Inbound:
        batch = self.inner.receive(now)
        for index in range(batch.count):
            self.writer.packet(now, batch.data(index), outbound=False)
        return batch

    def transmit(self, out: Outbound, now: int) -> None:
        for data, why, detail in zip(out.whole(), out.whys, out.details, strict=True):
            comment = why.explain(detail) if isinstance(why, Reason) else detail
            self.writer.packet(now, data, comment, outbound=True)
        self.inner.transmit(out, now)

    def next_deadline(self) -> int | None:
        return self.inner.next_deadline()

    def on_deadline(self, now: int) -> None:
        self.inner.on_deadline(now)

    def on_change(self, call: Callable[[], None]) -> None:
        self.inner.on_change(call)

    def set_offload(self, on: bool) -> None:
        self.inner.set_offload(on)
        self.offload = self.inner.offload

    def close(self) -> None:
        self.inner.close()
        self.writer.close()
