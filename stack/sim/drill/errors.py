"""What can be wrong with a script, and what a script can find wrong."""

from stack.errors import UsageError


class ScriptError(UsageError):
    """A script that cannot be read: `where` is "FILE:LINE", `what` names the fault and the mend."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


class Mismatch(Exception):
    """The stack did something else than the script says.

    `what` is one line; `details` are the lines that show the difference.
    """

    def __init__(self, what: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.details = details
