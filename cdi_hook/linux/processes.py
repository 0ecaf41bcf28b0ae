"""Programs that are run with nothing but what they are given. Layer 2, hook only.

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

_SHOWN = 400
"""Bytes of a failed program's output that go into the message."""

_NOT_EXECUTED = 127
_SPARE = 10
"""Above the numbers that the program gets."""


def run(path: str, args: list[str], env: list[str], *, stdin: bytes, seconds: int = 0) -> None:
    """Run a program by its absolute path, with ``/`` as its directory, until it ends or ``seconds`` are over (0: no limit).

    Raises CdiError when it cannot be run, fails, or takes too long; the message ends with the last line it wrote.
    """
    if not path.startswith("/"):
        raise CdiError(f"the path of the program {path} is not absolute")
    given, output, refusal = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "output", "refusal"))
    try:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        pid = os.fork()
        if pid == 0:
            _become(path, args, env, (given, output, refusal))
        status = _wait(pid, seconds)
        number = os.pread(refusal, 16, 0)
        if number:
            code = int(number)
            raise CdiError(f"{path} cannot be run: {os_words(OSError(code, os.strerror(code)))} ({errno.errorcode.get(code, code)})")
        if status is None:
            raise CdiError(f"{path} was ended after its timeout of {seconds} s{_last_line(output)}")
        if status:
            raise CdiError(f"{path} {_words(status)}{_last_line(output)}")
    finally:
        for fd in (given, output, refusal):
            os.close(fd)


def _become(path: str, args: list[str], env: list[str], fds: tuple[int, int, int]) -> None:
    """In the child: never returns."""
    given, output, refusal = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SPARE) for fd in fds)
    try:
        os.setsid()
        syscalls.die_with_parent(signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.chdir("/")
        os.umask(0o022)
        os.dup2(given, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        refusal = os.dup2(refusal, 3, inheritable=False)
        syscalls.close_from(4)
        os.execve(path, args or [path], dict(entry.partition("=")[::2] for entry in env if "=" in entry))
    except OSError as error:
        os.write(refusal, str(error.errno).encode("ascii"))
    finally:
        os._exit(_NOT_EXECUTED)


def _wait(pid: int, seconds: int) -> int | None:
    """The wait status; None when the time is over, and the program has been killed."""
    try:
        fd = syscalls.pidfd_open(pid, what=f"process {pid}")
        with syscalls.held(fd):
            end = time.monotonic() + seconds
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            while not poll.poll(max(end - time.monotonic(), 0) * 1000 if seconds else None):
                if seconds and time.monotonic() >= end:
                    _kill(pid)
                    return None
        return os.waitpid(pid, 0)[1]
    except BaseException:
        _kill(pid)  # We were told to stop: so is the program.
        raise


def _kill(pid: int) -> None:
    """End the program with all that it has started, unless that has made a session of its own."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            pass  # Gone, or not yet at the head of its session.
    os.waitpid(pid, 0)


def _words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit status {code}" if code > 0 else f"was ended by signal {-code}"


def _last_line(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, _SHOWN, max(size - _SHOWN, 0)).decode("utf-8", "replace").strip()
    return f": {text.splitlines()[-1]}" if text else ""
