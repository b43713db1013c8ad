"""The application that `--app` names: found, and found anew when it changed on disk."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from stack.errors import UsageError


class AppSource:
    """`module:attribute`, imported also from the current directory."""

    def __init__(self, reference: str) -> None:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", reference):
            raise UsageError(f"--app {reference!r}: write MODULE:ATTR, such as mysite:app")
        self._reference = reference
        self._imported: set[str] = set()  # by the application

    def load(self) -> Any:
        """The application. Raises UsageError."""
        name, attributes = self._reference.split(":")
        if "" not in sys.path:
            sys.path.insert(0, "")  # the current directory, as for `python -m`
        before = set(sys.modules)
        try:
            found: Any = importlib.import_module(name)
        except Exception as error:
            raise UsageError(
                f"--app {self._reference}: cannot import {name}: {_brief(error)}"
            ) from error
        finally:
            self._imported |= set(sys.modules) - before
        for attribute in attributes.split("."):
            if not hasattr(found, attribute):
                raise UsageError(f"--app {self._reference}: {name} has no attribute {attribute!r}")
            found = getattr(found, attribute)
        if not callable(found):
            raise UsageError(
                f"--app {self._reference}: an ASGI application can be called, this cannot"
            )
        return found

    def reload(self) -> Any:
        """The application as it is on disk now, with the modules beside it.

        Raises UsageError; what is running keeps the modules that it has, then.
        """
        own = {name: sys.modules.pop(name) for name in self._own_modules()}
        importlib.invalidate_caches()
        try:
            return self.load()
        except UsageError:
            sys.modules.update(own)
            raise

    def _own_modules(self) -> list[str]:
        """What the application imported from its own directory: libraries stay as they are."""
        main = sys.modules.get(self._reference.partition(":")[0])
        root = _directory(main) if main is not None else None
        if main is None or root is None:
            return []
        for _ in range(main.__name__.count(".")):
            root = root.parent
        return [
            name
            for name in self._imported
            if (place := _directory(sys.modules.get(name))) is not None
            and place.is_relative_to(root)
            and "site-packages" not in place.parts
        ]


def _directory(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve().parent


def _brief(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
