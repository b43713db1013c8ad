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
    """A stack that may be missing: the variants that need it, the packages that bring it,
    whether they are there, and our program on it with what builds that.
    """

    variants: tuple[str, ...]
    packages: str
    is_present: Callable[[], bool]
    program: str
    build: Callable[[Path], None]


def _build_lwip(program: Path) -> None:
    # Its headers include each other from either folder.
    options = [f"-I{LWIP_HEADERS}", f"-I{LWIP_HEADERS.parent}", "-llwip"]
    compile_c(HERE / "lwip_server.c", program, options)


def _build_gvisor(program: Path) -> None:
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOFLAGS": ""}
    environment.setdefault("GOCACHE", str(Path.home() / ".cache/go-build"))
    done = subprocess.run(
        ["go", "build", "-o", str(program), "."],
        cwd=HERE / "gvisor",
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=BUILD_LIMIT,
    )
    if done.returncode:
        raise BenchError(f"go cannot build the server on gVisor:\n{done.stderr}")


PEERS = (
    Peer(
        ("lwip",),
        "liblwip-dev",
        (LWIP_HEADERS / "lwip" / "tcp.h").exists,
        "lwip",
        _build_lwip,
    ),
    Peer(
        ("gvisor", "gvisor_plain"),
        "golang-go golang-gvisor-gvisor-dev",
        lambda: GVISOR.exists() and shutil.which("go") is not None,
        "gvisor",
        _build_gvisor,
    ),
)


def missing() -> dict[str, str]:
    """The packages of the variants that cannot be measured here."""
    absent = [peer for peer in PEERS if not peer.is_present()]
    return {variant: peer.packages for peer in absent for variant in peer.variants}


def compile_peers(folder: Path, variants: Collection[str]) -> None:
    """Builds those of our programs on other stacks that `variants` need."""
    for peer in PEERS:
        if set(peer.variants) & set(variants):
            peer.build(folder / peer.program)
