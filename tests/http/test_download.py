"""Downloads into files: whole, broken off, gone on with; and the command around them."""

import asyncio
import io
import sys

import pytest
from rich.console import Console

from stack.cli import fetch as command
from stack.cli import progress as bar
from stack.cli.main import _parser
from stack.errors import UsageError
from stack.http.demo import content, parse_range
from stack.http.fetch import FetchError, Request, download, open_client
from stack.http.partial import Partial, validator_of
from tests.support.http_world import respond, run, serving

SIZE = 300_000
WHOLE = b"".join(content(0, SIZE))
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
VERSIONS = ("1.1", "2-prior-knowledge")
every_version = pytest.mark.parametrize("version", VERSIONS)


class Files:
    """One file, with ranges; the first `cuts` answers break off behind 100,000 bytes."""

    def __init__(self, cuts=0, **fields):
        self.cuts = cuts
        self.body = WHOLE
        self.fields = [
            (name.encode().replace(b"_", b"-"), value.encode()) for name, value in fields.items()
        ]
        self.asked = []
        self.lie = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        wanted = {
            name: value for name, value in scope["headers"] if name in {b"range", b"if-range"}
        }
        self.asked.append({name.decode(): value.decode() for name, value in wanted.items()})
        status, start, stop, headers = 200, 0, len(self.body), list(self.fields)
        if b"range" in wanted and wanted.get(b"if-range") in [value for _, value in self.fields]:
            start, stop = parse_range(wanted[b"range"], len(self.body))
            place = b"bytes %d-%d/%d" % (start + self.lie, stop - 1, len(self.body))
            status = 206
            if start >= stop:
                status, place = 416, b"bytes */%d" % len(self.body)
            headers.append((b"content-range", place))
        body = b"" if status == 416 else self.body[start:stop]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if self.cuts:
            self.cuts -= 1
            part = {"type": "http.response.body", "body": body[:100_000], "more_body": True}
            await send(part)
            await asyncio.sleep(0.1)  # a reset overtakes what has not left
            raise SystemError("cut")
        await send({"type": "http.response.body", "body": body})


class Told:
    """Progress, as it is told."""

    def __init__(self):
        self.there, self.total, self.came = 0, None, 0

    def begin(self, there, total):
        self.there, self.total, self.came = there, total, 0

    def advance(self, size):
        self.came += size


def tries(app, path, version, resumes, between=None, told=None):
    """Downloads again and again; the outcomes: a status or an error."""

    async def main():
        outcomes = []
        async with serving(app) as served:
            for resume in resumes:
                async with open_client(served.host, version=version) as client:
                    request = Request(served.http + "/file")
                    try:
                        response = await download(
                            client, request, Partial(path), resume=resume, progress=told
                        )
                        outcomes.append(response.status_code)
                    except OSError as error:
                        outcomes.append(error)
                if between is not None:
                    between()
        return outcomes

    return run(main)


@every_version
def test_a_file_appears_when_it_is_whole(tmp_path, version):
    path, told = tmp_path / "file", Told()
    path.write_bytes(b"old")
    app = Files(cuts=1, etag='"a"')
    seen = []
    outcomes = tries(
        app, path, version, [False, False], lambda: seen.append(path.read_bytes()), told
    )
    assert isinstance(outcomes[0], FetchError)
    assert outcomes[1] == 200
    assert seen == [b"old", WHOLE]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (told.there, told.total, told.came) == (0, SIZE, SIZE)


