"""System calls and the expressions in them."""

from stack.sim.drill.lexer import Kind
from stack.sim.drill.reader import Reader
from stack.sim.drill.script import (
    Anything,
    Apply,
    Array,
    Call,
    Either,
    Expression,
    Name,
    Number,
    Struct,
    Text,
)

FUNCTIONS = frozenset({"htons", "htonl", "inet_addr", "inet6_addr", "inet_pton"})


def read_call(reader: Reader) -> Call:
    """`name(arguments) = result ERRNO (note)`"""
    name = reader.word("a call")
    reader.expect("(", f"the call of {name}")
    arguments = _list(reader, ")")
    reader.expect("=", f"the result of {name}: write `= 0` or what it returns, and it")
    result = _expression(reader)
    errno = ""
    if reader.next.kind is Kind.WORD and reader.next.text.startswith("E"):
        errno = reader.take().text
    if reader.skip("("):
        while not reader.skip(")"):
            if reader.next.kind is Kind.END:
                raise reader.error("a note is never closed: add a `)`")
            reader.take()
    if errno and not (isinstance(result, Number) and result.value == -1):
        raise reader.error(f"a call that fails with {errno} returns -1: write `= -1 {errno}`")
    return Call(name, arguments, result, errno)


def _list(reader: Reader, end: str) -> tuple[Expression, ...]:
    items: list[Expression] = []
    while not reader.skip(end):
        if items:
            reader.expect(",", f"a list between two items, or `{end}` at its end,")
        items.append(_expression(reader))
    return tuple(items)


def _expression(reader: Reader) -> Expression:
    parts = [_single(reader)]
    while reader.skip("|"):
        parts.append(_single(reader))
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def _single(reader: Reader) -> Expression:
    token = reader.next
    if reader.skip("..."):
        return Anything()
    if reader.skip("["):
        return Array(_list(reader, "]"))
    if reader.skip("{"):
        return _struct(reader)
    if token.kind is Kind.INTEGER:
        return Number(reader.integer("a value"))
    if token.kind is Kind.STRING:
        reader.take()
        return Text(token.text, open_ended=reader.skip("..."))
    if token.kind is Kind.WORD:
        return _word(reader)
    raise reader.error(f"{token} where a value should be")


def _word(reader: Reader) -> Expression:
    name = reader.take().text
    if name not in FUNCTIONS:
        return Name(name)
    reader.expect("(", name)
    if name == "inet_pton":  # inet_pton(AF_INET6, "…")
        _expression(reader)
        reader.expect(",", name)
    argument = _expression(reader)
    reader.expect(")", name)
    return Apply(name, argument)


def _struct(reader: Reader) -> Struct:
    """`{sa_family = AF_INET, …}`, `{fd=4, events=POLLIN}`, `{..., 1000}`, `{onoff=1, linger=0}`."""
    fields: list[tuple[str, Expression]] = []
    while not reader.skip("}"):
        if fields:
            reader.expect(",", "a structure between two fields, or `}` at its end,")
        fields.append(_field(reader))
    return Struct(tuple(fields))


def _field(reader: Reader) -> tuple[str, Expression]:
    value = _expression(reader)
    if isinstance(value, Name) and reader.skip("("):  # msg_iov(1) = […]
        _list(reader, ")")
    if isinstance(value, Name) and reader.skip("="):
        return value.name, _expression(reader)
    return "", value
