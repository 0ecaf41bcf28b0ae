"""Programs with nothing but what they are given."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdi_hook.errors import CdiError
from cdi_hook.linux import processes


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_everything_is_explicit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, directory, input, descriptors: nothing of ours gets through."""
    monkeypatch.setenv("OURS", "secret")
    monkeypatch.chdir(tmp_path)
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    out = tmp_path / "out"
    path = program(tmp_path / "program", f'exec >{out}; cat; echo; echo "$@"; env; pwd; echo /proc/self/fd/*')
    processes.run(path, ["name", "one", "two words"], ["A=1", "B=x=y", "no value"], stdin=b'{"id":1}')
    os.close(leaked)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0:2] == ['{"id":1}', "one two words"]
    assert sorted(lines[2:5]) == ["A=1", "B=x=y", "PWD=/"]
    assert lines[5] == "/"
    # The shell holds its script, and the directory that it reads.
    assert {word.rpartition("/")[2] for word in lines[6].split()} <= {"0", "1", "2", "3", "10", "255"}


def test_leaked_descriptor_is_closed(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    started = time.monotonic()
    processes.run(program(tmp_path / "program", "sleep 30 >/dev/null 2>&1 </dev/null &"), [], ["PATH=/bin:/usr/bin"], stdin=b"")
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert time.monotonic() - started < 10


def stopped(number: int, frame: object) -> None:
    raise CdiError("told to stop")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SIGTERM raises, as in the entry point."""
    old = signal.signal(signal.SIGTERM, stopped)
    yield
    signal.signal(signal.SIGTERM, old)


@pytest.mark.usefixtures("told")
def test_program_ends_when_we_are_told_to_stop(tmp_path: Path) -> None:
    """With what it has started: all that holds the other end of a pipe is gone."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    path = program(tmp_path / "program", f"exec 5>{tmp_path}/pipe; echo runs >&5; sleep 30; true")

    def stop() -> None:
        while not os.read(reader, 9):  # nobody has opened the other end yet
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    with pytest.raises(CdiError, match=r"^told to stop$"):
        start_and_run(thread, path)
    thread.join()
    assert os.read(reader, 9) == b""
    os.close(reader)


def start_and_run(thread: threading.Thread, path: str) -> None:
    thread.start()
    processes.run(path, [], ["PATH=/bin:/usr/bin"], stdin=b"")


@pytest.mark.usefixtures("told")
def test_signal_waits_for_the_end_of_a_block() -> None:
    """And for that of the outer one; what was to be told is told at once."""
    done = []

    def work() -> None:
        with processes.undisturbed() as outer:
            outer.tell(lambda: done.append("outer"))
            with processes.undisturbed() as inner:
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("goes on")
                inner.tell(lambda: done.append("inner"))
            done.append("still")

    with pytest.raises(CdiError, match=r"^told to stop$"):
        work()
    assert done == ["goes on", "inner", "outer", "still"]
    assert signal.getsignal(signal.SIGTERM) is stopped


def test_signal_that_is_ignored_stays_so() -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with processes.undisturbed() as calm:
            calm.tell(lambda: pytest.fail("was told"))
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.mark.parametrize("seconds", [0, -1, 1 << 62])
def test_time_without_end(tmp_path: Path, seconds: int) -> None:
    processes.run(program(tmp_path / "program", "exit 0"), [], [], stdin=b"", seconds=seconds)


FAILURES = {
    "a status": ("echo one; echo two >&2; exit 7", 0, " ended with exit status 7: two"),
    "a signal": ("kill -9 $$", 0, " was ended by signal 9"),
    "a timeout": ("echo started; sleep 30", 1, " was ended after its timeout of 1 s: started"),
    "a long output": ("head -c 9999 /dev/zero | tr '\\0' x; exit 1", 0, " ended with exit status 1: " + "x" * 400),
}


@pytest.mark.parametrize(("script", "seconds", "words"), FAILURES.values(), ids=FAILURES)
def test_failure(tmp_path: Path, script: str, seconds: int, words: str) -> None:
    path = program(tmp_path / "program", script)
    with pytest.raises(CdiError) as caught:
        processes.run(path, [], ["PATH=/bin:/usr/bin"], stdin=b"", seconds=seconds)
    assert str(caught.value) == path + words


def test_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(CdiError, match=r"^/bin/true cannot be run: Invalid argument \(EINVAL\)$"):
        processes.run("/bin/true", ["true", "a\0b"], [], stdin=b"")
    with pytest.raises(CdiError, match=r"^/nowhere/x cannot be run: does not exist \(ENOENT\)$"):
        processes.run("/nowhere/x", [], [], stdin=b"")
    with pytest.raises(CdiError, match=r"cannot be run: access is refused \(EACCES\)$"):
        processes.run(str(tmp_path), [], [], stdin=b"")
    with pytest.raises(CdiError, match=r"^the path of the program x is not absolute$"):
        processes.run("x", [], [], stdin=b"")
