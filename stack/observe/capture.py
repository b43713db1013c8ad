"""A capture of what a host sends and receives, with reasons as packet comments.

TLS secrets are embedded, so that Wireshark opens the file decrypted.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stack.core.events import Event, KeyLogged, PacketReceived, PacketSent
from stack.errors import UsageError
from stack.observe.dissect.tls import CHANGE_CIPHER_SPEC, HANDSHAKE
from stack.observe.dissect.tls_messages import CLIENT_KEY_EXCHANGE, SERVER_HELLO
from stack.observe.reasons import explanation
from stack.wire.pcapng import Writer
from stack.wire.segment import parse

HELD_MAX = 64


class Capture:
    """An observer that writes a pcapng file, each block flushed as it is written.

    `path` may be "-" for standard output. UsageError: it cannot be written. `epoch_us` is added
    to the host's time to make it µs since 1970; None takes that from the wall clock.

    Wireshark wants a secret before the first packet that it opens, but a host learns its
    secrets from a packet that it received. Such a packet is held back until the host answers.
    """

    def __init__(self, path: str | Path, *, epoch_us: int | None = None) -> None:
        self.error = ""  # why writing ended early
        self._epoch_us = epoch_us
        self._writer = open_capture(path)
        self._held: list[PacketReceived] = []

    @property
    def packets(self) -> int:
        """How many packets were written."""
        return self._writer.packets

    def __call__(self, event: Event) -> None:
        if isinstance(event, PacketSent):
            self._release()
            self._write_packet(event)
        elif isinstance(event, PacketReceived):
            if (self._held or _brings_secrets(event.data)) and len(self._held) < HELD_MAX:
                self._held.append(event)
            else:
                self._release()
                self._write_packet(event)
        elif isinstance(event, KeyLogged):
            self.add_secret(event.line)

    def add_secret(self, line: str) -> None:
        """Writes a line of a TLS key log."""
        self._guard(lambda: self._writer.secrets(line))

    def close(self) -> None:
        """Writes what was held back and ends the file; again is harmless."""
        self._release()
        self._guard(self._writer.close)

    def _release(self) -> None:
        held, self._held = self._held, []
        for event in held:
            self._write_packet(event)

    def _write_packet(self, event: PacketSent | PacketReceived) -> None:
        if self._epoch_us is None:
            self._epoch_us = time.time_ns() // 1000 - event.now
        self._writer.epoch_us = self._epoch_us
        comment, outbound = explanation(event), isinstance(event, PacketSent)
        self._guard(lambda: self._writer.packet(event.now, event.data, comment, outbound))

    def _guard(self, write: Callable[[], None]) -> None:
        """Writes while that succeeds: a full disk must not break the host's connections."""
        if self.error:
            return
        try:
            write()
        except OSError as error:
            self.error = f"the capture ends early: {error.strerror}"


def open_capture(path: str | Path, *, epoch_us: int = 0) -> Writer:
    """Begins a capture file; "-" is standard output. UsageError: it cannot be written."""
    try:
        if str(path) == "-":
            return Writer(os.fdopen(os.dup(sys.stdout.fileno()), "wb"), epoch_us=epoch_us)
        return Writer(Path(path).open("wb"), epoch_us=epoch_us)
    except OSError as error:
        raise UsageError(
            f"cannot write the capture {path}: {error.strerror}; name a file in a directory"
            " that you can write to"
        ) from error


def _brings_secrets(data: bytes) -> bool:
    """Whether a packet begins TLS messages that let its receiver compute secrets.

    A client computes them from the Server Hello. A server of TLS 1.3 publishes the client's
    last secret when the client's flight has come, which begins with a Change Cipher Spec; one
    of TLS 1.2 has its secret from the Client Key Exchange.
    """
    tcp = parse(data).tcp
    if tcp is None or len(tcp.text) < 6 or tcp.text[1] != 3:
        return False
    kind, message = tcp.text[0], tcp.text[5]
    return kind == CHANGE_CIPHER_SPEC or (
        kind == HANDSHAKE and message in (SERVER_HELLO, CLIENT_KEY_EXCHANGE)
    )
