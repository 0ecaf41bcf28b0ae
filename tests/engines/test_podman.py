"""podman 4.3, for root (runc and crun) and for a plain user: configure, run containers, undo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import FULL, FUSE, Installed
from .harness import BUSYBOX, PREFIX, Images, Podman, missing, plain_user, run

ABSENT = missing("podman", "runc", "crun")
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)

RUN = ("run", "--rm", "--network", "none", "--annotation")
ASK = "echo $CDIENG; cat /cdieng/data; : </dev/fuse"


def settings_for(file: Path, runtime: str, installed: Installed) -> None:
    """conmon drops CDI_HOOK_CONFIG: the handler's name leads to these settings."""
    path = run("sh", "-c", f"command -v {runtime}").stdout.strip()
    file.write_text(f"runtime: {path}\nspecDirs: [{installed.specs}]\n", encoding="utf-8")


def configure(engine: Podman, installed: Installed, *words: str) -> list[str]:
    """The lines that ``cdi-hook configure podman`` prints."""
    return installed.hook("configure", "podman", "--handler", PREFIX, "--config", engine.config, *words).stdout.splitlines()


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_life_from_configure_to_undo(
    engines_work: Path, images: Images, installed: Installed, named_settings: Path, tmp_path: Path, runtime: str
) -> None:
    """For root: run, exec, stats, stop, start, kill; then the same bytes."""
    settings_for(named_settings, runtime, installed)
    with Podman(engines_work / tmp_path.name[-12:], images) as engine:
        crun = runtime == "crun"

        def podman(*words: str, check: bool = True) -> str:
            done = engine.podman("--runtime", PREFIX, *words, check=check, crun=crun)
            return done.stdout + (done.stderr if done.returncode else "")

        before = engine.config.read_bytes()
        assert configure(engine, installed)[-1] == "podman reads it at its next start; nothing has to be restarted"
        assert configure(engine, installed)[-1] == "podman: nothing to change"
        assert podman(*RUN, f"cdi.k8s.io/x={FUSE}", BUSYBOX, "sh", "-c", ASK) == "fuse\nfrom the host\n"
        assert podman("run", "--rm", "--network", "none", BUSYBOX, "sh", "-c", "ls /dev | grep -c fuse", check=False).startswith("0\n")
        name = podman("run", "-d", "--network", "none", "--annotation", f"cdi.k8s.io/x={FUSE}", BUSYBOX, "sleep", "1000").strip()
        for _ in range(2):
            assert podman("exec", name, "sh", "-c", ": </dev/fuse && cat /cdieng/data") == "from the host\n"
            assert "CDIENG" not in podman("exec", name, "env")
            assert podman("stats", "--no-stream", name)
            podman("stop", "-t", "0", name)
            podman("start", name)
        podman("kill", name)
        podman("rm", "-f", "-t", "0", name)
        installed.hook("unconfigure", "podman", "--handler", PREFIX, "--config", engine.config)
        assert engine.config.read_bytes() == before
        assert not (installed.bin / f"cdi-runtime-{PREFIX}").exists()


def test_an_unresolvable_device(engines_work: Path, images: Images, installed: Installed, named_settings: Path, tmp_path: Path) -> None:
    """podman prints our message; it is there the second time too, when podman's log holds two of them."""
    settings_for(named_settings, "runc", installed)
    with Podman(engines_work / tmp_path.name[-12:], images) as engine:
        configure(engine, installed)
        engine.podman(
            "--runtime",
            PREFIX,
            "create",
            "--name",
            "c",
            "--network",
            "none",
            "--annotation",
            "cdi.k8s.io/x=cdieng.example/dev=fus",
            BUSYBOX,
        )
        for _ in range(2):
            failed = engine.podman("--runtime", PREFIX, "start", "c", check=False)
            assert failed.returncode == 125
            for word in ("cdieng.example/dev=fus", FUSE, str(installed.specs)):
                assert word in failed.stderr