@every_version
@pytest.mark.parametrize("fields", [{"etag": '"a"'}, {"last_modified": DATE}], ids=["etag", "date"])
@pytest.mark.rfc("9110", "13.1.5", "14.2")
def test_what_is_missing_of_it_comes_later(tmp_path, version, fields):
    path, told = tmp_path / "file", Told()
    app = Files(cuts=1, **fields)
    outcomes = tries(app, path, version, [False, True], told=told)
    assert isinstance(outcomes[0], FetchError)
    assert outcomes[1] == 206
    assert path.read_bytes() == WHOLE
    assert app.asked[0] == {}
    begun = int(app.asked[1]["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < begun <= 100_000
    assert app.asked[1]["if-range"] in (DATE, '"a"')
    assert (told.there, told.total, told.there + told.came) == (begun, SIZE, SIZE)


def test_what_changed_meanwhile_comes_anew(tmp_path):
    app, path = Files(cuts=1, etag='"a"'), tmp_path / "file"

    def change():
        app.fields, app.body = [(b"etag", b'"b"')], WHOLE[::-1]

    assert tries(app, path, "1.1", [False, True], change)[1] == 200
    assert path.read_bytes() == WHOLE[::-1]


def test_what_nothing_proves_to_be_the_same_comes_anew(tmp_path):
    for fields in ({}, {"etag": 'W/"a"'}, {"last_modified": "soon"}):
        app, path = Files(cuts=1, **fields), tmp_path / "file"
        assert tries(app, path, "1.1", [False, True])[1] == 200
        assert app.asked == [{}, {}]
        assert path.read_bytes() == WHOLE


def test_a_part_that_is_all_there_is_becomes_the_file(tmp_path):
    app, path = Files(etag='"a"'), tmp_path / "file"

    async def main():
        async with serving(app) as served:
            url = served.http + "/file"
            part = Partial(path)
            part.begin(url, '"a"')
            part.write(WHOLE)
            part.close()
            async with open_client(served.host) as client:
                response = await download(client, Request(url), Partial(path), resume=True)
            assert response.status_code == 416
            assert path.read_bytes() == WHOLE
            part.begin(url, '"a"')
            part.write(WHOLE + b"x")
            part.close()
            async with open_client(served.host) as client:
                with pytest.raises(FetchError, match="remove it to begin anew"):
                    await download(client, Request(url), Partial(path), resume=True)
            assert part.kept == SIZE + 1

    run(main)


def test_another_part_than_asked_for_is_refused_and_what_is_here_stays(tmp_path):
    app, path = Files(cuts=1, etag='"a"'), tmp_path / "file"
    app.lie = 1
    outcomes = tries(app, path, "1.1", [False, True])
    assert "another part" in str(outcomes[1])
    assert 0 < Partial(path).kept <= 100_000


def test_an_error_leaves_the_part_where_it_is(tmp_path):
    path = tmp_path / "file"

    async def main():
        async with serving(respond(b"no", 404)) as served:
            url = served.http + "/file"
            part = Partial(path)
            part.begin(url, '"a"')
            part.write(b"half")
            part.close()
            async with open_client(served.host) as client:
                with pytest.raises(FetchError, match="404 Not Found"):
                    await download(client, Request(url), part, resume=True)
            assert part.kept == 4

    run(main)


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        ({"etag": '"x"', "last-modified": DATE}, '"x"'),
        ({"etag": 'W/"x"', "last-modified": DATE}, ""),
        ({"last-modified": DATE, "date": "Sun, 06 Nov 1994 08:49:38 GMT"}, DATE),
        ({"last-modified": DATE, "date": DATE}, ""),
        ({"last-modified": DATE}, ""),
        ({}, ""),
    ],
)
@pytest.mark.rfc("9110", "13.1.5", "8.8.2.2")
def test_only_what_is_strong_goes_into_if_range(fields, validator):
    assert validator_of(fields) == validator


# ---- the command


def tunstack_fetch(served, path, *options, scheme="http"):
    """The command's exit status, its host a server's on loopback."""
    words = ["fetch", *options, getattr(served, scheme) + path]
    args = _parser().parse_args(words)
    request = command.read_request(args)
    file = command._path(args)

    async def go():
        with command._output(file) as output:
            return await command.fetch_over(args, request, served.host, output)

    return go()


def fetched(capfdbinary, path, *options, app=None, scheme="http"):
    """Exit status, standard output and standard error of one fetch."""

    async def main():
        async with serving(*([app] if app else [])) as served:
            return await tunstack_fetch(served, path, *options, scheme=scheme)

    status = run(main)
    sys.stdout.flush()
    out, error = capfdbinary.readouterr()
    return status, out, error.decode()


def test_data_header_and_method_are_sent_as_with_curl(capfdbinary, tmp_path):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        kind = dict(scope["headers"]).get(b"content-type", b"-")
        await respond(b"%s %s %s" % (scope["method"].encode(), kind, body))(scope, receive, send)

    file = tmp_path / "data"
    file.write_bytes(b"x\ny")
    form = b"application/x-www-form-urlencoded"
    for options, wanted in (
        ([], b"GET - "),
        (["-X", "DELETE"], b"DELETE - "),
        (["-d", "a=b", "-d", "c"], b"POST %s a=b&c" % form),
        (["-d", f"@{file}"], b"POST %s xy" % form),
        (["--data-binary", f"@{file}"], b"POST %s x\ny" % form),
        (["-X", "PUT", "-d", "", "-H", "Content-Type: a/b"], b"PUT a/b "),
        (["-d", "x", "-H", "content-type:"], b"POST - x"),
    ):
        for version in ("--http1.1", "--http2-prior-knowledge"):
            assert fetched(capfdbinary, "/", version, *options, app=app) == (0, wanted, "")


