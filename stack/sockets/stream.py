"""Sending and receiving on a connection, for callers that wait."""

import errno
import socket

from stack.core.ready import Ready
from stack.core.tcp.connection import Connection
from stack.core.tcp.states import State
from stack.run.thread import ThreadDriver
from stack.sockets.names import error_of
from stack.sockets.waiting import Patience, Waiting

# For Linux a socket in TIME-WAIT is closed already.
_OVER = frozenset({int(State.CLOSED), int(State.TIME_WAIT)})


class Stream:
    """The bytes of one connection. All methods are called with the driver's lock held.

    What ended the connection is told once, by whichever call comes first, as Linux does;
    after that nothing can be sent and nothing is left to read.
    """

    def __init__(self, driver: ThreadDriver, waiting: Waiting, connection: Connection) -> None:
        self.connection = connection
        self._driver = driver
        self._waiting = waiting
        self._error_told = False
        self._reading_ended = False
        connection.owner = waiting

    @property
    def over(self) -> bool:
        """Whether both directions have ended."""
        return self.connection.tcb.state in _OVER

    def take_error(self) -> int:
        """The errno of what ended the connection, once; then 0."""
        if self._error_told:
            return 0
        self._error_told = self.connection.error != 0
        return self.connection.error

    def send(
        self, data: memoryview, patience: Patience, *, urgent: bool = False, more: bool = False
    ) -> int:
        """Waits until some of `data` is taken, for ever until all of it is; `urgent` up to
        its last byte, and with `more` to come at once.
        """
        if more != self.connection.cork.more:
            self.connection.set("more", more)
        sent = self._offer(data, urgent=urgent)
        while True:
            if sent == len(data) or (sent and patience.timeout is not None):
                return sent
            self._waiting.until(self._can_send, patience)
            sent += self._offer(data[sent:], urgent=urgent)

    def receive(self, size: int, patience: Patience) -> bytes:
        """Waits for bytes and returns up to `size`; none at the end of the stream."""
        connection = self.connection
        if not connection.available:
            self._waiting.until(self.can_receive, patience)
            if not connection.available:
                return self._end()
        return connection.receive(size, self._driver.now())

    def receive_all(self, size: int, patience: Patience) -> bytes:
        """Waits for `size` bytes; fewer when the stream or the patience ends before."""
        data = bytearray(self.receive(size, patience))
        while 0 < len(data) < size and not self.connection.at_mark:
            try:
                self._waiting.until(self.can_receive, patience)
            except (BlockingIOError, TimeoutError):
                break
            if not self.connection.available:
                break
            data += self.connection.receive(size - len(data), self._driver.now())
        return bytes(data)

    def peek(self, size: int, patience: Patience) -> bytes:
        """Like `receive`, and leaves the bytes where they are."""
        self._waiting.until(self.can_receive, patience)
        return self.connection.peek(size) or self._end()

    def receive_into(self, buffer: memoryview, patience: Patience) -> int:
        """Waits for bytes and puts them where they shall be; 0 at the end of the stream."""
        connection = self.connection
        if not connection.available:
            self._waiting.until(self.can_receive, patience)
            if not connection.available:
                self._end()
                return 0
        return connection.receive_into(buffer, self._driver.now())

    def shut_down(self, how: int) -> None:
        """Ends one direction or both. Raises OSError ENOTCONN when both have ended."""
        if self.over:
            raise error_of(errno.ENOTCONN)
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._reading_ended = True
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self.connection.shutdown(self._driver.now())
        self._waiting.on_ready(Ready(0))

    def close(self, linger: int | None) -> None:
        """Lets go of the connection; with `linger` waits so many seconds until the peer has
        everything, with 0 resets at once (RFC 9293 §3.10.5).
        """
        # What has arrived was there before the end: bytes that nobody read make it a reset, and
        # behind a FIN of the peer nothing is left to wait for.
        self._driver.look()
        connection = self.connection
        if linger == 0:
            connection.abort(self._driver.now())
        elif linger and not connection.available:
            connection.shutdown(self._driver.now())
            self._waiting.poll(self._is_delivered, Patience(linger))
        connection.owner = None
        connection.close(self._driver.now())

    def _offer(self, data: memoryview, *, urgent: bool) -> int:
        connection = self.connection
        if connection.error or self.over:
            raise error_of(self.take_error() or errno.EPIPE)
        send = connection.send_urgent if urgent else connection.send
        return send(data, self._driver.now()) if data else 0

    def _can_send(self) -> bool:
        return self.connection.send_space > 0 or self.over or self.connection.error != 0

    def can_send_much(self) -> bool:
        """Whether there is room for more than a few bytes, or an error to hear instead."""
        connection = self.connection
        if connection.error or self.over or connection.tcb.fin_queued:
            return True
        return connection.ask_for_room()

    def can_receive(self) -> bool:
        """Whether `receive` would return at once."""
        connection = self.connection
        return bool(
            connection.available
            or connection.tcb.fin_received
            or self._reading_ended
            or connection.error
            or self.over
        )

    def _end(self) -> bytes:
        """Nothing is left to read: an error that nobody was told, or the end of the stream."""
        number = 0 if self.connection.tcb.fin_received else self.take_error()
        if number:
            raise error_of(number)
        return b""

    def _is_delivered(self) -> bool:
        return self.over or self.connection.state == State.FIN_WAIT_2
