"""Processes that are held, and children that do what they are told. Namespaces are entered in tests/integration."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import namespaces


def test_child_carries_out_words(tmp_path: Path) -> None:
    """Answers come in order, errors are raised here, and the child can go on after one."""

    def prepare() -> Callable[[str], None]:
        def carry_out(word: str) -> None:
            if word == "bad":
                raise CdiError("is bad", file="/f", field="x", fix="mend it")
            if word == "worse":
                raise ValueError("oops")
            (tmp_path / word).touch()

        return carry_out

    child = namespaces.Child(prepare)
    child.do("one")
    with pytest.raises(CdiError, match=r"^/f: x: is bad; mend it$"):
        child.do("bad")
    with pytest.raises(CdiError, match=r"^internal error, please report it: ValueError: oops$"):
        child.do("worse")
    child.do("two")
    child.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_child_that_cannot_begin() -> None:
    def prepare() -> Callable[[str], None]:
        raise CdiError("no way in")

    with pytest.raises(CdiError, match=r"^no way in$"):
        namespaces.Child(prepare)


def test_child_that_is_killed() -> None:
    child = namespaces.Child(lambda: lambda word: os.kill(os.getpid(), 9))
    with pytest.raises(CdiError, match="which was killed"):
        child.do("die")
    child.end()


def test_process() -> None:
    ours = namespaces.Process(os.getpid())
    assert ours.spaces == {}
    assert ours.read("comm").strip() != ""
    assert ours.inner_pid() == os.getpid()
    assert ours.outer_id("uid", 0) >= 0
    os.close(ours.pidfd)
    with pytest.raises(CdiError, match="the container has no mount namespace of its own"):
        namespaces.enter(ours, "/")


def test_error_of_the_kernel_keeps_its_parts() -> None:
    def fail(word: str) -> None:
        raise KernelError("no", syscall="openat2", errno=40, file="/f")

    child = namespaces.Child(lambda: fail)
    with pytest.raises(KernelError) as caught:
        child.do("x")
    child.end()
    assert (caught.value.syscall, caught.value.errno, str(caught.value)) == ("openat2", 40, "/f: no")


def test_child_whose_parent_dies_does_its_last_word(tmp_path: Path) -> None:
    """By SIGKILL, in the midst of a word, with every signal blocked as under crun."""

    def carry_out(word: str) -> None:
        (tmp_path / word).write_text(str(os.getpid()), encoding="ascii")
        if word == "wait":
            time.sleep(30)

    parent = os.fork()
    if parent == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGHUP})
        try:
            namespaces.Child(lambda: carry_out, last="last").do("wait")
        finally:
            os._exit(1)
    wait_for(tmp_path / "wait")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_for(tmp_path / "last")


def test_child_is_stopped_when_the_parent_is_told_to_stop(tmp_path: Path) -> None:
    """What interrupts the parent's waiting is raised there, after the child has stopped; its last word is all that it does then."""

    def carry_out(word: str) -> None:
        (tmp_path / word).touch()
        if word == "wait":
            time.sleep(30)

    def stop(number: int, frame: object) -> None:
        raise CdiError("told to stop")

    old = signal.signal(signal.SIGTERM, stop)
    child = namespaces.Child(lambda: carry_out, last="after")
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        started = time.monotonic()
        with pytest.raises(CdiError, match=r"^told to stop$"):
            child.do("wait")
        with pytest.raises(CdiError, match=r"^was stopped by signal 15$"):
            child.do("more")
        child.do("after")
        assert time.monotonic() - started < 10
        assert sorted(path.name for path in tmp_path.iterdir()) == ["after", "wait"]
    finally:
        signal.signal(signal.SIGTERM, old)
        child.end()


def wait_for(path: Path) -> None:
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
