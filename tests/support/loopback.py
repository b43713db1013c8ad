"""Traffic of the kernel's TCP with itself, captured; run in a network namespace of its own.

`unshare --net python -m tests.support.loopback DIRECTORY` leaves `capture.pcapng` there: HTTP
and HTTPS from curl over IPv4 and IPv6, a refused connection, pings, a datagram for no one.
"""

import contextlib
import functools
import http.server
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from stack.wire import pcapng
from tests.support.conversations import self_signed

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4  # on the loopback device each packet is seen going out and coming in
QUIET_S = 0.3

FILES = {"index.html": b"<html>x</html>", "a.txt": b"hello\n", "long.txt": b"x" * 200_000}


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass


class DualStack(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def record(frames: list[tuple[int, bytes]], stop: threading.Event, listener: socket.socket) -> None:
    listener.settimeout(QUIET_S)
    while True:
        try:
            frame, origin = listener.recvfrom(1 << 17)
        except TimeoutError:
            if stop.is_set():
                return
            continue
        if origin[2] == PACKET_OUTGOING:
            frames.append((time.time_ns() // 1000, frame))


def serve(directory: Path, port: int, context: ssl.SSLContext | None) -> DualStack:
    server = DualStack(("::", port), functools.partial(Quiet, directory=str(directory)))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def talk() -> None:
    """The traffic; every command is bounded in time."""
    for command in (
        "curl -s http://127.0.0.1:8080/",
        "curl -s http://[::1]:8080/a.txt http://[::1]:8080/long.txt",
        "curl -sI http://127.0.0.1:8080/a.txt",
        "curl -s http://127.0.0.1:8080/none",
        "curl -s http://127.0.0.1:81/",
        "curl -sk https://127.0.0.1:8443/a.txt",
        "curl -sk --tls-max 1.2 https://[::1]:8443/",
        "ping -c 1 -W 2 127.0.0.1",
        "ping -c 1 -W 2 ::1",
    ):
        subprocess.run(command.split(), stdout=subprocess.DEVNULL, timeout=20, check=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x" * 10, ("127.0.0.1", 999))


def main(directory: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(directory))
    context.keylog_filename = str(directory / "keys.log")
    frames: list[tuple[int, bytes]] = []
    stop = threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as listener:
        listener.bind(("lo", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        recorder = threading.Thread(target=record, args=(frames, stop, listener))
        recorder.start()
        servers = serve(directory, 8080, None), serve(directory, 8443, context)
        with contextlib.ExitStack() as exits:
            for server in servers:
                exits.callback(server.server_close)
                exits.callback(server.shutdown)
            talk()
        stop.set()
        recorder.join()
    with (directory / "capture.pcapng").open("wb") as stream:
        stream.write(pcapng.section_header() + pcapng.interface_description("lo", 1))
        stream.write(pcapng.decryption_secrets((directory / "keys.log").read_text()))
        for now, frame in frames:
            stream.write(pcapng.enhanced_packet(now, frame))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
