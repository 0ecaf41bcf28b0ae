"""A host made of files: every engine test configures below a directory of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook import engines
from cdi_hook.cli.configure import make_plan
from cdi_hook.engines import journal
from cdi_hook.engines.base import Plan, Request, Site

Configure = Callable[..., Plan]


def program(path: Path, text: str = "exit 0") -> Path:
    """A little program at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The root of the host: the wrapper, runc and crun are installed, hooks.d is there, no engine is."""
    for name in ("cdi-runtime", "runc", "crun"):
        program(tmp_path / "bin" / name)
    for stage in ("precreate", "createRuntime"):
        hook = {
            "version": "1.0.0",
            "hook": {"path": "/x/cdi-hook", "args": ["cdi-hook", stage], "env": ["PATH=/bin"]},
            "when": {"always": True},
            "stages": [stage],
        }
        (tmp_path / "hooks.d").mkdir(exist_ok=True)
        (tmp_path / "hooks.d" / f"cdi-hook-{stage}.json").write_text(json.dumps(hook), encoding="utf-8")
    return tmp_path


@pytest.fixture
def site(host: Path) -> Site:
    """That host as ``configure`` sees it, for root."""
    return Site(
        wrapper=f"{host}/bin/cdi-runtime",
        settings=f"{host}/etc/cdi-hook/config.yaml",
        state=f"{host}/var/lib/cdi-hook",
        path=f"{host}/bin",
        root=str(host),
        hooks=f"{host}/hooks.d",
    )


@pytest.fixture
def configure(site: Site) -> Configure:
    """Plan and apply; the plan that was applied."""

    def now(engine: str, **options: object) -> Plan:
        request = Request(**options)  # type: ignore[arg-type]  # the fields of Request
        loaded = engines.load(engine)
        plan = make_plan(site, loaded, request)
        if plan.changes:
            journal.apply(site, loaded, request, plan)
        return plan

    return now


@pytest.fixture
def undo(site: Site) -> Callable[..., list[str]]:
    """Undo; the notes."""

    def now(engine: str, **options: object) -> list[str]:
        undone = journal.Undo(site, engines.load(engine), Request(**options))  # type: ignore[arg-type]  # the fields of Request
        undone.write()
        return undone.notes

    return now


def write(host: Path, path: str, text: str) -> Path:
    """A file of the host, its directories too."""
    place = Path(f"{host}{path}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return place


def tree(host: Path) -> dict[str, bytes]:
    """Every file of the host's /etc and /usr, to compare before and after."""
    return {str(path): path.read_bytes() for top in ("etc", "usr") for path in sorted((host / top).rglob("*")) if path.is_file()}
