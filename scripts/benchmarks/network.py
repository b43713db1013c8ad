"""The networks that a run makes: they live in processes and descriptors, without names.

    client ── veth 198.51.100.1 │ 198.51.100.2 ── kernel's server      (another namespace)
           ── tun  192.0.2.1    │ 192.0.2.2    ── our stack, with offload
           ── tun  192.0.2.129  │ 192.0.2.130  ── our stack, without

This process moves into a new network namespace, which holds the client's ends. So all of
it is gone when the run ends, in whatever way.
"""

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from stack.link.configure import configure_tun
from stack.link.namespace import enter_namespace
from stack.link.tun import open_tun

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GRACE = 10  # seconds that a process gets to end by itself


class BenchError(Exception):
    """A benchmark could not be run, for the reason given."""


def compile_programs(folder: Path) -> None:
    """Builds client and server into `folder`."""
    for name in ("client", "server"):
        command = ["gcc", "-O2", "-Wall", "-o", str(folder / name), str(HERE / f"{name}.c")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"gcc cannot build {name}.c:\n{done.stderr}")


def _ip(*words: str, inside: int = 0) -> None:
    """Calls iproute2, in the network of process `inside` if one is given."""
    enter = ["nsenter", f"--target={inside}", "--net"] if inside else []
    done = subprocess.run([*enter, "ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _make_room_for_connections() -> None:
    """Thousands of closed connections stay in TIME-WAIT: ports must not run out."""
    for name, value in (("ip_local_port_range", "1024 65535"), ("tcp_tw_reuse", "1")):
        with suppress(OSError):
            Path("/proc/sys/net/ipv4", name).write_text(value, encoding="ascii")


class Server:
    """A server process with echo, discard and chargen; ends when its input is closed."""

    def __init__(self, name: str, address: str, command: Sequence[str], **options: Any) -> None:
        self.name = name
        self.address = address
        self.counts: dict[str, int] = {}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; we end it
            **options,
        )

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise BenchError(f"the server {self.name} did not start")

    def close(self) -> None:
        try:
            output, _ = self.process.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        if output:
            self.counts = json.loads(output)


class Networks:
    """The namespaces and the servers in them; a context manager that ends them."""

    def __init__(self, programs: Path, variants: Sequence[str], profile: Path | None) -> None:
        self.servers: dict[str, Server] = {}
        self._exits = ExitStack()
        try:
            enter_namespace()
            _make_room_for_connections()
            for variant in variants:
                self._start(variant, programs, profile)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Networks":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._exits.close()

    def _start(self, variant: str, programs: Path, profile: Path | None) -> None:
        if variant == "veth":
            server = self._beyond_veth(programs)
        elif variant == "offload":
            server = self._beyond_tun(variant, "192.0.2.0/25", (), profile)
        else:
            server = self._beyond_tun(variant, "192.0.2.128/25", ("--plain",), profile)
        self.servers[variant] = server

    def _kept(self, server: Server) -> Server:
        self._exits.callback(server.close)
        server.wait_ready()
        return server

    def _beyond_veth(self, programs: Path) -> Server:
        command = ["unshare", "--net", str(programs / "server")]
        server = self._kept(Server("veth", "198.51.100.2", command))
        pid = server.process.pid
        pair = ("veth0", "type", "veth", "peer", "name", "veth1", "netns", str(pid))
        _ip("link", "add", *pair)
        for name, end, inside in (("veth0", 1, 0), ("veth1", 2, pid)):
            _ip("address", "add", f"198.51.100.{end}/24", "dev", name, inside=inside)
            _ip("link", "set", name, "up", inside=inside)
        return server

    def _beyond_tun(
        self, name: str, prefix: str, options: Sequence[str], profile: Path | None
    ) -> Server:
        network = ipaddress.ip_network(prefix)
        kernels, ours = network[1], network[2]
        descriptor = open_tun(name)
        try:
            address = ipaddress.ip_interface(f"{kernels}/{network.prefixlen}")
            configure_tun(name, [address], 1500)
            command = [sys.executable, "-m", "scripts.benchmarks.server", *options]
            command += ["--descriptor", str(descriptor), "--address", f"{ours}/{network.prefixlen}"]
            if profile is not None:
                command += ["--profile", str(profile.with_suffix(f".{name}{profile.suffix}"))]
            paths = {**os.environ, "PYTHONPATH": str(ROOT)}
            server = Server(name, str(ours), command, pass_fds=[descriptor], env=paths)
        finally:
            os.close(descriptor)
        return self._kept(server)
