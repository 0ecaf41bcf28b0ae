"""Programs that are run with nothing but what they are given. Row 3, hook only.

Environment, working directory and standard input are explicit, and every other descriptor is closed. To be called in a child that
outlives a killed parent long enough to end the program and to reap it (``namespaces.Child``).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import time

from cdi_hook.errors import CdiError, os_words
from cdi_hook.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What asks us to stop."""

_SHOWN = 400
"""Bytes of a failed program's output that go into the message."""

_NOT_EXECUTED = 127
_SPARE = 10
"""Above the numbers that the program gets."""

_LONGEST = 1_000_000
"""Seconds; poll(2) takes no more than an int of milliseconds, and no container waits that long."""


class undisturbed:
    """What asks us to stop is answered at the end of a block, never in its midst: nothing is half done then, nor done and not noted.

    ``tell``: what to do at once, such as to pass it on to a child that we wait for.
    """

    def __init__(self) -> None:
        self._number = 0
        self._told: Callable[[], object] | None = None
        self._before: dict[int, Any] = {}

    def tell(self, told: Callable[[], object] | None) -> None:
        """Call this when a signal comes; now, when one has come already. None: nothing any more."""
        self._told = told
        if self._number and told is not None:
            told()

    def _note(self, number: int, frame: object) -> None:
        self._number = number
        if self._told is not None:
            self._told()

    def __enter__(self) -> undisturbed:
        for number in STOPPING:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                self._before[number] = handler
                signal.signal(number, self._note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._number:
            handler = self._before[self._number]
            if callable(handler):
                handler(self._number, None)
            elif handler == signal.SIG_DFL:
                os.kill(os.getpid(), self._number)


def run(path: str, args: list[str], env: list[str], *, stdin: bytes, seconds: int = 0, image: int = -1) -> None:
    """Run a program by its absolute path, with ``/`` as its directory, until it ends or ``seconds`` are over (0 or less: no limit).

    ``image``: a descriptor of the program itself, which is run instead of what stands at the path by then.

    Raises CdiError when it cannot be run, fails, or takes too long; the message ends with the last line it wrote. A signal that asks
    us to stop ends the program, too.
    """
    if not path.startswith("/"):
        raise CdiError(f"the path of the program {path} is not absolute")
    given, output, refusal = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "output", "refusal"))
    try:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        with undisturbed() as calm:
            pid = os.fork()
            if pid == 0:
                _become(image if image >= 0 else path, args or [path], env, (given, output, refusal))
            calm.tell(lambda: _kill(pid))
            in_time = False
            try:
                in_time = _wait(pid, seconds)
            finally:
                calm.tell(None)  # Once it is reaped, its pid is anybody's.
                if not in_time:
                    _kill(pid)
                status = os.waitpid(pid, 0)[1]
        number = os.pread(refusal, 16, 0)
        if number:
            code = int(number)
            raise CdiError(f"{path} cannot be run: {os_words(OSError(code, os.strerror(code)))} ({errno.errorcode.get(code, code)})")
        if not in_time:
            raise CdiError(f"{path} was ended after its timeout of {seconds} s{_last_line(output)}")
        if status:
            raise CdiError(f"{path} {_words(status)}{_last_line(output)}")
    finally:
        for fd in (given, output, refusal):
            os.close(fd)


def _become(program: str | int, args: list[str], env: list[str], fds: tuple[int, int, int]) -> None:
    """In the child: never returns."""
    refusal = fds[2]
    try:
        given, output, refusal = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SPARE) for fd in fds)
        if isinstance(program, int):
            program = fcntl.fcntl(program, fcntl.F_DUPFD_CLOEXEC, _SPARE)
        os.setsid()
        syscalls.die_with_parent(signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *STOPPING):
            signal.signal(number, signal.SIG_DFL)
        os.chdir("/")
        os.umask(0o022)
        os.dup2(given, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        refusal = os.dup2(refusal, 3, inheritable=False)
        if isinstance(program, int):
            program = os.dup2(program, 4, inheritable=False)
        syscalls.close_from(5 if isinstance(program, int) else 4)
        os.execve(program, args, dict(entry.partition("=")[::2] for entry in env if "=" in entry))
    except OSError as error:
        os.write(refusal, str(error.errno).encode("ascii"))
    except ValueError:  # A NUL in an argument, which execve(2) would take for its end.
        os.write(refusal, str(errno.EINVAL).encode("ascii"))
    finally:
        os._exit(_NOT_EXECUTED)


def _wait(pid: int, seconds: int) -> bool:
    """Wait until the program has ended; it is not reaped yet. False when the time is over before."""
    with syscalls.held(syscalls.pidfd_open(pid, what=f"process {pid}")) as fd:
        end = time.monotonic() + min(seconds, _LONGEST)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not poll.poll(max(end - time.monotonic(), 0) * 1000 if seconds > 0 else None):
            if seconds > 0 and time.monotonic() >= end:
                return False
    return True


def _kill(pid: int) -> None:
    """End the program with all that it has started, unless that has made a session of its own."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            pass  # Gone, or not yet at the head of its session.


def _words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit status {code}" if code > 0 else f"was ended by signal {-code}"


def _last_line(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, _SHOWN, max(size - _SHOWN, 0)).decode("utf-8", "replace").strip()
    return f": {text.splitlines()[-1]}" if text else ""
