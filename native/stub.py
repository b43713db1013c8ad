"""Writes stack/_native.pyi, the typed view of `stack._native`, from native/tunstack.h.

Run it after a change of the header; a unit test fails while the stub is out of date.
"""

import builtins
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pycparser import c_ast, c_parser

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "native" / "tunstack.h"
STUB = ROOT / "stack" / "_native.pyi"
LINE = 100

INTEGERS = ("uint8_t", "uint16_t", "uint32_t", "uint64_t", "int32_t", "int64_t", "size_t")

PROLOGUE = '''"""Typed view of the C extension, written by native/stub.py from native/tunstack.h.

cffi reaches a struct's fields through the struct and through a pointer to it alike, so one
class stands for both.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

_T = TypeVar("_T")
_Readable = bytes | bytearray | memoryview

class Array(Generic[_T]):
    """A C array, or a pointer into one."""

    def __getitem__(self, index: int) -> _T: ...
    def __setitem__(self, index: int, value: _T) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __add__(self, count: int) -> Array[_T]: ...

Bytes = Array[int]

class Buffer:
    """C memory as a Python buffer."""

    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __setitem__(self, index: slice, value: _Readable) -> None: ...
    @overload
    def __setitem__(self, index: int, value: bytes) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int) -> memoryview: ...

class _IntArray:
    """An array field: read as an array, set from anything of the right length."""

    def __get__(self, owner: object, kind: type | None = None) -> Bytes: ...
    def __set__(self, owner: object, value: bytes | Sequence[int] | Bytes) -> None: ...
'''

EPILOGUE = """
class _FFI:
    NULL: Any
    error: type[Exception]
{news}
    @overload
    def new(self, cdecl: str, init: object = None) -> Any: ...
    @overload
    def from_buffer(self, cdecl: _Readable, /) -> Bytes: ...
    @overload
    def from_buffer(
        self, cdecl: str, python_buffer: _Readable, require_writable: bool = False
    ) -> Bytes: ...
    def buffer(self, cdata: object, size: int = -1) -> Buffer: ...
    def gc(self, cdata: _T, destructor: Callable[[_T], object] | None, size: int = 0) -> _T: ...
    @overload
    def addressof(self, cdata: Array[_T], index: int, /) -> _T: ...
    @overload
    def addressof(self, cdata: _T, /) -> _T: ...
    @overload
    def addressof(self, cdata: object, *fields: str | int) -> Any: ...
    def cast(self, cdecl: str, value: object) -> Any: ...
    def memmove(self, dest: object, src: object, n: int) -> None: ...
    def sizeof(self, cdecl: object) -> int: ...
    def offsetof(self, cdecl: str, *fields: str | int) -> int: ...
    def typeof(self, cdecl: object) -> Any: ...
    def unpack(self, cdata: object, length: int) -> Any: ...

ffi: _FFI
lib: _Lib
"""


def source() -> str:
    """The header with what the C parser cannot take removed, and comments blanked."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    typedefs = [f"typedef int {name};" for name in INTEGERS]
    return "\n".join(typedefs + lines)


def constants() -> Iterator[str]:
    """Names of the integer macros, in the header's order."""
    for line in HEADER.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"#define (\w+) ", line):
            yield match.group(1)


def class_name(struct: str) -> str:
    return "".join(word.capitalize() for word in struct.split("_"))


def base_name(node: c_ast.TypeDecl) -> str:
    """What a declarator ends in: the name of a class, `int` or `None`."""
    if isinstance(node, c_ast.PtrDecl):  # of an array's elements: cffi follows it by itself
        return base_name(node.type)
    kind = node.type
    if isinstance(kind, c_ast.Struct):
        return class_name(kind.name)
    return "None" if kind.names == ["void"] else "int"


def is_pointer(node: c_ast.Node) -> bool:
    return isinstance(node, c_ast.PtrDecl | c_ast.ArrayDecl)


