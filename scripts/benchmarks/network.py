"""The networks that a run makes: they live in processes and descriptors, without names.

This process moves into a new network namespace, which holds the client's ends. So all of
it is gone when the run ends, in whatever way.
"""

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytun

from scripts.benchmarks.processors import tasks
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
        compile_c(HERE / f"{name}.c", folder / name)


def compile_c(source: Path, program: Path, libraries: Sequence[str] = ()) -> None:
    """Builds one C program; `libraries` are further options of gcc."""
    command = ["gcc", "-O2", "-Wall", "-o", str(program), str(source), *libraries]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"gcc cannot build {source.name}:\n{done.stderr}")


def run(
    command: Sequence[str],
    limit: float = GRACE,
    processors: Iterable[int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a program, at most `limit` seconds, and returns what it printed."""
    words = " ".join(command).removeprefix(f"{Path(command[0]).parent}/")
    if processors:
        # Not by preexec_fn: Python drops a Ctrl-C that comes while it forks with that.
        command = ["taskset", "--cpu-list", ",".join(map(str, processors)), *command]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{words}: no end after {limit:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{words}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout


def within(process: int, command: Sequence[str]) -> list[str]:
    """The command that runs `command` in the network of that process."""
    return ["nsenter", f"--target={process}", "--net", *command]


def ip(*words: str, inside: int = 0) -> None:
    """Calls iproute2, in the network of process `inside` if one is given."""
    run(within(inside, ["ip", *words]) if inside else ["ip", *words])


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

    def count(self) -> dict[str, int]:
        """What it has counted so far; only for servers that answer to that."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        counts: dict[str, int] = json.loads(self.process.stdout.readline() or "{}")
        return counts

    def resident(self) -> int:
        """Bytes of it that are in memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def place(self, processors: Iterable[int]) -> None:
        """Has all its threads run on these processors only."""
        for task in tasks(self.process.pid):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(task, processors)

    def close(self) -> None:
        try:
            output, _ = self.process.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        # One that is ended while it starts may say that it is ready, too.
        told = [line for line in output.splitlines() if line.startswith("{")]
        if told:
            self.counts = json.loads(told[-1])


class Namespace:
    """A network namespace that this process has moved to, and the servers beyond its links;
    a context manager that ends them.
    """

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._exits = ExitStack()
        enter_namespace()
        _make_room_for_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._exits.close()

    @contextmanager
    def for_a_while(self) -> Iterator[None]:
        """Ends the servers that are started meanwhile."""
        outer, self._exits = self._exits, ExitStack()
        try:
            with self._exits:
                yield
        finally:
            self._exits = outer

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Around what may fail before anyone else would close it."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def keep(self, server: Server) -> Server:
        """Ends it with this object, and notes what it counted; returns it when it runs."""
        self._exits.callback(self._end, server)
        server.wait_ready()
        return server

    def _end(self, server: Server) -> None:
        server.close()
        counts = self.counts.setdefault(server.name, {})
        for name, count in server.counts.items():
            counts[name] = counts.get(name, 0) + count

    def beyond_veth(
        self,
        name: str,
        prefix: str,
        command: Sequence[str],
        *,
        offload: bool = True,
        **options: Any,
    ) -> Server:
        """A server on kernel sockets in another namespace, behind a veth pair."""
        network = ipaddress.ip_network(prefix)
        near, far = network[1], network[2]
        server = self.keep(Server(name, str(far), ["unshare", "--net", *command], **options))
        pid = server.process.pid
        ends = ((f"{name}0", near, 0), (f"{name}1", far, pid))
        pair = (ends[0][0], "type", "veth", "peer", "name", ends[1][0], "netns", str(pid))
        ip("link", "add", *pair)
        for device, address, inside in ends:
            if not offload:
                _take_offloads(device, inside)
            ip("address", "add", f"{address}/{network.prefixlen}", "dev", device, inside=inside)
            ip("link", "set", device, "up", inside=inside)
        return server

    def beyond_tun(
        self,
        name: str,
        prefix: str,
        command: Sequence[str],
        *,
        open_device: Callable[[str], int] = open_tun,
        **environment: str,
    ) -> Server:
        """A server with a TCP/IP stack of its own behind a TUN device."""
        descriptor = open_device(name)
        return self.keep(start_on_tun(name, descriptor, prefix, command, **environment))


def _take_offloads(device: str, inside: int) -> None:
    """The kernel then sends packets of the MTU with checksums, as on a wire."""
    words = ["ethtool", "--offload", device]
    for feature in ("tso", "gso", "gro", "tx", "rx", "sg"):
        words += [feature, "off"]
    run(within(inside, words) if inside else words)


def profiling(profile: Path | None, name: str) -> list[str]:
    """The option that has a server of ours run under cProfile."""
    return ["--profile", str(profile.with_suffix(f".{name}{profile.suffix}"))] if profile else []


def open_bare_tun(name: str) -> int:
    """A device that adds nothing to its packets, for stacks that know no virtio header."""
    device = pytun.TunTapDevice(name=name, flags=pytun.IFF_TUN | pytun.IFF_NO_PI)
    try:
        return os.dup(device.fileno())
    finally:
        device.close()


def start_on_tun(
    name: str, descriptor: int, prefix: str, command: Sequence[str], **environment: str
) -> Server:
    """Starts a server on the far end of the TUN device `name` and closes `descriptor`, which
    is the server's then; it gets the options --descriptor and --address.
    """
    network = ipaddress.ip_network(prefix)
    kernels, ours = network[1], network[2]
    try:
        configure_tun(name, [ipaddress.ip_interface(f"{kernels}/{network.prefixlen}")], 1500)
        words = [*command, "--descriptor", str(descriptor)]
        words += ["--address", f"{ours}/{network.prefixlen}"]
        return Server(name, str(ours), words, pass_fds=[descriptor], env=paths() | environment)
    finally:
        os.close(descriptor)


def module_command(module: str) -> list[str]:
    """Runs a module of this project, with `paths()` as its environment."""
    return [sys.executable, "-m", module]


def paths() -> dict[str, str]:
    """This environment, and where our modules are."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
