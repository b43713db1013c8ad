"""A download on its way to a file: what is there of it is kept, and can be gone on with.

Until it is whole it is called FILE.part; FILE.part.from says where it comes from and what
proves that the rest belongs to it: an entity tag, or the date of the last change.
"""

import contextlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO

# RFC 9110 §8.8.2.2: a change within the second of the answer could go unseen.
SETTLED = 1.0


class Partial:
    """The file `path`, which is replaced once the download is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self._origin = path.with_name(path.name + ".part.from")
        self._file: IO[bytes] | None = None

    def found(self, url: str) -> tuple[int, str]:
        """What is here of `url`: its size in bytes and its validator; (0, "") for nothing
        that could be gone on with.
        """
        try:
            known, validator = self._origin.read_text().splitlines()
            size = self.part.stat().st_size
        except (OSError, ValueError):
            return 0, ""
        return (size, validator) if known == url and size else (0, "")

    def begin(self, url: str, validator: str) -> None:
        """From the first byte, whatever was here. Raises OSError."""
        self._file = self.part.open("wb")
        self._origin.unlink(missing_ok=True)
        if validator:
            self._origin.write_text(f"{url}\n{validator}\n")

    def go_on(self) -> None:
        """Behind what is here. Raises OSError."""
        self._file = self.part.open("ab")

    def write(self, data: bytes) -> None:
        """Adds to the end. Raises OSError."""
        assert self._file is not None
        self._file.write(data)

    def close(self) -> None:
        """Keeps what is here."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> None:
        """It is whole: it takes the place of the file. Raises OSError."""
        self.close()
        self.part.replace(self.path)
        with contextlib.suppress(OSError):
            self._origin.unlink(missing_ok=True)

    @property
    def kept(self) -> int:
        """Bytes that are here, while it is not whole."""
        try:
            return self.part.stat().st_size
        except OSError:
            return 0


def validator_of(headers: Mapping[str, str]) -> str:
    """What of a response may stand in If-Range (RFC 9110 §13.1.5): a strong entity tag, or a
    date of change that is older than the response; "" when there is neither.
    """
    tag = headers.get("etag", "")
    if tag:
        return "" if tag.startswith("W/") else tag
    try:
        changed = parsedate_to_datetime(headers["last-modified"])
        answered = parsedate_to_datetime(headers["date"])
        settled = (answered - changed).total_seconds() >= SETTLED
    except (KeyError, ValueError, TypeError):
        return ""
    return headers["last-modified"] if settled else ""
