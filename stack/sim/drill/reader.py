"""Walks over the tokens of a script; what all parts of the parser share."""

from collections.abc import Mapping

from stack.sim.drill.errors import ScriptError
from stack.sim.drill.lexer import Kind, Token, tokens


class Reader:
    """The tokens of a script with the definitions put in: a defined WORD reads as its value."""

    def __init__(self, text: str, name: str, definitions: Mapping[str, str]) -> None:
        self.text = text
        self.name = name
        self._tokens = list(tokens(text, name))
        self._definitions = dict(definitions)
        self._at = 0
        self.last = self._tokens[0]  # the token that was read last
        self.version = 4  # of the packets, which the options settle

    @property
    def next(self) -> Token:
        """The token to be read next."""
        return self._tokens[self._at]

    def define(self, name: str, value: str) -> None:
        """Has `name` read as `value` from here on."""
        self._definitions.setdefault(name, value)
        self._put_in()

    def take(self) -> Token:
        """Reads a token; the END stays."""
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
            self.last = token
            self._put_in()
        return token

    def _put_in(self) -> None:
        """Replaces a defined word by the tokens of its value, which stand in its place."""
        token = self._tokens[self._at]
        if token.kind is not Kind.WORD or token.text not in self._definitions:
            return
        value = self._definitions[token.text]
        where = f"{self.name}:{token.line}: in the value of {token.text}"
        new = [
            Token(inner.kind, inner.text, token.line, token.start, token.end)
            for inner in tokens(value, where)
            if inner.kind is not Kind.END
        ]
        self._tokens[self._at : self._at + 1] = new

    def at(self, text: str) -> bool:
        """Whether the next token is this sign or word."""
        token = self.next
        return token.text == text and token.kind in (Kind.SIGN, Kind.WORD, Kind.ELLIPSIS)

    def skip(self, text: str) -> bool:
        """Reads this sign or word if it is next; returns whether it was."""
        if self.at(text):
            self.take()
            return True
        return False

    def expect(self, text: str, context: str) -> Token:
        """Reads this sign or word. Raises ScriptError when something else is there."""
        if not self.at(text):
            raise self.error(f"{self.next} where {context} needs `{text}`")
        return self.take()

    def integer(self, what: str) -> int:
        """Reads an integer that is called `what`. Raises ScriptError."""
        token = self.next
        if token.kind is not Kind.INTEGER:
            raise self.error(f"{token} where {what} should be: write a number")
        return int(self.take().text, 0)

    def word(self, what: str) -> str:
        """Reads a word that is called `what`. Raises ScriptError."""
        if self.next.kind is not Kind.WORD:
            raise self.error(f"{self.next} where {what} should be")
        return self.take().text

    def hex_bytes(self, what: str) -> bytes:
        """Reads bytes as hexadecimal digits; a number with only decimal digits is such, too."""
        token = self.next
        if token.kind not in (Kind.WORD, Kind.INTEGER):
            raise self.error(f"{token} where {what} should be: write it in hexadecimal digits")
        try:
            data = bytes.fromhex(token.text.removeprefix("0x"))
        except ValueError:
            what = f"{token} is no {what}: write an even number of hexadecimal digits"
            raise self.error(what) from None
        self.take()
        return data

    def error(self, what: str, line: int | None = None) -> ScriptError:
        """An error in `line`, or where the next token is."""
        return ScriptError(f"{self.name}:{self.next.line if line is None else line}", what)
