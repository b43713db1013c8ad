"""Run as a program in a network namespace of its own: connections along source routes between
our host and the kernel, which forwards them; prints what both saw as JSON.

    kernel (198.51.100.1, and 203.0.113.1 as a gateway) --- 192.0.2.1 | 192.0.2.2 our host
"""

import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

from stack.core.config import HostConfig
from stack.core.host import Host
from stack.link.tun import TunLink, open_tun
from stack.sockets.blocking import BlockingHost
from stack.wire.batch import Outbound

OURS, NEAR, FAR, GATE = "192.0.2.2", "192.0.2.1", "198.51.100.1", "203.0.113.1"
SIZE = 2_000_000
DEVICE = "route0"


class WatchedLink(TunLink):
    """Notes whom our packets are addressed to."""

    hops: frozenset[bytes] = frozenset()

    def transmit(self, out: Outbound, now: int) -> None:
        self.hops |= {out.bytes(index)[16:20] for index in range(out.count)}
        super().transmit(out, now)

    def take(self) -> list[str]:
        found, self.hops = self.hops, frozenset()
        return sorted(str(IPv4Address(hop)) for hop in found)


def route(*hops: str) -> bytes:
    octets = b"".join(IPv4Address(hop).packed for hop in hops)
    return b"\x01" + bytes((131, 3 + len(octets), 4)) + octets


def prepare() -> int:
    """The device and the kernel as a router that takes source routes."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    device = open_tun(DEVICE)
    for command in (
        f"ip link set {DEVICE} up",
        f"ip addr add {NEAR}/24 dev {DEVICE}",
        f"ip addr add {FAR}/32 dev lo",
        f"ip addr add {GATE}/32 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    settings = {"accept_source_route": 1, "rp_filter": 0, "forwarding": 1, "accept_local": 1}
    for interface in ("all", "lo", DEVICE):
        for name, value in settings.items():
            Path(f"/proc/sys/net/ipv4/conf/{interface}/{name}").write_text(str(value))
    return device


def echo(server: socket.socket) -> str:
    """Sends everything back, and tells by which options it did."""
    connection, _ = server.accept()
    with connection:
        options = connection.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40)
        received = 0
        while data := connection.recv(1 << 16):
            received += len(data)
            connection.sendall(data)
    return options.hex()


def talk(client: socket.socket) -> int:
    """Sends `SIZE` bytes and counts what comes back."""
    with ThreadPoolExecutor() as pool:

        def send() -> None:
            client.sendall(bytes(range(250)) * (SIZE // 250))
            client.shutdown(socket.SHUT_WR)

        sending = pool.submit(send)
        received = 0
        while data := client.recv(1 << 16):
            received += len(data)
        sending.result()
    return received


def conversation(server: socket.socket, client: socket.socket, path: bytes, to: str) -> dict:
    """One connection whose opener names the route."""
    server.settimeout(10)
    client.settimeout(10)
    server.listen()
    client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, path)
    with ThreadPoolExecutor() as pool:
        answering = pool.submit(echo, server)
        client.connect((to, server.getsockname()[1]))
        received = talk(client)
        return {"received": received, "way_back": answering.result()}


def main() -> None:
    host = Host(
        [f"{OURS}/24"], random_bytes=os.urandom, config=HostConfig(accept_source_route=True)
    )
    link = WatchedLink(prepare())
    with BlockingHost(host, link) as ours:
        kernel = socket.socket()
        kernel.bind((FAR, 0))
        active = conversation(kernel, ours.socket(), route(NEAR), FAR) | {"hops": link.take()}
        listener = ours.socket()
        listener.bind((OURS, 8000))
        client = socket.socket()
        client.bind((FAR, 0))
        passive = conversation(listener, client, route(GATE), OURS) | {"hops": link.take()}
    print(json.dumps({"active": active, "passive": passive}))


if __name__ == "__main__":
    main()
