"""The access log that every tool for web servers reads: Apache's "combined" format."""

import re
import time
from collections.abc import Callable

from stack.http.service import AccessRecord

# A client may put anything into what is logged; it must not begin lines or end fields.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\xff"\\]')


def combined(record: AccessRecord, now: float) -> str:
    """One line without its end; `now` in seconds since 1970. Sizes are those of bodies."""
    date = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
    version = record.http_version if "." in record.http_version else f"{record.http_version}.0"
    request = f"{_safe(record.method)} {_safe(record.target)} HTTP/{version}"
    return (
        f'{record.client[0] or "-"} - - [{date}] "{request}" {record.status or "-"} '
        f'{record.sent or "-"} "{_safe(record.referer) or "-"}" "{_safe(record.agent) or "-"}"'
    )


def logger(
    write: Callable[[str], object], clock: Callable[[], float] = time.time
) -> Callable[[AccessRecord], None]:
    """What `HttpServer` takes as its `access_log`: a line for each record, with its end."""

    def log(record: AccessRecord) -> None:
        write(combined(record, clock()) + "\n")

    return log


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
