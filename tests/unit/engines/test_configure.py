"""The command: its options, its exit status, and every line that it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook.cli import configure, unconfigure
from cdi_hook.engines.base import Site
from cdi_hook.errors import EngineError

from .conftest import program, tree, write
from .test_containerd import PLAIN

Command = Callable[..., int]
POD_WARNING = "whoever may create a pod writes them, and may then ask for any CDI device of this host"


@pytest.fixture
def command(host: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``cdi-hook configure …`` (or ``unconfigure``) on the host of the test."""
    monkeypatch.setenv("CDI_HOOK_CONFIG", site.settings)
    monkeypatch.setenv("CDI_HOOK_STATE", site.state)
    monkeypatch.setenv("PATH", site.path)
    write(host, "/etc/cdi-hook/config.yaml", f"runtime: {host}/bin/runc\n")

    def run(name: str, *words: str) -> int:
        add_arguments, start = (
            (unconfigure.add_arguments, unconfigure.run) if name == "unconfigure" else (configure.add_arguments, configure.run)
        )
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return start(parser.parse_args([*words, "--wrapper", site.wrapper]))

    return run


def test_a_dry_run_is_a_diff(host: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, the notes on stderr; nothing is written, the journal neither."""
    config = write(host, "/c.toml", PLAIN)
    was = tree(host)
    assert command("configure", "containerd", "--config", str(config), "--dry-run") == 0
    out, err = capsys.readouterr()
    assert out.replace(str(host), "@") == (
        "--- @/c.toml\n+++ @/c.toml\n@@ -5,4 +5,14 @@\n"
        ' [plugins."io.containerd.grpc.v1.cri"]\n   sandbox_image = "pause:3.9"  # mirrored\n \n'
        '+[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n+  runtime_type = "io.containerd.runc.v2"\n+\n'
        '+[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi]\n+  runtime_type = "io.containerd.runc.v2"\n'
        '+  container_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]\n+\n'
        '+  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi.options]\n+    BinaryName = "@/bin/cdi-runtime"\n+\n'
        " # the end\n"
    )
    assert err == f"note: the real runtime behind cdi is {host}/bin/runc\n"
    assert config.read_text(encoding="utf-8") == PLAIN
    assert tree(host) == was
    assert not (host / "var").exists()


def test_what_is_said(host: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Configure, again, check, and undo; the last line says what makes the engine read it."""
    config = write(host, "/c.toml", PLAIN)
    program(host / "bin/containerd", "[ $1 = --version ] && echo containerd x 1.6.20; echo [x.runtimes.cdi]")
    words = ("containerd", "--config", str(config))
    assert command("configure", *words, "--check") == 1
    assert capsys.readouterr().out == f"not as asked: {config}\n"
    assert command("configure", *words) == 0
    last = "to make containerd read it: systemctl restart containerd\n"
    assert capsys.readouterr().out == (
        f"changed {config}\nnote: the real runtime behind cdi is {host}/bin/runc\nchecked with: containerd config dump\n" + last
    )
    assert command("configure", *words) == 0
    assert capsys.readouterr().out == f"note: the real runtime behind cdi is {host}/bin/runc\ncontainerd: nothing to change\n"
    assert command("configure", *words, "--check") == 0
    assert capsys.readouterr().out == "containerd: configured as asked\n"
    assert command("configure", *words, "--check", "--set-default") == 1
    capsys.readouterr()
    assert command("unconfigure", *words, "--dry-run") == 0
    assert capsys.readouterr().out.startswith(f"--- {config}\n+++ {config}\n")
    assert command("unconfigure", *words) == 0
    assert capsys.readouterr().out == f"changed {config}\n" + last
    assert config.read_text(encoding="utf-8") == PLAIN
    assert command("configure", *words, "--undo") == 0
    assert capsys.readouterr().out == "containerd: nothing of ours is configured as cdi\n"


def test_check_cannot_tell(host: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be understood is neither yes nor no."""
    config = write(host, "/c.toml", "[[")
    assert command("configure", "containerd", "--config", str(config), "--check") == 3
    assert capsys.readouterr().err.startswith(f"cdi-hook: cannot tell: {config}:1: is not TOML: ")


def test_check_misses_the_wrapper(host: Path, site: Site, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration is right, but names nothing."""
    config = write(host, "/d.json", "{}")
    command("configure", "docker", "--config", str(config))
    Path(site.wrapper).unlink()
    capsys.readouterr()
    assert command("configure", "docker", "--config", str(config), "--check") == 1
    assert capsys.readouterr().out == f"not as asked: {site.wrapper} is missing\n"


def test_nothing_is_configured_without_a_wrapper(host: Path, site: Site, command: Command) -> None:
    """Every container would fail."""
    config = write(host, "/d.json", "{}")
    Path(site.wrapper).unlink()
    with pytest.raises(EngineError) as caught:
        command("configure", "docker", "--config", str(config))
    fix = "install it with packaging/install.sh, or name it: --wrapper PATH"
    assert str(caught.value) == f"{site.wrapper}: is not there; {fix}"
    assert config.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("docker", "--hook"), "--hook: Docker knows no OCI hooks directory: only a handler can be configured"),
        (("containerd", "--hook"), "--hook: containerd reads no hooks directory: only a handler can be configured"),
        (("crio", "--hook", "--stage", "precreate"), "--stage: crio knows no precreate hooks; use createRuntime"),
        (("podman", "--hook", "--set-default"), "--set-default: says nothing to a hook: the engine's own runtime stays"),
        (("crio", "--pod-annotations"), "--pod-annotations: crio has no such choice: only containerd keeps annotations back"),
        (("docker", "--handler", "../x"), '--handler: "../x" is no name for a handler; use letters, digits, -, _ and ., at most 63'),
        (
            ("docker", "--handler", "runc"),
            '--handler: "runc" is a runtime of the engines themselves; choose another name; --set-default makes it the one that is used',
        ),
    ],
)
def test_options_that_do_not_go_together(command: Command, words: tuple[str, ...], message: str) -> None:
    """Each says what would."""
    with pytest.raises(EngineError) as caught:
        command("configure", *words)
    assert str(caught.value) == message


def test_the_help_warns_about_pod_annotations() -> None:
    """They are written by whoever may create a pod."""
    parser = argparse.ArgumentParser(prog="configure")
    configure.add_arguments(parser)
    assert POD_WARNING in " ".join(parser.format_help().split())
