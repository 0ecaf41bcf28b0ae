"""A host for the commands: spec directories, a settings file, and the commands themselves, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import memory
from cdi_hook.__main__ import main
from tests.unit.specs import spec_text, write_files

Run = Callable[..., "Done"]


class Done:
    """How a command ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    def json(self) -> Any:
        """What it printed; it must have gone well and quietly."""
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Specs in ``specs`` (named by the settings, which are in ``config.yaml``), and the working directory."""
    write_files(tmp_path, {"specs/acme.yaml": spec_text(devices="0 1"), "specs/nic.yaml": spec_text("acme.com/nic", "a")})
    (tmp_path / "config.yaml").write_text(f"runtime: /bin/true\nspecDirs: [{tmp_path}/specs]\n")
    monkeypatch.setenv("CDI_HOOK_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(memory, "SYSTEM_HOME", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(host: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run ``cdi-hook`` with these arguments."""

    def run_it(*argv: object) -> Done:
        capfd.readouterr()
        status = main([str(argument) for argument in argv])
        return Done(status, *capfd.readouterr())

    return run_it
