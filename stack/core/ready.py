"""What an application is told of an object of its own."""

from enum import IntFlag


class Ready(IntFlag):
    """Conditions of a connection or listener; several may be told at once."""

    CONNECTED = 1
    READABLE = 2
    WRITABLE = 4
    EOF = 8
    ACCEPTED = 16
    ERROR = 32
    CLOSED = 64
    SOFT_ERROR = 128
    URGENT = 256
