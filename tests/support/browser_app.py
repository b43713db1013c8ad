"""A page of a hundred images that says which of them came, and over how many connections."""

import json
import struct
import zlib

IMAGES = 100
seen: dict[str, list] = {}

PAGE = """<!doctype html><title>images</title><body><script>
let good = 0;
for (let i = 0; i < IMAGES; i++) {
  const image = new Image();
  image.onload = () => { if (image.naturalWidth == 16) good++; };
  image.src = `/image/${i}`;
  document.body.append(image);
}
window.onload = () => {
  const request = new XMLHttpRequest();
  request.open("GET", "/report", false);
  request.send();
  document.body.innerHTML = `<pre>loaded ${good} ${request.responseText} end</pre>`;
};
</script></body>""".replace("IMAGES", str(IMAGES))


def picture(number: int) -> bytes:
    """A PNG of 16 by 16 pixels in a colour of its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixel = bytes((number * 2, 255 - number * 2, number % 7 * 30))
    rows = b"".join(b"\x00" + pixel * 16 for _ in range(16))
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


async def app(scope, receive, send):
    """ASGI."""
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    path = scope["path"]
    connection = scope["extensions"]["tunstack"]["connection"]
    status, kind = 200, b"image/png"
    if path.startswith("/image/"):
        seen.setdefault(path, []).append((connection, scope["http_version"], scope["scheme"]))
        body = picture(int(path[7:]))
    elif path == "/":
        body, kind = PAGE.encode(), b"text/html"
    elif path == "/report":
        body, kind = json.dumps(list(seen.values())).encode(), b"application/json"
    else:
        status, body = 404, b""
    headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
