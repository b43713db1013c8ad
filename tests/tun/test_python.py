"""`tunstack python`: unmodified Python programs, with real programs at the other end."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.support.conversations import self_signed
from tests.support.playground import require, tunstack

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        message = {"type": ""}
        while message["type"] != "lifespan.shutdown":
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"over " + scope["http_version"].encode()})
"""
SERVER = """
import http.server, ssl, sys
address, port, secure = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
server = http.server.ThreadingHTTPServer((address, port), http.server.SimpleHTTPRequestHandler)
if secure:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
REQUESTS = """
import requests, urllib3
urllib3.disable_warnings()
for _ in range(2):
    answer = requests.get("https://192.0.2.1:8443/page", verify=False, timeout=10)
    print(answer.status_code, len(answer.content))
with urllib3.PoolManager(cert_reqs="CERT_NONE") as pool:
    for _ in range(3):
        print(len(pool.request("GET", "https://192.0.2.1:8443/page").data))
"""
ECHO = """
import asyncio, sys, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, sys.argv[1], 8000):
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""
TALK = """
import sys
from websockets.sync.client import connect
with connect(f"ws://{sys.argv[1]}:8000/") as socket:
    socket.send("x" * 200_000)
    print(len(socket.recv()))
"""
STATUS = """
import sys
print(sys.argv, __name__)
sys.exit(int(sys.argv[1]))
"""
PYTHON = shlex.quote(sys.executable)
CURL = "curl -sSk --max-time 10"


@pytest.fixture(scope="module", autouse=True)
def _curl():
    require("curl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with programs, a page and a certificate."""
    made = tmp_path_factory.mktemp("programs")
    programs = {
        "mysite": APP,
        "server": SERVER,
        "clients": REQUESTS,
        "echo": ECHO,
        "talk": TALK,
        "status": STATUS,
    }
    for name, text in programs.items():
        (made / f"{name}.py").write_text(text)
    (made / "page").write_bytes(bytes(100_000))
    for path, name in zip(self_signed(made), ("cert.pem", "key.pem"), strict=True):
        Path(path).replace(made / name)
    return made


def python(folder, *arguments):
    return tunstack("python", *arguments, cwd=folder)


SERVERS = {
    "http.server": ("http://192.0.2.2/page -o /dev/null -w %{size_download}", "100000"),
    "http.server --bind :: 80": ("http://192.0.2.2/page -o /dev/null -w %{http_code}", "200"),
    "uvicorn": ("http://192.0.2.2/", "over 1.1"),
    "hypercorn": ("--http2-prior-knowledge http://192.0.2.2/", "over 2"),
}
COMMANDS = {
    "http.server": "-m http.server --bind 192.0.2.2 80",
    "http.server --bind :: 80": "-m http.server --bind :: 80",
    "uvicorn": "-m uvicorn --host 192.0.2.2 --port 80 mysite:app",
    "hypercorn": "-m hypercorn --workers 0 --bind 192.0.2.2:80 mysite:app",
}


@pytest.mark.parametrize("name", SERVERS)
def test_curl_gets_answers_from_a_server(folder, name):
    asked, answer = SERVERS[name]
    done = python(folder, "--client", f"{CURL} {asked}", *COMMANDS[name].split())
    assert done.returncode == 0, done.stderr
    assert answer in done.stdout


def test_http_server_with_tls(folder):
    asked = f"{CURL} https://192.0.2.2/page -o /dev/null -w %{{size_download}}"
    done = python(folder, "--client", asked, "server.py", "192.0.2.2", "443", "tls")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("100000")


def test_requests_and_urllib3_over_tls(folder):
    server = f"{PYTHON} server.py 192.0.2.1 8443 tls"
    done = python(folder, "--server", server, "clients.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200", "100000"] * 2 + ["100000"] * 3


def test_websockets_both_ways(folder):
    done = python(folder, "--client", f"{PYTHON} talk.py 192.0.2.2", "echo.py", "192.0.2.2")
    assert (done.returncode, done.stdout) == (0, "200000\n"), done.stderr
    done = python(folder, "--server", f"{PYTHON} echo.py 192.0.2.1", "talk.py", "192.0.2.1")
    assert (done.returncode, done.stdout) == (0, "200000\n"), done.stderr


def test_a_program_keeps_its_arguments_and_its_status(folder):
    done = python(
        folder, "--server", f"{PYTHON} server.py 127.0.0.1 1", "status.py", "3", "--", "-x"
    )
    assert done.returncode == 3
    assert done.stdout == "['status.py', '3', '--', '-x'] __main__\n"


def test_the_status_is_the_clients_who_ended_it(folder):
    command = COMMANDS["http.server"].split()
    assert python(folder, "--client", "sh -c 'exit 7'", *command).returncode == 7


def test_the_trace_shows_what_a_program_sends(folder):
    asked = f"{CURL} http://192.0.2.2/page -o /dev/null"
    done = python(folder, "--trace", "--client", asked, *COMMANDS["http.server"].split())
    assert "↳ SYN accepted on a listening port" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give a program"),
        (["nowhere.py"], "there is no file nowhere.py"),
        (["-m", "no_such_module"], "there is no Python module no_such_module"),
        (["--client", "x", "--server", "y", "-m", "this"], "not allowed with"),
        (["--client", "'", "-m", "this"], "is no command"),
        (["--tun", "a", "--client", "true", "-m", "this"], "--tun names a device"),
        (["--record", "a", "-m", "this"], "use it with run or serve"),
        (["--busy-poll", "50", "-m", "this"], "its threads need the processor"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(folder, arguments, complaint):
    done = python(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("tunstack: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
