"""``index``: fresh or not, and made fresh."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cdi_hook import memory
from cdi_hook.cdi import index
from cdi_hook.cli import index as command
from tests.unit.cli.conftest import Run
from tests.unit.specs import BROKEN, write_files


def test_none_then_rebuilt_then_fresh_then_stale(run: Run, host: Path) -> None:
    done = run("index")
    assert (done.status, done.out) == (1, f"none, or out of date: the next request reads the specs and writes it ({host}/specs)\n")
    assert run("index", "--check").err == "cdi-hook: there is no index, or it is out of date; cdi-hook index --rebuild\n"
    done = run("index", "--rebuild")
    assert (done.status, done.out, done.err) == (0, "3 devices of 2 files are indexed\n", "")
    assert index.parts([f"{host}/specs"], ["acme.com/gpu=0"]) is not None
    assert run("index").out == f"fresh ({host}/specs)\n"
    done = run("index", "--check")
    assert (done.status, done.out) == (0, "fresh: 3 devices as their specs have them\n")
    write_files(host, {"specs/new.yaml": BROKEN})
    assert run("index").status == 1
    assert run("index", "--check").status == 1


def test_rebuilding_waits_until_a_new_spec_can_be_trusted(run: Run, host: Path) -> None:
    now = time.time_ns()
    os.utime(host / "specs/acme.yaml", ns=(now, now))
    assert run("index", "--rebuild").status == 0


def test_an_index_that_lies_is_found_out(run: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("index", "--rebuild").status == 0
    real = index.parts
    monkeypatch.setattr(index, "parts", lambda dirs, names: [] if names == ["acme.com/nic=a"] else real(dirs, names))
    done = run("index", "--check")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"cdi-hook: acme.com/nic=a is not in the index as in {host}/specs/nic.yaml; cdi-hook index --rebuild\n"


def test_no_index_is_possible(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SYSTEM_HOME", "/proc/nowhere")
    monkeypatch.setattr(command, "_PATIENCE", 0.2)
    done = run("index", "--rebuild")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("cdi-hook: the index cannot be written to ")


def test_directories_that_cannot_be_read(run: Run, host: Path) -> None:
    (host / "loop").symlink_to("loop")
    for option in ([], ["--check"], ["--rebuild"]):
        done = run("index", "--spec-dir", "loop", *option)
        assert (done.status, done.out) == (3, "")
        assert done.err == "cdi-hook: loop: cannot be read, so there can be no index; cdi-hook specs says why\n"
