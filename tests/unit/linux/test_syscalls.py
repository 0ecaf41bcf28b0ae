"""The words of a refused call, and the calls that need no privilege."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cdi_hook.errors import KernelError
from cdi_hook.linux import syscalls

WORDS = {
    "known": ("openat2", errno.ENOENT, "openat2 on /x: does not exist (ENOENT)"),
    "of the system": ("move_mount", errno.EINVAL, "move_mount on /x: Invalid argument (EINVAL)"),
    "not permitted": ("bpf", errno.EPERM, "bpf on /x: the kernel does not allow it (EPERM)"),
    "no number we know": ("setns", 9999, "setns on /x: Unknown error 9999 (9999)"),
}


@pytest.mark.parametrize(("syscall", "number", "text"), WORDS.values(), ids=WORDS)
def test_words(syscall: str, number: int, text: str) -> None:
    error = syscalls.failure(syscall, number, "/x")
    assert (str(error), error.syscall, error.errno) == (text, syscall, number)


def test_kernel_that_is_too_old() -> None:
    error = syscalls.failure("mount_setattr", errno.ENOSYS, "/x")
    assert str(error) == ("this kernel has no mount_setattr, which came with Linux 5.12; use the runtime wrapper, which needs no such call")


def test_refused_call_names_itself(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    with pytest.raises(KernelError, match=r"^openat2 on the thing: does not exist \(ENOENT\)$"):
        syscalls.openat2(fd, "none", os.O_PATH, 0, what="the thing")
    with pytest.raises(KernelError, match=r"^setns on nothing: Bad file descriptor \(EBADF\)$"):
        syscalls.setns(-1, what="nothing")
    with pytest.raises(KernelError, match=r"^pidfd_open on process 0: Invalid argument \(EINVAL\)$"):
        syscalls.pidfd_open(0, what="process 0")
    os.close(fd)


@pytest.mark.parametrize("races", [3, 1000])
def test_lookup_that_is_raced_is_tried_again(monkeypatch: pytest.MonkeyPatch, races: int) -> None:
    left = [races]

    def call(name: str, *_: object) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise syscalls.failure(name, errno.EAGAIN, "")
        return 77

    monkeypatch.setattr(syscalls, "_call", call)
    if races == 3:
        assert syscalls.openat2(3, "x", 0, 0, what="x") == 77
    else:
        with pytest.raises(KernelError, match="something in the container's file system is being renamed all the time"):
            syscalls.openat2(3, "x", 0, 0, what="x")


def test_descriptors_are_close_on_exec(tmp_path: Path) -> None:
    with syscalls.held(os.open(tmp_path, os.O_PATH)) as directory:
        for fd in (syscalls.openat2(directory, ".", os.O_PATH, 0, what="x"), syscalls.pidfd_open(os.getpid(), what="x")):
            with syscalls.held(fd):
                assert os.get_inheritable(fd) is False


def test_mount_of(tmp_path: Path) -> None:
    with syscalls.held(os.open("/", os.O_PATH)) as top, syscalls.held(os.open(tmp_path, os.O_PATH)) as other:
        assert syscalls.mount_of(top, what="/")[1] is True
        assert syscalls.mount_of(other, what="x")[1] is False
    with syscalls.held(os.open("/proc", os.O_PATH)) as proc:
        assert syscalls.filesystem_magic(proc, what="/proc") == syscalls.PROC_SUPER_MAGIC