def field(decl: c_ast.Decl) -> str:
    """The annotation of a struct's field."""
    if not is_pointer(decl.type):
        return base_name(decl.type)
    element = base_name(decl.type.type)
    if element != "int":
        return f"Array[{element}]" if isinstance(decl.type, c_ast.ArrayDecl) else element
    return "_IntArray" if isinstance(decl.type, c_ast.ArrayDecl) else "Bytes"


def parameter(decl: c_ast.Decl) -> str:
    """A parameter with its annotation; they are positional, so the name may be mended."""
    name = f"{decl.name}_" if hasattr(builtins, decl.name) else decl.name
    return f"{name}: {argument(decl)}"


def argument(decl: c_ast.Decl) -> str:
    if not is_pointer(decl.type):
        return base_name(decl.type)
    element = base_name(decl.type.type)
    if element != "int":
        return f"Array[{element}]" if isinstance(decl.type, c_ast.ArrayDecl) else element
    return "bytes | Bytes" if "const" in decl.type.type.quals else "Bytes"


def function(name: str, decl: c_ast.FuncDecl) -> str:
    """A method of the library object, one parameter a line when it is long."""
    result = base_name(decl.type.type if is_pointer(decl.type) else decl.type)
    declared = [p for p in decl.args.params if isinstance(p, c_ast.Decl)]
    parameters = ["self", *(parameter(p) for p in declared), "/"]
    line = f"    def {name}({', '.join(parameters)}) -> {result}: ..."
    if len(line) <= LINE:
        return line
    inner = f"        {', '.join(parameters)}"
    if len(inner) <= LINE:
        return f"    def {name}(\n{inner}\n    ) -> {result}: ..."
    body = "".join(f"        {line},\n" for line in parameters)
    return f"    def {name}(\n{body}    ) -> {result}: ..."


def struct_class(struct: c_ast.Struct) -> str:
    if struct.decls is None:
        return f"\nclass {class_name(struct.name)}: ...\n"
    fields = "".join(f"    {decl.name}: {field(decl)}\n" for decl in struct.decls)
    return f"\nclass {class_name(struct.name)}:\n{fields}"


def library(names: list[str], functions: list[str]) -> str:
    values = "".join(f"    {name}: int\n" for name in names)
    return f"\nclass _Lib:\n{values}" + "\n".join(functions) + "\n"


def constructors(structs: list[str]) -> str:
    """The typed forms of ffi.new: one struct, or an array of them."""
    forms = [(f"struct {name} *", class_name(name)) for name in structs]
    forms += [(f"struct {name}[]", f"Array[{class_name(name)}]") for name in structs]
    forms += [(f"{name}[]", "Bytes") for name in ("uint8_t", "uint32_t")]
    lines: list[str] = []
    for cdecl, result in forms:
        signature = f'self, cdecl: Literal["{cdecl}"], init: object = None'
        line = f"    def new({signature}) -> {result}: ..."
        if len(line) > LINE:
            line = f"    def new(\n        {signature}\n    ) -> {result}: ..."
        lines += ["    @overload", line]
    return "\n".join(lines)


def stub() -> str:
    """The whole stub."""
    names = list(constants())
    structs: dict[str, c_ast.Struct] = {}
    functions: list[str] = []
    # Array lengths do not matter here, so any number stands for a macro.
    text = re.sub(r"\[[A-Z_]+\]", "[1]", source())
    for node in c_parser.CParser().parse(text).ext:
        kind = node.type
        if isinstance(kind, c_ast.Struct):
            structs[kind.name] = kind
        elif isinstance(kind, c_ast.Enum):
            names += [enumerator.name for enumerator in kind.values.enumerators]
        elif isinstance(kind, c_ast.FuncDecl):
            functions.append(function(node.name, kind))
    complete = [name for name, struct in structs.items() if struct.decls is not None]
    classes = "".join(struct_class(struct) for struct in structs.values())
    classes = re.sub(r"(\nclass \w+: \.\.\.\n)\n(?=class \w+: \.\.\.\n)", r"\1", classes)
    end = EPILOGUE.format(news=constructors(complete))
    return PROLOGUE + classes + library(names, functions) + end


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(STUB.read_text(encoding="utf-8") != stub())
    STUB.write_text(stub(), encoding="utf-8")
