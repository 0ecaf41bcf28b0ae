"""Programs with nothing but what they are given."""

from __future__ import annotations

import os
import time
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
    with pytest.raises(CdiError, match=r"^/nowhere/x cannot be run: does not exist \(ENOENT\)$"):
        processes.run("/nowhere/x", [], [], stdin=b"")
    with pytest.raises(CdiError, match=r"cannot be run: access is refused \(EACCES\)$"):
        processes.run(str(tmp_path), [], [], stdin=b"")
    with pytest.raises(CdiError, match=r"^the path of the program x is not absolute$"):
        processes.run("x", [], [], stdin=b"")
