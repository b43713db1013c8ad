"""Tells the kernel which queue of a TUN device a packet belongs to, by a program of ours.

Without it the kernel hashes flows to queues by a secret of its own, and remembers for a while
from which queue a flow's last packet was written. With it every packet comes out of the
queue of the worker that `share_owner` (native/steer.c) names, at once and for ever.
"""

import ctypes
import fcntl
import os
import platform
import struct
from enum import IntEnum

_TUNSETSTEERINGEBPF = 0x800454E0
_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_BPF_PROG_LOAD = 5
_BPF_PROG_TYPE_SOCKET_FILTER = 1
_ATTRIBUTES = struct.Struct("=IIQQIIQII16s")  # the front of union bpf_attr
_INSTRUCTION = struct.Struct("=BBhi")

# As in native/steer.c.
_MIX_WORD = 0x9E3779B1
_MIX_END = 0x85EBCA6B
_TCP = 6
_UDP = 17


class Op(IntEnum):
    """Operation codes (RFC 9669 §4, §5); loads are in the byte order of the network."""

    LOAD_BYTE = 0x30
    LOAD_HALF = 0x28
    LOAD_WORD = 0x20
    LOAD_WORD_INDIRECT = 0x40
    MOVE = 0xBF
    MOVE32 = 0xBC
    SET32 = 0xB4
    XOR32 = 0xAC
    MULTIPLY32 = 0x24
    MULTIPLY = 0x27
    SHIFT_RIGHT32 = 0x74
    SHIFT_RIGHT = 0x77
    SHIFT_LEFT32 = 0x64
    AND32 = 0x54
    JUMP = 0x05
    JUMP_IF_EQUAL = 0x15
    JUMP_IF_NOT_EQUAL = 0x55
    EXIT = 0x95


# Loads leave their value in R0, want the packet in R6 and spoil R1 to R5.
_VALUE, _TEMPORARY, _PACKET, _HASH, _HEADER = 0, 1, 6, 7, 8


class _Program:
    """Instructions, and jumps to places that come later."""

    def __init__(self) -> None:
        self._code: list[tuple[Op, int, int, int]] = []
        self._jumps: list[tuple[int, str]] = []
        self._places: dict[str, int] = {}

    def put(self, op: Op, to: int = 0, source: int = 0, value: int = 0) -> None:
        self._code.append((op, to, source, value))

    def jump(self, op: Op, place: str, value: int = 0) -> None:
        """Jumps when R0 compares like that to the value."""
        self._jumps.append((len(self._code), place))
        self.put(op, _VALUE, 0, value)

    def place(self, name: str) -> None:
        self._places[name] = len(self._code)

    def mix(self) -> None:
        """Takes the word in R0 into the hash."""
        self.put(Op.XOR32, _HASH, _VALUE)
        self.put(Op.MULTIPLY32, _HASH, 0, _MIX_WORD)
        self.put(Op.MOVE32, _TEMPORARY, _HASH)
        self.put(Op.SHIFT_RIGHT32, _TEMPORARY, 0, 15)
        self.put(Op.XOR32, _HASH, _TEMPORARY)

    def mix_words(self, begin: int, end: int) -> None:
        for at in range(begin, end, 4):
            self.put(Op.LOAD_WORD, value=at)
            self.mix()

    def assembled(self) -> bytes:
        offsets = {at: self._places[name] - at - 1 for at, name in self._jumps}
        return b"".join(
            _INSTRUCTION.pack(op, source << 4 | to, offsets.get(at, 0), _signed(value))
            for at, (op, to, source, value) in enumerate(self._code)
        )


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def program(workers: int, key: int) -> bytes:
    """A program in eBPF that returns the queue of a packet: what `share_owner` gives for TCP and UDP, and
    for the rest, fragments too, one that all packets between two addresses have in common.

    A packet that ends too early goes to queue 0, as the kernel does with failed loads.
    """
    code = _Program()
    code.put(Op.MOVE, _PACKET, 1)
    code.put(Op.SET32, _HASH, 0, key)
    code.put(Op.LOAD_BYTE, value=0)
    code.put(Op.MOVE32, _HEADER, _VALUE)
    code.put(Op.SHIFT_RIGHT32, _VALUE, 0, 4)
    code.jump(Op.JUMP_IF_EQUAL, "version 6", 6)
    _put_version_4(code)
    code.place("version 6")
    _put_version_6(code)
    code.place("end")
    code.put(Op.MULTIPLY32, _HASH, 0, _MIX_END)
    code.put(Op.MOVE32, _VALUE, _HASH)
    code.put(Op.MULTIPLY, _VALUE, 0, workers)
    code.put(Op.SHIFT_RIGHT, _VALUE, 0, 32)
    code.put(Op.EXIT)
    return code.assembled()


def _put_version_4(code: _Program) -> None:
    code.put(Op.AND32, _HEADER, 0, 0x0F)
    code.put(Op.SHIFT_LEFT32, _HEADER, 0, 2)
    code.mix_words(12, 20)
    code.put(Op.LOAD_HALF, value=6)
    code.put(Op.AND32, _VALUE, 0, 0x3FFF)  # offset and "more fragments"
    code.jump(Op.JUMP_IF_NOT_EQUAL, "end", 0)
    code.put(Op.LOAD_BYTE, value=9)
    code.jump(Op.JUMP_IF_EQUAL, "ports 4", _TCP)
    code.jump(Op.JUMP_IF_NOT_EQUAL, "end", _UDP)
    code.place("ports 4")
    code.put(Op.LOAD_WORD_INDIRECT, source=_HEADER)
    code.mix()
    code.jump(Op.JUMP, "end")


def _put_version_6(code: _Program) -> None:
    code.mix_words(8, 40)
    code.put(Op.LOAD_BYTE, value=6)
    code.jump(Op.JUMP_IF_EQUAL, "ports 6", _TCP)
    code.jump(Op.JUMP_IF_NOT_EQUAL, "end", _UDP)
    code.place("ports 6")
    code.put(Op.LOAD_WORD, value=40)
    code.mix()


def steer(queue: int, workers: int, key: int) -> bool:
    """Has the kernel deliver by `program` from now on to the queues of the device that the
    descriptor `queue` belongs to, numbered as they were opened.

    Returns False where that is not allowed, or not known: then it delivers by its own rule.
    """
    loaded = _load(program(workers, key))
    if loaded < 0:
        return False
    try:
        fcntl.ioctl(queue, _TUNSETSTEERINGEBPF, struct.pack("=i", loaded))
    except OSError:
        return False
    finally:
        os.close(loaded)  # the device holds it
    return True


def _load(instructions: bytes) -> int:
    """The descriptor of a loaded program, or -1."""
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        return -1
    code, licence = ctypes.create_string_buffer(instructions), ctypes.create_string_buffer(b"MIT")
    attributes = ctypes.create_string_buffer(
        _ATTRIBUTES.pack(
            _BPF_PROG_TYPE_SOCKET_FILTER,
            len(instructions) // _INSTRUCTION.size,
            ctypes.addressof(code),
            ctypes.addressof(licence),
            0,  # no log
            0,
            0,
            0,
            0,
            b"tunstack_share",
        )
    )
    loaded: int = ctypes.CDLL(None).syscall(
        number, _BPF_PROG_LOAD, attributes, ctypes.c_size_t(_ATTRIBUTES.size)
    )
    return loaded
