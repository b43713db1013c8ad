"""Real programs beside the stack: `tunstack run` held open, with commands sent into it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

TUNSTACK = str(Path(sys.executable).with_name("tunstack"))
IPV4 = "192.0.2.2"
IPV6 = "2001:db8::2"
HOSTS = {4: IPV4, 6: f"[{IPV6}]"}

PACKAGES = {
    "curl": "curl",
    "nghttp": "nghttp2-client",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "ping": "iputils-ping",
    "tshark": "tshark",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "chromium": "chromium",
}


def require(tool: str) -> None:
    """A missing tool is a failure that names its mend, never a skip."""
    if shutil.which(tool) is None:
        raise AssertionError(f"{tool} is missing: sudo apt-get install {PACKAGES[tool]}")


def inside(pid: int) -> list[str]:
    """The words before a command that shall run in the network of process `pid`."""
    own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", "--net", *own_user, "--"]


def call(
    command: Sequence[str], *, timeout: float = 60, data: str | None = None, **options
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and keeps what it prints."""
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        **({"stdin": subprocess.DEVNULL} if data is None else {"input": data}),
        **options,
    )


def tunstack(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Runs the command line program to its end."""
    return call([TUNSTACK, *arguments], **options)


class Holder:
    """A process that waits; the networks it is in can be entered until `close`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self.process = subprocess.Popen(
            [*command, "sh", "-c", "echo $$ && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{command} failed: {self.process.stderr.read()}")
        self.pid = int(line)
        self.stderr = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, *command: str, **options) -> subprocess.CompletedProcess[str]:
        """Runs a command in this holder's network."""
        require(command[0] if "/" not in command[0] else "nsenter")
        return call([*inside(self.pid), *command], **options)

    def start(self, *command: str, **options) -> subprocess.Popen[str]:
        """Starts a command in this holder's network."""
        return subprocess.Popen(
            [*inside(self.pid), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def close(self) -> int:
        """Ends the waiting process; returns the exit status of the whole."""
        if self.process.stdin.closed:
            return self.process.returncode
        self.process.stdin.close()
        try:
            self.stderr += self.process.stderr.read()
            return self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.process.stderr.close()


class Playground(Holder):
    """`tunstack run` with our stack at IPV4 and IPV6, and commands run beside it."""

    def __init__(self, *options: str) -> None:
        super().__init__([TUNSTACK, "run", "--quiet", *options, "--"])

    def counters(self) -> dict[str, int]:
        """The stack's counters that are not zero, as it prints them on SIGUSR1."""
        self.process.send_signal(signal.SIGUSR1)
        found: dict[str, int] = {}
        while (line := self.process.stderr.readline().strip()) != "":
            name, value, *_ = line.split(maxsplit=2)
            found[name] = int(value)
        return found


def empty_network() -> Holder:
    """A network namespace of the test's own, with `lo` up and nothing else."""
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    holder = Holder(["unshare", *own_user, "--net", "--"])
    holder.call("ip", "link", "set", "lo", "up")
    return holder


def eventually(condition, timeout: float = 5.0) -> bool:
    """Whether the condition becomes true in time; for what the kernel does behind our back."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
