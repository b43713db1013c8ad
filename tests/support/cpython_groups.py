"""Which of CPython's own tests run against the drop-in, and what is known not to pass.

python -m tests.support.cpython_groups     brings the table in docs/sockets.md up to date
"""

from pathlib import Path
from typing import NamedTuple


class Group(NamedTuple):
    """Classes of one test module of CPython, run in one process."""

    subject: str
    module: str
    classes: str


GROUPS = (
    Group(
        "the module",
        "test_socket",
        "GeneralModuleTests TestExceptions InheritanceTest NonblockConstantTest "
        "CreateServerTest CreateServerFunctionalTest ContextManagersTest BufferIOTest",
    ),
    Group(
        "TCP",
        "test_socket",
        "BasicTCPTest TCPCloserTest NonBlockingTCPTests NetworkConnectionNoServer "
        "NetworkConnectionAttributesTest NetworkConnectionBehaviourTest TCPTimeoutTest "
        "InterruptedSendTimeoutTest SendmsgTCPTest RecvmsgTCPTest RecvmsgIntoTCPTest",
    ),
    Group(
        "files on TCP",
        "test_socket",
        "FileObjectClassTestCase UnbufferedFileObjectClassTestCase "
        "LineBufferedFileObjectClassTestCase SmallBufferedFileObjectClassTestCase "
        "UnicodeReadFileObjectClassTestCase UnicodeWriteFileObjectClassTestCase "
        "UnicodeReadWriteFileObjectClassTestCase",
    ),
    Group("sendfile", "test_socket", "SendfileUsingSendTest SendfileUsingSendfileTest"),
    Group(
        "UDP, IPv4 and IPv6",
        "test_socket",
        "BasicUDPTest UDPTimeoutTest InterruptedRecvTimeoutTest "
        "SendmsgUDPTest RecvmsgUDPTest RecvmsgIntoUDPTest "
        "SendmsgUDP6Test RecvmsgUDP6Test RecvmsgIntoUDP6Test "
        "RecvmsgRFC3542AncillaryUDP6Test RecvmsgIntoRFC3542AncillaryUDP6Test",
    ),
    Group(
        "asyncio's `loop.sock_*`",
        "test_asyncio.test_sock_lowlevel",
        "SelectEventLoopTests EPollEventLoopTests",
    ),
    Group("asyncio's transports and protocols", "test_asyncio.test_events", "EPollEventLoopTests"),
    Group("asyncio's streams", "test_asyncio.test_streams", "StreamTests"),
    Group("asyncio's servers", "test_asyncio.test_server", "SelectorStartServerTests"),
    Group(
        "asyncio's BufferedProtocol",
        "test_asyncio.test_buffered_proto",
        "BufferedProtocolSelectorTests",
    ),
    Group("asyncio's sendfile", "test_asyncio.test_sendfile", "EPollEventLoopTests"),
    Group("asyncio's `start_tls`", "test_asyncio.test_sslproto", "SelectorStartTLSTests"),
    Group("asyncio's TLS", "test_asyncio.test_ssl", "TestSSL"),
)

EXCEPTIONS = {
    "test_asyncio.test_sendfile.EPollEventLoopTests.test_sendfile_prevents_bare_write": (
        "asyncio has `os.sendfile` write to the descriptor itself, which carries no bytes here; "
        "it falls back to reading and sending, and that way it does not forbid other writes"
    ),
}
"""The tests that fail, each with the reason."""

GUIDE = Path(__file__).parents[2] / "docs" / "sockets.md"
_BEGIN, _END = "<!-- CPython's tests: begin -->\n", "<!-- CPython's tests: end -->\n"


def table() -> str:
    """What the guide says of all this."""
    lines = ["| subject | module of CPython | classes |", "| --- | --- | --- |"]
    for group in GROUPS:
        classes = ", ".join(f"`{name}`" for name in group.classes.split())
        lines.append(f"| {group.subject} | `test.{group.module}` | {classes} |")
    lines += ["", "Known not to pass:", ""]
    lines += [f"- `{name}`: {reason}." for name, reason in EXCEPTIONS.items()]
    return "\n".join(lines) + "\n"


def written() -> str:
    """The same, as it stands in the guide."""
    return GUIDE.read_text("utf-8").partition(_BEGIN)[2].partition(_END)[0]


def write() -> None:
    """Brings the guide up to date."""
    before, begin, rest = GUIDE.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    GUIDE.write_text(before + begin + table() + end + after, "utf-8")


if __name__ == "__main__":
    write()
