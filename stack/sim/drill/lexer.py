"""A script cut into tokens: packetdrill's lexical structure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from stack.sim.drill.errors import ScriptError


class Kind(Enum):
    """What a token is."""

    OPTION = auto()  # --name, its value is in `Token.value`
    IPV4 = auto()
    IPV6 = auto()
    FLOAT = auto()
    INTEGER = auto()
    WORD = auto()
    STRING = auto()
    COMMAND = auto()  # `…`
    CODE = auto()  # %{ … }%
    ELLIPSIS = auto()
    SIGN = auto()  # any other single character
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as it stands in the script, without quotes; `value` what an option is set to."""

    kind: Kind
    text: str
    line: int
    start: int
    end: int
    value: str | None = None

    def __str__(self) -> str:
        return "the end of the script" if self.kind is Kind.END else f"`{self.text}`"


_HEX4 = "[0-9a-fA-F]{1,4}"
_TOKENS = re.compile(
    rf"""
    (?P<SPACE>   \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<CODE>    %\{{.*?\}}% )
  | (?P<COMMAND> `(?:\\.|[^`\\])*` )
  | (?P<STRING>  "(?:\\.|[^"\\])*" )
  | (?P<OPTION>  --[A-Za-z0-9_]+ (?: = (?P<VALUE> `[^`]*` | (?: "[^"]*" | [^\s"`] )+ ) )? )
  | (?P<IPV4>    \d+\.\d+\.\d+\.\d+ (?![\w.]) )
  | (?P<IPV6>    (?: {_HEX4}:){{7}}{_HEX4} (?![\w:])
               | (?: {_HEX4} (?: :{_HEX4})* )? :: (?: {_HEX4} (?: :{_HEX4})* )? (?![\w:]) )
  | (?P<FLOAT>   \d*\.\d+ )
  | (?P<ELLIPSIS> \.\.\. )
  | (?P<INTEGER> -?(?: 0[xX][0-9a-fA-F]+ | \d+ ) (?![A-Za-z0-9_]) )
  | (?P<WORD>    [A-Za-z0-9_]+ )
  | (?P<OPEN>    /\* | %\{{ | ` | " )
  | (?P<SIGN>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS = {"/*": "*/", "%{": "}%", "`": "`", '"': '"'}
_QUOTED = frozenset({Kind.STRING, Kind.COMMAND})


def tokens(text: str, name: str) -> Iterator[Token]:
    """The tokens of a script called `name`, an END last. Raises ScriptError."""
    line, at = 1, 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        assert match is not None
        group = match.lastgroup or ""
        if group == "OPEN":
            wanted = _ENDS[match.group()]
            raise ScriptError(
                f"{name}:{line}", f"`{match.group()}` is never closed: add a `{wanted}`"
            )
        if group != "SPACE":
            yield _token(Kind[group], match, line)
        line += match.group().count("\n")
        at = match.end()
    yield Token(Kind.END, "", line, len(text), len(text))


def _token(kind: Kind, match: re.Match[str], line: int) -> Token:
    text, value = match.group(), match.group("VALUE")
    if kind in _QUOTED:
        text = unescape(text[1:-1])
    elif kind is Kind.CODE:
        text = text[2:-2]
    elif kind is Kind.OPTION:
        text = text.partition("=")[0]
        value = None if value is None else value.strip('`"')
    return Token(kind, text, line, match.start(), match.end(), value)


def unescape(text: str) -> str:
    r"""Resolves the escapes that C has in strings: \n, \t, \", \\ and \xNN."""
    known = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    return re.sub(
        r"\\(?:x([0-9a-fA-F]{2})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else known.get(m[2], m[2]),
        text,
        flags=re.DOTALL,
    )
