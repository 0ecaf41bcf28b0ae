"""Other processes' namespaces: held by descriptors, entered in a child of ours. Row 3, hook only.

``/proc/PID/ns/*`` is opened once and the process is pinned by a pidfd, so that a pid that is used again cannot lead us elsewhere. The
child dies with us, does what it is told over a pipe, and nothing of the container runs in it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from cdi_hook.errors import CdiError, KernelError, internal
from cdi_hook.linux import processes, syscalls
from cdi_hook.linux.paths import Root
from cdi_hook.linux.syscalls import failure, from_os
from cdi_hook.oci import jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, NoReturn

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_BLOCK = 1 << 16
_PATIENCE = 2
"""Seconds, for a killed process to end."""


class Process:
    """A process that was alive when this was made, and its namespaces that are not ours.

    ``spaces``: kind -> descriptor. Raises KernelError when there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.what = f"process {pid}"
        self.pidfd = syscalls.pidfd_open(pid, what=self.what)
        self.spaces: dict[str, int] = {}
        with syscalls.held(_procfs()) as proc:
            for kind in KINDS:
                self._hold(proc, kind)
        self.check_alive()

    def _hold(self, proc: int, kind: str) -> None:
        try:
            fd = os.open(f"{self.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
            ours = os.stat(f"self/ns/{kind}", dir_fd=proc)
        except FileNotFoundError:
            return  # This kernel has no such namespace.
        except OSError as error:
            raise from_os("open", error, f"the {kind} namespace of {self.what}") from None
        theirs = os.fstat(fd)
        if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
            os.close(fd)
        else:
            self.spaces[kind] = fd

    def read(self, name: str) -> str:
        """A small file of its directory in ``/proc``."""
        try:
            text = _read(f"{self.pid}/{name}")
        finally:
            self.check_alive()
        return text

    def check_alive(self) -> None:
        """Raises KernelError (ESRCH) when it has ended: then what was read of its pid may be another process's."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if poll.poll(0):
            raise failure("pidfd_open", errno.ESRCH, self.what, fix="the container ended while the hook ran")

    def outer_id(self, kind: str, inner: int) -> int:
        """The id here of an id in its user namespace (``kind``: ``uid`` or ``gid``). Raises KernelError (EINVAL) when it has none."""
        for line in self.read(f"{kind}_map").splitlines():
            first, here, count = (int(word) for word in line.split())
            if first <= inner < first + count:
                return here + inner - first
        raise failure("chown", errno.EINVAL, f"{kind} {inner}, which the container's user namespace does not have")

    def inner_pid(self) -> int:
        """Its pid in its own pid namespace."""
        for line in self.read("status").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        return self.pid


def own(name: str) -> str:
    """A small file of our own directory in ``/proc``. Raises KernelError."""
    return _read(f"self/{name}")


def _read(path: str) -> str:
    try:
        with syscalls.held(_procfs()) as proc, syscalls.held(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)) as fd:
            data = b""
            while True:
                block = os.read(fd, _BLOCK)
                if not block:
                    return data.decode("utf-8", "surrogateescape")
                data += block
    except OSError as error:
        raise from_os("open", error, f"/proc/{path}") from None


def _procfs() -> int:
    """Our ``/proc``, which must be one. Raises KernelError."""
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if syscalls.filesystem_magic(fd, what="/proc") != syscalls.PROC_SUPER_MAGIC:
        os.close(fd)
        raise failure("fstatfs", errno.EINVAL, "/proc, which is no procfs")
    return fd


def own_descriptors() -> int:
    """An ``O_PATH`` descriptor of ``/proc/self/fd``; each process needs its own."""
    with syscalls.held(_procfs()) as proc:
        return os.open("self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)


def enter(process: Process, rootfs: str) -> Root:
    """Go into all namespaces of a process, for good, and become root there. Returns the container's tree.

    ``rootfs``: its path before pivot_root(2), absolute. Raises KernelError when a namespace cannot be entered, and CdiError when what
    is there is not what a runtime has prepared: that path is no mount of its own, or the root is not the host's any more, so that every
    path, those of programs included, would lead to files of the container.
    """
    spaces = dict(process.spaces)
    user, mount = spaces.pop("user", -1), spaces.pop("mnt", -1)
    if mount < 0:
        raise CdiError("the container has no mount namespace of its own: what is put into it would show on the host")
    try:
        os.setgroups([])
    except OSError:
        pass  # We are in a user namespace, whose groups are the user's own.
    # Some may belong to a user namespace above the container's, others to the container's own: those come second.
    later = {kind: fd for kind, fd in spaces.items() if not _entered(fd, kind)}
    if user >= 0:
        syscalls.setns(user, what="the container's user namespace")
    before = os.stat("/")
    syscalls.setns(mount, what="the container's mount namespace")
    if not os.path.samestat(before, os.stat("/")):
        reason = "the container has left the host's root already, and every path in it may be its own"
        raise CdiError(reason, fix="register the hook for the stage createRuntime")
    for kind, fd in later.items():
        syscalls.setns(fd, what=f"the container's {kind} namespace")
    # Before the change of ids: only the host's root may pass through the directories above.
    root = open_rootfs(rootfs)
    if user >= 0:
        try:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        except OSError as error:
            raise from_os("setresuid", error, "root of the container's user namespace") from None
    os.umask(0)
    syscalls.die_with_parent(signal.SIGTERM)  # The change of ids has undone it.
    return root


def _entered(fd: int, kind: str) -> bool:
    try:
        syscalls.setns(fd, what=kind)
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        return False
    return True


def open_rootfs(rootfs: str) -> Root:
    """The container's tree at this path, before pivot_root(2). Raises KernelError; CdiError when no container's root is mounted there."""
    what = f"{rootfs}, the container's root"
    try:
        fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        with syscalls.held(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
            outside, _ = syscalls.mount_of(top, what="/")
    except OSError as error:
        raise from_os("open", error, what) from None
    mount, is_root = syscalls.mount_of(fd, what=what)
    if not is_root or mount == outside:
        raise CdiError(f"{rootfs} is not mounted as a root in the container's mount namespace; nothing is put there")
    return Root(fd, rootfs)


class Child:
    """A child that does what it is told, one word at a time, possibly in other namespaces.

    ``prepare`` runs once in the child and gives the function that carries out a word. An error of either is raised here. When we die,
    even by SIGKILL, the child stops what it does, carries out ``last``, and ends: it is never killed while a program of its own runs
    in the container's pid namespace, since nobody would reap that program, and the namespace could not end.
    """

    def __init__(self, prepare: Callable[[], Callable[[str], None]], last: str = "") -> None:
        words, self._words = os.pipe2(os.O_CLOEXEC)
        self._answers, answers = os.pipe2(os.O_CLOEXEC)
        self._data = b""
        self._was_killed = False
        self.pid = 0
        try:
            with processes.undisturbed():
                self.pid = os.fork()
                if self.pid == 0:
                    os.close(self._words)
                    os.close(self._answers)
                    _serve(prepare, words, answers, last)
                os.close(words)
                os.close(answers)
                self._answer()
        except BaseException:
            self.end()
            raise

    def do(self, word: str) -> None:
        """Have one word carried out. Raises what it raised, or KernelError (ECHILD) when the child is gone.

        When we are told to stop meanwhile, so is the child, and it has answered before anything is raised here.
        """
        with processes.undisturbed() as calm:
            calm.tell(lambda: os.kill(self.pid, signal.SIGTERM))
            try:
                os.write(self._words, f"{word}\n".encode("ascii"))
            except BrokenPipeError:
                pass  # It has ended, and _answer says so.
            self._answer()

    def end(self) -> None:
        """End the child, which has nothing to do at the moment; what it has attached stays."""
        if self.pid > 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            if self._was_killed:
                _reap_orphans()
        for fd in (self._words, self._answers):
            os.close(fd)

    def _answer(self) -> None:
        answer = jsonio.loads(self._line())
        if answer:
            kind = answer.pop("syscall", "")
            raise KernelError(syscall=kind, errno=answer.pop("errno"), **answer) if kind else CdiError(**answer)

    def _line(self) -> bytes:
        while b"\n" not in self._data:
            block = os.read(self._answers, _BLOCK)
            if not block:
                self._was_killed = True
                self._data = _packed(failure("read", errno.ECHILD, "the child in the container's namespaces, which was killed"))
                break
            self._data += block
        line, _, self._data = self._data.partition(b"\n")
        return line


def _reap_orphans() -> None:
    """Take in what a child has left that somebody killed: its program dies with it, and a program in the container's pid namespace that
    nobody reaps keeps that from ending. What has made itself independent goes to the init process, when we end."""
    end = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
    except ChildProcessError:
        pass  # There is none, or none any more.


class _Life:
    """Whether the child may be interrupted, and whether it was told to stop."""

    def __init__(self) -> None:
        self._busy = False
        self._number = 0

    def stop(self, number: int, frame: object) -> None:
        """The handler of SIGTERM, which the parent sends, and the kernel when the parent dies."""
        self._number = number
        self._check()

    def _check(self) -> None:
        if self._busy and self._number:
            self._busy = False
            raise CdiError(f"was stopped by signal {self._number}")

    def answer(self, carry_out: Callable[[str], None], word: str) -> bytes:
        """What the child says after this word, which may be interrupted."""
        try:
            try:
                self._busy = True
                self._check()
                carry_out(word)
            finally:
                self._busy = False
        except Exception as error:
            return _packed(error)
        return b"{}\n"


def _serve(prepare: Callable[[], Callable[[str], None]], words: int, answers: int, last: str) -> NoReturn:
    """The life of the child: it ends with the parent, at the latest when the pipe does."""
    life = _Life()
    signal.signal(signal.SIGTERM, life.stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # The parent decides, and undoes first.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # crun starts hooks with every signal blocked.
    try:
        syscalls.die_with_parent(signal.SIGTERM)
        carry_out = prepare()
        os.write(answers, b"{}\n")
        while True:
            word = os.read(words, _BLOCK).decode("ascii").strip()
            if not word:
                if last:
                    carry_out(last)
                break
            if word == last:
                try:
                    carry_out(word)
                    answer = b"{}\n"
                except Exception as error:
                    answer = _packed(error)
            else:
                answer = life.answer(carry_out, word)
            try:
                os.write(answers, answer)
            except BrokenPipeError:
                pass
    except BaseException as error:
        os.write(answers, _packed(error))
    finally:
        os._exit(0)


def _packed(error: BaseException) -> bytes:
    if not isinstance(error, CdiError):
        error = CdiError(internal(error))
    fields: dict[str, object] = {"reason": error.reason, "file": error.file, "field": error.field, "fix": error.fix}
    if isinstance(error, KernelError):
        fields.update({"syscall": error.syscall, "errno": error.errno})
    return (jsonio.dumps(fields) + "\n").encode("utf-8", "backslashreplace")
