"""Other TCP/IP stacks that we are compared with where Debian's packages of them are there."""

import os
import shutil
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.network import HERE, BenchError, compile_c

LWIP_HEADERS = Path("/usr/include/lwip")
GO_SOURCES = Path("/usr/share/gocode")
GVISOR = GO_SOURCES / "src/gvisor.dev/gvisor"
BUILD_LIMIT = 600  # seconds: the first build of gVisor on a small machine is slow


@dataclass(frozen=True, slots=True)
class Peer:
    """A stack that may be missing: the variant's name, the packages that bring it, whether
    they are there, and what builds our program on it.
    """

    variant: str
    packages: str
    is_present: Callable[[], bool]
    build: Callable[[Path], None]


def _build_lwip(program: Path) -> None:
    # Its headers include each other from either folder.
    options = [f"-I{LWIP_HEADERS}", f"-I{LWIP_HEADERS.parent}", "-llwip"]
    compile_c(HERE / "lwip_server.c", program, options)


def _build_gvisor(program: Path) -> None:
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOFLAGS": ""}
    environment.setdefault("GOCACHE", str(Path.home() / ".cache/go-build"))
    command = ["go", "build", "-o", str(program), str(HERE / "gvisor_server.go")]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=BUILD_LIMIT,
    )
    if done.returncode:
        raise BenchError(f"go cannot build gvisor_server.go:\n{done.stderr}")


PEERS = (
    Peer(
        "lwip",
        "liblwip-dev",
        (LWIP_HEADERS / "lwip" / "tcp.h").exists,
        _build_lwip,
    ),
    Peer(
        "gvisor",
        "golang-go golang-gvisor-gvisor-dev",
        lambda: GVISOR.exists() and shutil.which("go") is not None,
        _build_gvisor,
    ),
)


def missing() -> dict[str, str]:
    """The packages of the variants that cannot be measured here."""
    return {peer.variant: peer.packages for peer in PEERS if not peer.is_present()}


def compile_peers(folder: Path, variants: Collection[str]) -> None:
    """Builds those of our programs on other stacks that `variants` need."""
    for peer in PEERS:
        if peer.variant in variants:
            peer.build(folder / peer.variant)
