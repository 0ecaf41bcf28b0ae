"""Fixtures shared by the tests on real engines: work directory, images, the installed program, CDI specs; each made once a session."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .harness import CLEAN, PREFIX, Completed, Images, build_images, missing, run, sweep, sweep_cgroups

ROOT = Path(__file__).resolve().parents[2]
KIND = "cdieng.example/dev"
FUSE = f"{KIND}=fuse"
FULL = f"{KIND}=full"


@pytest.fixture(scope="session")
def engines_work() -> Iterator[Path]:
    """A directory with a short name for everything these tests write."""
    work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
    work.chmod(0o755)
    yield work
    sweep(work)
    sweep_cgroups()
    shutil.rmtree(work)


@pytest.fixture(scope="session")
def images(engines_work: Path) -> Images:
    """The busybox and pause images."""
    reason = missing("umoci", "skopeo", "busybox", "chroot")
    if reason:
        pytest.skip(reason)
    return build_images(engines_work / "images")


class Installed(NamedTuple):
    """cdi-hook in a prefix of its own, with settings and a journal of its own."""

    bin: Path
    settings: Path
    state: Path
    specs: Path

    @property
    def env(self) -> dict[str, str]:
        """What a daemon or a command needs to use these settings and this journal."""
        return {**CLEAN, "CDI_HOOK_CONFIG": str(self.settings), "CDI_HOOK_STATE": str(self.state)}

    def hook(self, *argv: str | Path, check: bool = True) -> Completed:
        """Run ``cdi-hook``."""
        return run(self.bin / "cdi-hook", *argv, check=check, env=self.env)


@pytest.fixture(scope="session")
def prefix(engines_work: Path) -> Iterator[Path]:
    """``bin`` of the prefix that packaging/install.sh fills. Its uninstall at the end finds nobody who still names us."""
    place = engines_work / "prefix"
    install = ("sh", ROOT / "packaging/install.sh", "--prefix", place)
    run(*install, "--python", sys.executable, seconds=300)
    yield place / "bin"
    run(*install, "--uninstall")


@pytest.fixture(scope="session")
def specs(engines_work: Path) -> Path:
    """A spec directory: ``fuse`` is a node that no container has by itself, ``full`` one that every user may open."""
    directory = engines_work / "specs"
    directory.mkdir()
    data = engines_work / "data"
    data.write_text("from the host\n", encoding="ascii")
    mount = {"hostPath": str(data), "containerPath": "/cdieng/data", "options": ["ro", "bind"]}
    devices = [
        {"name": "fuse", "containerEdits": {"env": ["CDIENG=fuse"], "deviceNodes": [{"path": "/dev/fuse"}]}},
        {"name": "full", "containerEdits": {"env": ["CDIENG=full"], "deviceNodes": [{"path": "/dev/cdieng", "hostPath": "/dev/full"}]}},
    ]
    spec = {"cdiVersion": "0.6.0", "kind": KIND, "devices": devices, "containerEdits": {"mounts": [mount]}}
    (directory / "cdieng.json").write_text(json.dumps(spec), encoding="ascii")
    return directory


@pytest.fixture
def installed(prefix: Path, specs: Path, tmp_path: Path) -> Iterator[Installed]:
    """The installed program with settings of this test's own; the links of its handlers go at the end."""
    settings = tmp_path / "config.yaml"
    settings.write_text(f"specDirs: [{specs}]\n", encoding="utf-8")
    yield Installed(prefix, settings, tmp_path / "state", specs)
    for link in prefix.glob("cdi-runtime-*"):
        link.unlink()


@pytest.fixture
def named_settings() -> Iterator[Path]:
    """A settings file in place, for engines whose monitor drops our variable: the name of the handler leads to it. Give it contents."""
    directory = Path("/etc/cdi-hook")
    there = directory.exists()
    directory.mkdir(exist_ok=True)
    file = directory / f"{PREFIX}.yaml"
    yield file
    file.unlink(missing_ok=True)
    if not there:
        directory.rmdir()
