"""The echo server in the README does what it says; `tests/sim/test_docs.py` has the other program."""

import re
import sys
from pathlib import Path

from tests.support.playground import empty_network, eventually

README = (Path(__file__).parents[2] / "README.md").read_text()
ECHO = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
CLIENT = """
import socket
with socket.create_connection(("192.0.2.2", 7), 5) as peer:
    peer.sendall(b"hello")
    assert peer.recv(100) == b"hello"
"""


def test_the_echo_server_answers_the_kernel():
    with empty_network() as network:
        server = network.start(sys.executable, "-c", ECHO)
        try:
            assert eventually(
                lambda: network.call("ip", "link", "set", "tun0", "up").returncode == 0
            )
            network.call("ip", "address", "add", "192.0.2.1/24", "dev", "tun0")
            done = network.call(sys.executable, "-c", CLIENT)
            assert done.returncode == 0, done.stderr
        finally:
            server.terminate()
            server.communicate(timeout=10)
