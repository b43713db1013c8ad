"""Run in a network namespace: makes sockets of its kernel and passes their descriptors out.

The argument is the descriptor of a SOCK_SEQPACKET socket. Each message "FAMILY TYPE" is
answered with a descriptor, and by a word once this process has closed its own copy of it.
The end of messages ends the process.
"""

import socket
import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    # Tests provoke more ICMP errors than the kernel's limit of rate would let through.
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        with suppress(OSError):
            Path("/proc/sys/net", name).write_text("0", encoding="ascii")
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while message := control.recv(64):
            family, kind = map(int, message.split())
            with socket.socket(family, kind) as made:
                socket.send_fds(control, [b"made"], [made.fileno()])
            control.send(b"and closed here")  # or its port would stay taken a while longer


main()
