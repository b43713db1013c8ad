"""Other TCP/IP stacks that we are compared with where Debian's packages of them are there."""

import os
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.network import HERE, BenchError, compile_c, run

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
    sources = sorted(map(str, (HERE / "gvisor").glob("*.go")))
    command = ["go", "build", "-o", str(program), *sources]
    run(command, BUILD_LIMIT, environment=environment)


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
        "golang-go and golang-gvisor-gvisor-dev",
        lambda: GVISOR.exists() and shutil.which("go") is not None,
        "gvisor",
        _build_gvisor,
    ),
)


def missing() -> dict[str, str]:
    """Why variants cannot be measured here, for those."""
    absent = [peer for peer in PEERS if not peer.is_present()]
    return {v: f"it needs {peer.packages}" for peer in absent for v in peer.variants}


def compile_peers(folder: Path, variants: Collection[str]) -> dict[str, str]:
    """Builds those of our programs on other stacks that `variants` need; returns why variants
    cannot be measured, since another version of a package may not fit our program.
    """
    failed = {}
    for peer in PEERS:
        if set(peer.variants) & set(variants):
            try:
                peer.build(folder / peer.program)
            except BenchError as error:
                print(f"bench: {error}", file=sys.stderr)
                reason = f"our program does not build on this version of {peer.packages}"
                failed |= dict.fromkeys(peer.variants, reason)
    return failed
