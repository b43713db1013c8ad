"""A bar for downloads that take a while, on a terminal."""

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

PATIENCE = 0.5
"""Seconds that a download may take without a bar."""


class Bar:
    """Shows itself when a download turns out to be a long one, and leaves nothing behind."""

    def __init__(self, name: str, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._name = name
        self._task: TaskID | None = None
        self._began = 0.0
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()

    def begin(self, there: int, total: int | None) -> None:
        """`there` bytes are here already, of `total` if that is known."""
        self._began = time.monotonic()
        self._task = self._progress.add_task(self._name, total=total, completed=there)

    def advance(self, size: int) -> None:
        """`size` bytes more are here."""
        if self._task is None:
            return
        self._progress.advance(self._task, size)
        if not self._shown and time.monotonic() - self._began >= PATIENCE:
            self._shown = True
            self._progress.start()
