"""A plain loop that accepts connections and answers them one after another, with blocking
sockets on our stack.

Each sends one message, gets it back and is closed. Says "ready" when it listens; ends when
its input does, and prints its counters then.
"""

import argparse
import json
import sys
import threading
from os import urandom

from scripts.benchmarks.server import CHUNK, say, say_ready
from stack.core.host import Host
from stack.link.tun import TunLink
from stack.run import memory
from stack.sockets.blocking import BlockingHost
from stack.sockets.tcp_socket import Socket

ECHO = 7


def answer(listener: Socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the host is closed
            return
        connection.sendall(connection.recv(len(CHUNK)))
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True, help="of the TUN device")
    parser.add_argument("--address", required=True, help="with its prefix length")
    options = parser.parse_args()
    link = TunLink(options.descriptor)
    host = Host([options.address], random_bytes=urandom, mtu=link.mtu)
    with BlockingHost(host, link) as blocking:
        listener = blocking.socket()
        listener.bind(("0.0.0.0", ECHO))
        listener.listen(1024)
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        memory.settle()
        say_ready()
        sys.stdin.read()
        say(json.dumps(host.counters.non_zero()))


if __name__ == "__main__":
    main()
