"""CRI-O's drop-in, held to the text that CRI-O reads; and its own check, by a stand-in for ``crio``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook.engines import crio
from cdi_hook.engines.base import Request, Site
from cdi_hook.errors import EngineError

from .conftest import Configure, program, tree, write

DROPIN = "/etc/crio/crio.conf.d/90-cdi-hook-cdi.conf"
HEAD = "# Written by cdi-hook configure; taken out by: cdi-hook unconfigure crio --handler cdi\n"
PACKAGED = """\
[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = ["io.containers.trace-syscall", "cdi.k8s.io"]

[crio.runtime.runtimes.runc]
runtime_path = "/usr/libexec/crio/runc"
"""


def test_the_drop_in(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """The default runtime's keys, its runtime_root, and never cdi.k8s.io among the allowed annotations."""
    write(host, "/etc/crio/crio.conf.d/10-crio.conf", PACKAGED)
    was = tree(host)
    plan = configure("crio")
    assert Path(f"{host}{DROPIN}").read_text(encoding="utf-8").replace(str(host), "@") == (
        HEAD + "\n[crio.runtime.runtimes.cdi]\n"
        '  runtime_path = "@/bin/cdi-runtime"\n  runtime_type = "oci"\n  runtime_root = "/run/crun"\n'
        '  monitor_path = "/usr/libexec/crio/conmon"\n  allowed_annotations = ["io.containers.trace-syscall"]\n'
    )
    assert "cdi.k8s.io is left out of allowed_annotations: CRI-O would ignore the handler" in plan.notes
    assert not configure("crio").changes
    undo("crio")
    assert tree(host) == was


def test_as_the_default_runtime(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """Nothing is configured yet: crun is CRI-O's own default, so its state directory is kept; never /run/cdi."""
    write(host, "/etc/crio/crio.conf", "")
    was = tree(host)
    configure("crio", set_default=True)
    assert Path(f"{host}{DROPIN}").read_text(encoding="utf-8").replace(str(host), "@") == (
        HEAD + '\n[crio.runtime]\n  default_runtime = "cdi"\n\n[crio.runtime.runtimes.cdi]\n'
        '  runtime_path = "@/bin/cdi-runtime"\n  runtime_type = "oci"\n  runtime_root = "/run/crun"\n'
    )
    assert not configure("crio").changes
    Path(f"{host}{DROPIN}").write_text(Path(f"{host}{DROPIN}").read_text(encoding="utf-8") + "# touched\n", encoding="utf-8")
    undo("crio")
    assert tree(host) == was


def test_the_hook_goes_into_its_hooks_directory(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """The first one that the configuration names."""
    write(host, "/etc/crio/crio.conf", f'[crio.runtime]\nhooks_dir = ["{host}/etc/hooks"]\n')
    was = tree(host)
    configure("crio", stage="createRuntime")
    assert [path.name for path in (host / "etc/hooks").iterdir()] == ["cdi-hook-createRuntime.json"]
    undo("crio", stage="createRuntime")
    assert tree(host) == was


def test_without_crio(host: Path, configure: Configure) -> None:
    """Neither the file nor its directory."""
    with pytest.raises(EngineError) as caught:
        configure("crio")
    file = f"{host}/etc/crio/crio.conf"
    assert str(caught.value) == f"{file}: is missing, and {file}.d too: CRI-O is not set up here; name its file: --config FILE"


def test_crio_is_asked(host: Path, configure: Configure) -> None:
    """With both places, since the file is below the second; its refusal rolls back."""
    write(host, "/etc/crio/crio.conf", "")
    was = tree(host)
    refuse = '[ "$1" = --version ] && exit\necho "$@" >"$0.argv"\necho "FATA validating runtime config: no"; exit 1'
    program(host / "bin/crio", refuse)
    with pytest.raises(EngineError, match="CRI-O refuses the file: FATA validating runtime config: no"):
        configure("crio")
    assert tree(host) == was
    argv = (host / "bin/crio.argv").read_text(encoding="utf-8")
    assert argv == f"--config {host}/etc/crio/crio.conf --config-dir {host}/etc/crio/crio.conf.d config\n"


def test_status(host: Path, site: Site) -> None:
    """What a hand-written handler gets wrong."""
    entry = f'[crio.runtime.runtimes.cdi]\nruntime_path = "{site.wrapper}"\nallowed_annotations = ["cdi.k8s.io"]\n'
    write(host, "/etc/crio/crio.conf", entry)
    status = crio.ENGINE.status(site, Request())
    mend = "cdi-hook configure crio --handler cdi"
    assert status.problems == [
        ("handler cdi: allowed_annotations names cdi.k8s.io: CRI-O ignores the handler", mend),
        ("handler cdi: runtime_root is the CDI spec directory /run/cdi", mend),
    ]