@pytest.mark.parametrize("stage", ["precreate", "createRuntime"])
def test_hooks_from_configure_to_undo(engines_work: Path, images: Images, installed: Installed, tmp_path: Path, stage: str) -> None:
    """No handler: the hook that ``configure --hook`` installs does it for podman's own runtime, with the settings of that command."""
    hooks = tmp_path / "hooks.d"
    with Podman(engines_work / tmp_path.name[-12:], images) as engine:
        if stage == "createRuntime":  # the first directory that podman reads; the shared one is not this test's
            text = engine.config.read_text(encoding="utf-8")
            engine.config.write_text(f'{text}hooks_dir = ["{hooks}"]\n', encoding="utf-8")
        before = engine.config.read_bytes()
        words = ("podman", "--hook", "--stage", stage, "--config", engine.config)
        assert installed.hook("configure", *words, "--check", check=False).returncode == 1
        lines = installed.hook("configure", *words).stdout.splitlines()
        assert lines[-1] == "podman reads it at its next start; nothing has to be restarted"
        assert installed.hook("configure", *words, "--check").stdout == "podman: configured as asked\n"
        report = installed.hook("doctor", "--config", f"podman={engine.config}", check=False).stdout
        assert f"cdi-hook-{stage.lower()}.json ({stage})" in report
        spec = json.loads((installed.specs / "cdieng.json").read_text(encoding="utf-8"))
        if stage == "createRuntime":  # too late for the environment
            del spec["devices"][0]["containerEdits"]["env"]
        (tmp_path / "specs").mkdir()
        (tmp_path / "specs/cdieng.json").write_text(json.dumps(spec), encoding="utf-8")
        installed.settings.write_text(f"specDirs: [{tmp_path}/specs]\n", encoding="utf-8")
        expected = "from the host\n" if stage == "createRuntime" else "fuse\nfrom the host\n"
        assert engine.podman(*RUN, f"cdi.k8s.io/x={FUSE}", BUSYBOX, "sh", "-c", ASK).stdout.lstrip() == expected
        assert engine.podman("run", "--rm", "--network", "none", BUSYBOX, "ls", "/dev/fuse", check=False).returncode == 1
        failed = engine.podman(*RUN, "cdi.k8s.io/x=acme.com/nic=9", BUSYBOX, "true", check=False)
        assert failed.returncode == 126
        assert ("exit status 1" in failed.stderr, "acme.com/nic=9" in failed.stderr) == (True, stage == "createRuntime")
        installed.hook("unconfigure", *words)
        assert engine.config.read_bytes() == before
        assert list(engine.work.glob("*hooks*")) == [] == list(tmp_path.glob("*hooks*"))


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The home of a plain user."""
    absent = missing("useradd", "userdel", "setpriv", "newuidmap")
    if absent:
        pytest.skip(absent)
    with plain_user(f"{PREFIX}u") as place:
        yield place


def test_rootless(engines_work: Path, images: Images, installed: Installed, named_settings: Path, tmp_path: Path, home: Path) -> None:
    """The wrapper runs as uid 0 of the user's namespace; runc there cannot make nodes, so ours is bound from another path."""
    settings_for(named_settings, "runc", installed)
    with Podman(engines_work / tmp_path.name[-12:], images, user=f"{PREFIX}u", home=home) as engine:
        configure(engine, installed)
        script = "echo $CDIENG; cat /cdieng/data; echo x >/dev/cdieng || ls -l /dev/cdieng | cut -c 1"
        done = engine.podman("--runtime", PREFIX, *RUN, f"cdi.k8s.io/x={FULL}", BUSYBOX, "sh", "-c", script)
        assert done.stdout == "full\nfrom the host\nc\n"
        assert "No space left on device" in done.stderr  # it is /dev/full
        failed = engine.podman("--runtime", PREFIX, *RUN, "cdi.k8s.io/x=acme.com/nic=9", BUSYBOX, "true", check=False)
        assert failed.returncode == 126  # podman's number for any error of a runtime
        assert "acme.com/nic=9" in failed.stderr
        installed.hook("unconfigure", "podman", "--handler", PREFIX, "--config", engine.config)


def test_a_user_configures_podman(
    engines_work: Path, images: Images, installed: Installed, named_settings: Path, tmp_path: Path, home: Path
) -> None:
    """Without any root's help but the settings and the link: a drop-in below the user's own configuration, and a journal there."""
    settings_for(named_settings, "runc", installed)
    link = installed.bin / f"cdi-runtime-{PREFIX}"
    link.symlink_to("cdi-runtime")
    user = f"{PREFIX}u"
    with Podman(engines_work / tmp_path.name[-12:], images, user=user, home=home, own_config=True) as engine:
        tool = engine.as_user(installed.bin / "cdi-hook")
        done = run(*tool, "configure", "podman", "--handler", PREFIX, "--set-default", env=engine.env)
        dropin = home / ".config/containers/containers.conf.d/99-cdi-hook.conf"
        assert done.stdout.splitlines()[0] == f"wrote {dropin}"
        ran = engine.podman(*RUN, f"cdi.k8s.io/x={FULL}", BUSYBOX, "sh", "-c", "echo $CDIENG; cat /cdieng/data")
        assert ran.stdout == "full\nfrom the host\n"
        assert run(*tool, "doctor", env=engine.env, check=False).stdout.count(f"handler {PREFIX} -> {link} (real runtime") == 1
        run(*tool, "unconfigure", "podman", "--handler", PREFIX, env=engine.env)
        assert not dropin.parent.exists()
        assert not (home / ".local/state/cdi-hook").exists()
