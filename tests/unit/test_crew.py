"""Worker processes without a device: who starts, replaces and ends them."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

WORKERS = """
import os, signal, sys, time
from stack.cli.crew import Crew, Post

how = sys.argv[1]
post = Crew(2, lambda: print("all ready", flush=True)).run()
if isinstance(post, int):
    print("parent ends", flush=True)
    sys.exit(post)
if how == "fails":
    print("cannot serve", flush=True)
    sys.exit(3)
if how == "second fails" and post.number == 1:
    sys.exit(4)
if how == "is stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def heard(number, frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())  # in one go: two workers write
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, heard)
post.ready()
if how == "ends soon" and post.number == 1:
    sys.exit(0)
while True:
    time.sleep(60)
"""


@contextmanager
def crew(how):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKERS, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def said(process):
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_all", [False, True])
def test_a_signal_ends_all(number, to_all):
    with crew("serves") as process:
        assert said(process) == "all ready"
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.communicate(timeout=10) == ("parent ends\n", "")
        assert process.returncode == 0


def test_the_second_signal_ends_those_that_do_not_listen():
    with crew("is stubborn") as process:
        assert said(process) == "all ready"
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("parent ends\n", "")
        assert process.returncode == 0


def test_what_keeps_the_first_from_serving_is_told_once():
    with crew("fails") as process:
        assert process.communicate(timeout=10) == ("cannot serve\nparent ends\n", "")
        assert process.returncode == 3


def test_a_worker_that_cannot_serve_at_the_beginning_ends_the_others():
    with crew("second fails") as process:
        assert process.communicate(timeout=10) == ("parent ends\n", "")
        assert process.returncode == 4


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_every_worker_hears_the_users_signals(number):
    with crew("serves") as process:
        assert said(process) == "all ready"
        process.send_signal(number)
        assert [said(process), said(process)] == [number.name] * 2
        process.terminate()


def test_a_worker_that_ends_again_and_again_is_replaced_once_a_second():
    with crew("ends soon") as process:
        time.sleep(2.5)
        process.terminate()
        _, error = process.communicate(timeout=10)
    lines = error.splitlines()
    assert 2 <= len(lines) <= 3
    for line in lines:
        assert re.fullmatch(r"tunstack: worker \d+ ended; another one takes its place", line)
