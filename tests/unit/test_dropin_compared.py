"""The drop-in for `socket`, compared call by call with the standard library's module."""

import array
import socket
import warnings

import pytest

from tests.support.blocking_cases import CASES
from tests.support.two_worlds import dropins, kernels, outcome

# Calls that are wrong; each gets a connected TCP socket and an unconnected UDP one.
WRONG = {
    "send text": lambda tcp, udp: tcp.send("text"),
    "send a number": lambda tcp, udp: tcp.send(7),
    "send nothing": lambda tcp, udp: tcp.send(),
    "send with flags of text": lambda tcp, udp: tcp.send(b"x", "flags"),
    "send with huge flags": lambda tcp, udp: tcp.send(b"x", 1 << 40),
    "sendall text": lambda tcp, udp: tcp.sendall("text"),
    "sendto without an address": lambda tcp, udp: udp.sendto(b"x"),
    "sendto with too much": lambda tcp, udp: udp.sendto(b"x", 0, ("192.0.2.2", 1), 4),
    "sendto text": lambda tcp, udp: udp.sendto("x", ("192.0.2.2", 1)),
    "sendto a name of text": lambda tcp, udp: udp.sendto(b"x", "192.0.2.2"),
    "sendto port 0x10000": lambda tcp, udp: udp.sendto(b"x", ("192.0.2.2", 0x10000)),
    "send unconnected": lambda tcp, udp: udp.send(b"x"),
    "send too much at once": lambda tcp, udp: udp.sendto(bytes(70_000), ("192.0.2.2", 9)),
    "sendmsg of bytes": lambda tcp, udp: tcp.sendmsg(b"x"),
    "sendmsg of a number": lambda tcp, udp: tcp.sendmsg(7),
    "sendmsg with short ancillary data": lambda tcp, udp: tcp.sendmsg([b"x"], [(1, 2)]),
    "sendmsg with wrong ancillary data": lambda tcp, udp: tcp.sendmsg([b"x"], [("a", 2, b"")]),
    "recv without a size": lambda tcp, udp: tcp.recv(),
    "recv -1": lambda tcp, udp: tcp.recv(-1),
    "recv text": lambda tcp, udp: tcp.recv("1"),
    "recv by keyword": lambda tcp, udp: tcp.recv(bufsize=1),
    "recv with unknown flags": lambda tcp, udp: tcp.recv(1, 1 << 40),
    "recv_into bytes": lambda tcp, udp: tcp.recv_into(b"abc"),
    "recv_into a number": lambda tcp, udp: tcp.recv_into(3),
    "recv_into too little": lambda tcp, udp: tcp.recv_into(bytearray(2), 3),
    "recv_into -1": lambda tcp, udp: tcp.recv_into(bytearray(2), -1),
    "recvfrom -1": lambda tcp, udp: udp.recvfrom(-1),
    "recvfrom_into too little": lambda tcp, udp: udp.recvfrom_into(bytearray(2), 3),
    "recvfrom_into bytes": lambda tcp, udp: udp.recvfrom_into(b"abc"),
    "recvmsg -1": lambda tcp, udp: udp.recvmsg(-1),
    "recvmsg with room -1": lambda tcp, udp: udp.recvmsg(1, -1),
    "recvmsg_into bytes": lambda tcp, udp: udp.recvmsg_into([b"abc"]),
    "recvmsg_into a buffer": lambda tcp, udp: udp.recvmsg_into(bytearray(3)),
    "bind text": lambda tcp, udp: udp.bind("192.0.2.1"),
    "bind port -1": lambda tcp, udp: udp.bind(("", -1)),
    "bind port of text": lambda tcp, udp: udp.bind(("", "80")),
    "bind a foreign address": lambda tcp, udp: udp.bind(("203.0.113.9", 0)),
    "bind a list": lambda tcp, udp: udp.bind(["", 0]),
    "bind nothing": lambda tcp, udp: udp.bind(),
    "connect again": lambda tcp, udp: tcp.connect(tcp.getpeername()),
    "connect nowhere": lambda tcp, udp: tcp.connect(()),
    "listen connected": lambda tcp, udp: tcp.listen(),
    "listen with datagrams": lambda tcp, udp: udp.listen(),
    "listen to text": lambda tcp, udp: udp.listen("1"),
    "listen to too many": lambda tcp, udp: tcp.listen(1 << 40),
    "accept connected": lambda tcp, udp: tcp.accept(),
    "accept datagrams": lambda tcp, udp: udp.accept(),
    "shutdown 7": lambda tcp, udp: tcp.shutdown(7),
    "shutdown text": lambda tcp, udp: tcp.shutdown("1"),
    "shutdown unconnected": lambda tcp, udp: udp.shutdown(socket.SHUT_RD),
    "getpeername unconnected": lambda tcp, udp: udp.getpeername(),
    "settimeout -1": lambda tcp, udp: tcp.settimeout(-1),
    "settimeout text": lambda tcp, udp: tcp.settimeout("1"),
    "setsockopt of text": lambda tcp, udp: tcp.setsockopt(1, 2, "1"),
    "setsockopt of nothing": lambda tcp, udp: tcp.setsockopt(1, 2, None),
    "setsockopt unknown": lambda tcp, udp: tcp.setsockopt(1, 4711, 1),
    "setsockopt too short": lambda tcp, udp: tcp.setsockopt(1, socket.SO_LINGER, b"1"),
    "getsockopt unknown": lambda tcp, udp: tcp.getsockopt(1, 4711),
    "getsockopt too long": lambda tcp, udp: tcp.getsockopt(1, 2, 1 << 20),
    "makefile x": lambda tcp, udp: tcp.makefile("x"),
    "makefile without a buffer": lambda tcp, udp: tcp.makefile("r", buffering=0),
    "sendfile of text": lambda tcp, udp: tcp.sendfile(open(__file__, encoding="utf-8")),  # noqa: PTH123, SIM115
    "sendfile of datagrams": lambda tcp, udp: udp.sendfile(open(__file__, "rb")),  # noqa: PTH123, SIM115
    "sendfile of -1 bytes": lambda tcp, udp: tcp.sendfile(open(__file__, "rb"), 0, -1),  # noqa: PTH123, SIM115
    "send without waiting, out of band from nobody": lambda tcp, udp: tcp.recv(1, socket.MSG_OOB),
    "an array of numbers": lambda tcp, udp: tcp.send(array.array("i", [1, 2])),
    "a socket of a family unknown": lambda tcp, udp: type(tcp)(999),
    "a socket of a type unknown": lambda tcp, udp: type(tcp)(socket.AF_INET, 999),
    "a socket of another protocol": lambda tcp, udp: type(tcp)(socket.AF_INET, 1, 17),
    "a socket of descriptor -1": lambda tcp, udp: type(tcp)(fileno=-1),
    "a socket of a descriptor of text": lambda tcp, udp: type(tcp)(fileno="1"),
    "a socket of no descriptor": lambda tcp, udp: type(tcp)(fileno=99_999),
    "pickle": lambda tcp, udp: __import__("pickle").dumps(tcp),
    "use after close": lambda tcp, udp: (tcp.close(), tcp.recv(1)),
    "name after close": lambda tcp, udp: (udp.close(), udp.getsockname()),
    "option after detach": lambda tcp, udp: (
        type(tcp)(fileno=tcp.detach()).close(),
        tcp.getsockopt(1, 2),
    ),
}


@pytest.mark.parametrize("scenario", CASES, ids=lambda function: function.__name__)
def test_same_as_the_kernel(scenario):
    with kernels() as world:
        expected = list(scenario(world))
    with dropins() as world:
        assert list(scenario(world)) == expected


def wrong(world, call):
    """The class and the errno of what a wrong call raises."""
    tcp, _ = world.pair()
    with type(tcp)(socket.AF_INET, socket.SOCK_DGRAM) as udp, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        told = outcome(lambda: call(tcp, udp))
    return told[:2] if isinstance(told, tuple) and len(told) == 3 else told


@pytest.fixture(scope="module")
def worlds():
    with kernels() as one, dropins() as other:
        yield one, other


def outcome_of(world, call):
    try:
        return wrong(world, call)
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_raises_what_the_standard_library_raises(worlds, name):
    expected, told = (outcome_of(world, WRONG[name]) for world in worlds)
    if isinstance(expected, tuple) and isinstance(expected[1], str):
        # Words of Python's own checks of arguments differ from version to version.
        expected, told = expected[0], told[0]
    assert told == expected
