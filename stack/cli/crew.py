"""Worker processes: a parent starts them, replaces those that die, and ends them all."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
_HEARD = (*_END, *_PASSED_ON, signal.SIGCHLD)

_PAUSE = 1.0
"""Seconds from a worker's start to its successor's, at least: one that dies at once shall not
keep the processor busy."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker knows of its crew: its number, from 0, and two descriptors."""

    number: int
    orphaned: int
    """Becomes readable when the parent is gone."""
    _reports: int

    def ready(self) -> None:
        """Tells the parent that this worker serves."""
        with suppress(BrokenPipeError):  # without a parent there is nobody to tell
            os.write(self._reports, bytes([self.number]))


class Crew:
    """`size` worker processes, at most 256, that only their parent's signals end.

    The first is started alone: what keeps one from serving, such as an application that
    cannot be imported, is then told once. `all_ready` is called when every worker serves.
    A worker that ends earlier ends the whole with its status; later another one takes its
    place. INT, TERM and HUP end all workers, in peace the first time, unless `instead` says
    what they do; so does `until`, a descriptor, when it becomes readable. USR1 and USR2 are
    passed on to each.
    """

    def __init__(
        self,
        size: int,
        all_ready: Callable[[], None],
        *,
        until: int | None = None,
        instead: Mapping[int, Callable[[], None]] | None = None,
    ) -> None:
        self._size = size
        self._all_ready = all_ready
        self._until = until
        self._instead = instead or {}
        self._heard = {*_HEARD, *self._instead}
        self._complete = False
        self._ready: set[int] = set()
        self._numbers: dict[int, int] = {}  # by process
        self._started: dict[int, float] = {}
        self._due = {0: 0.0}  # when a number's next process is to be started
        self._ending = False
        self._status = 0

    def run(self) -> Post | int:
        """Forks the workers and stays until all have ended: call it while there are no threads.

        Returns in each worker, with its Post, and at the end in the parent, with the exit status.
        """
        self._signals, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reports, self._report = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._orphaned, self._life = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup)
        for number in self._heard:
            signal.signal(number, _nothing)  # the descriptor tells
        while self._numbers or not self._ending:
            post = self._start_due()
            if post is not None:
                return post
            self._wait()
        return self._status

    # ---- starting ---------------------------------------------------------------------------

    def _start_due(self) -> Post | None:
        """Starts workers whose time has come; returns in a new one with its post."""
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            self._started[number] = now
            process = self._fork()
            if process == 0:
                return Post(number, self._orphaned, self._report)
            self._numbers[process] = number
        return None

    def _fork(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that the new process got before it let go of the parent's descriptor would
        # be taken for one to the parent.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._heard)
        process = os.fork()
        if process == 0:
            self._become_worker()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def _become_worker(self) -> None:
        signal.set_wakeup_fd(-1)
        # What a terminal sends to all of us is for the parent to judge; it tells by TERM. Not
        # SIG_IGN, which programs that an application starts would inherit.
        for number in (*self._heard, signal.SIGQUIT):
            signal.signal(number, _nothing)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in (self._signals, self._wakeup, self._reports, self._life):
            os.close(descriptor)

    # ---- watching ---------------------------------------------------------------------------

    def _wait(self) -> None:
        """Sleeps until a signal, a report, or the time to start a worker."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._reports, select.POLLIN)
        if self._until is not None and not self._ending:
            poll.register(self._until, select.POLLIN)
        wait = None
        if self._due:
            wait = max(0.0, min(self._due.values()) - time.monotonic()) * 1000
        awake = [descriptor for descriptor, _ in poll.poll(wait)]
        for number in _read(self._reports):
            self._is_ready(number)
        # Those that end us come first: whoever dies with us is not replaced.
        for number in _read(self._signals):
            self._hear(number)
        if self._until in awake:
            self._end(0)
        self._bury()

    def _is_ready(self, number: int) -> None:
        if not self._ready:
            self._due = dict.fromkeys(range(1, self._size), 0.0)
        self._ready.add(number)
        if len(self._ready) == self._size and not self._complete and not self._ending:
            self._complete = True
            self._all_ready()

    def _hear(self, number: int) -> None:
        if number in self._instead:
            self._instead[number]()
        elif number in _END:
            self._end(0)
        elif number in _PASSED_ON:
            self._tell(number)

    def _tell(self, number: int) -> None:
        for process in self._numbers:
            os.kill(process, number)  # not waited for yet, so it cannot be somebody else

    def _bury(self) -> None:
        """Waits for the workers that have ended, and has others take their places."""
        for process in list(self._numbers):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                self._replace(process, os.waitstatus_to_exitcode(status))

    def _replace(self, process: int, code: int) -> None:
        number = self._numbers.pop(process)
        if self._ending:
            return
        if self._complete:
            _say(f"worker {process} {_end_of(code)}; another one takes its place")
            self._due[number] = self._started[number] + _PAUSE
            return
        if code <= 0:  # it could not say itself why
            _say(f"worker {process} {_end_of(code)} before it was ready")
        self._end(code if code > 0 else 1)

    def _end(self, status: int) -> None:
        """Asks all workers to end, and the second time does not ask."""
        again = self._ending
        self._status = self._status if again else status
        self._ending = True
        self._due.clear()
        self._tell(signal.SIGKILL if again else signal.SIGTERM)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Takes a signal, so that it does not end the process."""


def _end_of(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}" if code else "ended"


def _read(descriptor: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(descriptor, 4096)
    return b""


def _say(text: str) -> None:
    with suppress(BrokenPipeError):  # whoever read it has gone; the workers have not
        print(f"tunstack: {text}", file=sys.stderr, flush=True)
