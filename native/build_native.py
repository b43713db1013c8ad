"""Builds `stack._native`, the C part, with cffi in API mode."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = (
    "checksum.c",
    "parse_ip.c",
    "parse_transport.c",
    "parse_tcp.c",
    "build.c",
    "ring.c",
    "flow.c",
    "sent.c",
    "segment_path.c",
    "tcb.c",
    "segments_arrive.c",
    "segments_leave.c",
    "segments_open.c",
    "timers.c",
    "landing.c",
    "receive_buffer.c",
    "tun.c",
    "line.c",
    "network.c",
    "hop.c",
    "steer.c",
)


def declarations() -> str:
    """The header as cffi reads it: without the lines that only a compiler needs."""
    lines = (HERE / "tunstack.h").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("#pragma", "#include")))


# Without -Werror: a compiler newer than ours may warn of more, and must still build the
# package. The Makefile's checks are the strict ones.
ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "stack._native",
    '#include "tunstack.h"',
    sources=[f"native/{name}" for name in SOURCES],
    depends=["native/tunstack.h", "native/internal.h"],
    include_dirs=["native"],
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-fvisibility=hidden",
    ],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