def test_head_and_include_print_the_header(capfdbinary):
    _, out, _ = fetched(capfdbinary, "/bytes/5", "-I")
    assert out.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 5\r\n" in out
    assert out.endswith(b"\r\n\r\n")
    _, out, _ = fetched(capfdbinary, "/echo", "-i", "-d", "text", "--http2-prior-knowledge")
    assert out.startswith(b"HTTP/2 200")
    assert out.endswith(b"\r\n\r\ntext")


def test_fail_makes_an_error_status_the_exit_status(capfdbinary):
    status, out, error = fetched(capfdbinary, "/nothing", "-f")
    assert (status, out) == (22, b"")
    assert error.endswith("the server says 404\n")
    assert error.count("\n") == 1
    assert fetched(capfdbinary, "/nothing")[0] == 0


def test_verbose_shows_heads_of_http_1(capfdbinary):
    _, _, error = fetched(capfdbinary, "/stream?count=2&interval=0", "-v")
    lines = error.splitlines()
    assert lines[0].startswith("* Connected to 127.0.0.1 port ")
    assert lines[1] == "> GET /stream?count=2&interval=0 HTTP/1.1"
    assert "< HTTP/1.1 200 OK" in lines
    assert "< server: tunstack" in lines
    assert "line 1" not in error


def test_verbose_shows_every_frame_of_http_2(capfdbinary):
    _, _, error = fetched(capfdbinary, "/echo", "-k", "-v", "-d", "text", scheme="https")
    lines = error.splitlines()
    assert lines[1].startswith("* TLSv1.3, ")
    assert lines[1].endswith(", ALPN h2")
    for line in (
        "> HEADERS stream=1 END_HEADERS",
        ">     :method: POST",
        "> DATA stream=1 4 bytes",
        "> DATA stream=1 END_STREAM 0 bytes",
        "< HEADERS stream=1 END_HEADERS",
        "<     :status: 200",
        "< DATA stream=1 4 bytes",
        "< SETTINGS stream=0 ACK",
    ):
        assert line in lines, error
    assert any(
        line.startswith("> SETTINGS stream=0 HEADER_TABLE_SIZE=4096 ENABLE_PUSH=0")
        for line in lines
    )
    assert any(line.startswith("> WINDOW_UPDATE stream=0 window_increment=") for line in lines)


def test_the_name_in_the_url_names_the_file(capfdbinary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetched(capfdbinary, "/bytes/100", "-O")[0] == 0
    assert (tmp_path / "100").stat().st_size == 100
    assert fetched(capfdbinary, "/bytes/200", "-o", "name")[0] == 0
    assert (tmp_path / "name").stat().st_size == 200
    assert fetched(capfdbinary, "/bytes/200", "-o", "/dev/null")[0] == 0
    assert fetched(capfdbinary, "/bytes/3", "-o", "-")[1] == WHOLE[:3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-O", "http://192.0.2.2/"], "-O"),
        (["-O", "http://192.0.2.2/a/.."], "-O"),
        (["-C", "http://192.0.2.2/a"], "--continue needs a file"),
        (["-I", "-d", "x", "http://192.0.2.2/"], "--head"),
        (["-H", "nothing", "http://192.0.2.2/"], "NAME: VALUE"),
        (["-d", "@/no/such/file", "http://192.0.2.2/"], "/no/such/file"),
        (["--cacert", "/no/such/file", "http://192.0.2.2/"], "/no/such/file"),
        (["--resolve", "x:y", "http://192.0.2.2/"], "HOST:PORT:ADDRESS"),
        (["--max-redirs", "-1", "http://192.0.2.2/"], "--max-redirs"),
        (["-X", "a b", "http://192.0.2.2/"], "no method"),
    ],
)
def test_wrong_use_is_one_clear_line(options, words):
    def read():
        args = _parser().parse_args(["fetch", *options])
        command.read_request(args)
        command._path(args)
        command._authorities(args.cacert)

    with pytest.raises(UsageError) as caught:
        read()
    assert words in str(caught.value)


def test_a_long_download_shows_a_bar_on_a_terminal(monkeypatch):
    now = iter((0.0, 0.1, 0.6, 0.7))
    monkeypatch.setattr(bar, "time", type("Clock", (), {"monotonic": lambda: next(now)}))
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    with bar.Bar("file", screen) as shown:
        shown.begin(1000, 4000)
        shown.advance(500)
        assert screen.file.getvalue() == ""
        shown.advance(500)
        assert "2.0/4.0 kB" in screen.file.getvalue()
