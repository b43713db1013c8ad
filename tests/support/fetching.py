"""One request and its whole response, by the client that `tunstack fetch` is."""

import io
from dataclasses import dataclass
from typing import Any

import httpx

from stack.http.fetch import Request, fetch, open_client


@dataclass
class Answer:
    """A response with its body."""

    status: int
    http_version: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    response: httpx.Response


async def get(
    host: Any,
    url: str,
    *,
    http_version: Any = "auto",
    method: str = "GET",
    headers: tuple[tuple[str, str | None], ...] = (),
    body: bytes | None = None,
    sink: Any = None,
    on_head: Any = None,
    progress: Any = None,
    **options: Any,
) -> Answer:
    """The answer; `options` are those of `open_client`."""
    taken = io.BytesIO()
    request = Request(url, method, headers, body)
    async with open_client(host, version=http_version, **options) as client:
        response = await fetch(client, request, sink or taken, on_head=on_head, progress=progress)
    version = response.http_version.removeprefix("HTTP/")
    lower = [(name.lower(), value) for name, value in response.headers.raw]
    return Answer(response.status_code, version, lower, taken.getvalue(), response)
