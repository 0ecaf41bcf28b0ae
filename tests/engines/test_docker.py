"""Docker 20.10: configure, run containers that ask by environment and by mount, undo."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import FUSE, Installed
from .harness import BUSYBOX, Dockerd, Images, missing

ABSENT = missing("dockerd", "docker", "runc")
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)

RUN = ("run", "--rm", "--network", "none")
ASK = "echo $CDIENG; cat /cdieng/data; : </dev/fuse"


@pytest.fixture
def engine(engines_work: Path, images: Images, installed: Installed, tmp_path: Path) -> Dockerd:
    """A dockerd that is not started yet. Our settings let environment and mounts ask: Docker 20.10 has no annotations."""
    with open(installed.settings, "a", encoding="utf-8") as stream:
        stream.write("requests:\n  environment: [CDI_DEVICES]\n  mounts: true\n")
    return Dockerd(engines_work / tmp_path.name[-12:], images, env=installed.env)


def configure(engine: Dockerd, installed: Installed, *words: str) -> list[str]:
    """The lines that ``cdi-hook configure docker`` prints."""
    return installed.hook("configure", "docker", "--config", engine.config, *words).stdout.splitlines()


def test_a_life_from_configure_to_undo(engine: Dockerd, installed: Installed) -> None:
    """Both kinds of requests; exec, stats, pause, stop, start, kill; then the same bytes."""
    before = engine.config.read_bytes()
    assert configure(engine, installed)[-1] == "to make docker read it: systemctl reload docker"
    with engine:
        docker = engine.docker
        asked = docker(*RUN, "--runtime", "cdi", "-e", f"CDI_DEVICES={FUSE}", BUSYBOX, "sh", "-c", ASK)
        assert asked.stdout == "fuse\nfrom the host\n"
        mount = "/dev/null:/var/run/cdi-hook/devices/cdieng.example/dev/fuse"
        asked = docker(*RUN, "--runtime", "cdi", "-v", mount, BUSYBOX, "sh", "-c", ASK + "; ls /var/run/cdi-hook", check=False)
        assert asked.stdout == "fuse\nfrom the host\n"
        assert "/var/run/cdi-hook: No such file or directory" in asked.stderr  # the request itself is taken out
        assert docker(*RUN, "--runtime", "cdi", BUSYBOX, "ls", "/dev/fuse", check=False).returncode == 1
        assert docker(*RUN, "-e", f"CDI_DEVICES={FUSE}", BUSYBOX, "ls", "/dev/fuse", check=False).returncode == 1
        name = docker(
            "run", "-d", "--network", "none", "--runtime", "cdi", "-e", f"CDI_DEVICES={FUSE}", BUSYBOX, "sleep", "1000"
        ).stdout.strip()
        for _ in range(2):
            assert docker("exec", name, "sh", "-c", ": </dev/fuse && cat /cdieng/data; env").stdout.startswith("from the host\n")
            assert docker("stats", "--no-stream", name).stdout
            docker("pause", name)
            docker("unpause", name)
            docker("stop", "-t", "0", name)
            docker("start", name)  # dockerd writes a new config.json and creates again
        docker("kill", name)
        docker("rm", name)
    installed.hook("unconfigure", "docker", "--config", engine.config)
    assert engine.config.read_bytes() == before
    assert list(engine.work.glob("daemon.json*")) == [engine.config]


def test_a_reload_is_enough(engine: Dockerd, installed: Installed) -> None:
    """SIGHUP is what ``systemctl reload docker`` sends; running containers stay."""
    with engine:
        configure(engine, installed, "--set-default")
        assert engine.process is not None
        engine.reload()
        asked = engine.docker(*RUN, "-e", f"CDI_DEVICES={FUSE}", BUSYBOX, "sh", "-c", ASK)
        assert asked.stdout == "fuse\nfrom the host\n"


def test_an_unresolvable_device(engine: Dockerd, installed: Installed) -> None:
    """Exit status 125, and a message that says what to do."""
    configure(engine, installed)
    with engine:
        failed = engine.docker(*RUN, "--runtime", "cdi", "-e", "CDI_DEVICES=cdieng.example/dev=fus", BUSYBOX, "true", check=False)
    assert failed.returncode == 125
    assert "cdieng.example/dev=fus" in failed.stderr
    assert FUSE in failed.stderr
    assert str(installed.specs) in failed.stderr


def test_requests_are_off_by_default(engine: Dockerd, installed: Installed) -> None:
    """An image could set the variable."""
    installed.settings.write_text(f"specDirs: [{installed.specs}]\n", encoding="utf-8")
    configure(engine, installed)
    with engine:
        assert engine.docker(*RUN, "--runtime", "cdi", "-e", f"CDI_DEVICES={FUSE}", BUSYBOX, "ls", "/dev/fuse", check=False).returncode == 1
    report = installed.hook("doctor", "--config", f"docker={engine.config}", check=False)
    assert report.returncode == 1
    assert "passes no annotations on" in report.stdout
