"""HTTP/2: the same application behind our server on our stack, and hypercorn on the kernel's."""

import re
import socket
import time
from dataclasses import dataclass

from scripts.benchmarks.figures import (
    Effort,
    Figure,
    Goal,
    Part,
    Request,
    Result,
    Workload,
)
from scripts.benchmarks.network import (
    GRACE,
    BenchError,
    Namespace,
    Server,
    module_command,
    paths,
    profiling,
    run,
)
from scripts.benchmarks.web_server import CHAIN, KEY
from stack.http.certificate import make_certificate

MODULE = "scripts.benchmarks.web_server"
REQUESTS = {"hypercorn": 3_000, "tunstack": 20_000}
"""So many take each a few seconds."""

DOWNLOAD = 1_000_000_000  # bytes
LIMIT = 120  # seconds

TEXT = """\
`h2load -c 4 -m 32` asks an ASGI application in Python for 100 bytes, again and again, each
server in one process on a machine of two processors (the client needs one, too). The server
is in turn

- **hypercorn**: hypercorn on kernel sockets, behind a veth pair;
- **tunstack**: our HTTP server on our own stack, behind a TUN device with offload.

The download is of one body of a gigabyte by curl, in HTTP/1.1 and then over HTTP/2, without
TLS.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Workload):
    """Many small requests; `url` begins so."""

    scheme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Workload):
    """One long answer in each version of HTTP."""


def _load(name: str, title: str, scheme: str) -> Load:
    figure = Figure(
        f"http.{name}",
        f"requests, {title}",
        "per_second",
        0,
        True,
        lambda result: result["requests"] / result["seconds"],
    )
    return Load(f"http.{name}", (figure,), scheme=scheme)


def _speed(version: str, title: str) -> Figure:
    return Figure(
        f"http.download.{version}",
        f"download, {title}",
        "megabytes_per_second",
        0,
        True,
        lambda result: result[version] / 1e6,
    )


class WebServers(Namespace):
    """client ── veth 198.51.100.1 │ 198.51.100.2 ── hypercorn       (another namespace)
    ── tun  192.0.2.1    │ 192.0.2.2    ── our stack
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        certificate = make_certificate(["192.0.2.2", "198.51.100.2"])
        (request.programs / CHAIN).write_bytes(certificate.chain)
        (request.programs / KEY).write_bytes(certificate.key)
        self._folder = ["--folder", str(request.programs)]
        self._servers: dict[str, Server] = {}
        with self.closed_on_failure():
            for variant in request.variants:
                self._servers[variant] = self._start(variant, request)

    def _start(self, variant: str, request: Request) -> Server:
        command = [*module_command(MODULE), *self._folder]
        if variant == "tunstack":
            command += profiling(request.profile, variant)
            return self.beyond_tun(variant, "192.0.2.0/24", command)
        prefix = "198.51.100.0/24"
        server = self.beyond_veth(variant, prefix, [*command, "--hypercorn"], env=paths())
        for port in (80, 443):
            _wait_until_open(server.address, port)
        return server

    def measure(self, workload: Workload, variant: str, number: int, effort: Effort) -> Result:
        address = self._servers[variant].address
        if isinstance(workload, Load):
            count = max(int(REQUESTS[variant] * effort.scale), 128)
            return _h2load(f"{workload.scheme}://{address}/", count)
        size = int(DOWNLOAD * min(effort.scale, 1))
        return {
            "http1": _curl("--http1.1", f"http://{address}/{size}", size),
            "http2": _curl("--http2-prior-knowledge", f"http://{address}/{size}", size),
        }


def _wait_until_open(address: str, port: int) -> None:
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(f"nobody listens on {address} port {port}")


def _h2load(url: str, count: int) -> Result:
    shown = run(["h2load", "-n", str(count), "-c", "4", "-m", "32", url], LIMIT)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", shown)
    if rate is None or f"{count} succeeded, 0 failed, 0 errored, 0 timeout" not in shown:
        raise BenchError(f"h2load of {url} saw failures:\n{shown}")
    return {"requests": count, "seconds": round(count / float(rate[1]), 6)}


def _curl(version: str, url: str, size: int) -> float:
    """Bytes a second of one download."""
    words = ["-sSf", version, "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url]
    done, seconds = run(["curl", *words], LIMIT).split()
    if int(done) != size:
        raise BenchError(f"curl of {url}: {done} of {size} bytes")
    return size / float(seconds)


PART = Part(
    name="http",
    title="HTTP/2",
    text=TEXT,
    variants={"hypercorn": "hypercorn", "tunstack": "tunstack"},
    workloads=(
        _load("h2c", "HTTP/2 without TLS", "http"),
        _load("tls", "HTTP/2 over TLS", "https"),
        Download(
            "http.download",
            (
                _speed("http1", "HTTP/1.1"),
                _speed("http2", "HTTP/2"),
                Figure(
                    "http.download.http2_to_http1",
                    "download, HTTP/2 to HTTP/1.1",
                    "ratio",
                    2,
                    True,
                    lambda result: result["http2"] / result["http1"],
                ),
            ),
            variants=("tunstack",),
        ),
    ),
    goals=(
        *(
            Goal(f"http.{name}.tunstack.ratio_hypercorn", 6, at_least=True)
            for name in ("h2c", "tls")
        ),
        Goal("http.download.http2_to_http1.tunstack.ratio", 0.5, at_least=True),
    ),
    open=WebServers,
    full=Effort(rounds=3),
    quick=Effort(rounds=1, scale=0.3),
    alone=Effort(rounds=5, scale=2.5),
)
