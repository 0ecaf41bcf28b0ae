"""``settings``: what is in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdi_hook.settings import file as settings_file
from cdi_hook.settings import values
from tests.unit.cli.conftest import Run


def test_as_text(run: Run, host: Path) -> None:
    lines = run("settings").out.splitlines()
    assert lines[0] == f"{host}/config.yaml (in force)"
    assert [line.split()[0] for line in lines[1:]] == list(values.DEFAULTS)
    assert lines[2].split() == ["runtime", "/bin/true", "set"]
    assert lines[5].split() == ["log.level", "info"]


def test_as_json(run: Run, host: Path) -> None:
    assert run("settings", "--format", "json").json() == {
        "file": f"{host}/config.yaml",
        "exists": True,
        "settings": {**values.DEFAULTS, "runtime": "/bin/true", "specDirs": [f"{host}/specs"]},
    }


def test_of_a_handler(run: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDI_HOOK_CONFIG")
    monkeypatch.setattr(values, "DIRECTORY", str(host))
    (host / "gpu.yaml").write_text("stale: warn\n")
    assert run("settings", "--handler", "gpu", "--format", "json").json()["settings"]["stale"] == "warn"
    done = run("settings", "--handler", "gone")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"cdi-hook: {host}/gone.yaml: settings file does not exist; ")


def test_without_a_file(run: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDI_HOOK_CONFIG")
    monkeypatch.setattr(values, "DIRECTORY", str(host / "etc"))
    assert run("settings").out.startswith(f"{host}/etc/config.yaml (not there: all defaults)\nenabled ")


def test_pages(run: Run) -> None:
    assert run("settings", "--page").out == settings_file.page(values.DEFAULTS)
    assert run("settings", "--example").out == settings_file.example(values.DEFAULTS)
